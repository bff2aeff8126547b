"""`debug_info`: the mean absolute value of every blob and parameter in the log, in Caffe's words."""

from typing import TYPE_CHECKING

import torch

from caffe import log
from caffe.layers.support.registry import Layer

if TYPE_CHECKING:
    from caffe.net.net import Net


class DebugInfo:
    """Logs what goes through a net while `active`: after each layer's forward and backward, and after updates."""

    def __init__(self, net: 'Net') -> None:
        self.net, self.active = net, True
        net.after_forward(self._forward)
        net.after_backward(self._backward)

    def _forward(self, index: int) -> None:
        if not self.active:
            return
        layer = self.net.layers[index]
        for name, blob in zip(layer.param.top, self.net.wiring.tops[index]):
            log.info('net.cpp:591', f'    [Forward] Layer {layer.name}, top blob {name} data: {_mean(blob.tensor)}')
        for i, blob in enumerate(layer.blobs):
            log.info(
                'net.cpp:601',
                f'    [Forward] Layer {layer.name}, param blob {_param_name(layer, i)} data: {_mean(blob.tensor)}',
            )

    def _backward(self, index: int) -> None:
        if not self.active:
            return
        layer = self.net.layers[index]
        if self.net.wiring.layer_needs[index]:
            self._layer_diffs(index, layer)
        if index == 0:
            self._totals()

    def _layer_diffs(self, index: int, layer: Layer) -> None:
        bottoms = zip(layer.param.bottom, self.net.wiring.bottoms[index], self.net.wiring.bottom_needs[index])
        for name, blob, needed in bottoms:
            if needed:
                log.info(
                    'net.cpp:619', f'    [Backward] Layer {layer.name}, bottom blob {name} diff: {_mean(blob.grad)}'
                )
        for i, blob in enumerate(layer.blobs):
            if layer.param_propagate_down[i]:
                log.info('net.cpp:630', f'    [Backward] Layer {layer.name}, param blob {i} diff: {_mean(blob.grad)}')

    def _totals(self) -> None:
        blobs = self.net.learnable.blobs
        if not blobs:
            return
        norms = [
            _norm([getattr(blob, side) for blob in blobs], order) for order in (1, 2) for side in ('tensor', 'grad')
        ]
        first, first_diff, second, second_diff = map(log.number, norms)
        log.info(
            'net.cpp:575',
            f'    [Backward] All net params (data, diff): L1 norm = ({first}, {first_diff}); '
            f'L2 norm = ({second}, {second_diff})',
        )

    def updated(self) -> None:
        """Log every learned parameter and the update that it just got."""
        if not self.active:
            return
        for (layer, index), blob in zip(self.net.learnable.names, self.net.learnable.blobs):
            log.info(
                'net.cpp:646',
                f'    [Update] Layer {layer}, param {index} data: {_mean(blob.tensor)}; diff: {_mean(blob.grad)}',
            )


def _norm(tensors: list[torch.Tensor], order: int) -> torch.Tensor:
    return torch.stack(torch._foreach_norm(tensors, order)).norm(order)


def _mean(tensor: torch.Tensor) -> str:
    return log.number(tensor.abs().sum() / max(1, tensor.numel()))


def _param_name(layer: Layer, index: int) -> str:
    named = index < len(layer.param.param) and layer.param.param[index].name
    return named or str(index)
