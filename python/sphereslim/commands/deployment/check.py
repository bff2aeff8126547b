"""Say what of a network a program or chip cannot read, or reads slowly, what to do about it, and who says so.

Ends with status 1 where the target cannot read or hold the network, with 0 where it can; what costs speed, and what no
public source settles, is told and does not count. With a caffemodel its values are looked at, too. The facts are in
sphereslim/targets/facts/, one file a target.

examples:
  sphereslim check deploy.prototxt net.caffemodel --for ncnn
  sphereslim check deploy.prototxt --for k210
"""

from __future__ import annotations

import argparse

import numpy as np

from sphereslim.commands.arguments.values import shape
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.prototxt import read_net
from sphereslim.net.weights import read_caffemodel
from sphereslim.net.weights_check import check_same_net
from sphereslim.targets.check import NOTE, OBSTACLE, SLOW, Finding, check
from sphereslim.targets.facts import read_target, target_names

_WORDS = {OBSTACLE: 'cannot', SLOW: 'slower', NOTE: 'unclear'}
_MOST_NAMES = 4  # of layers, in a line


def run(options: argparse.Namespace) -> None:
    target, net = read_target(options.target), read_net(options.net)
    findings = check(net, target, options.shape)
    if options.weights:
        findings = [*_about_values(net, options), *findings]
    for finding in findings:
        print(_told(finding))
    obstacles = [finding for finding in findings if finding.kind == OBSTACLE]
    if obstacles:
        layers = len({name.split(' (')[0] for finding in obstacles for name in finding.layers})
        whose = f'{layers} of {len(net.layer)} layers' if layers else 'its size'
        raise SlimError(f'{options.net}: {target.title} cannot take it as it is: {whose}')
    print(f'{options.net}: {target.title} takes it: {target.way}')


def _about_values(net: caffe_pb2.NetParameter, options: argparse.Namespace) -> list[Finding]:
    """Layers whose weights are not all finite; SlimError for weights of another net."""
    weights = read_caffemodel(options.weights)
    check_same_net(weights, [layer.name for layer in net.layer], options.net, options.weights)
    broken = [
        layer.name for layer in weights.layer if not all(np.isfinite(np.array(blob.data)).all() for blob in layer.blobs)
    ]
    what = 'weights that are not finite numbers'
    return [Finding(OBSTACLE, what, 'train again from a snapshot before', options.weights, broken)] if broken else []


def _told(finding: Finding) -> str:
    lines = [f'{_WORDS[finding.kind]:8}{finding.what}']
    if finding.layers:
        more = len(finding.layers) - _MOST_NAMES
        lines.append(', '.join(finding.layers[:_MOST_NAMES]) + (f' and {more} more' if more > 0 else ''))
    lines.append(f'do: {finding.instead}')
    lines.append(f'source: {finding.source}')
    return '\n        '.join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('net', metavar='PROTOTXT', help='a deploy net')
    parser.add_argument('weights', metavar='CAFFEMODEL', nargs='?', help='its weights')
    parser.add_argument('--for', dest='target', required=True, choices=target_names(), help='what it is for')
    parser.add_argument(
        '--shape', type=shape, metavar='N,C,H,W', help='size of the input where the net does not say it'
    )
