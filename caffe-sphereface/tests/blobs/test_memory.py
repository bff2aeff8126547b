"""Writing into a blob: everybody who relies on its values hears of it."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import caffe
from caffe.blobs.blob import Blob
from caffe.proto import caffe_pb2
from caffe.proto.files import parse_text


class Watcher:
    """Notes what a blob holds before each change."""

    def __init__(self, blob):
        self.blob, self.seen = blob, []
        blob.watch(self)

    def before_change(self):
        self.seen.append(self.blob.tensor.clone())


@pytest.fixture
def blob():
    made = Blob(2, 3)
    made.tensor = torch.arange(6.0).reshape(2, 3)
    return made


def test_a_watcher_still_sees_the_values_before_they_change_in_place(blob):
    watcher = Watcher(blob)
    with blob.changing() as tensor:
        tensor.add_(1)
    assert [seen.flatten().tolist() for seen in watcher.seen] == [[0, 1, 2, 3, 4, 5]]
    assert blob.data.flatten().tolist() == [1, 2, 3, 4, 5, 6]


def test_no_stamp_outlives_a_change_in_place(blob):
    before = blob.stamp()
    with blob.changing() as tensor:
        within = blob.stamp()
        torch._foreach_add_([tensor], 1)
    after = blob.stamp()
    assert not before.holds() and not within.holds() and after.holds()


def test_a_change_in_place_reaches_views_but_not_the_owner_of_lent_values(blob):
    lent = Blob(2, 3)
    lent.lend_data(blob.tensor)
    with lent.changing() as tensor:
        tensor.zero_()
    assert blob.data.sum() == 15 and not lent.data.any()
    view = blob.data
    with blob.changing() as tensor:
        tensor.zero_()
    assert not view.any()


def test_changes_that_fail_count_too(blob):
    stamp = blob.stamp()
    with pytest.raises(ZeroDivisionError), blob.changing():
        raise ZeroDivisionError
    assert not stamp.holds()


def test_weights_that_a_forward_normalises_are_announced():
    text = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } } layer { name: "f" '
        'type: "InnerProduct" bottom: "x" top: "f" inner_product_param { num_output: 2 normalize: true '
        'weight_filler { type: "gaussian" } } }'
    )
    net = caffe.Net(parse_text(text, caffe_pb2.NetParameter(), 'test'), caffe.TEST)
    weight = net.params['f'][0]
    old, watcher = weight.tensor.clone(), Watcher(weight)
    net.forward(x=np.ones((1, 3)))
    assert torch.equal(watcher.seen[0], old) and not torch.equal(weight.tensor, old)


def test_the_engine_writes_into_blobs_in_one_way_only():
    """A list of what looks like a tensor of a blob that is written into without `changing`."""
    found = [
        f'{path.name}: {line.strip()}'
        for path in Path(caffe.__file__).parent.rglob('*.py')
        for line in path.read_text().splitlines()
        if re.search(r'\.tensor(\.\w+\([^)]*\))*\.[a-z]\w*_\(|out=[\w.\[\]]+\.tensor|\.tensor\[.*\] [-+*/]?= ', line)
    ]
    assert not found
