#!/usr/bin/env python3
"""What MTCNN finds in int8 of what it finds in float32: all layers of its three nets in int8, as simulated.

Ranges are those of what the nets read while they look for faces in the pictures of --calibrate. The pictures of each
other folder are looked through by both; a box is found again where one in int8 overlaps it by half of their union.

example:
  python tools/mtcnn_in_int8.py mtcnn/ --calibrate celeba/ orl/ lfw/
"""

import os

os.environ.setdefault('GLOG_minloglevel', '2')

import numpy as np
from sphereslim.commands.arguments.parser import command_parser
from sphereslim.commands.arguments.values import whole
from sphereslim.commands.ending import run_command
from sphereslim.data.pictures import read_picture, shuffled_pictures
from sphereslim.facedata.alignment.mtcnn.detector import detect
from sphereslim.facedata.alignment.mtcnn.networks import NAMES, PROTOTXT, Networks, as_input
from sphereslim.int8.calibrate import prepare
from sphereslim.int8.calibration import READERS
from sphereslim.int8.points import int8_layers
from sphereslim.int8.ranges import METHODS
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import read_net
from sphereslim.net.weights import read_caffemodel
from sphereslim.report.text_tables import text_table

from caffe.data.boxes import overlaps

BATCH = 64  # inputs of a net
MOST_INPUTS = 512  # of a net to calibrate on
AT_ONCE = 100  # pictures
HALF = 0.5  # of the union of two boxes


class Recorder(Networks):
    """The three networks; `inputs` holds what each of them read, without what is of other sizes than its first."""

    def __init__(self, weights):
        super().__init__(weights)
        self.inputs = {name: [] for name in NAMES}

    def run(self, name, images):
        """The outputs of a network, see Networks."""
        seen, inputs = self.inputs[name], as_input(images)
        if not seen or inputs.shape[1:] == seen[0].shape[1:]:
            seen.append(inputs)
        return super().run(name, images)


def in_int8(weights, pictures, reader, method):
    """The Networks in int8, calibrated on pictures (uint8 BGR)."""
    recorder, made = Recorder(weights), Networks(weights)
    detect(recorder, pictures)
    for name, inputs in recorder.inputs.items():
        read_by_net = np.concatenate(inputs)[:MOST_INPUTS]
        batches = [{'data': read_by_net[start : start + BATCH]} for start in range(0, len(read_by_net), BATCH)]
        net, stored = read_net(PROTOTXT / f'{name}.prototxt'), read_caffemodel(f'{weights}/{name}.caffemodel')
        prepared = prepare(net, stored, lambda batches=batches: batches, reader, method)
        made.nets[name] = open_net(prepared.simulated(int8_layers(prepared.net)), prepared.weights)
    return made


def compared(exact, rounded, paths):
    """[pictures, of those with a face in float32, in int8, boxes in float32, found again, their mean overlap]."""
    pairs = []
    for start in range(0, len(paths), AT_ONCE):
        pictures = [read_picture(path) for path in paths[start : start + AT_ONCE]]
        pairs += zip(*([faces.boxes for faces in detect(networks, pictures)] for networks in (exact, rounded)))
    best = np.concatenate([overlaps(a, b).max(axis=1, initial=0) for a, b in pairs])
    again = best[best >= HALF]
    share, overlap = (f' ({len(again) / len(best):.2%})', f'{again.mean():.3f}') if len(again) else ('', '-')
    faces = [sum(len(boxes) > 0 for boxes in found) for found in zip(*pairs)]
    return [len(paths), *faces, len(best), f'{len(again)}{share}', overlap]


def run(args):
    exact = Networks(args.weights)
    faces = [read_picture(path) for path in shuffled_pictures(args.calibrate)[: args.count]]
    rounded = in_int8(args.weights, faces, args.reader, args.method)
    rows = [[name, *compared(exact, rounded, shuffled_pictures(name)[: args.most])] for name in args.images]
    print(text_table(('pictures of', 'number', 'with a face', 'in int8', 'boxes', 'found again', 'mean IoU'), rows))


def main():
    parser = command_parser(__doc__, 'mtcnn_in_int8.py')
    parser.add_argument('weights', metavar='WEIGHTS', help='folder of det1, det2 and det3.caffemodel')
    parser.add_argument('images', nargs='+', metavar='FOLDER', help='pictures to look for faces in')
    parser.add_argument('--calibrate', required=True, metavar='FOLDER', help='pictures with faces to calibrate on')
    parser.add_argument('--count', type=whole, default=60, help='pictures to calibrate on (default 60)')
    parser.add_argument('--most', type=whole, default=500, help='pictures of each other folder (default 500)')
    parser.add_argument('--reader', choices=READERS, default=READERS[0], help=f'default {READERS[0]}')
    parser.add_argument('--method', choices=METHODS, default='percentile', help='of ranges (default percentile)')
    run(parser.parse_args())


if __name__ == '__main__':
    run_command(main)
