"""The common style of all figures. Equal data gives equal PNG bytes, whatever the user's matplotlibrc says."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager, rcParams, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from pipeline import files

Floats = NDArray[np.float64]

FAINT = "#707070"
STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.titlesize": 12,
    "font.size": 10,
    "grid.color": "#e4e4e4",
    "image.cmap": "gray_r",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "savefig.dpi": 130,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw with matplotlib's defaults and STYLE alone."""
    with style.context(["default", STYLE]):
        yield


@styled()
def png(figure: Figure) -> bytes:
    """Return `figure` as PNG, without the name and version of the software that drew it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write `figure` to `path` as PNG, atomically."""
    files.write_bytes(path, png(figure))


def plain(text: str) -> str:
    """Return `text` so that matplotlib draws it as it is: between two dollar signs it would typeset a formula."""
    return drawable(text).replace("$", r"\$")


def drawable(text: str) -> str:
    """Return `text` with the code points of the characters that no installed font has, such as U+5B57.

    Within `styled`, what is drawn from then on takes characters that matplotlib's own font does not have from another.
    """
    families = {character: _family(character) for character in text}
    rcParams["font.family"] = list(dict.fromkeys([*rcParams["font.family"], *filter(None, families.values())]))
    return "".join(f"U+{ord(letter):04X}" if families[letter] is None else letter for letter in text)


@cache
def _family(character: str) -> str | None:
    """Return the font family to draw a character with: matplotlib's own or, if that does not have it, an installed one.

    It is None if no other has it, or only as a picture of a fixed size.
    """
    own = font_manager.FontProperties(family="DejaVu Sans")
    if font_manager.get_font(font_manager.findfont(own)).get_char_index(ord(character)):
        return "sans-serif"
    for name, path in _installed():
        # What was installed when matplotlib listed the fonts may be gone.
        with suppress(OSError, RuntimeError):
            font = font_manager.get_font(path)
            if font.scalable and font.get_char_index(ord(character)):
                return name
    return None


@cache
def _installed() -> list[tuple[str, str]]:
    """Return family and path of the installed fonts, those without serifs first."""
    listed = font_manager.fontManager.ttflist
    # The list is kept for a long time.
    for path in {*font_manager.findSystemFonts()} - {str(font.fname) for font in listed}:
        with suppress(OSError, RuntimeError):
            font_manager.fontManager.addfont(path)
    # The last resort has a box for every character.
    fonts = [(font.name, font.fname) for font in listed if font.weight == 400 and "Last Resort" not in font.name]
    return sorted(fonts, key=lambda font: ("Sans" not in font[0], *map(str, font)))


def logarithmic(axes: Axes, words: Formatter | Callable[[float, float], str], *, dense: bool) -> None:
    """Make the vertical axis logarithmic, with a number in `words` at each power of ten.

    If `dense`, also between them: within one decade or so, the powers alone would leave an axis with hardly a number.
    """
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if dense else (1,)))
    axes.yaxis.set_major_formatter(words)
    axes.yaxis.set_minor_formatter(NullFormatter())


def legend_above(figure: Figure, panels: Sequence[Axes]) -> None:
    """Put one legend of all that the panels show above them, in as many columns as its labels leave room for."""
    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    # A letter is about 0.08 inches wide, a handle with its gaps about 0.7.
    columns = int(figure.get_figwidth() / (0.7 + 0.08 * max(map(len, handles), default=0)))
    figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=min(max(columns, 1), 4))
