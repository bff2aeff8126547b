"""The parser of a command, made of what its module says of itself."""

import argparse


class _Paragraphs(argparse.HelpFormatter):
    """Fills paragraphs to the width of the terminal, and leaves those that are indented, such as examples, alone."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        filled = super()._fill_text
        return '\n\n'.join(
            part if '\n ' in f'\n{part}' else filled(part, width, indent) for part in text.strip('\n').split('\n\n')
        )


def command_parser(doc: str, program: str | None = None) -> argparse.ArgumentParser:
    """An ArgumentParser whose help is the first paragraph of `doc`, the arguments, and the other paragraphs."""
    start, _, end = doc.strip().partition('\n\n')
    parser = argparse.ArgumentParser(program, description=start, epilog=end, formatter_class=_Paragraphs)
    parser.add_argument('-v', '--verbose', action='store_true', help='show what the engine logs, too')
    return parser
