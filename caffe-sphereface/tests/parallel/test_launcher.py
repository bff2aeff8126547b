"""Several processes train as one: between CPUs over gloo, which runs the same code as GPUs do."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import caffe
from caffe.cli.main import main
from caffe.parallel import gradients, launcher
from caffe.parallel.peers import Peers
from caffe.parallel.rendezvous import ranks_of_environment
from caffe.proto import wire
from gpu_mode import gpu_mode
from layer_case import layer, make_net
from training_run import COMMAND, ENVIRONMENT, IMAGES, NET, SOLVER, caffe_command, write_pictures, write_run

MARGIN = NET.replace(
    """layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }""",
    """
layer { name: "ip2" type: "MarginInnerProduct" bottom: "ip1" bottom: "label" top: "ip2"
        margin_inner_product_param { num_output: 3 type: QUADRUPLE weight_filler { type: "xavier" }
                                     base: 5 gamma: 0 power: 1 lambda_min: 5 } }""",
)


def weights(path):
    """{(layer, index): array} of a caffemodel."""
    return {(name, i): array for name, arrays in wire.read_weights(str(path)) for i, array in enumerate(arrays)}


def assert_same_weights(one, other, tolerance=1e-5):
    one, other = weights(one), weights(other)
    assert one.keys() == other.keys() and len(one) > 2
    for key, array in one.items():
        assert np.abs(array - other[key]).max() < tolerance, key


@pytest.mark.parametrize('net', [NET, MARGIN], ids=['softmax', 'margin'])
def test_two_processes_give_the_numbers_of_one_with_iter_size_2(tmp_path, net):
    write_run(tmp_path, net, SOLVER.replace('"out"', '"two"'))
    two = caffe_command(tmp_path, 'train', '-solver', 'solver.prototxt', '-processes', '2')
    write_run(tmp_path, net, SOLVER.replace('"out"', '"one"') + 'iter_size: 2')
    one = caffe_command(tmp_path, 'train', '-solver', 'solver.prototxt')
    assert one.returncode == two.returncode == 0, two.stderr
    assert_same_weights(tmp_path / 'one_iter_6.caffemodel', tmp_path / 'two_iter_6.caffemodel')
    assert two.stderr.count('Iteration 3 (') == two.stderr.count('Snapshotting to binary proto') == 1


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason='needs two GPUs')
@pytest.mark.parametrize('net', [NET, MARGIN], ids=['softmax', 'margin'])
def test_two_gpus_give_the_numbers_of_one_with_iter_size_2(tmp_path, net):
    write_run(tmp_path, net, SOLVER.replace('"out"', '"two"'))
    two = caffe_command(tmp_path, 'train', '-solver', 'solver.prototxt', '-gpu', '0,1')
    write_run(tmp_path, net, SOLVER.replace('"out"', '"one"') + 'iter_size: 2')
    one = caffe_command(tmp_path, 'train', '-solver', 'solver.prototxt', '-gpu', '0')
    assert one.returncode == two.returncode == 0, two.stderr
    assert_same_weights(tmp_path / 'one_iter_6.caffemodel', tmp_path / 'two_iter_6.caffemodel', 1e-4)


def test_crops_mirrors_and_order_of_pictures_are_those_of_one_process(tmp_path):
    net = IMAGES.replace('batch_size: 4', 'batch_size: 2 shuffle: true').replace(
        'label"', 'label" transform_param { crop_size: 3 mirror: true scale: 0.01 }', 1
    )
    write_pictures(tmp_path, SOLVER.replace('"out"', '"two"'), net)
    assert caffe_command(tmp_path, 'train', '-solver=solver.prototxt', '-processes=2').returncode == 0
    write_pictures(tmp_path, SOLVER.replace('"out"', '"one"') + 'iter_size: 2', net)
    assert caffe_command(tmp_path, 'train', '-solver=solver.prototxt').returncode == 0
    assert_same_weights(tmp_path / 'one_iter_6.caffemodel', tmp_path / 'two_iter_6.caffemodel')


def test_adaptive_rules_and_clipping_see_the_averaged_gradient(tmp_path):
    solver = SOLVER.replace('momentum: 0.9', 'momentum: 0.9 type: "Adam" clip_gradients: 0.5')
    write_run(tmp_path, NET, solver.replace('"out"', '"two"'))
    assert caffe_command(tmp_path, 'train', '-solver=solver.prototxt', '-processes=2').returncode == 0
    write_run(tmp_path, NET, solver.replace('"out"', '"one"') + 'iter_size: 2 ')
    caffe_command(tmp_path, 'train', '-solver=solver.prototxt')
    # clipping holds the sum over iter_size against the limit, so the two limits differ by that factor
    write_run(tmp_path, NET, solver.replace('"out"', '"one"').replace('0.5', '1.0') + 'iter_size: 2 ')
    caffe_command(tmp_path, 'train', '-solver=solver.prototxt')
    assert_same_weights(tmp_path / 'one_iter_6.caffemodel', tmp_path / 'two_iter_6.caffemodel')


WIDE = '''
layer { name: "wide1" type: "InnerProduct" bottom: "data" top: "wide1" param { name: "w" } param { lr_mult: 0 }
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "wide2" type: "InnerProduct" bottom: "wide1" top: "wide2"
        inner_product_param { num_output: 250000 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "wide3" type: "InnerProduct" bottom: "wide2" top: "wide3"
        inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "wide4" type: "InnerProduct" bottom: "wide3" top: "wide4" param { name: "w" }
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "ip1" type: "InnerProduct" bottom: "wide4"'''


def test_gradients_exchanged_during_backward_are_those_exchanged_after_it(tmp_path):
    net = NET.replace('layer { name: "ip1" type: "InnerProduct" bottom: "data"', WIDE)
    for name, early in (('during', 'true'), ('after', 'false')):
        write_run(
            tmp_path,
            net,
            SOLVER.replace('"out"', f'"{name}"')
            .replace('base_lr: 0.1', 'base_lr: 0.001')
            .replace('max_iter: 6', 'max_iter: 3')
            + f'iter_size: 2 layer_wise_reduce: {early}',
        )
        run = caffe_command(tmp_path, 'train', '-solver=solver.prototxt', '-processes=2')
        assert run.returncode == 0, run.stderr
    assert_same_weights(tmp_path / 'during_iter_3.caffemodel', tmp_path / 'after_iter_3.caffemodel', 1e-7)


def exchanges(monkeypatch, net):
    """A Gradients of `net` whose all-reduces are only noted, as lists of how many values each has."""
    noted = []

    class Work:
        def wait(self):
            noted.append('wait')

    monkeypatch.setattr(gradients.dist, 'all_reduce', lambda part, async_op: noted.append(len(part)) or Work())
    monkeypatch.setattr(gradients, 'PART', 40)
    return gradients.Gradients(net, 2), noted


def test_a_part_is_exchanged_once_the_layers_that_use_it_had_their_backward(monkeypatch):
    params = ['param { name: "w" }', '', 'param { lr_mult: 0 }', 'param { name: "w" }']
    net = make_net(
        ''.join(
            layer('InnerProduct', f'y{i}', f'y{i + 1}', f'{param} inner_product_param {{ num_output: 5 }}').replace(
                '"layer"', f'"ip{i}"'
            )
            for i, param in enumerate(params)
        ),
        {'y0': (2, 5)},
    )
    made, noted = exchanges(monkeypatch, net)
    for index in range(len(net.layers) - 1, -1, -1):
        made.layer_done(index)
        noted.append(f'{net.layers[index].name} done')
    made.finish(2)
    # biases of 5 from the last layer on, then weights of 25; the shared one comes with its first user
    assert noted == ['ip3 done', 'ip2 done', 40, 'ip1 done', 'ip0 done', 'y0 done', 32, 'wait', 'wait']


def test_torchrun_resumes_from_the_state_of_process_0(tmp_path):
    write_run(tmp_path, solver=SOLVER + 'snapshot: 4 ')
    assert caffe_command(tmp_path, 'train', '-solver=solver.prototxt', '-processes=2').returncode == 0
    # the name of a machine need not resolve, as in some containers
    run = subprocess.run(
        [
            sys.executable,
            '-m',
            'torch.distributed.run',
            '--standalone',
            '--local-addr=127.0.0.1',
            '--nproc_per_node=2',
            '-m',
            'caffe',
            'train',
            '-solver=solver.prototxt',
            '-snapshot=out_iter_4.solverstate',
        ],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert 'Iteration 4 (' in run.stderr and 'Iteration 3 (' not in run.stderr


def test_processes_shuffle_alike_without_a_seed_and_draw_different_dropout(tmp_path):
    net = NET.replace(
        'layer { name: "relu"',
        '''
        layer { name: "look" type: "Python" bottom: "data" python_param { module: "look" layer: "Look" } }
        layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" } layer { name: "relu"''',
    )
    (tmp_path / 'look.py').write_text(
        'import caffe, numpy as np\nclass Look(caffe.Layer):\n'
        '    def forward(self, bottom, top):\n'
        '        from caffe import device, random\n'
        '        state = random.generator(device.device()).get_state().sum().item()\n'
        '        with open(f"seen{caffe.solver_rank()}", "a") as f:\n'
        '            for row in bottom[0].data[:, 0]: f.write(f"{row:.6f}\\n")\n'
        '        open(f"state{caffe.solver_rank()}", "a").write(f"{state}\\n")\n'
    )
    write_run(tmp_path, net, SOLVER.replace('random_seed: 3', '').replace('max_iter: 6', 'max_iter: 5'))
    run = caffe_command(tmp_path, 'train', '-solver=solver.prototxt', '-processes=2')
    assert run.returncode == 0, run.stderr
    # the forward for the last display is process 0's alone
    seen = [(tmp_path / f'seen{rank}').read_text().split()[:20] for rank in (0, 1)]
    assert len(seen[0]) == len(seen[1]) == 20 and len({*seen[0], *seen[1]}) == 40
    states = [(tmp_path / f'state{rank}').read_text().split()[:5] for rank in (0, 1)]
    assert len(states[0]) == 5 and not set(states[0]) & set(states[1])


def start(folder, *arguments):
    return subprocess.Popen(
        [*COMMAND, 'train', '-solver=solver.prototxt', *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def read_until(process, pattern):
    """The lines of a process's stderr up to one that matches."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if re.search(pattern, line):
            return lines
    raise AssertionError(''.join(lines))


def test_ctrl_c_stops_all_with_one_snapshot(tmp_path):
    write_run(tmp_path, solver=SOLVER.replace('max_iter: 6', 'max_iter: 1000000'))
    process = start(tmp_path, '-processes=2')
    read_until(process, r'Iteration 3 \(')
    os.kill(process.pid, signal.SIGINT)
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 0, rest
    assert rest.count('Snapshotting to binary proto') == rest.count('Optimization stopped early') == 1
    assert len(list(tmp_path.glob('out_iter_*.caffemodel'))) == 1


def test_sigterm_ends_one_of_several_in_an_orderly_way(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'ends.py').write_text(
        'import caffe, os, signal\nclass Ends(caffe.Layer):\n'
        '    def forward(self, bottom, top): os.kill(os.getpid(), signal.SIGTERM)\n'
    )
    write_run(
        tmp_path, NET + 'layer { name: "e" type: "Python" bottom: "ip2" python_param { module: "ends" layer: "Ends" } }'
    )
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.fail('nobody handles it'))
    caffe.set_solver_count(2)
    try:
        assert main(['train', '-solver=solver.prototxt']) == 0
    finally:
        caffe.set_solver_count(1)
        signal.signal(signal.SIGTERM, before)
    assert [path.name for path in tmp_path.glob('*.caffemodel')] == ['out_iter_1.caffemodel']


def children_of(pid):
    """The process ids of the direct children."""
    return [int(path.parent.name) for path in Path('/proc').glob('[0-9]*/status') if status(path, 'PPid') == str(pid)]


def status(path, field):
    """The first word of a field of a /proc/…/status (any user may read it), None where the process is gone by now."""
    try:
        return re.search(rf'^{field}:\s*(\S+)', path.read_text(), re.M)[1]
    except OSError:
        return None


@pytest.mark.parametrize('victim', [0, 1])
def test_the_death_of_a_process_ends_all_with_status_1(tmp_path, victim):
    write_run(tmp_path, solver=SOLVER.replace('max_iter: 6', 'max_iter: 1000000'))
    process = start(tmp_path, '-processes=2')
    read_until(process, r'Iteration 3 \(')
    children = children_of(process.pid)
    os.kill(children[victim], signal.SIGKILL)
    rest = process.communicate(timeout=60)[1]
    lines = [line for line in rest.splitlines() if line.startswith('caffe: ')]
    assert process.returncode == 1 and 'Traceback' not in rest
    assert f'process {victim} of 2 was ended by SIGKILL' in lines[-1]
    assert 'another process' in lines[0] and len(lines) == 2
    assert not any(os.path.exists(f'/proc/{pid}') for pid in children)


def test_children_end_with_their_launcher(tmp_path):
    write_run(tmp_path, solver=SOLVER.replace('max_iter: 6', 'max_iter: 1000000'))
    process = start(tmp_path, '-processes=2')
    read_until(process, r'Iteration 3 \(')
    children = children_of(process.pid)
    process.kill()
    process.wait()
    for _ in range(200):
        if not any(status(Path(f'/proc/{pid}/status'), 'State') not in (None, 'Z') for pid in children):
            return
        time.sleep(0.05)
    raise AssertionError('children live on')


def test_a_process_that_does_not_notice_the_end_of_another_is_killed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launcher, '_GRACE_SECONDS', 0.2)
    monkeypatch.setattr(
        launcher,
        '_PROGRAM',
        'import os, sys, time; os.environ["RANK"] == "1" and sys.exit(3); time.sleep(20); open("noticed_nothing", "w")',
    )
    monkeypatch.setattr(signal, 'signal', lambda number, handler: None)
    with pytest.raises(caffe.CaffeError, match='process 1 of 2 ended with status 3'):
        launcher.launch([], 2)
    assert not (tmp_path / 'noticed_nothing').exists()


def test_an_error_in_one_process_is_told_and_ends_all(tmp_path):
    write_run(tmp_path)
    (tmp_path / 'files.txt').write_text('missing.h5\n')
    run = caffe_command(tmp_path, 'train', '-solver=solver.prototxt', '-processes=2')
    assert run.returncode == 1 and 'Traceback' not in run.stderr
    assert 'missing.h5' in run.stderr and re.search(r'caffe: process \d of 2 ended with status 1', run.stderr)


def test_a_process_without_memory_says_which_it_is_and_ends_all(tmp_path):
    (tmp_path / 'full.py').write_text(
        'import caffe, torch\n'
        'def full(x): raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")\n'
        'class Full(caffe.Layer):\n'
        '    def setup(self, bottom, top):\n'
        '        if caffe.solver_rank(): torch.relu = full\n'
    )
    write_run(
        tmp_path,
        NET + 'layer { name: "full" type: "Python" bottom: "ip2" python_param { module: "full" layer: "Full" } }',
    )
    run = caffe_command(tmp_path, 'train', '-solver=solver.prototxt', '-processes=2')
    assert run.returncode == 1 and 'Traceback' not in run.stderr
    assert 'caffe: process 1: out of GPU memory (CUDA out of memory); a smaller' in run.stderr


@pytest.fixture
def peers():
    """The Peers of a process that trains with no other one."""
    yield Peers(torch.distributed.HashStore(), 0, 1)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def test_the_last_meeting_is_on_the_gpu_of_this_process(monkeypatch, peers):
    devices = []
    monkeypatch.setattr(torch.distributed, 'barrier', lambda device_ids: devices.append(device_ids))
    with gpu_mode():
        peers.finish()
    assert devices == [[0]] and not torch.distributed.is_initialized()


def test_every_process_takes_over_iteration_parameters_and_history(tmp_path, monkeypatch, peers):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path)
    monkeypatch.setattr(torch.distributed, 'broadcast', lambda values, source: values.fill_(7))
    with gpu_mode():
        solver = caffe.get_solver('solver.prototxt')
        peers.align(solver)
        assert solver.iter == solver.current_step == 7
        assert all((blob.data == 7).all() for blobs in solver.net.params.values() for blob in blobs)
        assert all(values.eq(7).all() for values in solver.updater.history)


def test_blobs_of_the_last_forward_keep_their_values_when_parameters_are_shared(monkeypatch, peers):
    folded = layer(
        'Convolution', 'x', 'c', 'convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } }'
    ) + layer('ReLU', 'c', 'y').replace('"layer"', '"relu"')
    net = make_net(folded, {'x': (2, 3, 6, 6)}, force_backward=False)
    net.forward()
    before = net.blobs['c'].data.copy()
    for _ in range(3):  # folded from the second time on
        net.forward()
    monkeypatch.setattr(torch.distributed, 'broadcast', lambda values, source: values.fill_(7))
    peers.share_parameters(net)
    assert np.allclose(net.blobs['c'].data, before, atol=1e-5) and (net.params['layer'][0].data == 7).all()


def test_a_second_training_with_others_is_refused(tmp_path, monkeypatch, peers):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path)
    with pytest.raises(caffe.CaffeError, match='one training per process'):
        caffe.NCCL(caffe.SGDSolver('solver.prototxt'), caffe.NCCL.new_uid())


def test_requests_are_obeyed_once_by_all(tmp_path, monkeypatch, peers):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path)
    requests = ['snapshot', None, None, None, 'snapshot', 'stop', None]
    solver = caffe.get_solver('solver.prototxt')
    solver.action = lambda: requests.pop(0) if requests else None
    peers.attach(solver)
    solver.step(9)
    # each is read one iteration after it was sent; a stop comes before a snapshot
    assert [path.name for path in tmp_path.glob('*.caffemodel')] == ['out_iter_2.caffemodel']
    assert solver.stopped_early and solver.iter == 5


def test_a_stop_interrupts_the_test_nets_and_ends_all_with_the_next_gradients(tmp_path, monkeypatch, capfd, peers):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(caffe.process_state.state.log, 'level', 0)
    write_run(tmp_path, solver=SOLVER + 'test_iter: 300 test_interval: 1 test_initialization: false')
    requests = [None, 'stop']
    solver = caffe.get_solver('solver.prototxt')
    solver.action = lambda: requests.pop(0) if requests else None
    peers.attach(solver)
    solver.step(9)
    shown = capfd.readouterr().err
    assert shown.count('Test interrupted.') == 2 and 'Test net output' not in shown
    assert solver.stopped_early and solver.iter == 3


@pytest.mark.parametrize(
    'error',
    [
        torch.OutOfMemoryError('CUDA out of memory'),
        caffe.CaffeError('no memory'),
        RuntimeError('CUDA error: device-side assert triggered'),
    ],
)
def test_what_goes_wrong_here_is_not_blamed_on_others(monkeypatch, peers, error):
    def fail(self, count):
        raise error

    monkeypatch.setattr(gradients.Gradients, 'finish', fail)
    with pytest.raises(type(error), match=f'^{error}$'):
        peers.average(make_net(layer('InnerProduct', extra='inner_product_param { num_output: 5 }'), {'x': (2, 5)}))


@pytest.mark.parametrize(
    'flags, message',
    [
        (['-gpu=0,0'], 'different'),
        (['-gpu=0,x'], 'numbers'),
        (['-gpu=0,1', '-processes=2'], 'one of them'),
        (['-gpu=0,1'], 'CUDA'),
    ],
)
def test_device_lists_that_cannot_be(tmp_path, flags, message, capsys):
    write_run(tmp_path)
    assert main(['train', f'-solver={tmp_path}/solver.prototxt', *flags]) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_who_starts_a_process_for_each_gpu_takes_no_memory_of_any(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 3)
    monkeypatch.setattr(torch.cuda, '_lazy_init', lambda: pytest.fail('the GPU is touched'))
    monkeypatch.setattr(torch.cuda, 'set_device', lambda index: pytest.fail('a GPU is chosen'))
    monkeypatch.setattr(launcher, 'launch', lambda arguments, count: started.append(count))
    write_run(tmp_path)
    assert main(['train', f'-solver={tmp_path}/solver.prototxt', '-gpu=0,2']) == 0 and started == [2]
    assert main(['train', f'-solver={tmp_path}/solver.prototxt', '-gpu=0,3']) == 1 and started == [2]


def test_processes_share_the_cores_that_their_starter_may_use(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(50, 57)), raising=False)
    monkeypatch.setattr(launcher, 'launch', lambda arguments, count, threads: started.append((count, threads)))
    write_run(tmp_path)
    assert main(['train', f'-solver={tmp_path}/solver.prototxt', '-processes=3']) == 0 and started == [(3, 2)]


def test_the_environment_of_torchrun_is_checked(monkeypatch):
    for name, value in (('RANK', 'x'), ('WORLD_SIZE', '2'), ('MASTER_ADDR', 'localhost')):
        monkeypatch.setenv(name, value)
    with pytest.raises(caffe.CaffeError, match='RANK=x'):
        ranks_of_environment()
    monkeypatch.setenv('WORLD_SIZE', '1')
    assert ranks_of_environment() is None


def train_like_pycaffe(folder, uid, rank):
    """What Caffe's own train.py does in each of its processes, on the CPU."""
    os.chdir(folder)
    caffe.init_log(2)
    caffe.set_solver_count(2)
    caffe.set_solver_rank(rank)
    caffe.set_multiprocess(True)
    solver = caffe.SGDSolver('solver.prototxt')
    nccl = caffe.NCCL(solver, uid)
    nccl.bcast()
    solver.add_callback(nccl)
    solver.net.after_backward(nccl)
    solver.step(solver.param.max_iter)
    solver.net.save(f'pycaffe{rank}.caffemodel')


def test_nccl_of_pycaffe_works_between_cpus(tmp_path):
    write_run(tmp_path)
    uid = caffe.NCCL.new_uid()
    context = multiprocessing.get_context('spawn')
    processes = [context.Process(target=train_like_pycaffe, args=(str(tmp_path), uid, rank)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    caffe_command(tmp_path, 'train', '-solver=solver.prototxt', '-processes=2')
    for rank in (0, 1):
        assert_same_weights(tmp_path / f'pycaffe{rank}.caffemodel', tmp_path / 'out_iter_6.caffemodel')
