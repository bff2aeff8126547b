"""Random windows of pictures with boxes, to train detectors on (batch_sampler of Liu et al.'s SSD)."""

from collections.abc import Iterable

import numpy as np

from caffe.data.boxes import coverages, overlaps
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2


def check_samplers(samplers: Iterable[caffe_pb2.BatchSampler]) -> None:
    """CaffeError for a sampler whose ranges are impossible."""
    for index, one in enumerate(samplers):
        sampler = one.sampler
        if not 0 < sampler.min_scale <= sampler.max_scale <= 1:
            raise CaffeError(
                f'batch_sampler {index} has min_scale {sampler.min_scale:g} and max_scale {sampler.max_scale:g}, '
                'expected both above 0 and at most 1, in order'
            )
        if not 0 < sampler.min_aspect_ratio <= sampler.max_aspect_ratio:
            raise CaffeError(
                f'batch_sampler {index} has min_aspect_ratio {sampler.min_aspect_ratio:g} and max_aspect_ratio '
                f'{sampler.max_aspect_ratio:g}, expected both above 0, in order'
            )


def jittered_window(jitter: float, keeps_aspect: bool, random: np.random.Generator) -> np.ndarray:
    """A window (4), each side a random part from 1 − jitter to 1 of the picture's, or the same part of both.

    Of ten pictures two stay whole and two get half the jitter, as in MobileNet-YOLO.
    """
    least = 1 - jitter * random.choice([0, 0.5, 1], p=[0.2, 0.2, 0.6])
    size = np.full(2, random.uniform(least, 1)) if keeps_aspect else random.uniform(least, 1, 2)
    low = random.random(2) * (1 - size)
    return np.concatenate([low, low + size]).astype(np.float32)


def sampled_window(
    samplers: Iterable[caffe_pb2.BatchSampler], boxes: np.ndarray, random: np.random.Generator
) -> np.ndarray | None:
    """One window (4) of those that all samplers find in a picture with `boxes` (K, 4), or None where they find none.

    Each sampler draws up to max_trials windows and keeps the first max_sample (all without it) whose overlaps with any
    one box meet its constraint.
    """
    found = [_windows(one, boxes, random) for one in samplers if one.use_original_image]
    windows = np.concatenate(found) if found else np.empty((0, 4), np.float32)
    return windows[random.integers(len(windows))] if len(windows) else None


def _windows(batch_sampler: caffe_pb2.BatchSampler, boxes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    windows = _drawn(batch_sampler.sampler, batch_sampler.max_trials, random)
    windows = windows[_met(batch_sampler.sample_constraint, windows, boxes)]
    return windows[: batch_sampler.max_sample] if batch_sampler.HasField('max_sample') else windows


def _drawn(sampler: caffe_pb2.Sampler, count: int, random: np.random.Generator) -> np.ndarray:
    """Windows (count, 4) of random scale (the root of the area), aspect ratio and place."""
    scale = random.uniform(sampler.min_scale, sampler.max_scale, count)
    aspect = random.uniform(sampler.min_aspect_ratio, sampler.max_aspect_ratio, count)
    aspect = aspect.clip(scale**2, scale**-2)  # so that no side is longer than the picture's
    size = np.stack([scale * np.sqrt(aspect), scale / np.sqrt(aspect)], 1)
    low = random.random((count, 2)) * (1 - size)
    return np.concatenate([low, low + size], 1).astype(np.float32)


def _met(constraint: caffe_pb2.SampleConstraint, windows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Whether each window (N, 4) has a box of (K, 4) whose overlaps with it lie in all stated ranges."""
    measures = {
        'jaccard_overlap': overlaps(windows, boxes),
        'sample_coverage': coverages(windows, boxes),
        'object_coverage': coverages(boxes, windows).T,
    }
    met = np.ones((len(windows), len(boxes)), bool)
    stated = [field.name for field, _ in constraint.ListFields()]
    for name in stated:
        kind, measure = name.split('_', 1)
        bound = getattr(constraint, name)
        met &= measures[measure] >= bound if kind == 'min' else measures[measure] <= bound
    return np.asarray(met.any(1)) if stated else np.ones(len(windows), bool)
