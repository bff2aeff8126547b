"""A word on what outputs are compared by, where it is hardly what was meant."""

import sys

from sphereslim.engine import caffe_pb2
from sphereslim.net.phases import TEST, layers_in
from sphereslim.net.roles import first_output

ENDS = 'a deploy net that ends in the embedding is compared by that'


def tell_softmax(net: 'caffe_pb2.NetParameter', advice: str) -> None:
    """Print a note where the first output of a deploy net, by which it is compared, comes from a Softmax."""
    blob, layer = first_output(layers_in(net, TEST))
    if layer.type == 'Softmax':
        print(
            f"note: compared by '{blob}', the class probabilities of the Softmax '{layer.name}', not by an embedding; "
            f'{advice}',
            file=sys.stderr,
        )
