"""Features kept on disk under the content they were computed from, so that the same evaluation costs nothing twice."""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np

from sphereslim.evaluation.features import InputForm, extract, open_deploy
from sphereslim.files import read_bytes, whole_file


def features_of(deploy, weights, pictures, cache=None, form=None, feature=None, mirror=True, **how):
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


def _key(deploy, weights, pictures, *settings):
    """SHA-256 over all that decides the features: file contents, preparation and which Caffe computes."""
    digest = hashlib.sha256(json.dumps([*settings, os.environ.get('CAFFE_ROOT')]).encode())
    for path in (deploy, weights, *pictures):
        digest.update(hashlib.sha256(read_bytes(path)).digest())
    return digest.hexdigest()
