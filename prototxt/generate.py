#!/usr/bin/env python3
"""Write the networks and solvers of this folder.

The prototxt files are what everything else reads; this is the only place that knows how the networks are built. Without
arguments all files are written; with --check nothing is, and the exit status is 1 when a file differs.
"""

import argparse
from pathlib import Path

from netgen import mtcnn, sfplus, solvers, sphereface, vgg
from sphereslim.commands.ending import run_command
from sphereslim.engine import caffe_pb2
from sphereslim.files import write_bytes
from sphereslim.net.messages import copy_of
from sphereslim.net.text import comment_lines, field_lines, to_text
from sphereslim.rewrite import shrink
from sphereslim.rewrite.replace import substitute
from sphereslim.rewrite.shallow import drop_layers

ROOT = Path(__file__).resolve().parent
DATA_NOTE = """
Change `source` (lines of `path label`) and `root_folder` to your pictures, and the classifier's num_output to
the number of people. """

SPHEREFACE_TITLES = {
    'sphereface-4-bn': 'SphereFace-4 with batch norm: BatchNorm and Scale after every convolution',
    'mobilenet-4': 'SphereFace-4 whose conv2_1, conv3_1 and conv4_1 are depthwise and pointwise convolutions',
    'mobilenet-10': 'SphereFace-10 whose residual convolutions are depthwise and pointwise convolutions',
}


def net_text(name, items, comment):
    """A net's prototxt; strings among the layers become comments that head what follows."""
    blocks = ['\n'.join(comment_lines(comment.strip())), f'name: "{name}"']
    heading = []
    for item in items:
        if isinstance(item, str):
            heading = ['', f'# {item}']
        else:
            lines = field_lines(caffe_pb2.NetParameter(layer=[item]))
            blocks.append('\n'.join(heading + lines))
            heading = []
    return '\n'.join(blocks) + '\n'


def for_deploy(items):
    """The layers without what only training needs: learning rates, fillers, dropout."""
    kept = [item if isinstance(item, str) else copy_of(item) for item in items]
    for item in kept:
        if not isinstance(item, str):
            item.ClearField('param')
            for field, value in item.ListFields():
                for filler in ('weight_filler', 'bias_filler'):
                    if field.name.endswith('_param') and filler in value.DESCRIPTOR.fields_by_name:
                        value.ClearField(filler)
    return kept


def sphereface_files():
    """train, deploy and solver of the SphereFace family."""
    files = {}
    for name, body in sphereface.BODIES.items():
        title = SPHEREFACE_TITLES.get(name, f'SphereFace-{name.split("-")[-1]}') + ', 112x96 faces.'
        train, deploy = sphereface.train_net(body), for_deploy(sphereface.deploy_net(body))
        files[f'{name}/train.prototxt'] = net_text(name, train, title + DATA_NOTE)
        files[f'{name}/deploy.prototxt'] = net_text(name, deploy, f'{title} The embedding is fc5.')
        files[f'{name}/solver.prototxt'] = to_text(solvers.sphereface(name), 'The schedule of SphereFace, batch 256.')
    return files


def sfplus_files():
    """train and solver of the four margins, as published for two GPUs and for one that accumulates two batches."""
    files = {}
    for margin in sfplus.RUNS:
        name = f'sfplus-m{margin}'
        title = f'SphereFace+ with margin m = {margin}, started from a pretrained SphereFace-20 (-weights).'
        for suffix, forwards, how in (('', 1, 'For two GPUs, as published.'), ('_one_gpu', 2, ONE_GPU)):
            train = net_text(name, sfplus.train(margin, forwards), f'{title}\n{how}{DATA_NOTE}')
            files[f'sfplus/m{margin}/train{suffix}.prototxt'] = train
            solver = to_text(sfplus.solver_for(margin, forwards), f'{title}\n{how}')
            files[f'sfplus/m{margin}/solver{suffix}.prototxt'] = solver
    return files


ONE_GPU = """For one GPU with iter_size 2: two forward passes an iteration, so lambda's gamma is halved and its first
iteration doubled, which gives lambda and alpha of two GPUs at the same iteration."""


def vgg_files():
    """train, deploy and solver of the plain chains."""
    celeba = 'VGG-11 with batch norm, 120x120 faces of 2360 people of CelebA.'
    entropy = 'VGG-16, 224x224, without hidden fully connected layers: the mean over 14x14 follows conv5_3.'
    small = 'The WebFace net, 100x100 faces.'
    nets = {
        'vgg16': (entropy, vgg.vgg16_train(), [vgg.network_input([1, 3, 224, 224]), *vgg.vgg16()]),
        'webface': (small, vgg.webface_train(), [vgg.network_input([1, 3, 100, 100]), *vgg.webface()]),
        'vgg11bn': (celeba, vgg.vgg11bn_train(), vgg.vgg11bn_deploy()),
    }
    files = {}
    for name, (title, train, deploy) in nets.items():
        files[f'{name}/train.prototxt'] = net_text(name, train, title + DATA_NOTE)
        files[f'{name}/deploy.prototxt'] = net_text(name, for_deploy(deploy), title)
    for name in ('vgg16', 'webface'):
        comment = 'Training from scratch at rate 0.01; the source gives only the rate its fine-tuning starts at.'
        schedule = solvers.multistep(name, [100000, 160000, 190000], 200000, base_lr=0.01, snapshot=10000)
        files[f'{name}/solver.prototxt'] = to_text(schedule, comment)
    files['vgg11bn/solver.prototxt'] = to_text(solvers.adam('vgg11bn'), 'Adam at 1e-5, batch 32.')
    return files


VGG11_VARIANTS = {
    'fire': ('fire', False, False),
    'dwpw': ('dwpw', False, False),
    'flame': ('flame', False, False),
    'flame-shrink': ('flame', True, False),
    'flame-shallow': ('flame', False, True),
    'flame-shrink-shallow': ('flame', True, True),
}


def vgg11bn_variants():
    """train, deploy and solver of the smaller versions of vgg11bn."""
    files = {}
    for name, (module, shrunk, shallow) in VGG11_VARIANTS.items():
        said = ['filters halved but in the last two'] * shrunk + ['without conv3, conv5 and conv7'] * shallow
        title = f'VGG-11 with {module} modules in place of conv2 to conv8' + ''.join(f', {part}' for part in said) + '.'
        for part, items in (('train', vgg.vgg11bn_train()), ('deploy', for_deploy(vgg.vgg11bn_deploy()))):
            net = caffe_pb2.NetParameter(name='vgg11bn', layer=[item for item in items if not isinstance(item, str)])
            net = drop_layers(shrink(net) if shrunk else net, ['conv3', 'conv5', 'conv7'] if shallow else [])
            layers = substitute(net, module).layer
            comment = title + DATA_NOTE * (part == 'train')
            files[f'vgg11bn/{name}/{part}.prototxt'] = net_text(f'vgg11bn-{name}', layers, comment)
        solver = to_text(solvers.adam(f'vgg11bn/{name}'), 'Adam at 1e-5, batch 32.')
        files[f'vgg11bn/{name}/solver.prototxt'] = solver
    return files


def mtcnn_files():
    """The three detection nets, deploy only."""
    files = {}
    for file, (name, make) in mtcnn.NETS.items():
        about = f'MTCNN, {make.__doc__}\nInput: RGB, (x - 127.5) / 128, transposed (width before height).'
        files[f'mtcnn/{file}.prototxt'] = net_text(name, for_deploy(make()), about)
    return files


def all_files():
    """Every generated file: {path under this folder: text}."""
    return sphereface_files() | sfplus_files() | vgg_files() | vgg11bn_variants() | mtcnn_files()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='compare with the files that are there instead of writing')
    check = parser.parse_args().check
    files = all_files()
    stale = [name for name, text in files.items() if not _same(ROOT / name, text)]
    for name in stale:
        print(f'{ROOT / name}: {"differs from what this generator writes" if check else "written"}')
        if not check:
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(ROOT / name, files[name].encode())
    print(f'{len(files) - len(stale)} of {len(files)} files were up to date')
    return 1 if check and stale else 0


def _same(path, text):
    return path.is_file() and path.read_text() == text


if __name__ == '__main__':
    run_command(main)
