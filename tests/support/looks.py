"""Verdicts simulated: the intervals of many studies at once, after each seed, and how often these find a difference."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pipeline.analysis.sequential import factor
from pipeline.verdict import SEEDS

Floats = NDArray[np.float64]

# The half of the joint error probability that goes to the images, on either side.
_OF_IMAGES = 0.0125
# A loss of accuracy by labels that are wrong: its standard deviation over seeds and standard error from the 5,000
# images, for mlp_rmsprop (6 seeds of each side) and mlp_adadelta (5) about alike.
SPREAD, IMAGE_ERROR, IMAGES = 0.0023, 0.0007, 5000
_DROPS = (0.001, 0.0014, 0.002, 0.003, 0.005)


@dataclass(frozen=True)
class Looks:
    """Intervals at every look: arrays (studies, looks)."""

    low: Floats
    high: Floats

    def wrong(self, true: float, effect: float) -> float:
        """Return the share of studies with a wrong verdict at any look, where a difference of `effect` matters."""
        better = (self.low > 0) & (true <= 0) | (self.low > effect) & (true <= effect)
        worse = (self.high < 0) & (true >= 0) | (self.high < -effect) & (true >= -effect)
        irrelevant = (self.low > -effect) & (self.high < effect) & (abs(true) >= effect)
        return float((better | worse | irrelevant).any(axis=1).mean())


def look(values: Floats, *, step: float = 0.0, image_error: Floats | float = 0.0) -> Looks:
    """Return the intervals of the mean of `values`, (studies, seeds), after each seed, as `SequentialEstimate` does."""
    n = np.arange(1, values.shape[1] + 1, dtype=np.float64)
    mean = values.cumsum(axis=1) / n
    squares = (values**2).cumsum(axis=1) - n * mean**2
    sd = np.maximum(np.sqrt(np.maximum(squares, 0) / np.maximum(n - 1, 1)), step)
    half = factor(n, 0.95) * np.where(n < 3, np.inf, sd / np.sqrt(n))
    half = np.hypot(half, stats.t.isf(_OF_IMAGES, np.maximum(n - 1, 1)) * image_error)
    return Looks(mean - half, mean + half)


class Power(NamedTuple):
    """How often a drop is called worse with the default budget, and within how many seeds (NaN if hardly ever).

    Shares of calls: `found` for other images too, `here` on these ones, `by_images` with any number of seeds.
    """

    found: float
    here: float
    by_images: float
    median_seeds: float


def power(drop: float, spread: float = SPREAD, image_error: float = IMAGE_ERROR, studies: int = 4000) -> Power:
    """Return how often a drop in accuracy is found that has this spread over seeds and this error from the images."""
    random = np.random.default_rng(0)
    values = -drop + random.normal(0, image_error, (studies, 1)) + random.normal(0, spread, (studies, SEEDS))
    values = np.round(values * IMAGES) / IMAGES
    worse, here = (look(values, step=1 / IMAGES, image_error=error).high < 0 for error in (image_error, 0.0))
    found = worse.any(axis=1)
    seeds = np.where(found, worse.argmax(axis=1) + 1, np.inf)
    by_images = stats.norm.cdf(drop / image_error - stats.norm.isf(_OF_IMAGES)) if image_error else 1.0
    return Power(float(found.mean()), float(here.any(axis=1).mean()), float(by_images), float(np.median(seeds)))


def power_table() -> str:
    """Return the power at several drops, as a table in Markdown."""
    head = "| Drop | *worse* | half of all calls | with any number of seeds | on these images |"
    lines = ["", head, "|---" + "|---:" * 4 + "|"]
    for drop in _DROPS:
        one = power(drop)
        seeds = f"{one.median_seeds:.0f} seeds" if np.isfinite(one.median_seeds) else "-"
        shares = [f"{share:.0%}" for share in (one.found, one.by_images, one.here)]
        lines.append(f"| {f'{drop:g}'.removeprefix('0')} | {shares[0]} | {seeds} | {shares[1]} | {shares[2]} |")
    return "\n".join([*lines, ""])
