"""Convolution, pooling, LRN and their like: against torch.nn.functional with autograd, and by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from layer_case import layer, make_net, run

GAUSSIAN = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 1 }'


def assert_like_autograd(net, reference):
    """Tops and diffs of a net from x to y equal those of `reference(x, *parameters)` under autograd."""
    parameters = [torch.tensor(b.data, requires_grad=True) for b in net.params.get('layer', ())]
    x = torch.tensor(net.blobs['x'].data, requires_grad=True)
    dy = run(net)['y']
    y = reference(x, *parameters)
    y.backward(torch.tensor(dy).reshape(y.shape))
    np.testing.assert_allclose(net.blobs['y'].data, y.detach().reshape(net.blobs['y'].shape), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(net.blobs['x'].diff, x.grad, rtol=1e-4, atol=1e-5)
    for blob, parameter in zip(net.params.get('layer', ()), parameters):
        np.testing.assert_allclose(blob.diff, parameter.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    'text, arguments',
    [
        ('kernel_size: 3 stride: 2 pad: 1', {'stride': 2, 'padding': 1}),
        ('kernel_size: 1', {}),
        ('kernel_size: 3 group: 4', {'groups': 4}),
        ('kernel_size: 3 dilation: 2', {'dilation': 2}),
        ('kernel_h: 3 kernel_w: 5 pad_h: 1 pad_w: 2 stride_h: 2 stride_w: 1', {'stride': (2, 1), 'padding': (1, 2)}),
        ('kernel_size: 3 kernel_size: 2 stride: 1 stride: 2', {'stride': (1, 2)}),
    ],
)
def test_convolution(text, arguments):
    net = make_net(
        layer('Convolution', extra=f'convolution_param {{ num_output: 8 {GAUSSIAN} {text} }}'), {'x': (2, 4, 9, 8)}
    )
    assert_like_autograd(net, lambda x, w, b: F.conv2d(x, w, b, **arguments))


def test_convolution_without_bias_has_one_blob():
    net = make_net(
        layer('Convolution', extra=f'convolution_param {{ num_output: 2 {GAUSSIAN} kernel_size: 2 bias_term: false }}'),
        {'x': (1, 3, 4, 4)},
    )
    assert [b.shape for b in net.params['layer']] == [(2, 3, 2, 2)]
    assert_like_autograd(net, F.conv2d)


@pytest.mark.parametrize('shape, function', [((2, 4, 7), F.conv1d), ((1, 4, 5, 4, 3), F.conv3d)])
def test_convolution_over_other_numbers_of_axes(shape, function):
    text = f'convolution_param {{ num_output: 2 {GAUSSIAN} kernel_size: 3 pad: 1 }}'
    net = make_net(layer('Convolution', extra=text), {'x': shape})
    assert_like_autograd(net, lambda x, w, b: function(x, w, b, padding=1))


def test_convolution_channels_on_another_axis():
    text = f'convolution_param {{ num_output: 2 {GAUSSIAN} kernel_size: 3 axis: 2 }}'
    net = make_net(layer('Convolution', extra=text), {'x': (2, 3, 4, 5, 5)})
    assert net.blobs['y'].shape == (2, 3, 2, 3, 3)
    assert_like_autograd(net, lambda x, w, b: F.conv2d(x.flatten(0, 1), w, b))


def test_parameter_diffs_accumulate_over_backward_passes():
    net = make_net(
        layer('Convolution', extra=f'convolution_param {{ num_output: 2 {GAUSSIAN} kernel_size: 3 }}'),
        {'x': (2, 3, 4, 4)},
    )
    run(net)
    once = [b.diff.copy() for b in net.params['layer']]
    net.backward()
    for blob, diff in zip(net.params['layer'], once):
        np.testing.assert_allclose(blob.diff, 2 * diff, rtol=1e-5)


def test_a_net_takes_another_input_size():
    net = make_net(
        layer('Convolution', extra=f'convolution_param {{ num_output: 2 {GAUSSIAN} kernel_size: 3 }}')
        + layer('Pooling', 'y', 'z', 'pooling_param { kernel_size: 2 stride: 2 }').replace('"layer"', '"p"'),
        {'x': (2, 3, 8, 8)},
    )
    net.blobs['x'].reshape(1, 3, 11, 7)
    net.forward()
    assert net.blobs['y'].shape == (1, 2, 9, 5)
    assert net.blobs['z'].shape == (1, 2, 5, 3)


@pytest.mark.parametrize(
    'text, arguments',
    [
        ('kernel_size: 3 stride: 2 pad: 1 group: 2', {'stride': 2, 'padding': 1, 'groups': 2}),
        ('kernel_size: 2 dilation: 2', {'dilation': 2}),
    ],
)
def test_deconvolution(text, arguments):
    net = make_net(
        layer('Deconvolution', extra=f'convolution_param {{ num_output: 6 {GAUSSIAN} {text} }}'), {'x': (2, 4, 5, 4)}
    )
    assert_like_autograd(net, lambda x, w, b: F.conv_transpose2d(x, w, b, **arguments))


@pytest.mark.parametrize('kernel, stride, pad', [(2, 2, 0), (3, 2, 0), (3, 2, 1), (3, 1, 1), (5, 3, 2)])
@pytest.mark.parametrize('size', [(9, 8), (10, 7)])
def test_pooling(kernel, stride, pad, size):
    for pool, function in (('MAX', F.max_pool2d), ('AVE', F.avg_pool2d)):
        net = make_net(
            layer(
                'Pooling', extra=f'pooling_param {{ pool: {pool} kernel_size: {kernel} stride: {stride} pad: {pad} }}'
            ),
            {'x': (2, 3, *size)},
        )
        assert_like_autograd(net, lambda x, f=function: f(x, kernel, stride, pad, ceil_mode=True))


def pooled(text, x, tops='y'):
    """The tops of a Pooling layer for a picture given as rows."""
    net = make_net(layer('Pooling', tops=tops, extra=f'pooling_param {{ {text} }}'), {'x': (1, 1, *np.shape(x))})
    net.blobs['x'].data[0, 0] = x
    net.forward()
    return [net.blobs[name].data[0, 0].tolist() for name in tops.split()]


LINE = [[1.0, 2.0, 4.0, 8.0, 16.0]]


@pytest.mark.parametrize(
    'text, expected',
    [
        # the last window holds one value only: sizes round up, the mean is of what lies in the picture
        ('pool: AVE kernel_h: 1 kernel_w: 2 stride: 2', [1.5, 6, 16]),
        ('pool: MAX kernel_h: 1 kernel_w: 2 stride: 2', [2, 8, 16]),
        # sizes round down on demand
        ('pool: MAX kernel_h: 1 kernel_w: 2 stride: 2 round_mode: FLOOR', [2, 8]),
        # pads count as zeros in the mean …
        ('pool: AVE kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 1 stride: 2', [1, 14 / 3, 8]),
        # … but never as a maximum
        ('pool: MAX kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 1 stride: 2', [2, 8, 16]),
        # a pad of more than half the window
        ('pool: AVE kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 2 stride: 2', [1 / 3, 7 / 3, 28 / 3, 16 / 3]),
        ('pool: MAX kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 2 stride: 2', [1, 4, 16, 16]),
        # … whose last window reaches one place behind the trailing pad
        ('pool: AVE kernel_h: 1 kernel_w: 4 pad_h: 0 pad_w: 3 stride: 3', [1 / 4, 15 / 4, 24 / 4]),
        # the last of these begins at the last place and ends where the pad does
        ('pool: AVE kernel_h: 1 kernel_w: 5 pad_h: 0 pad_w: 3 stride: 7', [3 / 5, 16 / 4]),
        # a window that would begin behind the picture is dropped
        ('pool: MAX kernel_h: 1 kernel_w: 2 pad_h: 0 pad_w: 1 stride: 3', [1, 8]),
        ('pool: AVE global_pooling: true', [31 / 5]),
        ('pool: MAX global_pooling: true', [16]),
    ],
)
def test_pooling_by_hand(text, expected):
    assert pooled(text, LINE)[0][0] == pytest.approx(expected)


def test_pooling_counts_the_pad_in_a_clipped_window_up_to_its_edge():
    # windows of 4 from −1 and 2 on; the second reaches one place behind the trailing pad, which does not count
    assert pooled('pool: AVE kernel_h: 1 kernel_w: 4 pad_h: 0 pad_w: 1 stride: 3', [[3.0, 6.0, 9.0, 12.0]])[0][
        0
    ] == pytest.approx([18 / 4, 21 / 3])


def convolved(text, shape, phase, **torch_arguments):
    """(top of the third forward, what torch makes of it): folded from the second on in the TEST phase."""
    dims = ' '.join(f'dim: {n}' for n in shape)
    net = caffe.Net(
        text_format.Parse(
            f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}'
            + layer('Convolution', extra=f'convolution_param {{ num_output: 3 {text} {GAUSSIAN} }}'),
            caffe_pb2.NetParameter(),
        ),
        phase,
    )
    net.blobs['x'].data[...] = np.random.default_rng(0).standard_normal(shape)
    parameters = [torch.from_numpy(blob.data.copy()) for blob in net.params['layer']]
    expected = F.conv2d(torch.from_numpy(net.blobs['x'].data.copy()), *parameters, **torch_arguments)
    for _ in range(3):
        top = net.forward()['y'].copy()
    return top, expected.numpy()


@pytest.mark.parametrize('phase', [caffe.TRAIN, caffe.TEST])
def test_convolution_whose_windows_fit_into_the_pad(phase):
    top, expected = convolved(
        'kernel_size: 2 stride: 3 stride: 2 pad: 3 dilation: 2',
        (3, 3, 2, 1),
        phase,
        stride=(3, 2),
        padding=3,
        dilation=2,
    )
    np.testing.assert_allclose(top, expected, atol=1e-5)


@pytest.mark.parametrize('shape', [(1, 1, 9, 4), (2, 1, 9, 4), (2, 1, 1, 4)])
def test_convolution_of_one_channel_into_one_column(shape):
    top, expected = convolved('kernel_h: 1 kernel_w: 4 stride_h: 1 stride_w: 3', shape, caffe.TEST, stride=(1, 3))
    np.testing.assert_allclose(top, expected, atol=1e-5)


def test_convolution_into_one_channel_and_then_into_one_column():
    settings = {'a': 'num_output: 1 stride: 3', 'b': 'num_output: 3 pad: 1 stride_h: 1 stride_w: 3'}
    text = ''.join(
        layer(
            'Convolution', bottom, name, f'convolution_param {{ kernel_size: 4 {settings[name]} {GAUSSIAN} }}'
        ).replace('"layer"', f'"{name}"')
        for bottom, name in ('xa', 'ab')
    )
    net = make_net(text, {'x': (3, 2, 10, 9)}, force_backward=False)
    x, *parameters = (
        torch.tensor(blob.data, dtype=torch.double) for blob in (net.blobs['x'], *net.params['a'], *net.params['b'])
    )
    expected = F.conv2d(F.conv2d(x, *parameters[:2], stride=3), *parameters[2:], stride=(1, 3), padding=1)
    for _ in range(4):
        net.forward()
    np.testing.assert_allclose(net.blobs['b'].data, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('pool, empty', [('MAX', -np.finfo('f').max), ('AVE', np.nan)])
def test_without_a_pad_a_window_behind_the_picture_stays_and_is_empty(pool, empty):
    (values,) = pooled(f'pool: {pool} kernel_size: 1 stride: 2', [[3.0, 6.0, 9.0, 12.0]])
    np.testing.assert_array_equal(values, [[3, 9, empty]])


def test_the_mean_of_less_than_no_place_is_0():
    assert pooled('pool: AVE kernel_h: 1 kernel_w: 1 stride: 3', [[3.0, 6.0, 9.0, 12.0, 15.0]])[0][0] == [3, 12, 0]


def test_an_empty_window_has_no_place_and_no_gradient():
    text = layer('Pooling', tops='y m', extra='pooling_param { kernel_size: 1 stride: 2 }')
    net = make_net(text, {'x': (1, 1, 2, 4)})
    net.forward()
    assert net.blobs['m'].data[0, 0].tolist() == [[0, 2, -1], [-1, -1, -1]]
    net.blobs['y'].diff[...] = 1
    net.backward()
    assert net.blobs['x'].diff[0, 0].tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize('pad', [1, 2])
def test_mask_of_maxima_counts_in_the_picture(pad):
    x = np.arange(12.0).reshape(3, 4)
    values, mask = pooled(f'kernel_size: 3 stride: 2 pad: {pad}', x, 'y m')
    assert values == mask


def test_the_first_of_equal_values_is_the_maximum():
    assert pooled('kernel_h: 1 kernel_w: 2 stride: 2', [[5.0, 5.0, 1.0, 1.0]], 'y m')[1] == [[0, 2]]


def test_stochastic_pooling_draws_in_proportion():
    caffe.set_random_seed(3)
    text = layer('Pooling', extra='pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }')
    train, test = (make_net(text, {'x': (4000, 1, 2, 2)}, phase) for phase in (caffe.TRAIN, caffe.TEST))
    window = np.array([[0, 1], [3, 0]], 'f')
    for net in (train, test):
        net.blobs['x'].data[...] = window
        net.forward()
    drawn = train.blobs['y'].data
    assert set(np.unique(drawn)) == {1, 3}
    assert drawn.mean() == pytest.approx(2.5, abs=0.1)
    assert test.blobs['y'].data == pytest.approx(2.5)


def test_stochastic_pooling_of_zeros_is_zero():
    for phase in (caffe.TRAIN, caffe.TEST):
        net = make_net(
            layer('Pooling', extra='pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }'),
            {'x': (1, 1, 5, 5)},
            phase,
        )
        net.blobs['x'].data[...] = 0
        net.forward()
        assert not net.blobs['y'].data.any()


def test_stochastic_pooling_of_negative_values_draws_one_of_them():
    net = make_net(
        layer('Pooling', extra='pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }'),
        {'x': (50, 1, 2, 2)},
        caffe.TRAIN,
    )
    x = net.blobs['x'].data
    x[...] = -np.abs(x)
    net.forward()
    assert all(y in window for y, window in zip(net.blobs['y'].data.ravel(), x))


def test_lrn_across_channels():
    net = make_net(layer('LRN', extra='lrn_param { local_size: 5 alpha: 0.3 beta: 0.7 k: 2 }'), {'x': (2, 7, 3, 2)})
    assert_like_autograd(net, lambda x: F.local_response_norm(x, 5, 0.3, 0.7, 2))


def test_lrn_within_channels_has_no_k():
    text = 'lrn_param { local_size: 3 alpha: 0.3 beta: 0.7 k: %d norm_region: WITHIN_CHANNEL }'
    net = make_net(layer('LRN', extra=text % 2), {'x': (2, 3, 5, 4)})
    assert_like_autograd(net, lambda x: x / (1 + 0.3 * F.avg_pool2d(x * x, 3, 1, 1)) ** 0.7)


def test_im2col_orders_channels_as_unfold_does():
    net = make_net(
        layer('Im2col', extra='convolution_param { kernel_size: 3 stride: 2 pad: 1 dilation: 2 }'), {'x': (2, 3, 9, 8)}
    )
    assert_like_autograd(net, lambda x: F.unfold(x, 3, 2, 1, 2).reshape(2, 27, 4, 3))


def test_spatial_pyramid_gives_one_length_for_all_sizes():
    net = make_net(layer('SPP', extra='spp_param { pyramid_height: 3 }'), {'x': (2, 3, 8, 12)})
    assert net.blobs['y'].shape == (2, 3 * (1 + 4 + 16))
    net.forward()
    np.testing.assert_array_equal(net.blobs['y'].data[:, :3], net.blobs['x'].data.max((2, 3)))
    np.testing.assert_array_equal(
        net.blobs['y'].data[:, 15:].reshape(2, 3, 4, 4), F.max_pool2d(torch.tensor(net.blobs['x'].data), (2, 3))
    )
    net.blobs['x'].reshape(2, 3, 16, 8)
    net.forward()
    assert net.blobs['y'].shape == (2, 3 * (1 + 4 + 16))


def test_a_pyramid_of_one_level_is_global_pooling():
    net = make_net(layer('SPP', extra='spp_param { pyramid_height: 1 }'), {'x': (2, 3, 4, 5)})
    assert net.blobs['y'].shape == (2, 3, 1, 1)
    assert_like_autograd(net, lambda x: F.max_pool2d(x, (4, 5)))


def test_pyramid_windows_share_what_they_exceed_the_picture_by():
    """Two windows of 3 over 5 places begin one place before the picture: they see 2 and 3 places of it."""
    net = make_net(layer('SPP', extra='spp_param { pyramid_height: 2 }'), {'x': (1, 1, 5, 5)})
    net.forward()
    x = net.blobs['x'].data[0, 0]
    expected = [x.max(), *(part.max() for rows in np.split(x, [2]) for part in np.split(rows, [2], axis=1))]
    np.testing.assert_array_equal(net.blobs['y'].data[0], expected)


def test_crop_takes_the_size_of_the_second_bottom():
    net = make_net(
        layer('Crop', 'x r', extra='crop_param { axis: 2 offset: 1 offset: 2 }'), {'x': (2, 3, 6, 7), 'r': (1, 1, 3, 4)}
    )
    assert_like_autograd(net, lambda x: x[:, :, 1:4, 2:6])


def test_a_single_picture_keeps_its_order_in_memory(tmp_path):
    """Kernels read the order from the stride between pictures too, which a reshape to the same shape changes."""
    path = tmp_path / 'net.prototxt'
    path.write_text("""
force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 16 dim: 96 dim: 96 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 32 kernel_size: 3 } }
""")
    net = caffe.Net(str(path), caffe.TRAIN)
    net.run_forward()
    net.run_backward()
    for tensor in (net.blobs['y'].tensor, net.blobs['x'].grad):
        assert tensor.stride() == tensor.contiguous().contiguous(memory_format=torch.channels_last).stride()


def test_normalize_keeps_the_norm_in_the_gradient_whatever_fix_gradient_says():
    diffs = []
    for extra in ('', 'normalize_param { fix_gradient: true }'):
        net = make_net(layer('Normalize', extra=extra), {'x': (2, 3, 4, 5)})
        run(net)
        diffs.append(net.blobs['x'].diff)
    np.testing.assert_array_equal(*diffs)


def test_arg_max_puts_the_last_of_many_equal_values_first():
    net = make_net(layer('ArgMax', extra='argmax_param { axis: 1 top_k: 3 }'), {'x': (2, 1000)})
    net.blobs['x'].data[...] = 1
    assert net.forward()['y'].tolist() == [[999, 998, 997]] * 2
