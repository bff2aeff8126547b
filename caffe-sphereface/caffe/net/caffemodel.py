"""The parameters of a net to and from .caffemodel files."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from caffe import log
from caffe.blobs.blob import set_values
from caffe.errors import CaffeError
from caffe.layers.support.registry import Layer
from caffe.net.hdf5_weights import load_hdf5
from caffe.proto import dialects, wire
from caffe.proto.files import write_bytes
from caffe.proto.hdf5_file import is_hdf5

if TYPE_CHECKING:
    from caffe.net.net import Net


T = TypeVar('T')


def copy_from(net: 'Net', path: str) -> None:
    """Copy the parameters of layers that have the same name from a .caffemodel (binary or HDF5, told by content).

    Raises CaffeError where counts or shapes of a layer's blobs differ; nothing is copied then.
    """
    if is_hdf5(path):
        load_hdf5(net, path)
        return
    chosen = []
    for layer, name, arrays in _matches(net, wire.read_weights(path)):
        if layer is None:
            log.info('net.cpp:744', f'Ignoring source layer {name}')
        else:
            chosen.append((layer, arrays))
    for layer, arrays in chosen:
        if len(arrays) != len(layer.blobs):
            raise CaffeError(
                f"{path}: layer '{layer.name}' ({layer.type}) has {len(arrays)} parameter blobs, "
                f'the net expects {len(layer.blobs)}'
            )
        for i, (array, blob) in enumerate(zip(arrays, layer.blobs)):
            if not same_shape(array.shape, blob.shape):
                raise CaffeError(
                    f"{path}: layer '{layer.name}' ({layer.type}), blob {i} has shape {array.shape}, "
                    f'the net expects {blob.shape}'
                )
    for layer, arrays in chosen:
        for array, blob in zip(arrays, layer.blobs):
            set_values(blob, array)


def share(net: 'Net', other: 'Net') -> None:
    """Let the layers of `net` use the parameters of another net's layers of the same name.

    Raises CaffeError where counts or shapes differ.
    """
    for layer, _, blobs in _matches(net, [(layer.name, layer.blobs) for layer in other.layers]):
        if layer is None:
            continue
        if len(blobs) != len(layer.blobs):
            layer.error(f'cannot share {len(blobs)} parameter blobs, it has {len(layer.blobs)} of its own')
        for mine, source in zip(layer.blobs, blobs):
            if mine.shape != source.shape:
                layer.error(f'cannot share parameters of shape {source.shape}, its own shape is {mine.shape}')
            mine.share_data(source)


def take_stated(layer: Layer) -> None:
    """Give a layer's parameters the values in `blobs` of its LayerParameter, if any, in place of its fillers'."""
    stated = layer.param.blobs
    if stated and len(stated) != len(layer.blobs):
        layer.error(f'states {len(stated)} blobs, expected none or one for each of its {len(layer.blobs)} parameters')
    for i, (source, blob) in enumerate(zip(stated, layer.blobs)):
        raw = wire.raw_class('BlobProto').FromString(source.SerializeToString())
        array = wire.blob_array(raw, f"layer '{layer.name}' ({layer.type}), blob {i}")
        if not same_shape(array.shape, blob.shape):
            layer.error(f'states blob {i} of shape {array.shape}, expected {blob.shape}')
        set_values(blob, array)


def _matches(net: 'Net', named: Iterable[tuple[str, Sequence[T]]]) -> list[tuple[Layer | None, str, Sequence[T]]]:
    """[(layer of `net` or None, name, blobs)] for the (name, blobs) of another net or of a file."""
    named = list(named)
    layers = dict(zip(_keys([(layer.name, layer.blobs) for layer in net.layers]), net.layers))
    return [(layers.get(key), name, blobs) for key, (name, blobs) in zip(_keys(named), named)]


def _keys(named: Sequence[tuple[str, Sequence]]) -> list[tuple[str, int]]:
    """A key for each (name, blobs): the name and how many came before; those without blobs come last.

    Names of layers need not differ: a ReLU may be called like the Convolution before it.
    """
    keys: dict[int, tuple[str, int]] = {}
    seen: Counter[str] = Counter()
    for i, (name, _) in sorted(enumerate(named), key=lambda each: not each[1][1]):
        keys[i] = name, seen[name]
        seen[name] += 1
    return [keys[i] for i in range(len(keys))]


def same_shape(saved: Sequence[int], expected: Sequence[int]) -> bool:
    """True when shapes agree, a legacy shape of 4 axes, or 5 of C3D's, matching the same without its leading ones."""
    padded = ((1,) * (axes - len(expected)) + tuple(expected) for axes in (4, 5))
    return tuple(saved) in (tuple(expected), *padded)


def check_dialect(net: 'Net') -> None:
    """CaffeError where a layer has a parameter that the dialect chosen for caffemodels has not."""
    message = wire.raw_class('NetParameter')()
    for layer in net.layers:
        message.layer.add().ParseFromString(layer.param.SerializePartialToString())
        del message.layer[-1].blobs[:]
    dialects.net_to_bytes(message, dialects.dialect(), net.name or 'net')


def to_bytes(net: 'Net', with_diff: bool = False) -> bytes:
    """A net with its parameters as the bytes of a binary NetParameter, in the dialect chosen for the process.

    Raises CaffeError where a layer has a parameter that the dialect has not.
    """
    message = wire.raw_class('NetParameter')(name=net.name)
    for layer in net.layers:
        raw = message.layer.add()
        raw.ParseFromString(layer.param.SerializePartialToString())
        del raw.blobs[:]
        for blob in layer.blobs:
            saved = raw.blobs.add()
            wire.fill_blob(saved, blob.tensor.detach().cpu().numpy())
            if with_diff:
                wire.fill_blob(saved, blob.grad.cpu().numpy(), 'diff')
    if dialects.dialect() != dialects.OURS:
        return dialects.net_to_bytes(message, dialects.dialect(), net.name or 'net')
    return wire.move_to_master_numbers(message)


def save(net: 'Net', path: str, with_diff: bool = False) -> None:
    """Write a binary .caffemodel, whole or not at all."""
    write_bytes(path, to_bytes(net, with_diff))
