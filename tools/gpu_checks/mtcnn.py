"""Faces that MTCNN finds on the GPU against those that it finds on the CPU, and how long it takes for a picture."""

import time

import cv2
import numpy as np
from sphereslim.engine import caffe
from sphereslim.facedata.alignment.mtcnn.detector import detect
from sphereslim.facedata.alignment.mtcnn.networks import Networks

from gpu_checks.check import Check

PIXELS = 0.5  # that a box or a point may lie apart


def run(check: Check) -> None:
    weights = check.published('data', 'mtcnn')
    pictures = [cv2.imread(str(weights / f'test{k}.jpg')) for k in (1, 2)]
    caffe.set_mode_cpu()
    expected = detect(Networks(weights), pictures)
    check.choose()
    networks = Networks(weights)
    found = detect(networks, pictures)
    began = time.perf_counter()
    detect(networks, pictures)
    check.figure('ms a picture', 1e3 * (time.perf_counter() - began) / len(pictures))
    for number, (got, want) in enumerate(zip(found, expected), 1):
        name = f'picture {number}'
        check.figure(name, {'faces': len(got.boxes), 'on the CPU': len(want.boxes)})
        if len(got.boxes) != len(want.boxes):
            check.wrong(name, 'another number of faces')
        elif len(got.boxes):
            apart = max(float(np.abs(a - b).max()) for a, b in ((got.boxes, want.boxes), (got.points, want.points)))
            check.figure(f'{name}, pixels apart', apart)
            if not apart <= PIXELS:
                check.wrong(f'{name}, pixels apart', f'expected at most {PIXELS}')
