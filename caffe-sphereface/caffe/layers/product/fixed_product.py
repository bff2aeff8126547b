"""InnerProductFixed: with weights in few bits (Vitis AI)."""

from caffe.blobs.blob import Blob
from caffe.layers.product.inner_product import InnerProduct
from caffe.layers.support.fixed_weights import FixedWeights
from caffe.layers.support.registry import register


@register('InnerProductFixed')
class FixedProduct(FixedWeights, InnerProduct):
    """InnerProduct with the weights and the bias of FixedWeights."""

    bottoms = 1
    no_capture = 'reads the range of its weights'

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_fixed()
        super().setup(bottom, top)
