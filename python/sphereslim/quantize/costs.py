"""Measuring every layer at every width, resumable, for the allocation of bits."""

from pathlib import Path

from sphereslim.errors import SlimError
from sphereslim.files import read_json, write_json
from sphereslim.quantize.bit_allocation import Cost, layer_cost


def measure_costs(net, distance, layers, widths, scheme, coding, cache, subject, progress):
    """{layer: [Cost]} for `layers` at `widths`, read from the file `cache` as far as it goes.

    The cache is written after every layer; `subject` says what was measured on what, and another subject's cache is
    refused. `progress` wraps the list of (layer, bits) still to measure, as tqdm does.
    """
    known = _read(cache, subject)
    missing = [
        (name, bits) for name in layers for bits in widths if bits not in {cost.bits for cost in known.get(name, [])}
    ]
    for position, (name, bits) in enumerate(progress(missing)):
        known.setdefault(name, []).append(layer_cost(net, distance, name, bits, scheme, coding))
        if position + 1 == len(missing) or missing[position + 1][0] != name:
            write_json(cache, {'subject': subject, 'costs': known})
    return {name: [cost for cost in known[name] if cost.bits in widths] for name in layers}


def _read(cache, subject):
    if not Path(cache).exists():
        return {}
    stored = read_json(cache)
    try:
        same = stored['subject'] == subject
        costs = {name: [Cost(*cost) for cost in costs] for name, costs in stored['costs'].items()}
    except (KeyError, TypeError, AttributeError):
        raise SlimError(f'{cache}: not the sensitivities of layers') from None
    if not same:
        raise SlimError(f'{cache}: sensitivities of another network, scheme or images; expected another output')
    return costs
