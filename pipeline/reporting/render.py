"""Pages: templates, numbers in words, and the files of a finished report."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup, escape

from pipeline import files
from pipeline.analysis.verdicts import Verdict
from pipeline.reporting.pairwise import SettingDifference
from pipeline.schema import Block

if TYPE_CHECKING:
    import pandas as pd

TEMPLATES = Path(__file__).parent / "templates"
MINUS = "\N{MINUS SIGN}"
VERDICT_SIGNS = dict(zip(Verdict, "▲▼=△▽?", strict=True))


def markdown(content: Mapping[str, Any], template: str = "content.j2") -> str:
    """Return the page of `template` as Markdown, with relative links to its figures; `content` has its variables."""
    text = _environment(autoescape=False).get_template("report.md.j2").render(content, template=template)
    lines = [line.strip() for line in text.splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def html(content: Mapping[str, Any], template: str = "content.j2") -> str:
    """Return the page of `template` as one HTML file with its figures inside."""
    text = _environment(autoescape=True).get_template("report.html.j2").render(content, template=template)
    return re.sub(r"\n{2,}", "\n", text).strip() + "\n"


@dataclass(frozen=True)
class RenderedReport:
    """A finished report: the page `name` in both formats, tables by file name without `.csv`, PNGs by file name."""

    name: str
    markdown: str
    html: str
    tables: Mapping[str, pd.DataFrame]
    figures: Mapping[str, bytes]

    def write(self, directory: Path) -> None:
        """Write the report into `directory`, each file atomically, figures into figures/.

        PNG files of earlier reports in figures/ are removed. Pages are written last, so that no page shows a figure
        that is not there yet.
        """
        for name, png in self.figures.items():
            files.write_bytes(directory / "figures" / name, png)
        for path in (directory / "figures").glob("*.png"):
            if path.name not in self.figures:
                path.unlink()
        for name, table in self.tables.items():
            files.write_csv(directory / f"{name}.csv", table)
        files.write_text(directory / f"{self.name}.md", self.markdown)
        files.write_text(directory / f"{self.name}.html", self.html)


def percent(fraction: float) -> str:
    """0.98344 -> 98.34%."""
    return f"{100 * fraction:.2f}%"


def fixed(number: float, decimals: int) -> str:
    """0.11041, 4 -> 0.1104."""
    return f"{number:.{decimals}f}"


def signed(number: float, decimals: int) -> str:
    """Return the number as `fixed` does, with its sign unless it rounds to 0."""
    text = f"{number:+z,.{decimals}f}"
    return text[1:] if float(text.replace(",", "")) == 0 else text.replace("-", MINUS)


def points(fraction: float, bounds: Iterable[float] = ()) -> str:
    """Return a difference of fractions in percentage points: 0.0014 -> +0.14; see `distinguishable`."""
    return distinguishable(lambda number, decimals: signed(100 * number, decimals), fraction, 2, bounds)


def distinguishable(write: Callable[[float, int], str], number: float, decimals: int, bounds: Iterable[float]) -> str:
    """Return what `write` makes of a number, with the decimals that show on which side of `bounds` it lies.

    That takes up to three more than the usual `decimals`; a number that even these leave equal to a bound has no more
    than usual.
    """
    others = {*bounds} - {number}
    for digits in range(decimals, decimals + 4):
        if write(number, digits) not in {write(other, digits) for other in others}:
            return write(number, digits)
    return write(number, decimals)


def verdict_sign(verdict: str) -> str:
    """Return a sign for the verdict on a difference."""
    return VERDICT_SIGNS[Verdict(verdict)]


def probability(p: float) -> str:
    """0.01234 -> 0.0123, 0.0000012 -> 1.2e-6."""
    return _short(f"{p:.3g}")


def thousands(number: int) -> str:
    """669706 -> 669,706."""
    return f"{number:,}"


def reached(epoch: int | None) -> str:
    """Return the epoch, or that there was none."""
    return "not reached" if epoch is None else str(epoch)


def code(text: str) -> str:
    """Mark `text` as a name."""
    return f"`{text}`"


def literal(text: str) -> str:
    """Return `text` with a backslash before each sign of markup, so that both kinds of page show it as it is."""
    return re.sub(r"[\\`*\[\]|$<&~]|(?<!\w)_|_(?!\w)", r"\\\g<0>", text)


def series(words: Sequence[str], last: str = "and") -> str:
    """Return `words` as in "a, b and c"."""
    *head, tail = words
    return f"{', '.join(head)} {last} {tail}" if head else tail


def value(setting: Any) -> str:
    """Return one value of params.yaml in words; a block is called by its name, or by what is set in it."""
    match setting:
        case None:
            return "none"
        case bool():
            return str(setting).lower()
        case float():
            return _short(f"{setting!r}")
        case dict():
            return str(setting["name"]) if "name" in setting else settings(setting)
        case list() | tuple():
            return f"[{', '.join(map(_item, setting))}]"
    return str(setting)


def _item(setting: Any) -> str:
    """Return one value of a list in words; a layer with all that is set in it."""
    inner = isinstance(setting, dict) and "name" in setting and settings(setting)
    return f"{value(setting)} ({inner})" if inner else value(setting)


def values(difference: SettingDifference) -> str:
    """Return both values of a setting in which two models differ."""
    return f"{value(difference.first)} and {value(difference.second)}"


def settings(block: Mapping[str, Any]) -> str:
    """Return the keys of a block with their values, its name apart."""
    return ", ".join(f"{key} {value(item)}" for key, item in block.items() if key != "name")


def block(model: Block) -> str:
    """Return a block of params.yaml in words: its name if it has one, then all that is set in it."""
    content = model.model_dump(exclude_unset=True)
    return ": ".join(filter(None, (content.get("name"), settings(content))))


def transposed(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return the columns of a table as its rows."""
    return [list(column) for column in zip(*rows, strict=True)]


def flow(text: str) -> str:
    """Return `text` as one line."""
    return " ".join(str(text).split())


def inline(text: str) -> Markup:
    """Return `text` as HTML, with its `code`, *stress* and [links](https://..., #... or ../...) marked up.

    A sign with a backslash before it, see `literal`, marks nothing up.
    """
    safe = flow(escape(text))
    safe = re.sub(r"\\(&\w+;|[\\`*\[\]|$~_])", lambda sign: _entity(sign[1]), safe)
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    safe = re.sub(r"\*([^*]+)\*", r"<em>\1</em>", safe)
    safe = re.sub(r"\[([^]]+)\]\(((?:https://|#|\.\./)[^)\s]+)\)", r'<a href="\2">\1</a>', safe)
    return Markup(safe)  # noqa: S704  # nosec B704


def data_uri(png: bytes) -> str:
    """Return a picture as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _entity(sign: str) -> str:
    return sign if sign.startswith("&") else f"&#{ord(sign)};"


def _short(number: str) -> str:
    """1e-08 -> 1e-8."""
    return re.sub(r"e([+-]?)0*", r"e\1", number)


FILTERS = (
    *(percent, fixed, signed, points, probability, thousands, reached, verdict_sign),
    *(code, literal, series, values, settings, block, transposed, flow, inline, data_uri),
)


@cache
def _environment(*, autoescape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=autoescape,  # noqa: S701  # nosec B701
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {function.__name__: function for function in FILTERS}
    return environment
