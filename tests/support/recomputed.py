"""The study's numbers once more, from the lines of the ledger and the texts of the plan, with numpy and scipy alone.

Nothing of the study's own code is used, so that a fault in it cannot hide here.
"""

import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy
import yaml
from numpy.typing import NDArray

STUDY = Path("study")
WINDOW = 3
# What rounding to ten digits, as in the committed tables, may change, and a sum in another order.
EXACT = 1e-9
Interval = tuple[float, float, float]


def faults() -> Iterator[str]:
    """Yield each estimate or end of an interval in the study's tables that numpy and scipy do not find again."""
    if not (STUDY / "reports" / "claims.csv").exists():
        return
    records = _records()
    # scipy warns of seeds that are all alike, as epochs to a target may be.
    with warnings.catch_warnings(category=RuntimeWarning, action="ignore"):
        checked = [*_comparisons(records), *_predictions(records), *_claims(records)]
    for table, place, name, expected, stated in checked:
        if not np.allclose(stated, expected, rtol=EXACT, atol=EXACT):
            yield f"study/reports/{table}: {place}: {name} is {stated}, recomputed {expected}"


def _records() -> dict[str, dict[int, Any]]:
    """Return the replicates of each variant by seed; of two lines for one seed, the later counts."""
    records: dict[str, dict[int, Any]] = {}
    for path in sorted((STUDY / "runs").glob("*.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        records[path.stem] = {record["seed"]: record for record in sorted(lines, key=lambda record: record["seed"])}
    return records


def _accuracy(record: Any, split: str = "test") -> float:
    count = record["splits"][split]["count"]
    errors = len(record["errors"]["image"]) if split == "test" else record["splits"][split]["errors"]
    return 1 - errors / count


def _comparisons(records: Mapping[str, Mapping[int, Any]]) -> Iterator[tuple[str, str, str, Any, Any]]:
    """Yield what scipy's t tests and Wilcoxon's and Mann and Whitney's say of each comparison."""
    for row in pd.read_csv(STUDY / "reports" / "comparisons.csv").dropna(subset="estimate").itertuples():
        paired = row.method == "paired t"
        both = [records[row.first], records[row.second]]
        common = both[0].keys() & both[1].keys()
        x, y = (
            [_accuracy(replicates[seed]) for seed in replicates if seed in common or not paired] for replicates in both
        )
        t = scipy.stats.ttest_rel(x, y) if paired else scipy.stats.ttest_ind(x, y, equal_var=False)
        ends = (*t.confidence_interval(0.95), *t.confidence_interval(row.confidence))
        expected = (np.mean(x) - np.mean(y), t.pvalue, *ends)
        stated = (row.estimate, row.p_value, row.low, row.high, row.simultaneous_low, row.simultaneous_high)
        yield "comparisons.csv", f"{row.first} minus {row.second}", "the t test", expected, stated
        differences = np.round(np.subtract(x, y), 12) if paired else None
        ranks = scipy.stats.wilcoxon(differences) if paired else scipy.stats.mannwhitneyu(x, y)
        yield "comparisons.csv", f"{row.first} minus {row.second}", "the rank test", ranks.pvalue, row.rank_p


def _predictions(records: Mapping[str, Mapping[int, Any]]) -> Iterator[tuple[str, str, str, Any, Any]]:
    """Yield the interval of one more seed's test accuracy, of each variant."""
    table = pd.read_csv(STUDY / "reports" / "prediction.csv")
    for row in table[table["outcome"] == "test_accuracy"].itertuples():
        values = np.array([_accuracy(record) for record in records[row.variant].values()])
        spread = values.std(ddof=1) * np.sqrt(1 + 1 / len(values))
        ends = scipy.stats.t.interval(0.95, len(values) - 1, values.mean(), spread)
        yield "prediction.csv", row.variant, "the interval", ends, (row.low, row.high)


def _claims(records: Mapping[str, Mapping[int, Any]]) -> Iterator[tuple[str, str, str, Any, Any]]:
    """Yield each contrast that decides a reading, or speaks against it, but for those in seconds."""
    asked = yaml.safe_load((STUDY / "claims.yaml").read_text())["claims"]
    table = pd.read_csv(STUDY / "reports" / "claims.csv").dropna(subset="low")
    for number, claim in asked.items():
        for letter, reading in zip("abcdefghij", claim["readings"], strict=False):
            rows = table[(table["place"] == f"{number}{letter}") & (table["role"] == "decides")]
            groups = [reading, {**reading, "contrasts": reading.get("confounder", {})}, reading.get("unless", {})]
            contrasts = [(group, each) for group in groups for each in group.get("contrasts", {}).values()]
            if "pairs" in reading or reading.get("outcome", "seconds").startswith("seconds") or rows.empty:
                continue
            for (group, contrast), row in zip(contrasts, rows.itertuples(), strict=True):
                expected = _contrast(contrast, _outcome(group["outcome"]), group["show"] == "factor", records)
                yield "claims.csv", row.place, row.label, expected, (row.estimate, row.low, row.high)


def _contrast(
    contrast: Any, outcome: Callable[[Sequence[Any]], NDArray[np.float64]], is_factor: bool, records: Any
) -> Interval:
    """Return the estimate and the ends of the interval of a contrast of one block, or of two independent ones."""
    blocks = [contrast] if isinstance(contrast, dict) else contrast
    samples = []
    for block in blocks:
        seeds = sorted(set.intersection(*({*records[name]} for name in block)))
        values = {name: outcome([records[name][seed] for seed in seeds]) for name in block}
        samples.append(sum(weight * (np.log(values[n]) if is_factor else values[n]) for n, weight in block.items()))
    first, *others = samples
    if others:
        t, estimate = scipy.stats.ttest_ind(first, -others[0], equal_var=False), first.mean() + others[0].mean()
    else:
        t, estimate = scipy.stats.ttest_1samp(first, 0), first.mean()
    numbers = (estimate, *t.confidence_interval(0.95))
    low, middle, high = (np.exp(number) if is_factor else number for number in (numbers[1], numbers[0], numbers[2]))
    return float(middle), float(low), float(high)


def _outcome(text: str) -> Callable[[Sequence[Any]], NDArray[np.float64]]:
    """Return what gives the outcome of each of several replicates of a variant."""
    if at := re.fullmatch(r"(\w+) in epoch (\d+)", text):
        return lambda several: np.array([record["history"][at[1]][int(at[2]) - 1] for record in several])
    if until := re.fullmatch(r"epochs until (\w+) reaches ([\d.]+)", text):
        return lambda several: np.array([_first(record["history"][until[1]], float(until[2])) for record in several])
    single: dict[str, Callable[[Any], float]] = {
        "test_accuracy": _accuracy,
        "test_error": lambda record: 1 - _accuracy(record),
        "train_accuracy": lambda record: _accuracy(record, "train"),
        "running_accuracy": lambda record: float(record["history"]["accuracy"][-1]),
    }
    return _rises if text == "rise" else lambda several: np.array([single[text](record) for record in several])


def _first(column: Sequence[float], target: float) -> int:
    reached = [epoch for epoch, value in enumerate(column, 1) if value >= target]
    return reached[0] if reached else len(column) + 1


def _rises(several: Sequence[Any]) -> NDArray[np.float64]:
    """Return the factors whose logarithms are the jackknife's pseudo-values of the mean curve's rise (Tukey, 1958)."""
    curves = np.array([record["history"]["val_loss"] for record in several])

    def log_rise(chosen: NDArray[np.float64]) -> float:
        mean = chosen.mean(axis=0)
        smooth = [mean[start : start + WINDOW].mean() for start in range(len(mean) - WINDOW + 1)]
        return float(np.log(smooth[-1] / min(smooth)))

    n = len(curves)
    without = [log_rise(np.delete(curves, place, axis=0)) for place in range(n)]
    return np.exp([n * log_rise(curves) - (n - 1) * rise for rise in without])
