"""Features of pictures by a deploy net, kept on disk under the content that they were computed from on request."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sphereslim.data.preparation import CROPS, InputForm, load, prepare
from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.files import read_bytes, whole_file
from sphereslim.net.opened import load_net


def features_of(
    deploy: str | Path,
    weights: str | Path,
    pictures: Sequence[str | Path],
    cache: str | Path | None = None,
    form: InputForm | None = None,
    feature: str | None = None,
    mirror: bool = True,
    **how: Any,
) -> np.ndarray:
    """Features (pictures, dimensions) of picture files by a deploy prototxt and its caffemodel.

    With a folder `cache` they are taken from it when the same bytes of net, weights and pictures went through the same
    preparation before, and written to it otherwise. `how` (batch, progress) and the rest go to `extract`.
    """
    form = form or InputForm()
    stored = cache and Path(cache) / f'{_key(deploy, weights, pictures, asdict(form), feature, mirror)}.npy'
    if stored and stored.is_file():
        return np.load(stored)
    found = extract(open_deploy(deploy, weights), pictures, form, feature, mirror, **how)
    if stored:
        stored.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(stored) as temporary, open(temporary, 'wb') as file:
            np.save(file, found)
    return found


def extract(
    net: caffe.Net,
    pictures: Sequence[str | Path],
    form: InputForm | None = None,
    feature: str | None = None,
    mirror: bool = True,
    batch: int = 32,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> np.ndarray:
    """Features (pictures, dimensions) of picture files, float32; twice the blob's length with `mirror`.

    `net` is a deploy net, `feature` the blob to read, the net's first output by default. With `mirror` the features of
    the picture and of its mirror image are concatenated. `progress` wraps the iterable of batches. SlimError names a
    picture that cannot be used, or a blob that the net does not have.
    """
    form = form or InputForm()
    check(net, form, feature)
    channels, height, width = net.blobs[net.inputs[0]].data.shape[1:]
    found = []
    with ThreadPoolExecutor() as pool:

        def begin(start: int) -> list[Future[np.ndarray]]:
            paths = pictures[start : start + batch]
            return [pool.submit(load, path, channels, height, width, form.crop) for path in paths]

        waiting = begin(0)
        for start in progress(range(0, len(pictures), batch)):
            images = np.stack([job.result() for job in waiting])
            waiting = begin(start + batch)  # read while the net computes
            found.append(features(net, images, form, feature, mirror))
    return np.concatenate(found)


def check(net: caffe.Net, form: InputForm, feature: str | None = None) -> None:
    """SlimError unless `net` takes pictures of `form` and has the blob `feature`."""
    shape = tuple(net.blobs[net.inputs[0]].data.shape) if net.inputs else ()
    if len(shape) != 4 or shape[1] not in (1, 3):
        raise SlimError(f'net {net.name}: its input is {shape}, expected pictures (N, 1 or 3, height, width)')
    if np.size(form.mean) not in (1, shape[1]):
        raise SlimError(f'{np.size(form.mean)} means for {shape[1]} channels, expected 1 or {shape[1]}')
    if form.crop not in CROPS:
        raise SlimError(f"crop '{form.crop}', expected one of: {', '.join(CROPS)}")
    if feature and feature not in net.blobs:
        raise SlimError(f"no blob '{feature}' in the net, expected one of: {', '.join(net.blobs)}")


def features(
    net: caffe.Net, images: np.ndarray, form: InputForm, feature: str | None = None, mirror: bool = True
) -> np.ndarray:
    """Features (N, dimensions) of loaded pictures (N, C, H, W) as `load` gives them; see `extract`."""
    images = prepare(images, form)
    both = [images, images[..., ::-1]] if mirror else [images]
    return np.concatenate([_run(net, feature or net.outputs[0], part) for part in both], axis=1)


def open_deploy(deploy: str | Path, weights: str | Path) -> caffe.Net:
    """A `caffe.Net` in phase TEST of a deploy prototxt and its caffemodel."""
    for path in (deploy, weights):
        read_bytes(path)
    return load_net(deploy, weights)


def _run(net: caffe.Net, feature: str, images: np.ndarray) -> np.ndarray:
    data = net.blobs[net.inputs[0]]
    if data.data.shape != images.shape:
        data.reshape(*images.shape)
        net.reshape()
    data.data[...] = images
    net.forward()
    return net.blobs[feature].data.reshape(len(images), -1).copy()


def _key(deploy: str | Path, weights: str | Path, pictures: Sequence[str | Path], *settings: object) -> str:
    """SHA-256 over all that decides the features: file contents, preparation and which Caffe computes."""
    digest = hashlib.sha256(json.dumps([*settings, os.environ.get('CAFFE_ROOT')]).encode())
    for path in (deploy, weights, *pictures):
        digest.update(hashlib.sha256(read_bytes(path)).digest())
    return digest.hexdigest()
