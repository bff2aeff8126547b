"""Training in less memory where nobody can look: what backward has used up is freed at once.

For the `caffe train` command. Programs that import caffe can look at every blob after a pass, so their nets keep all.
"""


def free_while_training(net):
    """Free data and diff of every top, and what layers kept for backward, once its layer's backward is done.

    The net's outputs, tops that count towards the loss and parameters stay, as does everything of layers that do not
    state what they keep (`Layer.kept`), as Python and recurrent layers do not.
    """
    wiring = net.wiring
    shown = {id(net.blobs[name]) for name in net.outputs}
    for tops, terms in zip(wiring.tops, wiring.loss_terms):
        shown.update(id(tops[index]) for index, _ in terms)

    def free(index):
        layer = net.layers[index]
        if not wiring.layer_needs[index] or layer.kept is None:
            return
        layer.forget()
        for blob in wiring.tops[index]:
            if id(blob) not in shown:
                blob.free(wiring.bottoms[index])

    net.after_backward(free)
