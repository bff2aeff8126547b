"""Whole passes of a net on a GPU as CUDA graphs: captured where nothing in them can change, and dropped when it does.

A pass is done as it is written until shapes, precision and what else it depends on have been the same for a while, and
whenever a layer, a hook or something else keeps it from being captured, which is logged once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch

from caffe import device, log, random
from caffe.blobs.blob import Blob
from caffe.cuda_graphs.recording import Recording
from caffe.errors import CaffeError
from caffe.layer_errors import named_after
from caffe.net.fused_groups import Conditions
from caffe.process_state import state

if TYPE_CHECKING:
    from caffe.net.net import Net

# passes under the same conditions before one is captured: by then kernels are loaded, and weights folded
SETTLED = 3


class CapturedPass:
    """`work`, which runs all layers of `net` but those `ahead`, and gives the loss: `run` does it, or replays it.

    `what` is its name in the log. Layers that feed the net run as they are written before each pass, and so do those
    behind them that cannot be captured; their tops are copied to where the graph reads them. `tensors` gives the list
    of what the work changes in place besides blobs; `goes_back` says whether it changes diffs.
    """

    def __init__(
        self,
        net: Net,
        what: str,
        work: Callable[[], torch.Tensor | float],
        tensors: Callable[[], list[torch.Tensor]] = list,
        goes_back: bool = True,
    ) -> None:
        self.net, self.what, self.goes_back = net, what, goes_back
        self._tensors = tensors
        self._held: list[torch.Tensor] = []  # those of them that the recording reads and writes
        self.ahead = _ahead(net)
        self._work = work
        self._fused = [each for candidates in net.fused.values() for each in candidates]
        self._conditions: Conditions | None = None  # those of the last passes
        self._key: object = None  # what they were called with
        self._passes = 0  # under these conditions
        self._others = 0  # passes of the net that others have run by the end of the last one
        self._recording: Recording | None = None
        self._loss: torch.Tensor | float = 0.0  # what the recording writes it to
        self._failure: str | None = None
        self._told: set[str] = set()

    @property
    def is_captured(self) -> bool:
        """Whether the next pass is replayed, if nothing changes until then."""
        return self._recording is not None

    def obstacle(self) -> str | None:
        """Why passes cannot be captured; None where they can."""
        if device.device().type != 'cuda':
            return 'nets run on the CPU'
        if self.net.is_hooked:
            return 'a hook looks at its layers'
        for i, layer in enumerate(self.net.layers):
            if i not in self.ahead and layer.no_capture:
                return f"layer '{layer.name}' ({layer.type}): {layer.no_capture}"
        return self._failure

    def decline(self, reason: str) -> None:
        """Let go of what was captured, for passes that are not run here; a reason is logged once."""
        self._drop()
        self._keep_numbers_on(None)
        self._tell(f'not captured: {reason}')

    def run(self, key: object = None) -> torch.Tensor | float:
        """Do a pass, where there is no obstacle: its loss. What else it depends on is `key`, compared by ==."""
        with named_after(self.net.origin):
            return self._run(key)

    def _run(self, key: object) -> torch.Tensor | float:
        self._keep_numbers_on(device.device())
        self.net.advance(0, len(self.net.layers) - 1)
        for i in self.ahead:
            self.net.run_layer(i)
        memories = [blob.data_memory for layer in self.net.layers for blob in layer.blobs]
        if self._is_settled((key, state.gpu_channels_last, random.generator(device.device()), memories)):
            if self._recording is None:
                self._record()
            if self._recording is not None:
                self._take_tensors()
                self._recording.replay()
                return self._loss.clone() if isinstance(self._loss, torch.Tensor) else self._loss
        return self._work()

    def _take_tensors(self) -> None:
        """Copy to where the recording has them those that somebody has replaced."""
        present = self._tensors()
        for k, place in enumerate(self._held):
            if present[k] is not place:
                place.copy_(present[k])
                present[k] = place

    def _is_settled(self, key: object) -> bool:
        """Whether all is as it was in the last passes; else what was captured is let go of."""
        shapes = [blob.shape for blob in self.net.wiring.blobs.values()]
        same = self._conditions is not None and self._conditions.holds(shapes) and key == self._key
        if not same or self._others != self.net.passes:
            self._drop()
            self._key, self._others = key, self.net.passes
            self._conditions = Conditions.of(shapes, [layer for each in self._fused for layer in each.layers])
        self._passes += 1
        return self._conditions is not None and self._passes > SETTLED

    def _drop(self) -> None:
        self._recording, self._passes, self._conditions = None, 0, None

    def _keep_numbers_on(self, where: torch.device | None) -> None:
        for layer in self.net.layers:
            for number in layer.numbers:
                number.lie_on(where)

    def _record(self) -> None:
        inputs = [blob for i in self.ahead for blob in self.net.wiring.tops[i]]
        for blob in inputs:
            blob.data_memory.settle_in(blob.tensor.clone())  # a place of its own, where no batch lies
        parameters = [blob for layer in self.net.layers for blob in layer.blobs]
        lasting = {blob.data_memory: blob.tensor for blob in [*inputs, *parameters]}
        self._fetch_from_host()
        self._held = list(self._tensors())
        memories = [blob.data_memory for blob in self._blobs()]
        memories += [blob.diff_memory for blob in self._blobs() if self.goes_back]
        try:
            self._recording = Recording(self._recorded, device.device(), memories, lasting, self._fused)
        except CaffeError as error:
            self._failure = str(error)
            self._tensors()[:] = self._held
        else:
            self._tell('captured')

    def _recorded(self) -> None:
        self._loss = self._work()
        if any(tensor is not place for tensor, place in zip(self._tensors(), self._held)):
            raise CaffeError('the history of the parameters does not stay where it is in memory')

    def _blobs(self) -> Iterator[Blob]:
        """All blobs that a pass may change."""
        for layer, top in zip(self.net.layers, self.net.wiring.tops):
            yield from [*top, *layer.blobs]

    def _fetch_from_host(self) -> None:
        """Take to the GPU what Python has looked at, which the pass would do otherwise."""
        for blob in self._blobs():
            if blob.data_memory.is_on_host:
                _ = blob.tensor
            if blob.diff_memory.is_on_host and self.goes_back:
                _ = blob.grad

    def _tell(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            log.info('captured.py', f'CUDA graphs: the {self.what} is {what}')


class CapturedForward:
    """The whole forward of a net in the TEST phase."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._pass = CapturedPass(net, f"forward of net '{net.name}'", self._forward, goes_back=False)

    def run(self) -> torch.Tensor | float | None:
        """Run it, replayed once that is possible: the loss; None, and nothing done, where it can never be captured."""
        reason = self._pass.obstacle()
        if reason is None:
            return self._pass.run()
        self._pass.decline(reason)
        return None

    def _forward(self) -> torch.Tensor | float:
        return self._net.compute(0, len(self._net.layers) - 1, self._pass.ahead)


def _ahead(net: Net) -> list[int]:
    """Indices of the layers that feed the net: without bottoms, or not to be captured and fed by such alone."""
    fed: set[int] = set()
    ahead: list[int] = []
    wiring = net.wiring
    for i, (layer, bottom, top) in enumerate(zip(net.layers, wiring.bottoms, wiring.tops)):
        has_backward = wiring.layer_needs[i] and not layer.values_from  # which force_backward asks of all layers
        is_plain = not (has_backward or layer.blobs or wiring.loss_terms[i])
        stays_out = not bottom or layer.no_capture or layer.passes_bottom_on
        if is_plain and stays_out and all(id(blob.data_memory) in fed for blob in bottom):
            ahead.append(i)
            fed.update(id(blob.data_memory) for blob in top)
        else:
            fed.difference_update(id(blob.data_memory) for blob in top)
    return ahead
