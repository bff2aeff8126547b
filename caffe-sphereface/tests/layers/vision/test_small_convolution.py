"""Convolution as one matrix product a picture: the same bits by whichever way its columns come about."""

import numpy as np
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
    spread = small.forward(dy.flatten(2).contiguous(), weight.flatten(1).t(), None)
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


@pytest.mark.parametrize('channels_last', [False, True])
def test_tiny_products_are_numpy_s_picture_by_picture(channels_last):
    torch.manual_seed(0)
    x, weight, bias, dy = torch.randn(2, 4, 9, 7), torch.randn(4, 4, 3, 3), torch.randn(4), torch.randn(2, 4, 7, 5)
    window = ((3, 3), [1, 1], [0, 0], [1, 1])
    columns = small.columns_of(x, *window)
    y = small.forward(columns, weight, bias)
    order = torch.channels_last if channels_last else torch.contiguous_format
    grads = small.backward(dy.contiguous(memory_format=order), columns, weight, (9, 7), *window, [True] * 3)
    filters, upper = weight.reshape(4, 36).numpy(), dy.flatten(2).numpy()
    pictures = list(zip(columns.numpy(), upper, strict=True))
    wanted = np.stack([np.dot(filters, picture) + bias.numpy()[:, None] for picture, _ in pictures])
    np.testing.assert_array_equal(y.numpy(), wanted)
    spread = torch.from_numpy(np.stack([np.dot(filters.T, above) for above in upper]))
    assert torch.equal(grads[0], F.fold(spread, (9, 7), 3))
    np.testing.assert_array_equal(grads[1].numpy(), sum(np.dot(above, picture.T) for picture, above in pictures))
    np.testing.assert_array_equal(grads[2].numpy(), sum(np.dot(above, np.ones(35, np.float32)) for above in upper))


def test_other_products_are_torch_s():
    torch.manual_seed(0)
    columns, weight = torch.randn(2, 64, 65), torch.randn(4, 64, 1, 1)
    assert torch.equal(small.forward(columns, weight, None), torch.matmul(weight.flatten(1), columns))


def test_overflow_passes_without_a_warning(recwarn):
    columns = torch.full((1, 2, 3), 3e38)
    assert small.forward(columns, torch.ones(2, 2, 1, 1), None).isinf().all()
    assert not recwarn.list
