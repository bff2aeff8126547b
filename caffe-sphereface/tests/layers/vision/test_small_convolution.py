"""Convolution as one matrix product a picture: the same bits by whichever way its columns come about."""

import pytest
import torch
from torch.nn import functional as F

from caffe.layers.vision import small_convolution as small


@pytest.mark.parametrize('channels_last', [False, True])
@pytest.mark.parametrize('count, channels, size, outputs', [(1, 3, (9, 4), 5), (4, 64, (7, 7), 24), (2, 16, (1, 1), 7)])
def test_single_places_are_columns_as_they_are(count, channels, size, outputs, channels_last):
    torch.manual_seed(0)
    x, dy = torch.randn(count, channels, *size), torch.randn(count, outputs, *size)
    if channels_last:
        x, dy = (t.contiguous(memory_format=torch.channels_last) for t in (x, dy))
    weight, window = torch.randn(outputs, channels, 1, 1), ((1, 1), [1, 1], [0, 0], [1, 1])
    columns = small.columns_of(x, *window)
    assert torch.equal(columns, F.unfold(x, 1)) and columns.is_contiguous()
    dx, _, _ = small.backward(dy, columns, weight, size, *window, [True, False, False])
    spread = torch.matmul(weight.flatten(1).t(), dy.flatten(2))
    assert torch.equal(dx, F.fold(spread, size, 1))


@pytest.mark.parametrize('kernel, stride, pad', [(1, 2, 0), (1, 1, 1), (2, 1, 0), (3, 2, 1)])
def test_windows_agree_with_autograd(kernel, stride, pad):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 3, 6, 5, requires_grad=True), torch.randn(4, 3, kernel, kernel, requires_grad=True)
    bias = torch.randn(4, requires_grad=True)
    y = F.conv2d(x, weight, bias, stride, pad)
    dy = torch.randn_like(y)
    wanted = torch.autograd.grad(y, (x, weight, bias), dy)
    window = ((kernel, kernel), [stride, stride], [pad, pad], [1, 1])
    with torch.no_grad():
        columns = small.columns_of(x, *window)
        torch.testing.assert_close(small.forward(columns, weight, bias).reshape(y.shape), y)
        grads = small.backward(dy, columns, weight, (6, 5), *window, [True] * 3)
    for grad, want in zip(grads, wanted):
        torch.testing.assert_close(grad.reshape(want.shape), want)
