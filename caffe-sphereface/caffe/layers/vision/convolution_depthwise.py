"""ConvolutionDepthwise: one filter for each channel, whatever num_output and group say."""

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import register
from caffe.layers.vision.convolution import Convolution


@register('ConvolutionDepthwise')
class ConvolutionDepthwise(Convolution):
    """Cross-correlation of each channel with a filter of its own, weights (channels, 1, height, width).

    `num_output` and `group` of its `convolution_param` are ignored, as OpenVINO's, Sophgo's and Synopsys' forks do;
    `stride` must be written.
    """

    bottoms = 1
    tops = 1

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.convolution_param
        if not param.stride and not (param.HasField('stride_h') and param.HasField('stride_w')):
            self.error('stride is missing, expected it or stride_h and stride_w')
        super().setup(bottom, top)

    def _filters(self) -> tuple[int, int]:
        return self.channels, self.channels
