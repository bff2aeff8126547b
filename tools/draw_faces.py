#!/usr/bin/env python3
"""Draw the boxes and points of a landmark list on copies of its pictures, to look at what was detected."""

import argparse
from pathlib import Path

import cv2
import numpy as np
from sphereslim.commands.ending import run_command
from sphereslim.data.pictures import read_picture
from sphereslim.errors import SlimError
from sphereslim.facedata.alignment import landmarks
from sphereslim.facedata.pictures import encode
from sphereslim.files import write_bytes

GREEN, RED, FRACTION = (60, 220, 60), (40, 40, 235), 4  # BGR; bits of the drawing's subpixels


def main():
    args = parse_arguments()
    faces, _ = landmarks.read_numbers(args.list)
    chosen = list(faces.items())[: args.count]
    if not chosen:
        raise SlimError(f'{args.list}: no picture with a face in it')
    for picture, numbers in chosen:
        image = read_picture(Path(args.folder) / picture)
        write_bytes(Path(args.out) / picture, encode(drawn(image, numbers), Path(picture).suffix))
    print(f'{args.out}: {len(chosen)} pictures')


def drawn(image, numbers):
    """A copy of the picture with the face's points, and its box where `numbers` (10 or 15) begin with one."""
    image, width = image.copy(), max(1, round(max(image.shape) / 300))
    if len(numbers) == 15:
        corners = subpixels(numbers[:4].reshape(2, 2) - 0.5)  # edges to pixel centres
        cv2.rectangle(image, corners[0], corners[1], GREEN, width, cv2.LINE_AA, FRACTION)
    for point in subpixels(numbers[-10:].reshape(5, 2)):
        cv2.circle(image, point, int(1.6 * width * (1 << FRACTION)), RED, -1, cv2.LINE_AA, FRACTION)
    return image


def subpixels(points):
    """Points (N, 2) in pixels as OpenCV's whole numbers with FRACTION binary places."""
    return [tuple(int(value) for value in point) for point in np.round(points * (1 << FRACTION))]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', help='folder of pictures')
    parser.add_argument('--list', required=True, help='landmark list of detect.py')
    parser.add_argument('--out', required=True, help='folder to write')
    parser.add_argument('--count', type=int, default=20, help='draw the first so many pictures (default 20)')
    return parser.parse_args()


if __name__ == '__main__':
    run_command(main)
