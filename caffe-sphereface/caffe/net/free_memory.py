"""Training in less memory where no caller can look at blobs: what no later forward or backward reads is freed at once.

For the `caffe train` command. Programs that import caffe can look at every blob after a pass, so their nets keep all.
"""

from collections import defaultdict
from typing import TYPE_CHECKING

from caffe.blobs.blob import Blob

if TYPE_CHECKING:
    from caffe.net.net import Net


def free_while_training(net: 'Net') -> None:
    """Free the data of every top after its last reader, and diffs and what layers kept once they are used.

    The net's outputs, tops that count towards the loss, what layers without a backward give and parameters stay, as
    does everything of layers that do not state what they keep (`Layer.kept`), as Python and recurrent layers do not.
    """
    shown = _shown(net)
    net.free_after_forward, unread = _unread_data(net, {id(blob) for blob in shown})
    unread_diffs = _unread_diffs(net, shown)

    def free(index: int) -> None:
        if index in unread_diffs:
            net.layers[index].forget()
            for blob in unread_diffs[index]:
                blob.clear_grad()
        for blob in unread.get(index, ()):
            blob.free_data()

    net.free_after_backward = free


def _shown(net: 'Net') -> list[Blob]:
    """The blobs that are seen after a pass."""
    tops = zip(net.wiring.tops, net.wiring.loss_terms)
    return [net.blobs[name] for name in net.outputs] + [top[j] for top, terms in tops for j, _ in terms]


def _unread_diffs(net: 'Net', shown: list[Blob]) -> dict[int, list[Blob]]:
    """{index of a layer that forgets: its tops whose diffs no layer reads after its backward}.

    What counts towards the loss has its weight in its diff, which a Flatten shares with its bottom: that stays.
    """
    wiring = net.wiring
    unread: dict[int, list[Blob]] = {}
    for i, layer in enumerate(net.layers):
        if wiring.layer_needs[i] and layer.kept is not None:
            stays = {id(blob.diff_memory) for blob in [*shown, *wiring.bottoms[i]]}
            unread[i] = [blob for blob in wiring.tops[i] if id(blob.diff_memory) not in stays]
    return unread


def _unread_data(net: 'Net', shown: set[int]) -> tuple[dict[int, list[Blob]], dict[int, list[Blob]]]:
    """Two dictionaries from a layer's index to the blobs whose data is not read any more after its forward, backward.

    Blobs that share their data count as one; the data of those whose ids are in `shown` stays. A backward reads what
    `Layer.reads_back` says.
    """
    wiring = net.wiring
    blobs: dict[int, Blob] = {}
    stays: set[int] = set()
    last_forward: dict[int, int] = {}
    last_backward: dict[int, int] = {}
    for i, (layer, needed) in enumerate(zip(net.layers, wiring.layer_needs)):
        for role, members in (('bottom', wiring.bottoms[i]), ('top', wiring.tops[i])):
            for blob in members:
                memory = id(blob.data_memory)
                blobs[memory], last_forward[memory] = blob, i
                if needed and role in layer.reads_back:
                    last_backward.setdefault(memory, i)  # layers go backward in the order opposite to this one
                if id(blob) in shown or (role == 'top' and (not needed or layer.kept is None)):
                    stays.add(memory)
    forward: dict[int, list[Blob]] = defaultdict(list)
    backward: dict[int, list[Blob]] = defaultdict(list)
    for memory in blobs.keys() - stays:
        if memory in last_backward:
            backward[last_backward[memory]].append(blobs[memory])
        else:
            forward[last_forward[memory]].append(blobs[memory])
    return forward, backward
