"""A stage made by hand is the one that the pipeline makes: the same selection, weights, schedule and end."""

import json

import pytest
from sphereslim.engine import caffe
from sphereslim.net.prototxt import read_net, read_solver
from sphereslim.training.stage import Stage
from tiny_run import write_run

FINE_TUNE = {'iterations': 2, 'base_lr': 0.004, 'batch': 3, 'display': 1, 'lambda_falls': 2}


@pytest.fixture
def work(tmp_path):
    write_run(tmp_path)
    settings = json.loads((tmp_path / 'settings.json').read_text())
    settings |= {'layers': ['conv1'], 'rate': 0.25, 'batches': 2, 'seed': 7, 'fine_tune': FINE_TUNE}
    (tmp_path / 'settings.json').write_text(json.dumps(settings))
    return tmp_path


def test_select_prune_and_finetune_make_the_stage_of_the_pipeline(work, run, quick_caffe):
    run('prune_pipeline', '--settings settings.json --faces faces --out run')
    base = 'run/00-base'
    said = run('select_filters', f'{base}/train.prototxt {base}/final.caffemodel --layers conv1 --out selection.json')
    assert 'run.json: criterion greedy_pair, rate 0.25, multiple 1, batches 2, seed 7\n' in said
    said = run(
        'prune',
        f'selection.json --train {base}/train.prototxt --deploy {base}/deploy.prototxt '
        f'--weights {base}/final.caffemodel --solver {base}/solver.prototxt --out hand',
    )
    assert 'hand/solver.prototxt: 2 iterations from a rate of 0.004 on, after fine_tune of ' in said
    run('finetune', 'hand')
    mine, made = Stage(work / 'hand'), Stage(work / 'run' / '01-conv1')
    for name in ('init', 'final'):
        assert getattr(mine, name).read_bytes() == getattr(made, name).read_bytes()
    assert read_net(mine.train) == read_net(made.train)
    assert [
        layer.margin_inner_product_param.gamma
        for layer in read_net(mine.train).layer
        if layer.type == 'MarginInnerProduct'
    ] == [99.5]
    solvers = [read_solver(stage.solver) for stage in (mine, made)]
    for solver in solvers:
        solver.ClearField('net')
        solver.ClearField('snapshot_prefix')
    assert solvers[0] == solvers[1]


def test_a_solver_of_no_run_trains_as_it_says(work, run, quick_caffe):
    net = caffe.Net('net/train.prototxt', caffe.TRAIN)
    net.save('net.caffemodel')
    run('select_filters', 'net/train.prototxt net.caffemodel --layers conv1 --criterion l1 --out s.json')
    said = run(
        'prune', 's.json --train net/train.prototxt --weights net.caffemodel --solver net/solver.prototxt --out o'
    )
    assert 'o/solver.prototxt: 3 iterations from a rate of 0.01 on, after net/solver.prototxt\n' in said
