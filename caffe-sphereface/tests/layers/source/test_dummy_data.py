"""DummyData."""

import pytest

from caffe.errors import CaffeError
from databases import net

DUMMY = 'layer {{ name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param {{ {} }} }}'


def test_dummy_data_fills_constants_once_and_draws_the_rest_anew():
    made = net(
        DUMMY.format("""shape { dim: 2 dim: 3 } shape { dim: 4 } data_filler { value: 7 }
                               data_filler { type: "gaussian" }""")
    )
    made.forward()
    assert (made.blobs['a'].data == 7).all() and made.blobs['a'].shape == (2, 3)
    first = made.blobs['b'].data.copy()
    made.blobs['a'].data[...] = 1
    made.forward()
    assert (made.blobs['a'].data == 1).all() and (made.blobs['b'].data != first).all()


def test_dummy_data_in_its_old_form():
    made = net(DUMMY.format('num: 2 num: 3 channels: 1 height: 4 width: 5'))
    assert (made.blobs['a'].shape, made.blobs['b'].shape) == ((2, 1, 4, 5), (3, 1, 4, 5))
    assert not made.forward()['b'].any()


@pytest.mark.parametrize(
    'text',
    [
        '',
        'num: 1',
        'shape { dim: 1 } num: 2',
        'shape { } shape { } shape { }',
        'shape { dim: 1 } data_filler { } data_filler { } data_filler { }',
        'shape { dim: 1 } data_filler { type: "odd" }',
    ],
)
def test_dummy_data_refuses_what_does_not_fit(text):
    with pytest.raises(CaffeError, match="layer 'd'"):
        net(DUMMY.format(text))
