"""The .qcaffemodel file: writing, checked reading. docs/qcaffemodel.md gives its size to the byte."""

import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError

from sphereslim.errors import SlimError
from sphereslim.files import read_bytes, write_bytes
from sphereslim.quantization import qcaffemodel_pb2 as pb
from sphereslim.quantization.indices import CODINGS, decode, encode
from sphereslim.quantization.quantized_net import Dictionary, QuantizedBlob, QuantizedLayer, QuantizedNet

FORMAT = 'qcaffemodel 1'
FORMAT_HALF = 'qcaffemodel 2'  # where a blob holds something in half precision; the same otherwise
_FLOATS = np.dtype('<f4')
_HALVES = np.dtype('<f2')
_POSITIONS = np.dtype('<u4')


def write_quantized(net: QuantizedNet, path: str | Path, coding: str = 'none') -> int:
    """Writes a QuantizedNet; `coding` is none, zlib or lzma. Returns the size of the file in bytes."""
    data = to_bytes(net, coding)
    write_bytes(path, data)
    return len(data)


def read_quantized(path: str | Path) -> QuantizedNet:
    """The QuantizedNet in a file; raises SlimError naming it when it is cut short, damaged or something else."""
    return unpack_network(read_network(path), path)


def read_network(path: str | Path) -> pb.Network:
    """The file's checked Network message, which holds what each part takes on disk."""
    data = read_bytes(path)
    file = pb.QCaffeModel()
    try:
        file.ParseFromString(data)
    except DecodeError:
        raise SlimError(f'{path}: not a qcaffemodel or cut short ({len(data)} bytes)') from None
    if not file.format.startswith('qcaffemodel'):
        raise SlimError(f'{path}: not a qcaffemodel ({len(data)} bytes)')
    if file.format not in (FORMAT, FORMAT_HALF):
        raise SlimError(f'{path}: format "{file.format}", expected "{FORMAT}" or "{FORMAT_HALF}"')
    intact = hashlib.sha256(file.network).digest() == file.sha256
    file.DiscardUnknownFields()
    if not intact or file.SerializeToString() != data:
        raise SlimError(f'{path}: damaged, its checksum does not match ({len(data)} bytes)')
    return pb.Network.FromString(file.network)


def to_bytes(net: QuantizedNet, coding: str = 'none') -> bytes:
    """The bytes of the file."""
    if coding not in CODINGS:
        raise SlimError(f'coding {coding}: expected one of {", ".join(CODINGS)}')
    network = pack_network(net, CODINGS[coding]).SerializeToString(deterministic=True)
    digest = hashlib.sha256(network).digest()
    half = any(blob.half for layer in net.layers for blob in layer.blobs)
    return pb.QCaffeModel(format=FORMAT_HALF if half else FORMAT, sha256=digest, network=network).SerializeToString()


def pack_network(net: QuantizedNet, coding: int) -> pb.Network:
    """QuantizedNet -> Network message."""
    network = pb.Network(name=net.name, scheme=net.scheme, scope=net.scope)
    if net.deploy:
        network.deploy = zlib.compress(net.deploy, 9)
    for dictionary in net.dictionaries:
        network.dictionary.add(bits=dictionary.bits, values=dictionary.values.astype(_FLOATS).tobytes())
    for layer in net.layers:
        message = network.layer.add(name=layer.name, type=layer.type)
        for blob in layer.blobs:
            message.blob.append(_pack_blob(net, blob, coding))
    return network


def unpack_network(network: pb.Network, path: str | Path) -> QuantizedNet:
    """Network message -> QuantizedNet; `path` names the file in errors."""
    dictionaries = [Dictionary(d.bits, np.frombuffer(d.values, _FLOATS)) for d in network.dictionary]
    layers = []
    for layer in network.layer:
        blobs = []
        for number, blob in enumerate(layer.blob):
            try:
                blobs.append(_unpack_blob(dictionaries, blob))
            except (SlimError, ValueError) as error:
                raise SlimError(f'{path}: layer {layer.name}, blob {number}: {error}') from None
        layers.append(QuantizedLayer(layer.name, layer.type, blobs))
    deploy = zlib.decompress(network.deploy) if network.deploy else b''
    return QuantizedNet(network.name, network.scheme, network.scope, dictionaries, layers, deploy)


def _pack_blob(net: QuantizedNet, blob: QuantizedBlob, coding: int) -> pb.Blob:
    message = pb.Blob(dim=blob.shape, legacy=blob.legacy)
    if blob.dictionary is None:
        if blob.half:
            message.halves = np.asarray(blob.floats, _HALVES).tobytes()
        else:
            message.floats = np.asarray(blob.floats, _FLOATS).tobytes()
        return message
    bits = net.dictionaries[blob.dictionary].bits
    message.error = blob.error
    message.dictionary = blob.dictionary + 1
    message.coding, message.indices = encode(np.asarray(blob.indices), bits, coding)
    if blob.scales is not None and blob.half:
        message.half_scales = blob.scales.astype(_HALVES).tobytes()
    elif blob.scales is not None:
        message.scales = blob.scales.astype(_FLOATS).tobytes()
    for entry, positions in sorted(blob.escapes.items()):
        message.escape.append(_pack_escape(entry, positions, blob.count))
    return message


def _pack_escape(entry: int, positions: np.ndarray, count: int) -> pb.Escape:
    """Positions one by one, or a bit for every weight when that is smaller."""
    if 4 * len(positions) <= (count + 7) // 8:
        return pb.Escape(entry=entry, positions=positions.astype(_POSITIONS).tobytes())
    plane = np.zeros(count, np.uint8)
    plane[positions] = 1
    return pb.Escape(entry=entry, plane=True, positions=np.packbits(plane, bitorder='little').tobytes())


def _unpack_blob(dictionaries: Sequence[Dictionary], message: pb.Blob) -> QuantizedBlob:
    half = bool(message.halves or message.half_scales)
    blob = QuantizedBlob(tuple(message.dim), message.legacy, error=message.error, half=half)
    if not message.dictionary:
        blob.floats = _numbers(message.floats, message.halves)
        _expect(len(blob.floats) == blob.count, f'{len(blob.floats)} values, expected shape {blob.shape}')
        return blob
    _expect(message.dictionary <= len(dictionaries), f'dictionary {message.dictionary} of {len(dictionaries)}')
    blob.dictionary = message.dictionary - 1
    dictionary = dictionaries[blob.dictionary]
    blob.indices = decode(message.coding, message.indices, blob.count, dictionary.bits)
    _expect(blob.count == 0 or blob.indices.max() < len(dictionary.values), 'an index beyond its dictionary')
    if message.scales or message.half_scales:
        blob.scales = _numbers(message.scales, message.half_scales)
        _expect(blob.count % len(blob.scales) == 0, f'{len(blob.scales)} scales, expected one per filter')
    for escape in message.escape:
        _expect(escape.entry < len(dictionary.values), 'an escape beyond its dictionary')
        blob.escapes[escape.entry] = _unpack_escape(escape, blob.count)
    return blob


def _numbers(floats: bytes, halves: bytes) -> np.ndarray:
    """The float32 numbers in one of two fields, of which the other is empty."""
    return np.frombuffer(halves, _HALVES).astype(np.float32) if halves else np.frombuffer(floats, _FLOATS)


def _unpack_escape(escape: pb.Escape, count: int) -> np.ndarray:
    if not escape.plane:
        positions = np.frombuffer(escape.positions, _POSITIONS)
        _expect(len(positions) == 0 or positions.max() < count, f'an escape beyond the {count} weights')
        return positions
    plane = np.frombuffer(escape.positions, np.uint8)
    _expect(len(plane) == (count + 7) // 8, f'an escape plane of {len(plane)} bytes for {count} weights')
    return np.flatnonzero(np.unpackbits(plane, count=count, bitorder='little')).astype(_POSITIONS)


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise SlimError(message)
