"""MemoryData."""

import numpy as np
import pytest

from caffe.errors import CaffeError
from databases import net

MEMORY = """layer { name: "m" type: "MemoryData" top: "data" top: "label"
            memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 } }"""


def test_memory_data_goes_round():
    made = net(MEMORY)
    with pytest.raises(CaffeError, match='set_input_arrays'):
        made.forward()
    data = np.random.default_rng(0).random((6, 3, 4, 5)).astype('f4')
    made.set_input_arrays(data, np.arange(6, dtype='f4').reshape(6, 1, 1, 1))
    for k in (0, 1, 2, 0):
        made.forward()
        assert np.array_equal(made.blobs['data'].data, data[2 * k : 2 * k + 2])
        assert made.blobs['label'].data.tolist() == [2 * k, 2 * k + 1]


@pytest.mark.parametrize(
    'shape,labels', [((5, 3, 4, 5), 5), ((0, 3, 4, 5), 0), ((2, 3, 5, 4), 2), ((2, 60), 2), ((2, 3, 4, 5), 3)]
)
def test_memory_data_refuses_what_does_not_fit(shape, labels):
    with pytest.raises(CaffeError, match="layer 'm'"):
        net(MEMORY).set_input_arrays(np.zeros(shape, 'f4'), np.zeros(labels, 'f4'))
