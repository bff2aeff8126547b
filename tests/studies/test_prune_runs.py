"""Runs from one base: what they prune, and the nets at full width that stand for them beside the print."""

import pytest
from repository import ROOT
from sphereslim.data.lists import Faces
from sphereslim.files import read_json
from sphereslim.rewrite.scaled import scaled_folder
from sphereslim.studies.pipeline import Plan
from sphereslim.studies.prune_runs import Base, convolution_groups, sizes, times, whole_deploy


def make_base(name, folder, criterion):
    original = ROOT / 'prototxt' / name
    net = scaled_folder(original, folder / 'net', 0.25)
    faces = Faces(folder, folder / 'train.txt', folder / 'pairs.txt', 2, 2)
    plan = Plan(folder, net, faces, (), 1.0, criterion, base=None, fine_tune=None, last_round=None)
    return Base(name, plan, original)


def test_trunks_are_pruned_on_request_only():
    inside = convolution_groups(ROOT / 'prototxt' / 'sphereface-10')
    assert inside == ('conv1_1', 'conv2_2', 'conv3_2', 'conv3_4', 'conv4_1')
    assert set(convolution_groups(ROOT / 'prototxt' / 'sphereface-10', trunk=True)) == {*inside, 'conv2_1', 'conv3_1'}


@pytest.mark.parametrize(
    'name, rate, printed',
    [
        ('sphereface-4', 0.75, 9.1),
        ('sphereface-4', 0.5, 5.9),
        ('sphereface-10', 0.75, 11.5),
        ('sphereface-10', 0.5, 7.8),
    ],
)
def test_a_narrow_run_stands_beside_the_whole_net_that_was_printed(name, rate, printed, tmp_path):
    base = make_base(name, tmp_path, 'greedy_pair')
    run = base.pruned('rate', convolution_groups(base.plan.net), rate)
    run.folder.mkdir()
    assert round(sizes(whole_deploy(base, run)).parameters / 1e6, 1) == printed
    assert whole_deploy(base) == ROOT / 'prototxt' / name / 'deploy.prototxt'


def test_webface_at_half_has_the_printed_costs(tmp_path):
    base = make_base('webface', tmp_path, 'entropy')
    run = base.pruned('rate', ['conv11', 'conv12', 'conv21', 'conv22', 'conv31', 'conv32', 'conv41', 'conv42'], 0.5)
    run.folder.mkdir()
    found = sizes(whole_deploy(base, run))
    assert (round(found.macs / 1e6, 2), round(found.weights / 1e6, 3)) == (216.14, 0.876)


def test_times_are_measured_once_for_the_same_nets(tmp_path, quick_caffe):
    deploys = [ROOT / 'prototxt' / 'mtcnn' / 'det1.prototxt']
    found = times(tmp_path / 'times.json', deploys, batch=1, rounds=1, iterations=1)
    assert all(found[str(deploys[0])][name] > 0 for name in ('forward', 'backward'))
    assert times(tmp_path / 'times.json', deploys, progress=None) == found == read_json(tmp_path / 'times.json')
