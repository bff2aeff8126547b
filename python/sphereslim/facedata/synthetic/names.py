"""Made-up names in the form of LFW's folders."""

import numpy as np

from sphereslim.errors import SlimError

FIRST = (
    'Ada Alin Benno Bria Cale Cora Dario Delia Edo Elin Fabo Fenna Gero Gilda Hanno Hedy Ilio Ines Jaro Jolin '
    'Karo Kian Lenz Livia Milo Mira Nilo Noela Odo Oriel Pina Perrin Quin Rhea Rufo Silas Sunna Tavi Thea Ulf '
    'Vera Wido Xenia Ylva Zeno'
).split()
HEADS = 'Bar Bel Cor Dal Dor Fen Gal Har Jor Kel Lan Mar Nor Ost Pel Ral Sor Tal Ver Wyn'.split()
TAILS = 'beck bridge by dale den fell field ford gard ham holt land lin mont ner rick son stad ton wick'.split()


def made_up(count: int, seed: int) -> list[str]:
    """`count` different names First_Last in an order drawn by `seed`."""
    limit = len(FIRST) * len(HEADS) * len(TAILS)
    if count > limit:
        raise SlimError(f'{count} people asked for, but there are only {limit} names')
    chosen = np.random.default_rng((seed, 1)).choice(limit, count, replace=False)
    return [_name(int(number)) for number in chosen]


def _name(number: int) -> str:
    number, first = divmod(number, len(FIRST))
    head, tail = divmod(number, len(TAILS))
    return f'{FIRST[first]}_{HEADS[head]}{TAILS[tail]}'


def picture(name: str, number: int) -> str:
    """Path of the `number`-th picture (from 1) of a person below the folder of all people."""
    return f'{name}/{name}_{number:04d}.jpg'
