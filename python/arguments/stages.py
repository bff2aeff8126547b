"""The argument that says in which stages a network is taken."""


def add_stages(parser):
    """Add --stage, which gives a tuple of names."""
    parser.add_argument('--stage', type=_names, default=(), metavar='NAME[,NAME]',
                        help='stages to take the network in, where its layers have such rules')


def _names(text):
    return tuple(name for name in text.split(',') if name)
