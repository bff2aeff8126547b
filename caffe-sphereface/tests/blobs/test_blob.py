"""Blobs: views that Python writes through, diffs, shapes."""

import numpy as np
import pytest
import torch

import caffe
from caffe.blobs.blob import Blob


def test_data_is_a_view_that_the_layers_side_sees():
    blob = Blob(2, 3)
    blob.data[1, 2] = 5
    assert blob.tensor[1, 2] == 5
    blob.tensor[0, 0] = 7
    assert blob.data[0, 0] == 7


def test_a_view_follows_when_a_layer_assigns_new_values():
    blob = Blob(2, 2)
    view = blob.data
    blob.tensor = torch.ones(2, 2)
    assert (view == 1).all()


def test_an_assigned_tensor_is_not_copied_while_nobody_looks():
    blob, values = Blob(2, 2), torch.ones(2, 2)
    blob.tensor = values
    assert blob.tensor.data_ptr() == values.data_ptr()


def test_a_view_outlives_its_blob():
    blob = Blob(3)
    blob.data[...] = 4
    view = blob.data
    del blob
    assert view.tolist() == [4, 4, 4]


def test_keep_is_safe_from_later_writes():
    blob = Blob(2)
    view = blob.data
    view[...] = 1
    kept = blob.keep()
    blob.tensor = torch.zeros(2)
    assert kept.tolist() == [1, 1] and view.tolist() == [0, 0]


def test_diffs_add_up_and_clear():
    blob = Blob(2)
    blob.add_grad(torch.ones(2))
    blob.add_grad(torch.ones(2))
    assert blob.diff.tolist() == [2, 2]
    view = blob.diff
    blob.clear_grad()
    assert view.tolist() == [0, 0]


def test_a_lent_diff_is_copied_before_python_sees_it():
    blob, history = Blob(2), torch.ones(2)
    blob.lend_grad(history)
    view = blob.diff
    history.fill_(9)
    assert view.tolist() == [1, 1]


def test_sharing_makes_one_memory_of_two_blobs():
    one, other = Blob(4), Blob(2, 2)
    other.share_data(one)
    one.data[...] = np.arange(4)
    assert other.data.tolist() == [[0, 1], [2, 3]]


def test_reshape_keeps_values_of_the_same_count():
    blob = Blob(2, 3)
    blob.data[...] = np.arange(6).reshape(2, 3)
    blob.reshape(3, 2)
    assert blob.data.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_legacy_names_of_dimensions():
    blob = Blob(2, 3)
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (2, 3, 1, 1, 6)


def test_legacy_names_need_at_most_four_axes():
    with pytest.raises(caffe.CaffeError, match='4 axes'):
        Blob(1, 2, 3, 4, 5).num  # noqa: B018


def test_negative_dimensions_are_refused():
    with pytest.raises(caffe.CaffeError, match='at least 0'):
        Blob(1).reshape(-1)
