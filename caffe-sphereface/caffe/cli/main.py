"""The `caffe` command: train, test, time, export, import-torch, upgrade_net, device_query."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

import caffe
from caffe import log
from caffe.blobs.memory_format import set_gpu_channels_last
from caffe.cli import export, timing, train, upgrade
from caffe.cli.devices import choose_device, named_gpus
from caffe.cli.flags import Flag, Spec, at_least_one, named_stages, named_weights, need, run
from caffe.cli.malloc import keep_freed_memory
from caffe.errors import CaffeError
from caffe.layer_errors import in_one_line
from caffe.proto import dialects
from caffe.solvers import report

_FLAGS = (
    Flag(
        'gpu',
        '',
        'GPUs to run on: a number, several with commas, or "all"; without it the CPU, or what the solver '
        'explicitly says; train runs a process on each',
    ),
    Flag('processes', 1, 'processes that train together on the CPU (train)'),
    Flag('solver', '', 'the solver prototxt (train)'),
    Flag('model', '', 'the net prototxt (test, time, export, upgrade_net)'),
    Flag('phase', '', 'TRAIN or TEST; by default TEST for test and TRAIN for time'),
    Flag('level', 0, "the net state's level"),
    Flag('stage', '', "the net state's stages, separated by commas"),
    Flag('snapshot', '', 'a .solverstate to continue from (train)'),
    Flag('weights', '', 'caffemodels to start from, separated by commas; excludes -snapshot'),
    Flag('progress', False, 'show how far the training is and how long it will take (train)'),
    Flag('iterations', 50, 'how many iterations to run (test, time)'),
    Flag('onnx', '', 'the ONNX file to write (export)'),
    Flag('ncnn', '', 'the .param of ncnn to write, and the .bin beside it (export)'),
    Flag('calibration', '', 'a file of sphereslim calibrate --reader ncnn: in int8 what it names (export -ncnn)'),
    Flag('any_batch', False, 'leave the batch size open in the ONNX file (export)'),
    Flag('torch', '', 'a file with a PyTorch state_dict (import-torch)'),
    Flag('map', '', 'a text file with a line "LAYER MODULE" for each layer with parameters (import-torch)'),
    Flag('out', '', 'the caffemodel (import-torch) or prototxt (upgrade_net) to write'),
    replace(upgrade.TO, help=f'{upgrade.TO.help} (upgrade_net)'.replace('OUTPUT', '-out')),
    Flag('output_weights', '', 'the caffemodel to write (upgrade_net; without it beside -out)'),
    Flag(
        'precision',
        'fp32',
        'how products are computed: fp32, tf32 on hardware that has it, or bf16 in Convolution, '
        'Deconvolution and InnerProduct (train, test, time)',
    ),
    Flag(
        'channels_last',
        False,
        'keep pictures on a GPU with the channels innermost, as tensor cores read them (train, test, time)',
    ),
    Flag(
        'cuda_graphs',
        False,
        'replay iterations and forward passes on a GPU as CUDA graphs where they can be; the log says where not, and '
        'why (train, test)',
    ),
    Flag(
        'dialect',
        dialects.OURS,
        f'the Caffe whose numbers the caffemodels that are written have: {", ".join(dialects.names())}',
    ),
    Flag('sigint_effect', 'stop', 'what Ctrl-C does to train: stop with a snapshot (SIGTERM, too), snapshot or none'),
    Flag('sighup_effect', 'snapshot', 'what SIGHUP does to train: stop, snapshot or none'),
)
_SPEC = Spec(
    'caffe',
    'Train, test, time, export and import networks.',
    _FLAGS,
    (
        (
            'COMMAND',
            'train -solver S | test -model M -weights W | time -model M | export -onnx OUT.onnx '
            '-ncnn OUT.param -model M -weights W | import-torch -torch P -map T -model M -out C | '
            'upgrade_net -model M -weights W -to bvlc -out OUT.prototxt | device_query -gpu N',
        ),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status: 0, or 1 with one line on stderr for anything wrong."""
    return run(_SPEC, _dispatch, argv)


def _dispatch(flags: argparse.Namespace, positionals: list[str]) -> None:
    commands: dict[str, Callable[[argparse.Namespace], None]] = {
        'train': _train,
        'test': _test,
        'time': _time,
        'export': export.export,
        'import-torch': export.import_torch,
        'upgrade_net': upgrade.upgrade_net,
        'device_query': _device_query,
    }
    if positionals[0] not in commands:
        raise CaffeError(f"unknown command '{positionals[0]}', expected one of {', '.join(commands)}")
    caffe.set_precision(flags.precision)
    caffe.set_cuda_graphs(flags.cuda_graphs or None)
    set_gpu_channels_last(flags.channels_last)
    dialects.set_dialect(flags.dialect)
    keep_freed_memory()
    with in_one_line():
        commands[positionals[0]](flags)


def _phase(flags: argparse.Namespace, default: int) -> int:
    phases = {'': default, 'TRAIN': caffe.TRAIN, 'TEST': caffe.TEST}
    if flags.phase not in phases:
        raise CaffeError(f"-phase '{flags.phase}': expected TRAIN or TEST")
    return phases[flags.phase]


def _train(flags: argparse.Namespace) -> None:
    train.train(flags, ['train', *(f'-{flag.name}={getattr(flags, flag.name)}' for flag in _FLAGS)])


def _net(flags: argparse.Namespace, default_phase: int) -> caffe.Net:
    """The net -model with the weights -weights."""
    phase = _phase(flags, default_phase)
    net = caffe.Net(flags.model, phase, level=flags.level, stages=named_stages(flags))
    for path in named_weights(flags):
        net.copy_from(path)
    return net


def _test(flags: argparse.Namespace) -> None:
    need(flags, 'model', 'weights')
    at_least_one(flags, 'iterations')
    choose_device(named_gpus(flags.gpu)[:1])
    net = _net(flags, caffe.TEST)
    log.info('caffe.cpp:281', f'Running for {flags.iterations} iterations.')
    sums: dict[tuple[str, int], float] = {}
    loss = 0.0
    for i in range(flags.iterations):
        loss += float(net.run_forward())
        for name in net.outputs:
            for j, value in enumerate(net.blobs[name].tensor.reshape(-1).tolist()):
                sums[name, j] = sums.get((name, j), 0.0) + value
                log.info('caffe.cpp:304', f'Batch {i}, {name} = {log.number(value)}')
    log.info('caffe.cpp:309', f'Loss: {log.number(loss / flags.iterations)}')
    for (name, _), total in sums.items():
        log.info('caffe.cpp:321', report.output(net, name, total / flags.iterations))


def _time(flags: argparse.Namespace) -> None:
    need(flags, 'model')
    at_least_one(flags, 'iterations')
    choose_device(named_gpus(flags.gpu)[:1])
    timing.benchmark(_net(flags, caffe.TRAIN), flags.iterations)


def _device_query(flags: argparse.Namespace) -> None:
    if not torch.cuda.is_available():
        raise CaffeError('device_query: PyTorch sees no CUDA device')
    for index in named_gpus(flags.gpu) or [0]:
        device = torch.cuda.get_device_properties(index)
        for what, value in (
            ('Device id', index),
            ('Name', device.name),
            ('Major revision number', device.major),
            ('Minor revision number', device.minor),
            ('Total global memory', device.total_memory),
            ('Number of multiprocessors', device.multi_processor_count),
        ):
            log.info('common.cpp:168', f'{what + ":":<31}{value}')


if __name__ == '__main__':
    sys.exit(main())
