"""Which blobs are quantized, with how many bits."""

from collections.abc import Mapping, Sequence
from typing import Any

from sphereslim.errors import SlimError
from sphereslim.quantization.schemes import SCHEMES

MAX_BITS = 16
FLOAT_BITS = 32
FILTER = 'linear-filter'
HALF = 'half'  # of vectors: half precision


def is_convolution(layer_type: str) -> bool:
    """Convolution, Deconvolution and their depthwise relatives of other builds."""
    return 'convolution' in layer_type.lower()


def is_vector(shape: tuple[int, ...]) -> bool:
    """Biases, slopes, norm statistics: at most one axis longer than 1."""
    return sum(extent > 1 for extent in shape) <= 1


def check_bits(bits: int, scheme: str, where: str = 'bits') -> int:
    """Returns `bits`, or raises SlimError when the scheme cannot use them."""
    if scheme == 'binary' and bits != 1:
        raise SlimError(f'{where}: {bits}, expected 1 for the binary scheme')
    if scheme == FILTER and bits == 1:
        raise SlimError(f'{where}: 1, expected at least 2 for the {FILTER} scheme')
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= MAX_BITS:
        raise SlimError(f'{where}: {bits}, expected a whole number from 1 to {MAX_BITS}')
    return bits


def bits_of_layers(
    bits: Mapping[str, int] | int, layers: Sequence[tuple[str, str]], scheme: str, only: str
) -> dict[str, int]:
    """{layer name: bits} of the layers to quantize.

    `bits` is one number, or a mapping from layer names to numbers in which `*` stands for all others and 32 keeps
    a layer as it is. `layers` are (name, type) pairs; `only` is 'conv' or 'all'.
    """
    if scheme not in (*SCHEMES, FILTER, 'binary'):
        raise SlimError(f'scheme {scheme}: expected one of {", ".join([*SCHEMES, FILTER, "binary"])}')
    if only not in ('conv', 'all'):
        raise SlimError(f'layers {only}: expected conv or all')
    asked: dict[str, Any] = bits if isinstance(bits, dict) else {'*': bits}
    names = {name for name, _ in layers}
    unknown = sorted(set(asked) - names - {'*'})
    if unknown:
        raise SlimError(f'bits of layer {unknown[0]}: the net has no such layer with weights')
    candidates = [name for name, kind in layers if name in asked or only == 'all' or is_convolution(kind)]
    widths = {name: asked[name] if name in asked else asked.get('*', FLOAT_BITS) for name in candidates}
    return {
        name: check_bits(width, scheme, f'bits of layer {name}' if name in asked else 'bits')
        for name, width in widths.items()
        if width != FLOAT_BITS
    }


def parse_bits(text: str) -> int | dict[str, int]:
    """`6` -> 6; `conv1=8,conv2=6,*=5` -> {'conv1': 8, 'conv2': 6, '*': 5}."""
    if '=' not in text:
        return _whole_number(text, text)
    pairs = [item.rpartition('=') for item in text.split(',')]
    return {name: _whole_number(width, text) for name, _, width in pairs}


def parse_range(text: str) -> list[int]:
    """`4-12` -> [4, ..., 12]; `4,6,8` -> [4, 6, 8]."""
    first, dash, last = text.partition('-')
    if dash:
        widths = list(range(_whole_number(first, text), _whole_number(last, text) + 1))
    else:
        widths = [_whole_number(word, text) for word in text.split(',')]
    if not widths or not all(1 <= width <= MAX_BITS for width in widths):
        raise SlimError(f'bits {text}: expected a range such as 4-12 or a list such as 4,6,8 within 1 to {MAX_BITS}')
    return widths


def _whole_number(word: str, text: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise SlimError(f'bits {text}: expected a number, or name=number,name=number') from None
