"""Numbers that change from pass to pass: the same ones in Python and on a device."""

import torch

from caffe.blobs.number import Number

CPU = torch.device('cpu')


def test_a_number_is_a_python_number_until_it_lies_on_a_device():
    number = Number(0.5)
    assert number.value == 0.5 and not isinstance(number.value, torch.Tensor)
    number.lie_on(CPU)
    assert number.value.shape == () and float(number.value) == 0.5
    number.lie_on(None)
    number.set(2)
    assert number.value == 2 and not isinstance(number.value, torch.Tensor)


def test_its_tensor_stays_where_it_is():
    number = Number()
    number.lie_on(CPU)
    tensor = number.value
    number.set(1 / 3)
    number.lie_on(CPU)
    assert number.value is tensor and tensor == torch.tensor(1 / 3)


def test_zero_is_known_of_python_numbers_alone():
    number = Number()
    assert number.is_zero
    number.lie_on(CPU)
    assert not number.is_zero


def test_a_blob_of_it_is_a_tensor_of_its_own():
    number = Number(3)
    assert number.as_blob(CPU).tolist() == [3]
    number.lie_on(CPU)
    blob = number.as_blob(CPU)
    number.set(4)
    assert blob.tolist() == [3] and blob.shape == (1,)
