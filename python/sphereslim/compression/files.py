"""What lies beside the result: the net as ONNX, and the commands that repeat each step by hand."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sphereslim.compression.bits import BITS, CODING, WIDTHS
from sphereslim.compression.request import Request
from sphereslim.engine import caffe_command
from sphereslim.files import write_text
from sphereslim.logs.lines import reason_of

Words = list[object]


def export_onnx(deploy: Path, weights: Path, path: Path) -> str:
    """Write a net as ONNX by `caffe export`; '' or, where that does not do it, what it says."""
    words = [*caffe_command(), 'export', f'--onnx={path}', f'--model={deploy}', f'--weights={weights}']
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, 'GLOG_logtostderr': '1'})
    return '' if done.returncode == 0 else reason_of(done.stderr)


def command_of(request: Request) -> str:
    """The command line that carries out a Request."""
    words: Words = ['sphereslim', 'compress', request.deploy, request.weights, *_pictures(request)]
    words += ['--judge-count', request.counts.judge, '--test-count', request.counts.test]
    words += ['--count', request.counts.refit, '--multiple', request.multiple]
    for name in ('macs', 'parameters', 'bytes', 'milliseconds'):
        asked = getattr(request.budgets, name)
        words += [f'--{name}', asked.text] if asked else []
    words += ['--keep-accuracy', request.budgets.accuracy] if request.budgets.accuracy is not None else []
    words += [*_pairs(request)] if request.sets else []
    words += ['--train-minutes', f'{request.train_minutes:g}', '--batch', request.batch]
    words += ['--gpu', request.gpu] if request.gpu is not None else []
    return _line(*words, '--out', request.out)


def write_commands(request: Request) -> Path:
    """Write commands.sh into the folder of a Request: the command of the run, and each step by hand."""
    out, result = request.out, request.out / 'result'
    deploy, weights = result / 'deploy.prototxt', result / 'weights.caffemodel'
    lines = [
        '# The run as a whole, which goes on where it stopped:',
        command_of(request),
        '',
        '# Each step by hand, into by-hand/; the channels are chosen by the run itself:',
        _line('sphereslim', 'fold', request.deploy, request.weights, '--out', out / 'by-hand'),
        *_trainings(out),
        _line('sphereslim', 'quantize', *_quantize(request, result)),
        _line('sphereslim', 'quantize', 'inspect', result / 'weights.qcaffemodel'),
        _line('caffe', 'export', '-onnx', out / 'by-hand/net.onnx', '-model', deploy, '-weights', weights),
        _line('caffe', 'time', '-model', deploy, '-phase', 'TEST', '-iterations', 10),
    ]
    if request.sets:
        against: Words = ['--against', request.deploy, request.weights, *_form(request)]
        lines.append(_line('sphereslim', 'evaluate-lfw', deploy, weights, *_pairs(request), *against))
    path = out / 'commands.sh'
    write_text(path, '\n'.join(lines) + '\n')
    return path


def _line(*words: object) -> str:
    return shlex.join(map(str, words))


def _trainings(out: Path) -> list[str]:
    """The distillation of every folder that holds one."""
    lines = []
    for solver in sorted((out / 'trained').glob('*/solver.prototxt')):
        end, taken = solver.with_name('final.caffemodel'), out / 'by-hand/distilled.caffemodel'
        lines.append(_line('caffe', 'train', '-solver', solver, '-weights', solver.with_name('init.caffemodel')))
        lines.append(_line('sphereslim', 'distill', '--extract', end, '--out', taken))
    return lines


def _pictures(request: Request) -> Words:
    """The pictures to look at, and how they become inputs."""
    words: Words = ['--images', request.images]
    words += ['--not-in', request.not_in] if request.not_in else []
    return [*words, '--seed', request.seed, *_form(request)]


def _form(request: Request) -> Words:
    form = request.form
    means: Sequence[float] = form.mean if isinstance(form.mean, tuple) else (form.mean,)
    return ['--mean', *means, '--scale', form.scale, '--crop', form.crop, *(['--rgb'] if form.rgb else [])]


def _pairs(request: Request) -> Words:
    words: Words = []
    for each in request.sets:
        words += ['--pairs', each.pairs, '--pictures', each.pictures]
    return [*words, '--mirror' if request.mirror else '--no-mirror']


def _quantize(request: Request, result: Path) -> Words:
    size, counts = request.budgets.bytes, request.counts
    words: Words = ['allocate' if size else 'quantize', result / 'weights.caffemodel']
    words += ['--deploy', result / 'deploy.prototxt', *_pictures(request), '--count', counts.judge + counts.refit]
    words += ['--budget', size.text, '--bits', f'{WIDTHS[0]}-{WIDTHS[-1]}'] if size else ['--bits', BITS]
    words += ['--rounding', 'second-order', '--vectors', 'half', '--coding', CODING]
    return [*words, '--out', request.out / 'by-hand/weights.qcaffemodel']
