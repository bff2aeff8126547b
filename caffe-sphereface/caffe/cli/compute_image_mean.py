"""compute_image_mean: the mean picture of a database."""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from caffe import log
from caffe.cli.flags import Flag, Spec, run
from caffe.data.datum import datum_picture, datum_planes, parse_datum
from caffe.data.db import backend_named, open_reader
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto.files import write_bytes

_SOURCE = 'compute_image_mean'
_SPEC = Spec(
    'compute_image_mean',
    'Write the mean picture of a database of Datums, and log the mean of each channel.',
    (Flag('backend', 'lmdb', 'lmdb or leveldb'),),
    (('INPUT_DB', 'the database'), ('OUTPUT_FILE?', 'the .binaryproto to write')),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    return run(_SPEC, _compute, argv)


def _compute(flags: argparse.Namespace, positionals: list[str]) -> None:
    source, target = positionals
    mean = mean_of(source, backend_named(flags.backend))
    if target:
        log.info(_SOURCE, f'Write to {target}')
        blob = caffe_pb2.BlobProto(num=1, channels=mean.shape[0], height=mean.shape[1], width=mean.shape[2])
        blob.data.extend(mean.reshape(-1).tolist())
        write_bytes(target, blob.SerializeToString())
    log.info(_SOURCE, f'Number of channels: {len(mean)}')
    for channel, values in enumerate(mean):
        log.info(_SOURCE, f'mean_value channel [{channel}]: {log.number(values.mean())}')


def mean_of(source: str, backend: int) -> np.ndarray:
    """The mean of all Datums of a database as float32 (channels, height, width)."""
    reader = open_reader(source, backend)
    first, count = reader.peek()[0], 0
    total: np.ndarray | None = None
    while True:
        key, fetch = reader.step()
        try:
            planes = _planes(fetch())
            if total is None:
                total = np.zeros(planes.shape)
            if planes.shape != total.shape:
                raise CaffeError(f'has shape {planes.shape}, the first record {total.shape}; expected the same')
        except CaffeError as error:
            raise CaffeError(f"{source}: record '{key.decode(errors='replace')}': {error}") from None
        total += planes
        count += 1
        if count % 10000 == 0:
            log.info(_SOURCE, f'Processed {count}{f" of {reader.count}" if reader.count else ""} files.')
        if reader.peek()[0] == first:
            log.info(_SOURCE, f'Processed {count} files.')
            return (total / count).astype(np.float32)


def _planes(content: bytes) -> np.ndarray:
    datum = parse_datum(content)
    if not datum.encoded:
        return datum_planes(datum)
    image = datum_picture(datum)
    return image.transpose(2, 0, 1) if image.ndim == 3 else image[None]


if __name__ == '__main__':
    sys.exit(main())
