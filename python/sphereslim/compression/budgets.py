"""What may remain of a network: shares or amounts of MACs, parameters, bytes and milliseconds, and an accuracy kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.pruning.model import cost

EXPECTED = 'a share such as 0.7 or 70%, or an amount such as 350M'
BYTES_PER_PARAMETER = 0.5  # of a quantized file, below which accuracy falls faster by fewer bits than by fewer channels


@dataclass(frozen=True)
class Budget:
    """A share of the whole (0 to 1) or an amount, and the words that said so."""

    text: str
    share: float | None
    amount: float | None

    def of(self, whole: float, what: str) -> float:
        """The amount that may remain of `whole`, which counts `what`; SlimError where it is not less than all of it."""
        if self.share is not None:
            return self.share * whole
        assert self.amount is not None
        if self.amount > whole:
            raise SlimError(f'budget {self.text}: there are only {whole:,.0f} {what}, expected {EXPECTED}')
        return self.amount

    def share_of(self, whole: float, what: str) -> float:
        """The share of `whole` that may remain; SlimError as `of`."""
        return self.share if self.share is not None else self.of(whole, what) / whole


@dataclass(frozen=True)
class Budgets:
    """Each is None where nothing is asked. `accuracy` is the least that is kept on the first pairs, percent."""

    macs: Budget | None = None
    parameters: Budget | None = None
    bytes: Budget | None = None
    milliseconds: Budget | None = None
    accuracy: float | None = None

    def is_empty(self) -> bool:
        """Whether nothing is asked: then a curve of trade-offs is what to find."""
        return self == Budgets()

    def counted(self, net: caffe_pb2.NetParameter, size: int) -> dict[str, float]:
        """{macs or parameters: how many may remain} of a deploy NetParameter with a caffemodel of `size` bytes.

        A budget of bytes asks for fewer parameters only where each would have less than BYTES_PER_PARAMETER.
        """
        macs, parameters = cost(net)
        found = {}
        if self.macs:
            found['macs'] = self.macs.of(macs, 'MACs')
        if self.parameters:
            found['parameters'] = self.parameters.of(parameters, 'parameters')
        if self.bytes:
            most = self.bytes.of(size, 'bytes') / BYTES_PER_PARAMETER
            if most < parameters:
                found['parameters'] = min(most, found.get('parameters', most))
        return found


def price_of(limits: Mapping[str, float]) -> Callable[[caffe_pb2.NetParameter], float]:
    """What a deploy NetParameter costs in limits {macs or parameters: number}: 1 where it just meets all of them."""

    def price(net: caffe_pb2.NetParameter) -> float:
        known = dict(zip(('macs', 'parameters'), cost(net)))
        return max(known[name] / limit for name, limit in limits.items())

    return price
