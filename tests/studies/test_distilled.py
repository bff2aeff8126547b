"""A study on real faces: prepared with a teacher and a border, its bases start from what the teacher taught."""

import json
import shutil

import cv2
import numpy as np
import pytest
from sphereslim.checkout import SETTINGS
from sphereslim.commands.studies import entropy, flame
from sphereslim.data.lists import open_taught, read_labelled
from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.evaluation.features import extract, open_deploy
from sphereslim.facedata.lists.teacher import draw_blends
from sphereslim.files import read_json
from sphereslim.net.prototxt import read_net
from sphereslim.net.weights import blob_array, read_weights, weight_layers
from sphereslim.studies.distilled import Start
from tiny_run import write_run

pytestmark = pytest.mark.usefixtures('quick_caffe')
TRAINING = {'iterations': 2, 'base_lr': 0.01, 'batch': 4, 'display': 1}


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    """net/, photos/ of 112x112 with somebody who has one picture, a teacher and settings."""
    folder = tmp_path_factory.mktemp('taught')
    write_run(folder)
    shutil.copy(folder / 'faces/pairs.txt', folder / 'pairs.txt')
    for picture in sorted((folder / 'faces/aligned').rglob('*.jpg')):
        target = folder / 'photos' / picture.relative_to(folder / 'faces/aligned')
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), cv2.resize(cv2.imread(str(picture)), (112, 112)))
    (folder / 'photos/Once').mkdir()
    shutil.copy(target, folder / 'photos/Once/Once_0001.jpg')
    deploy = read_net(folder / 'net/deploy.prototxt')
    deploy.layer[0].input_param.shape[0].dim[3] = 112
    deploy.layer[-1].inner_product_param.num_output = 5
    (folder / 'teacher.prototxt').write_text(str(deploy))
    caffe.set_random_seed(3)
    caffe.Net(str(folder / 'teacher.prototxt'), caffe.TEST).save(str(folder / 'teacher.caffemodel'))
    common = {'batches': 1, 'seed': 1, 'time_batch': 2, 'width': 1, 'base': TRAINING}
    distilled = TRAINING | {'iterations': 4, 'extra': {'lr_policy': 'poly', 'power': 1.0}}
    (folder / 'nets.json').write_text(
        json.dumps(
            common
            | {
                'fine_tune': TRAINING,
                'last_round': TRAINING,
                'distilled': distilled,
                'scratch': TRAINING | {'iterations': 3},
            }
        )
    )
    plus = json.loads((folder / 'plus.json').read_text())
    (folder / 'plus.json').write_text(json.dumps(plus | {'distilled': distilled | {'fit_start': True}}))
    return folder


BRANCH = '''
layer { name: "branch1" type: "Convolution" bottom: "conv2" top: "branch1"
  convolution_param { num_output: 8 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "branch2" type: "Convolution" bottom: "branch1" top: "branch2"
  convolution_param { num_output: 12 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "sum" type: "Eltwise" bottom: "conv2" bottom: "branch2" top: "sum" }
layer { name: "fc5"'''
PREPARE = (
    'photos --pairs pairs.txt --min-pictures 2 --crop left --border 4 --teacher teacher.prototxt teacher.caffemodel '
    '--rgb --out faces-with-teacher'
)


@pytest.fixture
def prepared(work, run, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(work / 'cache'))
    run('prepare_faces', PREPARE)
    return work / 'faces-with-teacher'


def test_pictures_keep_a_border_and_the_teacher_sees_whoever_is_not_tested_on(prepared, run):
    taught = open_taught(prepared)
    listed = (prepared / 'unlabelled.txt').read_text().splitlines()
    assert taught.directions.shape == (len(listed), 5) and listed[0] == 'Once/Once_0001.jpg 0'
    assert 'Once' not in (prepared / 'train.txt').read_text()
    tested = {words.split('\t')[0] for words in (prepared / 'pairs.txt').read_text().splitlines()[1:]}
    assert not tested.intersection(line.partition('/')[0] for line in listed)
    picture = cv2.imread(str(prepared / 'aligned/Once/Once_0001.jpg')).astype(int)
    whole = cv2.imread(str(prepared.parent / 'photos/Once/Once_0001.jpg')).astype(int)
    assert picture.shape == (120, 104, 3)
    assert np.abs(picture[4:116, 4:] - whole[:, :100]).mean() < 6  # the view's own columns, and four real ones more
    assert np.abs(picture[:4] - picture[4]).mean() < 6
    with pytest.raises(SystemExit, match='made of other faces, pairs or settings'):
        run('prepare_faces', PREPARE.replace('--border 4', '--border 2'))


def test_the_teacher_sees_blends_of_two_pictures_too(prepared, work, run):
    words = PREPARE.replace('--out faces-with-teacher', '--blends 2 --out blended')
    run('prepare_faces', words)
    taught, plain = open_taught(work / 'blended'), open_taught(prepared)
    names, count = [name for name, _ in read_labelled(taught.pictures)], len(plain.directions)
    assert len(names) == 3 * count and np.array_equal(taught.directions[:count], plain.directions)
    drawn = draw_blends(names[:count], 2)
    assert names[count:] == [name for name, _, _ in drawn]
    for name, first, second in (drawn[0], drawn[-1]):
        files = 'photos/' + first, 'photos/' + second, 'blended/' + name, 'blended/aligned/' + name
        one, other, both, seen = (cv2.imread(str(work / file)).astype(int) for file in files)
        assert first != second and np.abs(both - (one + other) / 2).mean() < 6
        assert seen.shape == (120, 104, 3) and np.abs(seen[4:116, 4:] - both[:, :100]).mean() < 6
    made = (work / 'blended' / drawn[0][0]).stat().st_mtime_ns
    run('prepare_faces', words)
    assert (work / 'blended' / drawn[0][0]).stat().st_mtime_ns == made


def test_blends_without_a_teacher_are_refused(work, run):
    with pytest.raises(SystemExit, match='--blends 1: needs --teacher'):
        run('prepare_faces', 'photos --pairs pairs.txt --blends 1 --out none')


def test_a_base_begins_as_the_one_before_that_it_contains(prepared, work, run):
    shutil.copytree(work / 'net', work / 'larger')
    for file in (work / 'larger').glob('[td]*.prototxt'):
        text = file.read_text().replace('layer { name: "fc5"', BRANCH)
        file.write_text(text.replace('"conv2" top: "fc5"', '"sum" top: "fc5"'))
    settings = json.loads((work / 'nets.json').read_text())
    settings['distilled']['grown'] = TRAINING | {'iterations': 3}
    (work / 'grown.json').write_text(json.dumps(settings))
    words = '--settings grown.json --faces faces-with-teacher --prototxt . --nets net,larger --bases --doc page.md'
    run('sphereface_prune', f'{words} --out grown')
    assert '| larger | the teacher alone, begun as net | 3 |' in (work / 'page.md').read_text()
    smaller, begun = (
        weight_layers(read_weights(work / 'grown' / file))
        for file in ('net/distilled/final.caffemodel', 'larger/distilled/init.caffemodel')
    )
    assert np.array_equal(blob_array(begun['conv1'].blobs[0]), blob_array(smaller['conv1'].blobs[0]))
    assert not blob_array(begun['branch2'].blobs[0]).any() and 'branch1' not in begun


def test_bases_go_on_from_what_the_teacher_taught(prepared, work, run):
    words = '--settings nets.json --faces faces-with-teacher --prototxt . --nets net --rates 0.5 --out sp --doc page.md'
    said = run('sphereface_prune', words)
    page, kept = (work / 'page.md').read_text(), json.loads((work / 'page/sphereface-prune.json').read_text())
    assert '| net | the teacher alone | 4 |' in page and '| net | then its own labels | 2 |' in page
    assert [row['stage'] for row in kept['curves']] == ['conv1', 'conv2', 'last-round']
    assert 'net distilled: accuracy after training' in said
    start, base = work / 'sp/net/distilled', work / 'sp/net/00-base'
    assert 'teacher_rows' in weight_layers(read_weights(start / 'final.caffemodel'))
    learned, begun = (
        weight_layers(read_weights(path)) for path in (start / 'final.caffemodel', base / 'init.caffemodel')
    )
    assert set(begun) == set(learned) - {'teacher_rows'} | {'fc6'}
    same, scaled = (blob_array(layers['conv2'].blobs[0]) for layers in (begun, learned))
    assert np.array_equal(same, scaled)
    rows = read_labelled(prepared / 'train.txt')
    net = open_deploy(base / 'deploy.prototxt', base / 'init.caffemodel')
    found = extract(net, [prepared / 'aligned' / path for path, _ in rows], mirror=False)
    assert np.linalg.norm(found, axis=1).mean() == pytest.approx(20, rel=1e-4)
    label = rows[0][1]
    mean = sum(one / np.linalg.norm(one) for one, (_, other) in zip(found, rows) if other == label)
    assert np.allclose(blob_array(begun['fc6'].blobs[0])[label], mean / np.linalg.norm(mean), atol=1e-5)
    for stage in (start, base, work / 'sp/net/rate-0.5/01-conv1'):
        cut = read_net(stage / 'train.prototxt').layer[0].transform_param
        assert (cut.crop_h, cut.crop_w) == (112, 96)
    made = (start / 'final.caffemodel').stat().st_mtime_ns
    assert 'done' in run('sphereface_prune', words) and (start / 'final.caffemodel').stat().st_mtime_ns == made


def test_a_pruned_net_is_taught_on_by_the_teacher(prepared, work, run):
    settings = json.loads((work / 'nets.json').read_text())
    settings['distilled']['taught_on'] = TRAINING | {'iterations': 3}
    (work / 'on.json').write_text(json.dumps(settings))
    words = '--settings on.json --faces faces-with-teacher --prototxt . --nets net --rates 0.5 --out on --doc page.md'
    assert 'net at 0.5 taught-on: accuracy after training' in run('sphereface_prune', words)
    (row,) = json.loads((work / 'page/sphereface-prune.json').read_text())['taught_on']
    last, stage = sorted((work / 'on/net/rate-0.5').glob('*last-round'))[0], work / 'on/net/rate-0.5/taught-on'
    base, by_labels, after = (
        read_json(folder / 'evaluation.json')['after'] for folder in (work / 'on/net/00-base', last, stage)
    )
    assert row['iterations'] == 3 and row['lost'] == base['accuracy'] - after['accuracy']
    assert row['lost_by_labels'] == base['accuracy'] - by_labels['accuracy'] and row['error'] == after['error']
    assert 'Taught on by the teacher' in (work / 'page.md').read_text()
    ended, begun, made = (
        weight_layers(read_weights(file))
        for file in (last / 'final.caffemodel', stage / 'init.caffemodel', stage / 'net.caffemodel')
    )
    assert np.array_equal(blob_array(begun['conv2'].blobs[0]), blob_array(ended['conv2'].blobs[0]))
    assert blob_array(made['conv2'].blobs[0]).shape == blob_array(ended['conv2'].blobs[0]).shape
    assert not np.array_equal(blob_array(made['conv2'].blobs[0]), blob_array(ended['conv2'].blobs[0]))
    assert set(made) == set(ended) - {'fc6'}
    kept = (stage / 'final.caffemodel').stat().st_mtime_ns
    run('sphereface_prune', words)
    assert (stage / 'final.caffemodel').stat().st_mtime_ns == kept


def test_a_base_from_scratch_needs_no_teacher_and_cannot_get_one_later(prepared, work, run):
    words = '--settings nets.json --faces faces-with-teacher --prototxt . --nets net --rates 0.5 --out scratch'
    run('sphereface_prune', f'{words} --from-scratch --bases --doc page.md')
    (row,) = json.loads((work / 'page/sphereface-prune-from-scratch.json').read_text())['bases']
    assert row['how'] == 'from scratch' and row['iterations'] == 3
    assert not (work / 'scratch/net/rate-0.5').exists()
    assert not (work / 'scratch/net/distilled').exists() and not (work / 'scratch/net/00-base/init.caffemodel').exists()
    with pytest.raises(SystemExit, match='00-base: was begun without a teacher'):
        run('sphereface_prune', words)


def test_all_margins_start_from_one_teaching(prepared, work, run):
    run('sphereface_plus', '--settings plus.json --faces faces-with-teacher --out plus --doc page.md')
    assert '| m4 | ours' in (work / 'page.md').read_text()
    (margin,) = json.loads((work / 'page/sphereface-plus.json').read_text())['margins']
    assert set(margin['with'][0]) == {'accuracy', 'centres'}
    assert (work / 'plus/distilled/final.caffemodel').is_file()
    assert (work / 'plus/base-m4/init.caffemodel').is_file()


def test_faces_without_a_teacher_are_refused(prepared, work, run):
    (work / 'faces/unlabelled.txt').unlink(missing_ok=True)
    with pytest.raises(SlimError, match='prepared with a teacher'):
        open_taught(work / 'faces')
    shutil.copytree(prepared, work / 'short', dirs_exist_ok=True)
    np.save(work / 'short/teacher.npy', np.zeros((3, 5), np.float32))
    with pytest.raises(SlimError, match='expected 19 rows'):
        open_taught(work / 'short')


def test_every_net_of_the_entropy_study_may_learn_behind_a_head(prepared, work, run):
    distilled = TRAINING | {'fit_start': True, 'head': True}
    net = {'net': 'net', 'layers': ['conv1'], 'rates': [0.5], 'base': TRAINING, 'fine_tune': TRAINING}
    single = {'net': 'net', 'layers': ['conv2'], 'rate': 0.5, 'seeds': [1], 'fine_tune': TRAINING}
    settings = {'batches': 1, 'seed': 1, 'time_batch': 2, 'nets': {'net': net | {'distilled': distilled}}}
    (work / 'entropy.json').write_text(json.dumps(settings | {'single': single}))
    run('entropy', '--settings entropy.json --faces faces-with-teacher --root . --out entropy --doc page.md')
    learned = weight_layers(read_weights(work / 'entropy/net/distilled/final.caffemodel'))
    begun = weight_layers(read_weights(work / 'entropy/net/00-base/init.caffemodel'))
    assert set(learned) ^ set(begun) == {'teacher_rows', 'teacher_head', 'fc6'}
    assert 'Pruned layer by layer' in (work / 'page.md').read_text()


def test_the_settings_of_the_scale_are_whole():
    for name in ('sphereface-4', 'sphereface-prune', 'sphereface-plus'):
        assert Start.from_settings(read_json(SETTINGS / f'{name}.faces.json'), name)
    for net in entropy.settings_of(SETTINGS / 'entropy.faces.json')['nets'].values():
        assert Start.from_settings(net, 'entropy').fit_start
    assert flame.read_settings(SETTINGS / 'flame.faces.json').width == 1
