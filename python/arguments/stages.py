"""The argument that says in which stages a network is taken."""

from arguments.values import names


def add_stages(parser):
    """Add --stage, which gives names."""
    parser.add_argument('--stage', type=names, default=(), metavar='NAME[,NAME]',
                        help='stages to take the network in, where its layers have such rules')
