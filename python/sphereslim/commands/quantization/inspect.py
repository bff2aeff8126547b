"""What is in a qcaffemodel."""

from sphereslim.commands.quantization.options import Subparsers
from sphereslim.quantization.inspect import inspect_text


def add(commands: Subparsers) -> None:
    command = commands.add_parser(
        'inspect',
        help='what is in a qcaffemodel, blob by blob, and what it takes',
        description='Print a line for every blob: bits per weight, entries of its dictionary, '
        'bytes, and error, the length of what quantizing changed over that of the weights '
        '(0.02 is 2 %); then the bytes of each use and of the file.',
    )
    command.add_argument('quantized', help='a qcaffemodel')
    command.set_defaults(action=lambda options: print(inspect_text(options.quantized)))
