"""The `caffe` command: train, test, time, device_query."""

import signal
import sys

import torch

import caffe
from caffe import log
from caffe.cli import timing
from caffe.cli.flags import Flag, Spec, run
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto.files import read_solver
from caffe.solvers import report

_FLAGS = (
    Flag('gpu', '', 'GPUs to run on: a number, several with commas, or "all"; without it the CPU, or what the solver '
                    'explicitly says'),
    Flag('solver', '', 'the solver prototxt (train)'),
    Flag('model', '', 'the net prototxt (test, time)'),
    Flag('phase', '', 'TRAIN or TEST; by default TEST for test and TRAIN for time'),
    Flag('level', 0, 'the net state\'s level'),
    Flag('stage', '', 'the net state\'s stages, separated by commas'),
    Flag('snapshot', '', 'a .solverstate to continue from (train)'),
    Flag('weights', '', 'caffemodels to start from, separated by commas; excludes -snapshot'),
    Flag('iterations', 50, 'how many iterations to run (test, time)'),
    Flag('sigint_effect', 'stop', 'what Ctrl-C does to train: stop (with a snapshot), snapshot or none'),
    Flag('sighup_effect', 'snapshot', 'what SIGHUP does to train: stop, snapshot or none'),
)
_SPEC = Spec('caffe', 'Train, test and time networks. COMMAND is train, test, time or device_query.', _FLAGS,
             (('COMMAND', 'train -solver S | test -model M -weights W | time -model M | device_query -gpu N'),))


def main(argv=None):
    """Run the command line; the exit status: 0, or 1 with one line on stderr for anything wrong."""
    return run(_SPEC, _dispatch, argv)


def _dispatch(flags, positionals):
    commands = {'train': _train, 'test': _test, 'time': _time, 'device_query': _device_query}
    if positionals[0] not in commands:
        raise CaffeError(f"unknown command '{positionals[0]}', expected one of {', '.join(commands)}")
    try:
        return commands[positionals[0]](flags)
    except torch.OutOfMemoryError as error:
        raise CaffeError(f'out of GPU memory ({str(error).split(". ")[0]}); a smaller batch_size helps') from None
    except MemoryError:
        raise CaffeError('out of memory; a smaller batch_size helps') from None


def _need(flags, *names):
    for name in names:
        if not getattr(flags, name):
            raise CaffeError(f'-{name} is missing (see caffe --help)')


def _gpus(flags):
    """The GPU numbers that -gpu names."""
    if not flags.gpu:
        return []
    if flags.gpu == 'all':
        return list(range(torch.cuda.device_count())) or [0]
    try:
        return [int(number) for number in flags.gpu.split(',')]
    except ValueError:
        raise CaffeError(f"-gpu '{flags.gpu}': expected numbers separated by commas, or all") from None


def _choose_device(gpus):
    if gpus:
        log.info('caffe.cpp:218', f'Using GPUs {", ".join(map(str, gpus))}')
        caffe.set_device(gpus[0])
        caffe.set_mode_gpu()
    else:
        log.info('caffe.cpp:211', 'Use CPU.')
        caffe.set_mode_cpu()


def _stages(flags):
    return [stage for stage in flags.stage.split(',') if stage]


def _phase(flags, default):
    phases = {'': default, 'TRAIN': caffe.TRAIN, 'TEST': caffe.TEST}
    if flags.phase not in phases:
        raise CaffeError(f"-phase '{flags.phase}': expected TRAIN or TEST")
    return phases[flags.phase]


def _train(flags):
    _need(flags, 'solver')
    if flags.snapshot and flags.weights:
        raise CaffeError('-snapshot and -weights exclude each other: continue a run, or start from weights')
    param = read_solver(flags.solver)
    param.train_state.level = flags.level
    param.train_state.stage.extend(_stages(flags))
    gpus = _gpus(flags)
    if not gpus and param.HasField('solver_mode') and param.solver_mode == caffe_pb2.SolverParameter.GPU:
        gpus = [param.device_id]
    if len(gpus) > 1:
        raise CaffeError(f'-gpu {flags.gpu}: several GPUs are not supported, expected one')
    _choose_device(gpus)
    param.solver_mode = caffe_pb2.SolverParameter.GPU if gpus else caffe_pb2.SolverParameter.CPU
    solver = caffe.get_solver(param, origin=flags.solver)
    solver.action = _signal_actions(flags)
    for path in filter(None, flags.weights.split(',')):
        log.info('caffe.cpp:155', f'Finetuning from {path}')
        solver.net.copy_from(path)
    log.info('caffe.cpp:248', 'Starting Optimization')
    solver.solve(flags.snapshot or None)
    log.info('caffe.cpp:259', 'Optimization Done.')


def _signal_actions(flags):
    """A function that returns the request ('stop', 'snapshot') that signals made since it was last asked, or None."""
    pending = []
    for number, name in ((signal.SIGINT, 'sigint_effect'), (signal.SIGHUP, 'sighup_effect')):
        effect = getattr(flags, name)
        if effect not in ('stop', 'snapshot', 'none'):
            raise CaffeError(f"-{name} '{effect}': expected stop, snapshot or none")
        signal.signal(number, lambda *_, effect=effect: pending.append(effect))
    return lambda: pending.pop(0) if pending else None


def _net(flags, default_phase):
    phase = _phase(flags, default_phase)
    return caffe.Net(flags.model, phase, level=flags.level, stages=_stages(flags))


def _test(flags):
    _need(flags, 'model', 'weights')
    _choose_device(_gpus(flags)[:1])
    net = _net(flags, caffe.TEST)
    for path in flags.weights.split(','):
        net.copy_from(path)
    log.info('caffe.cpp:281', f'Running for {flags.iterations} iterations.')
    sums, loss = {}, 0.0
    for i in range(flags.iterations):
        loss += float(net.run_forward())
        for name in net.outputs:
            for j, value in enumerate(net.blobs[name].tensor.reshape(-1).tolist()):
                sums[name, j] = sums.get((name, j), 0.0) + value
                log.info('caffe.cpp:304', f'Batch {i}, {name} = {log.number(value)}')
    log.info('caffe.cpp:309', f'Loss: {log.number(loss / flags.iterations)}')
    for (name, _), total in sums.items():
        log.info('caffe.cpp:321', report.output(net, name, total / flags.iterations))


def _time(flags):
    _need(flags, 'model')
    _choose_device(_gpus(flags)[:1])
    net = _net(flags, caffe.TRAIN)
    for path in filter(None, flags.weights.split(',')):
        net.copy_from(path)
    timing.benchmark(net, flags.iterations)


def _device_query(flags):
    if not torch.cuda.is_available():
        raise CaffeError('device_query: PyTorch sees no CUDA device')
    for index in _gpus(flags) or [0]:
        device = torch.cuda.get_device_properties(index)
        for what, value in (('Device id', index), ('Name', device.name),
                            ('Major revision number', device.major), ('Minor revision number', device.minor),
                            ('Total global memory', device.total_memory),
                            ('Number of multiprocessors', device.multi_processor_count)):
            log.info('common.cpp:168', f'{what + ":":<31}{value}')


if __name__ == '__main__':
    sys.exit(main())
