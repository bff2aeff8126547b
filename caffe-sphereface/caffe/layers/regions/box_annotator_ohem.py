"""BoxAnnotatorOHEM: the regions of each image with the largest losses, which alone are learned from (R-FCN)."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('BoxAnnotatorOHEM')
class BoxAnnotatorOHEM(Layer):
    """Tops: labels (R, 1, H, W) and weights (R, C, H, W), of the `roi_per_img` regions of each image that lose most.

    Bottoms: regions (R, 5, …) whose first value is the image, the losses and the labels of the regions (R values each)
    and the weights of their boxes (R, C, …). Other regions get `ignore_label` and weights of 0. Of equal losses the
    earlier region is taken. Nothing is propagated (online hard examples, Shrivastava et al. 2016).
    """

    bottoms = 4
    tops = 2
    no_diff_bottoms = (0, 1, 2, 3)
    kept = ()
    reads_back = ()

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        if not self.param.box_annotator_ohem_param.roi_per_img:
            self.error('roi_per_img is 0, expected at least 1')

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        regions, *others = bottom
        if len(regions.shape) not in (2, 4) or regions.shape[1] != 5:
            self.error(f"bottom '{regions.name}' has shape {regions.shape}, expected (regions, 5), or 4 axes")
        places = regions.count // 5
        for blob in others:
            if not blob.shape or blob.shape[0] != regions.shape[0] or blob.count % max(1, places):
                self.error(f"bottom '{blob.name}' has shape {blob.shape}, expected values for each of {places} regions")
        for blob in others[:2]:
            if blob.count != places:
                self.error(f"bottom '{blob.name}' has shape {blob.shape}, expected one value for each region")
        behind = regions.shape[2:] or (1, 1)
        self.channels = others[2].count // max(1, places)
        top[0].reshape(regions.shape[0], 1, *behind)
        top[1].reshape(regions.shape[0], self.channels, *behind)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.box_annotator_ohem_param
        images = bottom[0].tensor.reshape(len(bottom[0].tensor), 5, -1)[:, 0].reshape(-1).long()
        order = bottom[1].tensor.reshape(-1).argsort(descending=True, stable=True)
        taken = torch.zeros(len(order), dtype=torch.bool, device=order.device)
        for image in images.unique():
            taken[order[images[order] == image][: param.roi_per_img]] = True
        labels = bottom[2].tensor.reshape(-1)
        top[0].tensor = torch.where(taken, labels, float(param.ignore_label)).reshape(top[0].shape)
        weights = bottom[3].tensor.reshape(top[1].shape)
        top[1].tensor = weights * taken.reshape(top[0].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for i in range(len(bottom)):
            self.refuse_gradient(propagate_down, i, 'what is only sorted')
