"""Readings of claims: intervals, and the bounds that they are compared with."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from pipeline.reporting.plots.style import FAINT, styled

# Of Okabe and Ito's, in light tones: where an interval supports a claim, and where it does not.
SIDES = {"supported": "#b9e3d5", "not supported": "#f5c9ab"}


class Row(NamedTuple):
    """A reading: its intervals as (estimate, low, high, main), and the sides of its bounds as (low, high, verdict).

    A side that goes on without end has an infinite one. `bounds` are marked with their texts. Intervals that are not
    `main`, such as those without a confounder, are drawn with a ring.
    """

    label: str
    verdict: str
    intervals: Sequence[tuple[float, float, float, bool]]
    sides: Sequence[tuple[float, float, str]]
    bounds: Sequence[tuple[float, str]]


@styled()
def readings(rows: Sequence[Row]) -> Figure:
    """Return a line per row, one or more, each on a scale of its own: its intervals over the sides of its bounds."""
    figure = Figure(figsize=(9, 0.3 + 0.52 * len(rows)))
    panels = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axes, row in zip(panels, rows, strict=True):
        ends = [end for _, low, high, _ in row.intervals for end in (low, high)] + [place for place, _ in row.bounds]
        margin = 0.12 * (max(ends) - min(ends)) or 1.0
        left, right = min(ends) - margin, max(ends) + margin
        for low, high, verdict in row.sides:
            axes.axvspan(max(low, left), min(high, right), color=SIDES[verdict], lw=0)
        for place, (estimate, low, high, main) in enumerate(row.intervals):
            axes.plot((low, high), (place, place), "-", color="black", lw=1.6, solid_capstyle="butt")
            axes.plot(estimate, place, "o", ms=5, color="black", mfc="black" if main else "white")
        axes.set(xlim=(left, right), ylim=(len(row.intervals) - 0.3, -0.7), yticks=[])
        axes.set_xticks([place for place, _ in row.bounds], [text for _, text in row.bounds], fontsize=7.5)
        axes.tick_params(axis="x", length=2, pad=1)
        axes.grid(visible=False)
        axes.spines[["left", "right", "top"]].set_visible(False)
        words = {"transform": axes.transAxes, "va": "center", "fontsize": 9}
        axes.text(-0.015, 0.5, row.label, ha="right", **words)
        decided = row.verdict in SIDES
        axes.text(1.015, 0.5, row.verdict, color="black" if decided else FAINT, **words)
    return figure
