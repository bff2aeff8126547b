"""Stages: counters moved for a continued training, heads, schedules, and the training process itself."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from sphereslim.commands.ending import run_command
from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.logs.parser import parse_log
from sphereslim.logs.trainings import trainings
from sphereslim.net.heads import advanced, per_forward, with_alpha, with_classes, with_falling_lambda, with_head
from sphereslim.net.prototxt import parse_net, read_solver, write_prototxt
from sphereslim.studies.sphereface_plus.training import centre_angles
from sphereslim.training.caffe_train import train
from sphereslim.training.schedule import Schedule, solver_for
from sphereslim.training.stage import Stage

MARGIN = """name: "tiny"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 4 dim: 6 } shape { dim: 4 }
  data_filler { type: "constant" value: 0.5 } data_filler { type: "constant" value: 1 } } }
layer { name: "embedding" type: "InnerProduct" bottom: "data" top: "embedding"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "head" type: "MarginInnerProduct" bottom: "embedding" bottom: "label" top: "logits" top: "lambda"
  param { name: "w" } margin_inner_product_param { num_output: 3 type: QUADRUPLE weight_filler { type: "xavier" }
  base: 1000 gamma: 0.12 power: 1 lambda_min: 5 iteration: 0 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "logits" bottom: "label" top: "loss" }
"""
SPREAD = """layer { name: "spread" type: "InterClass" bottom: "embedding" bottom: "label" top: "distance"
  param { name: "w" } inter_class_param { num_output: 3 type: AMONG
  iteration: 100 alpha_start_iter: 103 alpha_start_value: 2
  alpha_step: 1 alpha_stepvalue: 105 } }"""


def lambdas(net, forwards, folder):
    """The lambda of each of a number of forwards of a train net."""
    write_prototxt(folder / 'net.prototxt', net)
    opened = caffe.Net(str(folder / 'net.prototxt'), caffe.TRAIN)
    found = []
    for _ in range(forwards):
        opened.forward()
        found.append(float(opened.blobs['lambda'].data.reshape(-1)[0]))
    return found


def test_an_advanced_net_goes_on_with_lambda_where_it_stood(tmp_path):
    net = parse_net(MARGIN)
    assert lambdas(advanced(net, 4), 3, tmp_path) == lambdas(net, 7, tmp_path)[4:]


def test_lambda_of_two_forwards_an_iteration_is_that_of_one(tmp_path):
    net = parse_net(MARGIN)
    assert np.allclose(lambdas(per_forward(net, 2), 8, tmp_path)[1::2], lambdas(net, 4, tmp_path))


@pytest.mark.parametrize('power', [1, 2])
def test_a_lambda_told_to_fall_is_at_its_least_after_so_many_forwards(power, tmp_path):
    net = parse_net(MARGIN)
    param = net.layer[2].margin_inner_product_param
    param.power = power
    found = lambdas(with_falling_lambda(net, 6), 8, tmp_path)
    assert np.all(np.diff(found[:6]) < 0) and np.allclose(found[5:], 5) and found[4] > 5.1


def test_a_lambda_that_cannot_fall_is_told():
    net = parse_net(MARGIN)
    net.layer[2].margin_inner_product_param.lambda_min = 2000
    with pytest.raises(SlimError, match=r"^layer 'head': .*lambda_min 2000.* expected 0 < lambda_min < base"):
        with_falling_lambda(net, 6)


def test_alpha_of_two_forwards_an_iteration_starts_with_the_first_of_them():
    param = per_forward(parse_net(MARGIN + SPREAD), 2).layer[-1].inter_class_param
    # iterations count from 101 on: their forwards are 201 and 202, so those of 103 are 205 and 206
    assert (param.iteration, param.alpha_start_iter, list(param.alpha_stepvalue)) == (200, 205, [209])


def test_an_advanced_net_starts_alpha_that_has_passed_its_start():
    param = advanced(parse_net(MARGIN + SPREAD), 6).layer[-1].inter_class_param
    assert (param.iteration, param.alpha_start_iter, param.alpha_start_value) == (106, 107, 3)
    assert not param.alpha_stepvalue
    param = advanced(parse_net(MARGIN + SPREAD), 2).layer[-1].inter_class_param
    assert (param.iteration, param.alpha_start_iter, list(param.alpha_stepvalue)) == (102, 103, [105])


def test_a_head_is_moved_onto_another_net():
    source = parse_net(MARGIN.replace('QUADRUPLE', 'DOUBLE').replace('"head"', '"other"') + SPREAD)
    moved = with_alpha(with_head(parse_net(MARGIN), source), 7)
    assert [layer.name for layer in moved.layer] == ['data', 'embedding', 'head', 'spread', 'loss']
    assert moved.layer[2].margin_inner_product_param.type == source.layer[2].margin_inner_product_param.DOUBLE
    assert moved.layer[3].inter_class_param.alpha_start_value == 7
    with pytest.raises(SlimError, match='expected one MarginInnerProduct'):
        with_head(parse_net(SPREAD), source)


def test_classes_are_set_where_the_labels_are_judged():
    net = with_classes(parse_net(MARGIN + SPREAD), 9)
    assert net.layer[2].margin_inner_product_param.num_output == 9 == net.layer[4].inter_class_param.num_output
    assert net.layer[1].inner_product_param.num_output == 5


def test_angles_between_centres():
    mean, nearest = centre_angles(np.array([[1.0, 0], [0, 2], [-3, 0]]))
    assert mean == pytest.approx(120) and nearest == pytest.approx(90)


def test_a_schedule_names_what_is_missing():
    with pytest.raises(SlimError, match="missing \\['batch'\\], unknown \\['bach'\\]"):
        Schedule.from_dict({'iterations': 1, 'base_lr': 1, 'bach': 2}, 'settings')


def make_stage(folder, iterations=6, snapshot=0, net=MARGIN, **extra):
    stage = Stage(folder)
    folder.mkdir(exist_ok=True)
    write_prototxt(stage.train, parse_net(net))
    base = read_solver_text(folder)
    schedule = Schedule(iterations, 0.1, 4, display=1, snapshot=snapshot, extra=extra)
    write_prototxt(stage.solver, solver_for(base, schedule, stage.train, stage.prefix, 1))
    return stage


def read_solver_text(folder):
    path = folder / 'base.prototxt'
    path.write_text('momentum: 0.9 lr_policy: "fixed" base_lr: 1')
    return read_solver(path)


def weights(path, stage):
    net = caffe.Net(str(stage.train), str(path), caffe.TRAIN)
    return [blob.data.copy() for blobs in net.params.values() for blob in blobs]


def test_a_stage_trains_to_its_end_and_tells_its_progress(tmp_path):
    stage, seen = make_stage(tmp_path / 'one'), []
    stage.run(watch=lambda progress: seen.append(progress.iteration))
    assert stage.is_trained() and seen == [0, 1, 2, 3, 4, 5, 6]
    assert not list(stage.folder.glob('snapshot*'))
    assert 'Optimization Done' in stage.log.read_text()


def test_a_stage_continues_from_its_snapshot_as_if_never_stopped(tmp_path):
    whole = make_stage(tmp_path / 'whole')
    whole.run()
    cut = make_stage(tmp_path / 'cut', snapshot=2)
    short = solver_for(read_solver(cut.solver), Schedule(4, 0.1, 4, snapshot=2), cut.train, cut.prefix, 1)
    write_prototxt(tmp_path / 'short.prototxt', short)
    train(tmp_path / 'short.prototxt', cut.log)
    harvested = {}
    cut.run(harvest=harvested.update)
    assert sorted(harvested) == [2, 4, 6]
    for one, other in zip(weights(whole.final, whole), weights(cut.final, cut)):
        assert np.allclose(one, other, atol=1e-6)
    assert len(trainings(parse_log(cut.log), 'cut')) == 1


@pytest.mark.parametrize('snapshot', [0, 4])
def test_a_stage_that_is_interrupted_twice_loses_nothing(tmp_path, snapshot):
    whole, cut = make_stage(tmp_path / 'whole', 9), make_stage(tmp_path / 'cut', 9, snapshot)
    whole.run()
    for moment in (2, 5):

        def stop(progress, moment=moment):
            if progress.iteration >= moment:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            cut.run(watch=stop)
        assert cut._newest_state()[1] >= moment
    began = []
    cut.run(watch=lambda progress: began.append(progress.iteration))
    assert began[0] >= 5 and cut.is_trained()
    for one, other in zip(weights(whole.final, whole), weights(cut.final, cut)):
        assert np.allclose(one, other, atol=1e-6)
    assert not list(cut.folder.glob('*_continued.prototxt'))


def test_a_stage_that_is_killed_loses_what_came_after_the_last_safety_snapshot(tmp_path, monkeypatch):
    monkeypatch.setattr('sphereslim.training.caffe_train.SAFETY_SECONDS', 0)
    stage, states, harvested = make_stage(tmp_path / 'one', 40), [], {}

    def look(progress):
        states.append(sorted(path.name for path in stage.folder.glob('snapshot_iter_*.solverstate')))
        time.sleep(0.02)

    stage.run(watch=look, harvest=harvested.update)
    assert states[-1] and max(map(len, states)) < 10
    assert sorted(harvested) == [40] and stage.is_trained()


def test_a_command_that_is_killed_leaves_no_training_behind(tmp_path):
    stage = make_stage(tmp_path / 'one')
    solver = read_solver(stage.solver)
    solver.max_iter, solver.display = 10**7, 10**6  # it would not soon notice that nobody reads its log
    write_prototxt(stage.solver, solver)
    child = os.fork()
    if not child:
        stage.run(watch=lambda progress: os.kill(os.getpid(), signal.SIGKILL))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while subprocess.run(['pgrep', '-f', f'train --solver={stage.solver}'], stdout=subprocess.DEVNULL).returncode == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert stage.log.read_text().count('Iteration 0 ') == 1 and not stage.is_trained()


def test_a_solver_with_snapshots_elsewhere_is_told_before_it_trains(tmp_path):
    stage = make_stage(tmp_path / 'one')
    solver = read_solver(stage.solver)
    solver.snapshot_prefix = str(tmp_path / 'other')
    write_prototxt(stage.solver, solver)
    with pytest.raises(SlimError, match="solver.prototxt: snapshot_prefix '.*other', expected '.*one/snapshot'"):
        stage.run()


def test_a_failing_training_is_one_line(tmp_path):
    stage = make_stage(tmp_path / 'bad', net=MARGIN.replace('bottom: "logits"', 'bottom: "logit"'))
    with pytest.raises(SlimError, match="caffe train failed.*'logit'"):
        stage.run()
    assert not stage.is_trained()


FATAL = """import sys
print('''I0101 00:00:00.0 1 caffe.cpp:1] Use GPU
F0101 00:00:00.1 1 common.cpp:66] Cannot use GPU in CPU-only Caffe: check mode.
*** Check failure stack trace: ***
    @     0x55d5c58 (unknown)''', file=sys.stderr)
sys.exit(134)
"""


def test_a_genuine_caffe_that_fails_is_told_by_its_fatal_line(tmp_path, monkeypatch):
    monkeypatch.setattr('sphereslim.training.caffe_train.caffe_command', lambda: [sys.executable, '-c', FATAL])
    with pytest.raises(SlimError, match='^solver: caffe train failed: Cannot use GPU in CPU-only Caffe: check mode. '):
        train('solver', tmp_path / 'log')


def test_a_layer_that_the_caffe_in_use_lacks_is_told_before_training(tmp_path):
    stage = make_stage(tmp_path / 'bad', net=MARGIN.replace('SoftmaxWithLoss', 'SoftmaxWithLos'))
    with pytest.raises(SlimError, match="no layer type SoftmaxWithLos .*bad/train.prototxt, layer 'loss'.$"):
        stage.run()
    assert not stage.log.exists()


def test_an_exploding_loss_stops_with_advice(tmp_path):
    stage = make_stage(tmp_path / 'nan', net=MARGIN.replace('value: 0.5', 'value: nan'))
    with pytest.raises(SlimError, match='the loss exploded at iteration 0.*smaller base_lr'):
        stage.run()
    assert not list(stage.folder.glob('snapshot_*'))


SAYS = """import sys
for number, (loss, term) in enumerate(%s):
    print(f'I0101 00:00:00.0 1 solver.cpp:1] Iteration {number}, loss = {loss + term}', file=sys.stderr)
    for index, value in enumerate((term, loss)):
        print(f'I0101 00:00:00.0 1 solver.cpp:2] Train net output #{index}: x = {value} (* 1 = 1)', file=sys.stderr)
"""
DEAD = (87.3365, 0)


@pytest.mark.parametrize(
    'displays, ends',
    [
        ([DEAD, DEAD, (2, 0), DEAD, DEAD], None),
        ([(3, 0), DEAD, DEAD, DEAD, (2, 0)], 3),
        ([(3, 0), (float('nan'), 0), (2, 0)], 1),
        ([(3, 119), (2.5, 118), (2, 117), (1.5, 117)], None),
        ([(3, 119), (87.3365, 118), (87.3365, 117), (87.3365, 117)], 3),
    ],
    ids=['comes back', 'stays', 'no number', 'another loss is as large', 'stays beside a large loss'],
)
def test_a_softmax_that_stays_at_its_largest_loss_is_given_up(displays, ends, tmp_path, monkeypatch):
    said = SAYS % repr(displays).replace('nan', "float('nan')")
    monkeypatch.setattr('sphereslim.training.caffe_train.caffe_command', lambda: [sys.executable, '-c', said])
    seen = []
    if ends is None:
        train('solver', tmp_path / 'log', watch=seen.append)
        assert len(seen) == len(displays)
    else:
        with pytest.raises(SlimError, match=f'solver: the loss exploded at iteration {ends}'):
            train('solver', tmp_path / 'log', watch=seen.append)


@pytest.mark.parametrize(
    'asked, root, said',
    [
        ('bf16', '', 'caffe train failed: .*--precision=bf16'),
        ('bf16', '/built', 'TRAINING_PRECISION=bf16: a genuine Caffe has one precision'),
    ],
)
def test_trainings_are_computed_in_the_precision_asked_for(asked, root, said, tmp_path, monkeypatch):
    words = [sys.executable, '-c', 'import sys; sys.exit(" ".join(sys.argv[1:]))']
    monkeypatch.setattr('sphereslim.training.caffe_train.caffe_command', lambda: words)
    monkeypatch.setenv('TRAINING_PRECISION', asked)
    monkeypatch.setenv('CAFFE_ROOT', root)
    with pytest.raises(SlimError, match=said):
        train('solver', tmp_path / 'log')


def test_a_snapshot_without_its_weights_is_passed_over(tmp_path):
    stage = make_stage(tmp_path / 'one', snapshot=2)
    for name in ('snapshot_iter_2.solverstate', 'snapshot_iter_2.caffemodel', 'snapshot_iter_4.solverstate'):
        (stage.folder / name).write_bytes(b'')
    assert stage._newest_state() == (stage.folder / 'snapshot_iter_2.solverstate', 2)


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    stage = make_stage(tmp_path / 'one')
    with pytest.raises(SlimError, match='^.*/one: cannot be written'):
        train(stage.solver, stage.folder)


@pytest.mark.parametrize('number, status', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_asked_to_stop_ends_the_training_and_keeps_a_snapshot(tmp_path, number, status):
    stage = make_stage(tmp_path / 'long', iterations=10**6, snapshot=10**6)
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is started without
    try:
        with pytest.raises(SystemExit) as end:
            run_command(lambda: stage.run(watch=lambda progress: os.kill(os.getpid(), number)))
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert end.value.code == status
    assert len(list(stage.folder.glob('snapshot_iter_*.solverstate'))) == 1


def test_nothing_to_train_is_told(tmp_path):
    with pytest.raises(SlimError, match='has no solver.prototxt'):
        Stage(tmp_path).run()
