"""How many seeds decide each comparison and each reading of a claim, and what they cost.

The true values are assumed to be those that the ledger shows; the standard deviations, which few seeds know badly, also
at their upper confidence bounds. Comparisons are planned for half the smallest effect too, the hardest to decide: the
seeds for that decide any difference.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.analysis import power
from pipeline.analysis.power import Decision
from pipeline.study import comparisons
from pipeline.study.comparisons import VariantPair
from pipeline.study.findings import ClaimRow
from pipeline.trials import plan
from pipeline.trials.plan import Replicate, Study, Variant

POWERS = (0.8, 0.9)
OBSERVED, HARDEST = "observed", "half the smallest effect"
SPREADS = ("observed", "upper bound")
COLUMNS = ("subject", "verdict", "difference", "spread", "power", "seeds", "core_hours")


@dataclass(frozen=True)
class Costs:
    """What training costs: `seconds` of one core for one seed by variant, None if its network was not benchmarked."""

    seconds: Mapping[str, float | None]
    replicates: Mapping[str, Replicate]

    def core_hours(self, variants: Iterable[str], seeds: int) -> float | None:
        """Return what `seeds` of each variant cost; variants that differ only in their epochs share training runs."""
        runs = plan.trajectories([self.replicates[name] for name in dict.fromkeys(variants)])
        longest = [max(run.replicates, key=lambda replicate: replicate.epochs).variant for run in runs]
        costs = [self.seconds[name] for name in longest]
        return None if None in costs else seeds * sum(filter(None, costs)) / 3600


@dataclass(frozen=True)
class SeedsNeeded:
    """How many seeds of each of its variants decide a subject (with `difference` and `spread` as assumed).

    `seeds` is None if power.MOST_SEEDS do not; `core_hours` is None then, or if a network was not benchmarked.
    """

    subject: str
    verdict: str
    difference: str
    spread: str
    power: float
    seeds: int | None
    core_hours: float | None

    @property
    def name(self) -> str:
        """The subject without marks."""
        return self.subject.replace("`", "")

    @property
    def count(self) -> str:
        """The number of seeds in words."""
        return f"more than {power.MOST_SEEDS:,}" if self.seeds is None else f"{self.seeds:,}"

    @property
    def hours(self) -> str:
        """The core-hours in words; empty if they are not known."""
        return "" if self.core_hours is None else f"{self.core_hours:,.2f}"


def costs(study: Study, benchmarks: Mapping[str, Any], images: Mapping[str, int]) -> Costs:
    """Return what each variant costs per seed, from the benchmark of many runs (benchmarks/results.json).

    `images` has the number of training images of each data set. The benchmark has the seconds per epoch of two runs of
    one thread on two cores, divided by two.
    """
    # Here the names tell the data sets apart: no checksum is needed.
    replicates = {replicate.variant: replicate for replicate in plan.replicates(study, {name: name for name in images})}
    benchmarked = benchmarks.get("study", {})
    seconds = {
        name: _seconds(study, variant, benchmarked, images[variant.dataset]) for name, variant in study.variants.items()
    }
    return Costs(seconds, replicates)


def _seconds(study: Study, variant: Variant, benchmarks: Mapping[str, Any], images: int) -> float | None:
    for name, entry in benchmarks.items():
        if name in study.variants and plan.same_network(study.variants[name], variant):
            try:
                epoch = entry["epoch"][f"two of one thread, {variant.precision}"]["median"] * images / entry["images"]
            except (ArithmeticError, KeyError, TypeError):
                return None
            return float(2 * variant.epochs * epoch)
    return None


def of_pairs(pairs: Sequence[VariantPair], cost: Costs) -> Iterator[SeedsNeeded]:
    """Yield the seeds needed for each comparison on a data set that more seeds can decide, in their order."""
    for pair in pairs:
        if pair.judged:
            hardest = replace(pair.judged.assumed, effect=pair.judged.smallest_effect / 2)
            for difference, assumed in ((OBSERVED, pair.judged.assumed), (HARDEST, hardest)):
                decision = comparisons.decision(replace(pair.judged, assumed=assumed))
                yield from _needed(pair.label, pair.verdict, difference, decision, (pair.first, pair.second), cost)


def of_readings(rows: Sequence[ClaimRow], cost: Costs) -> Iterator[SeedsNeeded]:
    """Yield the seeds needed for each reading of a claim that more seeds can decide, in their order."""
    for row in rows:
        if row.finding.decision is not None:
            yield from _needed(row.subject, str(row.finding.verdict), OBSERVED, row.finding.decision, row.needs, cost)


def _needed(
    subject: str, verdict: str, difference: str, decision: Decision, variants: Iterable[str], cost: Costs
) -> Iterator[SeedsNeeded]:
    names = tuple(variants)
    for spread, at_spread in zip(SPREADS, (decision, decision.at_upper_bound()), strict=True):
        for wanted in POWERS:
            seeds = at_spread.seeds(wanted)
            hours = None if seeds is None else cost.core_hours(names, seeds)
            yield SeedsNeeded(subject, verdict, difference, spread, wanted, seeds, hours)


def sentences(needed: Sequence[SeedsNeeded]) -> dict[str, str]:
    """Return by subject how many seeds would decide it, planned for the worst: said of what is undecided.

    That is the upper bound of the spread and, for a comparison, half the smallest effect: plans for what a pilot had
    observed were too small in two of four cases. What more seeds would hardly decide has no sentence.
    """
    worst = [need for need in needed if need.spread == SPREADS[-1] and need.power == POWERS[0]]
    given = {OBSERVED: "if the observed values are the true ones", HARDEST: "whatever the true difference is"}
    return {
        need.subject: f"{need.count} seeds of each variant would decide it with {need.power:.0%} power, "
        f"{given[need.difference]}."
        for need in sorted(worst, key=lambda need: need.difference == HARDEST)
        if need.seeds is not None
    }
