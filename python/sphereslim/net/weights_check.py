"""Do weights belong to a network?"""

from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.net.weights import blob_shape, weight_layers


def check_fits(net, prototxt):
    """Raises SlimError unless every layer of the `prototxt` that has weights finds blobs of its shapes in `net`.

    Layers that only `net` has are fine, as they are for Caffe: training leaves some behind.
    """
    given = {name: [blob_shape(blob) for blob in layer.blobs] for name, layer in weight_layers(net).items()}
    wanted = {
        name: [tuple(blob.data.shape) for blob in blobs]
        for name, blobs in caffe.Net(str(prototxt), caffe.TEST).params.items()
    }
    for name, shapes in wanted.items():
        found = given.get(name, [])
        if [_core(shape) for shape in found] != [_core(shape) for shape in shapes]:
            raise SlimError(f'{prototxt}: layer {name} expects blobs {_text(shapes)}, the weights have {_text(found)}')


def _core(shape):
    """Leading ones are padding of the old four-dimensional shapes."""
    return next((shape[i:] for i, extent in enumerate(shape) if extent > 1), ())


def _text(shapes):
    return ', '.join('x'.join(map(str, shape)) for shape in shapes) or 'none'
