"""The pictures that the benchmarks of data layers read, and the layers that read them."""

from pathlib import Path

import cv2
import numpy as np
from sphereslim.engine import caffe, caffe_pb2

from caffe.data.db import backend_named, new_database

BATCH, HEIGHT, WIDTH = 64, 112, 96
LMDB = backend_named('lmdb')
MEAN, SCALE = 127.5, 0.0078125
TRANSFORM = f'transform_param {{ scale: {SCALE} mirror: true mean_value: {MEAN} }}'
LAYERS = {
    'ImageData': 'layer {{ name: "data" type: "ImageData" top: "data" top: "label" {transform} image_data_param '
    '{{ source: "{folder}/list.txt" batch_size: {batch} }} }}',
    'LMDB': 'layer {{ name: "data" type: "Data" top: "data" top: "label" {transform} data_param '
    '{{ source: "{folder}/raw" backend: LMDB batch_size: {batch} }} }}',
    'LMDB, encoded': 'layer {{ name: "data" type: "Data" top: "data" top: "label" {transform} data_param '
    '{{ source: "{folder}/encoded" backend: LMDB batch_size: {batch} }} }}',
}


def layer_text(kind, folder, batch=BATCH):
    """The prototxt of a data layer over what `make_pictures` put into `folder`."""
    return LAYERS[kind].format(folder=folder, batch=batch, transform=TRANSFORM)


def source(kind, folder):
    """A function that runs the data layer once."""
    path = Path(folder) / 'net.prototxt'
    path.write_text(layer_text(kind, folder))
    net = caffe.Net(str(path), caffe.TRAIN)
    return lambda: net.forward()


def macs_of(name):
    """Multiply-accumulates of a forward of one picture through a network of prototxt/."""
    path = Path(__file__).resolve().parents[2] / 'prototxt' / name / 'deploy.prototxt'
    net = caffe.Net(str(path), caffe.TEST)
    total = 0
    for layer, blobs in net.params.items():
        if net.layer_dict[layer].type in ('Convolution', 'InnerProduct'):
            places = np.prod(net.blobs[net.top_names[layer][0]].data.shape[2:], dtype=int)
            total += blobs[0].data.size * int(places)
    return total / net.blobs[net.inputs[0]].data.shape[0]


def wanted_rate(name, tflops):
    """Pictures/s that a GPU with so many sustained TFLOP/s takes in training."""
    return tflops * 1e12 / (6 * macs_of(name))


def make_pictures(folder, count):
    """The pictures and the list of `make_list`, and LMDBs of them raw and encoded; the pictures' paths."""
    paths = make_list(folder, count)
    make_databases(folder, paths)
    return paths


def make_list(folder, count):
    """JPEG files with the detail of photographs and list.txt, which gives each a label of its own; their paths."""
    rng, paths = np.random.default_rng(0), []
    for i in range(count):
        noise = rng.integers(0, 256, (14, 12, 3), dtype=np.uint8)
        image = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        image = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
        paths.append(str(folder / f'{i}.jpg'))
        cv2.imwrite(paths[-1], image)
    (folder / 'list.txt').write_text(''.join(f'{path} {i}\n' for i, path in enumerate(paths)))
    return paths


def make_databases(folder, paths):
    """LMDBs `raw` and `encoded` in `folder` of the pictures; CaffeError without the package lmdb."""
    with new_database(folder / 'raw', LMDB) as put_raw, new_database(folder / 'encoded', LMDB) as put_encoded:
        for i, path in enumerate(paths):
            planes = cv2.imread(path).transpose(2, 0, 1)
            raw = caffe_pb2.Datum(channels=3, height=HEIGHT, width=WIDTH, label=i, data=planes.tobytes())
            encoded = caffe_pb2.Datum(data=Path(path).read_bytes(), encoded=True, label=i)
            put_raw(b'%08d' % i, raw.SerializeToString())
            put_encoded(b'%08d' % i, encoded.SerializeToString())
