"""Convolutions and poolings of forks in layers of BVLC's Caffe 1.0."""

from caffe.export.bvlc.replacement import Replacement, rule
from caffe.export.graph import parameter
from caffe.layers.product.fixed_product import FixedProduct
from caffe.layers.vision.convolution_depthwise import ConvolutionDepthwise
from caffe.layers.vision.fixed_convolution import FixedConvolution
from caffe.layers.vision.pooling import Pooling
from caffe.layers.vision.pooling_kernels import Geometry


@rule('ConvolutionFixed')
@rule('DeconvolutionFixed')
@rule('InnerProductFixed')
def _fixed(made: Replacement, layer: FixedConvolution | FixedProduct) -> None:
    """The type without rounding, with rounded weights."""
    if not made.has_weights:
        layer.error('rounds its weights, expected -weights to do so beforehand')
    new = made.keep(type=layer.type.removesuffix('Fixed'))
    new.ClearField('fixed_param')
    made.values[new.name] = [parameter(layer.used(blob)) for blob in layer.blobs]


@rule(ConvolutionDepthwise)
def _convolution_depthwise(made: Replacement, layer: ConvolutionDepthwise) -> None:
    new = made.keep(type='Convolution')
    param = new.convolution_param
    param.num_output = param.group = made.shapes[0][1]
    for name in ('kernel', 'stride', 'pad'):  # the layer reads them as a pair only
        pair = (f'{name}_h', f'{name}_w')
        if not all(map(param.HasField, pair)):
            for field in pair:
                param.ClearField(field)


@rule(Pooling)
def _pooling(made: Replacement, layer: Pooling) -> None:
    """Rounding up is BVLC's; rounded down, the row and the column beyond are cut off where there are any."""
    new = made.keep()
    param = new.pooling_param
    down = param.round_mode == param.FLOOR or not param.ceil_mode
    for field in ('round_mode', 'ceil_mode'):
        param.ClearField(field)
    param.pool = param.pool  # OpenCV has no default
    if not down or layer.kernel is None:
        return
    up = Geometry(layer.kernel, layer.stride, layer.pad, made.shapes[0][2:])
    beyond = [axis for axis, size in zip((2, 3), up.output) if size > made.top_shapes[0][axis]]
    if beyond and len(made.tops) > 1:
        layer.error('rounds its size down and has a mask, expected a size that rounding does not change')
    for axis in beyond:
        whole, rest = f'{layer.name}/whole{axis}', f'{layer.name}/beyond{axis}'
        made.new_layers[-1].top[0] = whole
        cut = {'axis': axis, 'slice_point': [made.top_shapes[0][axis]]}
        made.add('Slice', [whole], f'cut{axis}', tops=[made.tops[0], rest], slice_param=cut)
    if beyond:
        made.add('Silence', [f'{layer.name}/beyond{axis}' for axis in beyond], 'silence', tops=[])
