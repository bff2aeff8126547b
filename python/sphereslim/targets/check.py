"""What of a net a target does not read, or reads slowly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sphereslim.engine import caffe, caffe_pb2, fields_beyond_bvlc
from sphereslim.net.costs import open_with_inputs
from sphereslim.net.inputs import is_data
from sphereslim.net.roles import opened_layers
from sphereslim.targets.facts import ANY, UNVERIFIED, Rule, Target
from sphereslim.targets.quantities import SIZES, Shape, Site, values_of

OBSTACLE, SLOW, NOTE = 'obstacle', 'slow', 'note'


@dataclass
class Finding:
    """One thing about some layers of a net: what it is, what to do, and who says so.

    An OBSTACLE keeps the target from reading or computing the net, SLOW costs speed only, a NOTE says that no public
    source is known. `layers` are names with a detail each where there is one; none are named for the net as a whole.
    """

    kind: str
    what: str
    instead: str
    source: str
    layers: list[str] = field(default_factory=list)


def check(net: caffe_pb2.NetParameter, target: Target, shape: tuple[int, ...] | None = None) -> list[Finding]:
    """The findings about a net, obstacles first. `shape` is the input's where the prototxt does not say it."""
    opened = open_with_inputs(net, shape)
    sites = [_site(layer, opened) for layer in opened_layers(net, opened)]
    found: dict[tuple[str, str], Finding] = {}
    for finding in (*_about_layers(sites, target), *_about_sizes(opened, sites, target)):
        known = found.setdefault((finding.what, finding.instead), finding)
        if known is not finding:
            known.layers += finding.layers
    return sorted(found.values(), key=lambda finding: (OBSTACLE, SLOW, NOTE).index(finding.kind))


def _site(layer: caffe_pb2.LayerParameter, opened: caffe.Net) -> Site:
    def shapes(names: Iterable[str]) -> list[Shape]:
        return [tuple(opened.blobs[name].data.shape) for name in names]

    return Site(layer, shapes(layer.bottom), shapes(layer.top))


def _about_layers(sites: list[Site], target: Target) -> Iterator[Finding]:
    for site in sites:
        layer = site.layer
        if is_data(layer):
            continue
        if layer.type not in target.types:
            instead = target.instead.get(layer.type) or target.instead[ANY]
            yield Finding(
                OBSTACLE, f'{layer.type}: there is no such layer', instead, _all_sources(target), [layer.name]
            )
            continue
        if target.types[layer.type] == UNVERIFIED:
            what = f'{layer.type}: no public source says whether there is such a layer'
            yield Finding(NOTE, what, target.instead.get(layer.type, 'try it'), UNVERIFIED, [layer.name])
        if target.bvlc_fields:
            for name in fields_beyond_bvlc(layer):
                what = f'{layer.type}: there is no field {name}'
                yield Finding(OBSTACLE, what, target.instead[ANY], _all_sources(target), [layer.name])
        yield from (_broken(rule, site, target) for rule in target.rules if _is_broken(rule, site))


def _all_sources(target: Target) -> str:
    return ', '.join(dict.fromkeys(target.said_by(source) for source in target.layers if source != UNVERIFIED))


def _is_broken(rule: Rule, site: Site) -> bool:
    applies = not rule.types or site.layer.type in rule.types
    return applies and not rule.holds(values_of(site, rule.value, rule.test == 'given'))


def _broken(rule: Rule, site: Site, target: Target) -> Finding:
    values = values_of(site, rule.value)
    detail = '' if rule.test == 'given' else f' ({_shown(values)})'
    kinds = f'{"/".join(rule.types)}: ' if rule.types else ''
    kind = SLOW if rule.slows else OBSTACLE
    return Finding(
        kind, f'{kinds}{rule.why}', rule.instead, target.said_by(rule.source), [f'{site.layer.name}{detail}']
    )


def _shown(values: list[Any]) -> str:
    return 'x'.join(f'{value:g}' if isinstance(value, float) else str(value) for value in values)


def _about_sizes(opened: caffe.Net, sites: list[Site], target: Target) -> Iterator[Finding]:
    for rule in target.sizes:
        value = SIZES[rule.value](opened, sites)
        if not rule.holds([value]):
            kind = SLOW if rule.slows else OBSTACLE
            yield Finding(kind, f'{rule.why}, and here it is {value:,}', rule.instead, target.said_by(rule.source))
