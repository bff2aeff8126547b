"""Input: blobs that the user fills; Parameter: a blob that is learned."""

from caffe.blobs.blob import Blob
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import Layer, register


@register('Input')
class Input(Layer):
    """Tops of stated shapes (one for all or one each), left as the user wrote them."""

    bottoms = 0
    values_from = 'caller'
    tops = (1, None)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        shapes = self.param.input_param.shape
        if len(shapes) not in (0, 1, len(top)):
            self.error(f'has {len(shapes)} shapes for {len(top)} tops, expected one for all or one each')
        for i, blob in enumerate(top):
            if shapes:
                blob.reshape(*shapes[i if len(shapes) > 1 else 0].dim)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        pass


@register('Parameter')
class Parameter(Layer):
    """A learned blob of the stated shape, as a top; zeros, or as `blob_filler`, of caffe-windows, says."""

    bottoms = 0
    tops = 1
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        add_parameter(self, self.param.parameter_param.shape.dim, self.param.parameter_param.blob_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        # again before each forward: sharing parameters between layers or nets may have rebound the blob
        top[0].reshape(*self.blobs[0].shape)
        top[0].share_data(self.blobs[0])
        top[0].share_diff(self.blobs[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        pass
