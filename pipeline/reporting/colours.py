"""Which colour and line a figure gives to what: colours mean models, tones of grey mean splits.

A model's colour comes from its name, so that it is the same in every figure and stays when other models come or go.
"""

from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

# Okabe and Ito's colours, which colour-blind readers can distinguish, without yellow, which is too faint on white, and
# black, which is a split's; wine is Paul Tol's.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255")
LINES = ("-", "--", ":", "-.")
# By this salt the models of the repository have different colours of their own.
_SALT = "400"


class Look(NamedTuple):
    """A colour as #rrggbb, and a line style of matplotlib."""

    colour: str
    line: str


TRAINING, VALIDATION, ORIGINAL = Look("#9a9a9a", "--"), Look("#000000", "-"), Look("#555555", ":")


def of_models(names: Iterable[str]) -> dict[str, Look]:
    """Return a look for each name, no two alike up to 28 names.

    The colour is the name's own, unless a name before it has taken that: then it is the next free colour, or the least
    used, with another line.
    """
    used: Counter[str] = Counter()
    looks = {}
    for name in dict.fromkeys(names):
        own = int.from_bytes(sha256(f"{name}{_SALT}".encode()).digest()[:4], "big") % len(PALETTE)
        colour = min((*PALETTE[own:], *PALETTE[:own]), key=lambda colour: used[colour])
        looks[name] = Look(colour, LINES[used[colour] % len(LINES)])
        used[colour] += 1
    return looks
