"""extract_features: blobs of a net over its own data, into databases."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import caffe
from caffe import log
from caffe.blobs.blob import Blob
from caffe.cli.flags import Spec, run
from caffe.data.db import backend_named, new_database
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

_SOURCE = 'extract_features'
_SPEC = Spec(
    'extract_features',
    'Run a net with a data layer in phase TEST and write blobs as Datums of floats, one per item, '
    'into new databases. Keys are the ten-digit position.',
    (),
    (
        ('PRETRAINED', 'the .caffemodel'),
        ('PROTO', 'the net prototxt'),
        ('BLOB1[,BLOB2…]', 'names of blobs'),
        ('DB1[,DB2…]', 'as many names of new databases'),
        ('NUM_MINI_BATCHES', 'how often to run the net'),
        ('DB_TYPE', 'lmdb or leveldb'),
        ('CPU|GPU?', 'where to run, by default CPU'),
        ('DEVICE_ID?', 'the number of the GPU, by default 0'),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    return run(_SPEC, _extract, argv)


def _extract(flags: argparse.Namespace, positionals: list[str]) -> None:
    weights, proto, blob_names, folders, batches, backend_name, mode, device = positionals
    blobs, targets, backend = blob_names.split(','), folders.split(','), backend_named(backend_name)
    if len(blobs) != len(targets) or not batches.isdigit() or (device and not device.isdigit()):
        raise CaffeError(
            f'{len(blobs)} blobs, {len(targets)} databases, {batches} mini-batches, device {device or 0}: '
            'expected a database for each blob, and whole numbers'
        )
    if mode not in ('', 'CPU', 'GPU'):
        raise CaffeError(f"'{mode}': expected CPU or GPU")
    if mode == 'GPU':
        caffe.set_device(int(device or 0))
        caffe.set_mode_gpu()
    net = caffe.Net(proto, caffe.TEST, weights=weights)
    for name in blobs:
        if name not in net.blobs:
            raise CaffeError(f"{proto}: has no blob '{name}', expected one of: {', '.join(net.blobs)}")
    _write(net, blobs, targets, int(batches), backend)


def _write(net: caffe.Net, blobs: list[str], targets: list[str], batches: int, backend: int) -> None:
    log.info(_SOURCE, 'Extracting Features')
    counts = dict.fromkeys(blobs, 0)
    with ExitStack() as stack:
        puts = [stack.enter_context(new_database(target, backend)) for target in targets]
        for batch in range(batches):
            net.forward()
            for name, put in zip(blobs, puts):
                for datum in _datums(net.blobs[name]):
                    put(f'{counts[name]:010d}'.encode(), datum.SerializeToString())
                    counts[name] += 1
            if (batch + 1) % 100 == 0:
                log.info(_SOURCE, f'Extracted features of {batch + 1} of {batches} mini-batches.')
    for name, target in zip(blobs, targets):
        log.info(_SOURCE, f'Extracted features of {counts[name]} query images for feature blob {name} to {target}')
    log.info(_SOURCE, 'Successfully extracted the features!')


def _datums(blob: Blob) -> Iterator[caffe_pb2.Datum]:
    for row in blob.data.reshape(blob.num, -1):
        yield caffe_pb2.Datum(channels=blob.channels, height=blob.height, width=blob.width, float_data=row.tolist())


if __name__ == '__main__':
    sys.exit(main())
