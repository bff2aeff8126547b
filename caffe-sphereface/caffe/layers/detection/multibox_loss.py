"""MultiBoxLoss: what an SSD detector learns from, locations and classes of matched default boxes (Liu et al. 2016)."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from caffe.blobs.blob import Blob
from caffe.layers.detection import boxes as box_codes
from caffe.layers.detection.matching import IGNORED, Matches, is_outside, match, negatives
from caffe.layers.detection.smooth_l1 import smooth_l1
from caffe.layers.support.loss_normalizer import Normalizer
from caffe.layers.support.registry import Layer, register
from caffe.proto.caffe_pb2 import LossParameter

_FLT_MIN = torch.finfo(torch.float32).tiny


@dataclass
class Truth:
    """The true boxes of one image: `boxes` (G, 4) and `labels` (G)."""

    boxes: np.ndarray
    labels: np.ndarray


@register('MultiBoxLoss')
class MultiBoxLoss(Layer):
    """top = (loc_weight · location loss + confidence loss) / normalizer, of SSD's fork.

    Bottoms: locations (N, P · 4), scores (N, P · K), default boxes (1, 2, 4 · P), true boxes (1, 1, G, 8) of image,
    label, instance, xmin, ymin, xmax, ymax, difficult; rows of image −1 are skipped. Each true box takes default boxes
    as `caffe.layers.detection.matching` says, or what is predicted for them without `use_prior_for_matching`. Location
    losses sum over those, confidence losses over those and the mined negatives. The normalizer is the number of matched
    default boxes unless `loss_param` says otherwise.

    With `share_location: false` locations are (N, P · K · 4), and those of the true box's label count. `bp_inside`
    leaves out corners beyond the picture, `ignore_cross_boundary_bbox` default boxes that reach beyond it, and
    `map_object_to_agnostic` makes all objects one class. With `encode_variance_in_target` the loss divides distances by
    the variances; SSD's gradient does not, and `true_gradient` does.
    """

    bottoms = 4
    tops = 1
    loss = True
    auto_top = True
    no_diff_bottoms = (2, 3)
    kept = ('_dlocation', '_dscores')
    reads_back = ()
    has_true_gradient = True
    no_capture = 'matches boxes on the host'

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.multibox_loss_param
        if not param.num_classes:
            self.error('num_classes is missing, expected at least 1')
        if not param.share_location and not param.use_prior_for_matching:
            self.error('share_location: false with use_prior_for_matching: false is not implemented')
        if not param.share_location and param.mining_type != param.NONE:
            self.error('share_location is false, expected mining_type NONE with it')
        if param.map_object_to_agnostic and param.num_classes != 2:
            self.error(f'map_object_to_agnostic with num_classes {param.num_classes}, expected 2')
        self.location_classes = 1 if param.share_location else param.num_classes
        if param.HasField('do_neg_mining') and param.do_neg_mining == (param.mining_type == param.NONE):
            self.error('do_neg_mining contradicts mining_type, expected mining_type alone')
        self.mode = Normalizer(self.param.loss_param).mode

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        location, scores, prior, truth = bottom
        if len(prior.shape) < 3 or prior.shape[1] != 2 or prior.shape[2] % 4:
            self.error(f'default boxes have shape {prior.shape}, expected (1, 2, 4 · boxes)')
        self.count = prior.shape[2] // 4
        for blob, size in (
            (location, self.count * self.location_classes * 4),
            (scores, self.count * self.param.multibox_loss_param.num_classes),
        ):
            if not blob.shape or blob.count != blob.shape[0] * size or blob.shape[0] != location.shape[0]:
                self.error(f"bottom '{blob.name}' has shape {blob.shape}, expected {size} values for each image")
        if not truth.shape or truth.shape[-1] != 8:
            self.error(f'true boxes have shape {truth.shape}, expected (1, 1, boxes, 8)')
        top[0].reshape()

    def _truths(self, table: np.ndarray, images: int) -> list[Truth]:
        """The true boxes of each image, from rows (G, 8)."""
        param = self.param.multibox_loss_param
        table = table[table[:, 0] >= 0]
        if len(table) and table[:, 0].max() >= images:
            self.error(f'has true boxes of image {int(table[:, 0].max())}, expected images 0 to {images - 1}')
        labels = table[:, 1].astype(int)
        if (labels == param.background_label_id).any():
            self.error(f'has true boxes of the background, label {param.background_label_id}')
        if len(labels) and not 0 <= labels.min() <= labels.max() < param.num_classes:
            self.error(f'has labels from {labels.min()} to {labels.max()}, expected 0 to {param.num_classes - 1}')
        if not param.use_difficult_gt:
            table = table[table[:, 7] == 0]
        parts = (table[table[:, 0] == i] for i in range(images))
        return [Truth(part[:, 3:7], part[:, 1].astype(int)) for part in parts]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, images = self.param.multibox_loss_param, bottom[0].shape[0]
        location = bottom[0].tensor.reshape(images, self.count, self.location_classes, 4)
        scores = bottom[1].tensor.reshape(images, self.count, -1)
        priors, variances = bottom[2].tensor.cpu().numpy().reshape(-1)[: 8 * self.count].reshape(2, self.count, 4)
        divisors = np.ones_like(variances)
        if param.encode_variance_in_target:
            variances, divisors = divisors, variances
        truths = self._truths(bottom[3].tensor.cpu().numpy().reshape(-1, 8), images)
        boxes = self._boxes(location, priors, variances)
        candidates = np.broadcast_to(priors, boxes.shape) if param.use_prior_for_matching else boxes
        matches = self._matches(truths, candidates)
        targets, labels = self._targets(truths, matches, priors, variances)
        index = (torch.zeros_like(labels) if param.share_location else labels)[..., None, None].expand(-1, -1, 1, 4)
        corners = ~is_outside(candidates) if param.bp_inside else np.ones(boxes.shape, bool)
        own = location.gather(2, index).squeeze(2)
        value, slope = self._location_losses(own, targets, matches, corners, divisors)
        if param.map_object_to_agnostic:
            labels = torch.where(labels == param.background_label_id, labels, param.background_label_id + 1)
        each, dscores = self._confidence_losses(scores, labels)
        learned, counted = self._selected(matches, value, each, boxes)
        divisor = self._divisor(images, learned)
        top[0].tensor = (param.loc_weight * (value * learned).sum() + (each * counted).sum()) / divisor
        slope = slope * learned.unsqueeze(2) * (param.loc_weight / divisor)
        self._dlocation = torch.zeros_like(location).scatter_(2, index, slope.unsqueeze(2))
        self._dscores = dscores * counted.unsqueeze(2) / divisor

    def _matches(self, truths: list[Truth], boxes: np.ndarray) -> list[Matches]:
        """Which of the boxes (N, P, 4) each image's true boxes take."""
        param = self.param.multibox_loss_param
        threshold = param.overlap_threshold if param.match_type == param.PER_PREDICTION else None
        ignore = param.ignore_cross_boundary_bbox
        return [match(one.boxes, own, threshold, ignore) for one, own in zip(truths, boxes)]

    def _boxes(self, location: torch.Tensor, priors: np.ndarray, variances: np.ndarray) -> np.ndarray:
        """The boxes (N, P, 4) that are suppressed, or matched, as if they were the default ones: those predicted."""
        param = self.param.multibox_loss_param
        predicted = not param.use_prior_for_nms and param.mining_type == param.HARD_EXAMPLE
        if not predicted and param.use_prior_for_matching:
            return np.broadcast_to(priors, (len(location), *priors.shape))
        return box_codes.decode(location[:, :, 0].cpu().numpy(), priors, variances, param.code_type)

    def _targets(
        self, truths: list[Truth], matches: list[Matches], priors: np.ndarray, variances: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes (N, P, 4) of the matched true boxes, 0 elsewhere, and labels (N, P), the background's elsewhere."""
        param = self.param.multibox_loss_param
        codes = np.zeros((len(truths), self.count, 4), priors.dtype)
        labels = np.full((len(truths), self.count), param.background_label_id)
        for code, label, truth, one in zip(codes, labels, truths, matches):
            taken = one.truth >= 0
            own = one.truth[taken]
            label[taken] = truth.labels[own]
            code[taken] = box_codes.encode(truth.boxes[own], priors[taken], variances[taken], param.code_type)
        return torch.from_numpy(codes).to(self.device), torch.from_numpy(labels).to(self.device)

    def _location_losses(
        self,
        location: torch.Tensor,
        targets: torch.Tensor,
        matches: list[Matches],
        corners: np.ndarray,
        divisors: np.ndarray,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss (N, P) of each matched default box, 0 of others, and its derivatives (N, P, 4).

        `corners` (N, P, 4) says which numbers count; distances are divided by `divisors` (P, 4).
        """
        taken = np.stack([one.truth >= 0 for one in matches])[..., None] & corners
        scale = torch.from_numpy(1 / divisors).to(location)
        distance = (location - targets) * torch.from_numpy(taken).to(location.device) * scale
        if self.param.multibox_loss_param.loc_loss_type == self.param.multibox_loss_param.L2:
            value, slope = distance.square() / 2, distance
        else:
            value, slope = smooth_l1(distance)
        return value.sum(2), slope * scale if self.true_gradient else slope

    def _confidence_losses(self, scores: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss (N, P) of each default box and its derivatives (N, P, K)."""
        if self.param.multibox_loss_param.conf_loss_type != self.param.multibox_loss_param.LOGISTIC:
            return self._softmax_losses(scores, labels)
        target = F.one_hot(labels, scores.shape[2]).to(scores.dtype)
        value = F.binary_cross_entropy_with_logits(scores, target, reduction='none').sum(2)
        return value, torch.sigmoid(scores) - target

    def _softmax_losses(self, scores: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The softmax loss (N, P) of each default box and its derivatives (N, P, K)."""
        p = torch.softmax(scores, 2)
        own = p.gather(2, labels.unsqueeze(2)).squeeze(2)
        return -own.clamp(min=_FLT_MIN).log(), p - F.one_hot(labels, scores.shape[2])

    def _selected(
        self, matches: list[Matches], value: torch.Tensor, each: torch.Tensor, boxes: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """1.0 for the default boxes (N, P) whose location counts, and for those whose class counts."""
        param = self.param.multibox_loss_param
        taken = np.stack([one.truth >= 0 for one in matches])
        counted = np.ones_like(taken)
        if param.mining_type == param.MAX_NEGATIVE:
            counted = taken.copy()
            for row, one, losses in zip(counted, matches, each.cpu().numpy()):
                row[negatives(one, losses, param.neg_pos_ratio, param.neg_overlap)] = True
        elif param.mining_type == param.HARD_EXAMPLE:
            counted = np.stack([self._hardest(*one) for one in zip((value + each).cpu().numpy(), boxes)])
            counted &= taken.any(1, keepdims=True)  # SSD's code mines nothing in images without matches
            counted &= np.stack([one.truth != IGNORED for one in matches])
            taken &= counted
        learned, counted = (torch.from_numpy(mask).to(each) for mask in (taken, counted))
        return learned, counted

    def _hardest(self, losses: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Which default boxes (P) of an image are among the `sample_size` of largest losses (P)."""
        param = self.param.multibox_loss_param
        order = np.argsort(-losses, kind='stable')
        if param.HasField('nms_param'):
            order = order[: param.nms_param.top_k] if param.nms_param.top_k > 0 else order
            order = order[box_codes.suppressed(boxes[order], param.nms_param.nms_threshold)]
        chosen = np.zeros(len(losses), bool)
        chosen[order[: param.sample_size]] = True
        return chosen

    def _divisor(self, images: int, learned: torch.Tensor) -> torch.Tensor | int:
        if self.mode == LossParameter.VALID:
            return learned.sum().clamp(min=1)
        return {LossParameter.BATCH_SIZE: images, LossParameter.FULL: images * self.count}.get(self.mode, 1)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 2, 'default boxes')
        self.refuse_gradient(propagate_down, 3, 'true boxes')
        for blob, grad, wanted in zip(bottom, (self._dlocation, self._dscores), propagate_down):
            if wanted:
                blob.grad = (grad * top[0].grad).reshape(blob.shape)


@register('MultiBoxFocalLoss')
class MultiBoxFocalLoss(MultiBoxLoss):
    """MultiBoxLoss whose softmax losses are alpha · (1 − p)^gamma times as large (Lin et al. 2017), of ssd-models.

    `focal_loss_param` has alpha and gamma; the 0.25 that its fork has for alpha without it has to be written.
    """

    def _softmax_losses(self, scores: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        value, slope = super()._softmax_losses(scores, labels)
        alpha, gamma = self.param.focal_loss_param.alpha, self.param.focal_loss_param.gamma
        own = torch.exp(-value)
        rest = (1 - own).clamp(min=0)
        # own changes by −own times `slope`
        grown = rest.pow(gamma) + gamma * own * rest.pow(gamma - 1) * value
        return alpha * rest.pow(gamma) * value, alpha * grown.unsqueeze(2) * slope
