"""The pictures that the benchmarks of data layers read, and the layers that read them."""

from pathlib import Path

import cv2
import lmdb
import numpy as np
from sphereslim.engine import caffe, caffe_pb2

BATCH, HEIGHT, WIDTH = 64, 112, 96
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


def layer_text(kind, folder):
    """The prototxt of a data layer over what `make_pictures` put into `folder`."""
    return LAYERS[kind].format(folder=folder, batch=BATCH, transform=TRANSFORM)


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
    """JPEG files with the detail of photographs, a list of them, and LMDBs of them raw and encoded; their paths."""
    rng, paths, encoded, raw = np.random.default_rng(0), [], [], []
    for i in range(count):
        noise = rng.integers(0, 256, (14, 12, 3), dtype=np.uint8)
        image = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        image = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
        paths.append(str(folder / f'{i}.jpg'))
        cv2.imwrite(paths[-1], image)
        encoded.append(caffe_pb2.Datum(data=Path(paths[-1]).read_bytes(), encoded=True, label=i))
        raw.append(
            caffe_pb2.Datum(
                channels=3, height=HEIGHT, width=WIDTH, label=i, data=cv2.imread(paths[-1]).transpose(2, 0, 1).tobytes()
            )
        )
    (folder / 'list.txt').write_text(''.join(f'{path} {i}\n' for i, path in enumerate(paths)))
    for name, items in (('raw', raw), ('encoded', encoded)):
        with lmdb.open(str(folder / name), map_size=1 << 30) as database, database.begin(write=True) as write:
            for i, datum in enumerate(items):
                write.put(f'{i:08d}'.encode(), datum.SerializeToString())
    return paths
