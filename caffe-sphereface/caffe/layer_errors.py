"""What goes wrong inside a layer, told as one line that names the layer where that is known."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn, Protocol

import cv2
import torch

from caffe.errors import CaffeError

# what torch, numpy and OpenCV raise for sizes and values that they cannot work with
COMPUTING_ERRORS = (RuntimeError, ValueError, IndexError, TypeError, ArithmeticError, MemoryError, cv2.error)


class NamedLayer(Protocol):
    """What an error tells of a layer."""

    @property
    def name(self) -> str:
        """Its name in the net."""

    @property
    def type(self) -> str:
        """Its Caffe type name."""


class ShapedBlob(Protocol):
    """What an error tells of a blob."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its dimensions."""


OUT_OF_RANGE = (
    'a label or an index is out of range, which a GPU tells late and without naming it; the same run on '
    'the CPU tells the layer and the values'
)


def is_out_of_range(error: BaseException) -> bool:
    """Whether a GPU has found a label or an index out of range; it does nothing more in this process then."""
    return isinstance(error, RuntimeError) and 'device-side assert' in str(error)


def raise_explained(layer: 'NamedLayer', error: BaseException, bottom: 'Iterable[ShapedBlob]' = ()) -> NoReturn:
    """Raise `error` as it is where it speaks for itself, and as a CaffeError of `layer` over `bottom` otherwise."""
    named = isinstance(error, CaffeError) and "layer '" in str(error)
    if named or isinstance(error, torch.OutOfMemoryError):
        raise error
    if is_out_of_range(error):
        raise CaffeError(f"layer '{layer.name}' ({layer.type}) or one before it: {OUT_OF_RANGE}") from error
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if isinstance(error, MemoryError) or "can't allocate memory" in lines[0]:
        lines = ['needs more memory than this machine gives, expected smaller blobs']
    elif bottom and not isinstance(error, CaffeError):
        # words of PyTorch or NumPy, who know nothing of blobs
        shapes = ' and '.join(str(blob.shape) for blob in bottom)
        lines = [f'cannot work on bottoms of shape {shapes} ({lines[0]})']
    raise CaffeError(f"layer '{layer.name}' ({layer.type}): {lines[0][:300]}") from error


@contextmanager
def named_after(origin: str | None) -> Iterator[None]:
    """Begin every CaffeError from inside with the file `origin`, where there is one."""
    try:
        yield
    except CaffeError as error:
        if origin is None or str(error).startswith(f'{origin}: '):
            raise
        raise CaffeError(f'{origin}: {error}') from error.__cause__


@contextmanager
def in_one_line() -> Iterator[None]:
    """Turn what runs out of memory inside, and what a GPU tells late, into a CaffeError."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise CaffeError(f'out of GPU memory ({str(error).split(". ")[0]}); a smaller batch_size helps') from None
    except MemoryError:
        raise CaffeError('out of memory; a smaller batch_size helps') from None
    except RuntimeError as error:
        if not is_out_of_range(error):
            raise
        raise CaffeError(OUT_OF_RANGE) from error
