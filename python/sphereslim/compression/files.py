"""What lies beside the result: the net as ONNX, and the commands that repeat each step by hand."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sphereslim.compression.bits import CODING, WIDTHS
from sphereslim.compression.request import Request
from sphereslim.data.pictures import to_draw
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
    words: Words = ['sphereslim', 'compress', request.deploy, request.weights, *_choice(request)]
    for name in ('macs', 'parameters', 'bytes', 'milliseconds'):
        asked = getattr(request.budgets, name)
        words += [f'--{name}', asked.text] if asked else []
    words += ['--keep-accuracy', request.budgets.accuracy] if request.budgets.accuracy is not None else []
    words += [*_pairs(request)] if request.sets else []
    words += ['--train-minutes', f'{request.train_minutes:g}']
    words += ['--gpu', request.gpu] if request.gpu is not None else []
    return _line(*words, '--out', request.out)


def write_commands(
    request: Request, limits: Mapping[str, float], refit: Sequence[str | Path], test: Sequence[str | Path]
) -> Path:
    """Write commands.sh into the folder of a Request: the command of the run, and each step by hand.

    `limits` are those that channels were cut to, {macs or parameters: number}, none where all stayed. pictures.txt
    lists the pictures to `refit` and round on and those to `test` on, so that the seed draws them again in their order.
    """
    out, result, hand = request.out, request.out / 'result', request.out / 'by-hand'
    deploy, weights = result / 'deploy.prototxt', result / 'weights.caffemodel'
    drawn = [Path(path).absolute() for path in (*refit, *test)]
    write_text(out / 'pictures.txt', ''.join(f'{path}\n' for path in to_draw(drawn, request.seed)))
    lines = [
        '# The run as a whole, which goes on where it stopped:',
        command_of(request),
        '',
        '# Each step by hand, into by-hand/; a training goes on in its own folder:',
        _line('sphereslim', 'fold', request.deploy, request.weights, '--out', hand),
    ]
    if limits:
        folded: Words = [hand / request.deploy.name, hand / request.weights.name]
        budgets = [word for kind, limit in limits.items() for word in (f'--{kind}', repr(limit))]
        lines.append(_line('sphereslim', 'shrink', *folded, *_choice(request), *budgets, '--out', hand / 'channels'))
    lines += [
        *_trainings(out),
        *(_line('sphereslim', 'quantize', *words) for words in _quantize(request, result, len(refit), len(test))),
        _line('sphereslim', 'quantize', 'inspect', result / 'weights.qcaffemodel'),
        _line('caffe', 'export', '-onnx', hand / 'net.onnx', '-model', deploy, '-weights', weights),
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


def _choice(request: Request) -> Words:
    """The pictures to look at, how they become inputs, and how channels are chosen in view of them."""
    counts = request.counts
    words: Words = ['--images', request.images]
    words += ['--not-in', request.not_in] if request.not_in else []
    words += ['--judge-count', counts.judge, '--test-count', counts.test, '--count', counts.refit]
    words += ['--seed', request.seed, '--multiple', request.multiple, '--batch', request.batch]
    return [*words, *_form(request)]


def _form(request: Request) -> Words:
    form = request.form
    means: Sequence[float] = form.mean if isinstance(form.mean, tuple) else (form.mean,)
    return ['--mean', *means, '--scale', form.scale, '--crop', form.crop, *(['--rgb'] if form.rgb else [])]


def _pairs(request: Request) -> Words:
    words: Words = []
    for each in request.sets:
        words += ['--pairs', each.pairs, '--pictures', each.pictures]
    return [*words, '--mirror' if request.mirror else '--no-mirror']


def _quantize(request: Request, result: Path, count: int, test_count: int) -> Iterator[Words]:
    """The words behind `sphereslim quantize`: how bits are found for a size, and how the file is made of them."""
    size, hand = request.budgets.bytes, request.out / 'by-hand'
    files: Words = [result / 'weights.caffemodel', '--deploy', result / 'deploy.prototxt']
    pictures: Words = ['--images', request.out / 'pictures.txt', '--count', count, '--seed', request.seed]
    how: Words = ['--rounding', 'second-order', '--vectors', 'half', '--coding', CODING]
    how += [*pictures, '--batch', request.batch, *_form(request)]
    if size:
        most = int(size.of(request.weights.stat().st_size, 'bytes'))
        words: Words = ['--budget', most, '--bits', f'{WIDTHS[0]}-{WIDTHS[-1]}', '--test-count', test_count]
        yield ['allocate', *files, *words, *how, '--out', hand / 'allocated.qcaffemodel']
    yield ['quantize', *files, '--bits', result / 'bits.json', *how, '--out', hand / 'weights.qcaffemodel']
