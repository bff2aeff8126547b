"""ConvolutionFixed and DeconvolutionFixed: with weights in few bits (Vitis AI)."""

from caffe.blobs.blob import Blob
from caffe.layers.support.fixed_weights import FixedWeights
from caffe.layers.support.registry import register
from caffe.layers.vision.convolution import Convolution


@register('ConvolutionFixed', 'DeconvolutionFixed')
class FixedConvolution(FixedWeights, Convolution):
    """Convolution, or Deconvolution, with the weights and the bias of FixedWeights."""

    no_capture = 'reads the range of its weights'

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_fixed()
        super().setup(bottom, top)
