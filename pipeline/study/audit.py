"""The audit: each claim under each reading, what is measured for it, and the verdict that follows.

A claim stays undecided unless whole intervals lie on one side of a bound, so that with more seeds a verdict only
becomes surer.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, product
from string import ascii_lowercase

from pipeline.analysis import verdicts
from pipeline.analysis.power import Decision, Part
from pipeline.analysis.verdicts import MIN_SEEDS, Interval
from pipeline.errors import InputError
from pipeline.reporting import render
from pipeline.study import comparisons, contrasts, readings, terms
from pipeline.study.claims import Claim, Claims
from pipeline.study.comparisons import VariantPair
from pipeline.study.contrasts import Evidence, Measured, measure, met
from pipeline.study.findings import ClaimRow, ClaimVerdict, Finding, Measurement
from pipeline.study.groups import StudyData
from pipeline.study.readings import ContrastReading, DesignReading, OppositeReading, PairReading, Quantities
from pipeline.study.terms import Contrast

SUPPORTED, NOT_SUPPORTED, UNDECIDED = ClaimVerdict.SUPPORTED, ClaimVerdict.NOT_SUPPORTED, ClaimVerdict.UNDECIDED
OPPOSITE = {SUPPORTED: NOT_SUPPORTED, NOT_SUPPORTED: SUPPORTED}


def audit(asked: Mapping[float, Claims], evidence: Evidence) -> list[ClaimRow]:
    """Return a row for each claim and reading, in their order.

    `asked` are the claims by multiples of the smallest effect, with which their bounds change; 1 is among them.
    """
    data = evidence.data
    scaled = {multiple: replace(evidence, data=replace(data, rules=data.rules.times(multiple))) for multiple in asked}
    return [
        row
        for number in asked[1].claims
        for row in _claim(number, {multiple: claims.claims[number] for multiple, claims in asked.items()}, scaled)
    ]


def verdict(
    reading: ContrastReading, sets: Sequence[Sequence[Measured]], opposed: Sequence[Measured] = ()
) -> ClaimVerdict:
    """Return the verdict that all sets of contrasts lead to; it is confounded if they lead to opposite ones.

    `opposed` are those of the reading's `unless`.
    """
    conditions = {SUPPORTED: reading.supported, NOT_SUPPORTED: reading.not_supported}
    reached = {next((side for side in conditions if met(conditions[side], each)), UNDECIDED) for each in sets}
    if len(reached) > 1:
        return UNDECIDED if UNDECIDED in reached else ClaimVerdict.CONFOUNDED
    exempt = reading.unless is not None and reached == {SUPPORTED} and met(reading.unless.condition, opposed)
    return UNDECIDED if exempt else reached.pop()


def agreed(reading: PairReading, intervals: Iterable[Interval | None], smallest_effect: float) -> ClaimVerdict:
    """Return the verdict that all comparisons lead to; undecided if they lead to different ones.

    `intervals` are the simultaneous ones of the differences, the first of each pair minus the second; None if there are
    too few seeds.
    """
    reached = {_of_difference(reading, interval, smallest_effect) for interval in intervals}
    return reached.pop() if len(reached) == 1 else UNDECIDED


def _of_difference(reading: PairReading, interval: Interval | None, smallest_effect: float) -> ClaimVerdict:
    if interval is None:
        return UNDECIDED
    if reading.verdicts is not None:
        return reading.verdicts.get(verdicts.decide(interval, smallest_effect), UNDECIDED)
    sides = reading.any_difference or {}
    if interval.low > 0:
        return sides.get("better", UNDECIDED)
    return sides.get("worse", UNDECIDED) if interval.high < 0 else UNDECIDED


def _claim(number: int, claims: Mapping[float, Claim], scaled: Mapping[float, Evidence]) -> Iterable[ClaimRow]:
    """Return a row for each reading of a claim; bounds and rules are given by multiples of the smallest effect."""
    rows: dict[str, ClaimRow] = {}
    claim, evidence = claims[1], scaled[1]
    for place, (letter, reading) in enumerate(zip(ascii_lowercase, claim.readings, strict=False)):
        if isinstance(reading, OppositeReading):
            earlier = rows[reading.opposite_of]
            needs = earlier.needs
            finding = Finding(_opposite(earlier.finding.verdict), decision=earlier.finding.decision)
            without = {name: _opposite(verdict) for name, verdict in earlier.without.items()}
            multiples = {multiple: _opposite(verdict) for multiple, verdict in earlier.multiples.items()}
        else:
            needs = _needs(readings.needed(reading, evidence.data.study), evidence.data)
            finding = _finding(reading, needs, evidence)
            without = _without(reading, finding.verdict, evidence) if finding.measurements else {}
            same = {multiple: other.readings[place] for multiple, other in claims.items()}
            multiples = {
                multiple: _finding(other, needs, scaled[multiple]).verdict
                for multiple, other in same.items()
                if not isinstance(other, OppositeReading)
            }
        remark = f"{finding.remark} {reading.remarks.get(finding.verdict, '')}".strip()
        finding = replace(finding, remark=remark, decision=finding.decision if claim.seeds_needed else None)
        rows[reading.reading] = ClaimRow(
            number,
            f"{number}{letter}",
            reading.reading,
            reading.measure,
            reading.rule,
            reading.post_hoc,
            needs,
            finding,
            without,
            multiples,
        )
    *_, last = rows.values()
    if {SUPPORTED, NOT_SUPPORTED} <= {row.finding.verdict for row in rows.values()}:
        remark = f"{last.finding.remark} {claim.if_readings_disagree}".strip()
        rows[last.reading] = replace(last, finding=replace(last.finding, remark=remark))
    return rows.values()


def _opposite(verdict: ClaimVerdict) -> ClaimVerdict:
    return OPPOSITE.get(verdict, UNDECIDED)


def _without(
    reading: ContrastReading | PairReading | DesignReading, verdict: ClaimVerdict, evidence: Evidence
) -> dict[str, ClaimVerdict]:
    """Return the verdict without each single replicate that would change it, by name; none where the plan decides."""
    others: dict[tuple[str, int], ClaimVerdict | None] = {}
    paired = False
    if isinstance(reading, PairReading):
        pairs = [comparisons.find_pair(evidence.pairs, *names) for names in reading.pairs]
        paired = all(pair.paired for pair in pairs)
        judged = [pair.judged for pair in pairs]
        others = {
            replicate: _pairs(reading, evidence, replicate)[0] for pair in judged if pair for replicate in pair.without
        }
    elif isinstance(reading, ContrastReading):
        names = terms.names_in(chain.from_iterable(contrasts.values() for contrasts in reading.deciding))
        replicates = [(name, seed) for name in names for seed in evidence.data.groups[name].entries]
        others = {replicate: _contrasts_without(reading, evidence, replicate) for replicate in replicates}
    changed = {replicate: other for replicate, other in others.items() if other is not None and other is not verdict}
    return {comparisons.replicate_name(replicate, paired=paired): other for replicate, other in changed.items()}


def _contrasts_without(reading: ContrastReading, evidence: Evidence, replicate: tuple[str, int]) -> ClaimVerdict | None:
    data = evidence.data.without(*replicate)
    if min(_needs([[*each.values()] for each in reading.deciding], data).values()) < MIN_SEEDS:
        return None
    try:
        return _verdict(reading, replace(evidence, data=data))[0]
    except InputError:
        return None


def _needs(needed: Iterable[Iterable[Contrast]], data: StudyData) -> dict[str, int]:
    """Return the number of seeds of each variant: in a block, of those that all have. What is subtracted is first."""
    needs: dict[str, int] = {}
    for group in needed:
        for block in sorted(chain.from_iterable(group), key=lambda block: sum(block.values()) >= 0):
            count = len(data.common(block))
            needs.update({name: min(count, needs.get(name, count)) for name in block})
    return needs


def _finding(
    reading: ContrastReading | PairReading | DesignReading, needs: Mapping[str, int], evidence: Evidence
) -> Finding:
    too_few = [f"`{name}` {count}" for name, count in needs.items() if count < MIN_SEEDS]
    if isinstance(reading, DesignReading):
        return _design(reading, needs, evidence, measured=not too_few)
    if too_few:
        return Finding(UNDECIDED, (), f"Too few seeds: {', '.join(too_few)}, where {MIN_SEEDS} are needed.")
    try:
        if isinstance(reading, PairReading):
            return _pair_finding(reading, evidence)
        return _contrasts(reading, needs, evidence)
    except InputError as error:
        return Finding(UNDECIDED, (), f"{error}.")


def _design(reading: DesignReading, names: Iterable[str], evidence: Evidence, *, measured: bool) -> Finding:
    """Return the finding that the plan alone decides; what is measured is only shown."""
    first, second = (evidence.data.study.variants[name].model_dump(exclude={"seeds", "first_seed"}) for name in names)
    changed = {key for key in first if first[key] != second[key]}
    numbers = tuple(contrast.shown() for contrast in (_measures(evidence, [reading]) if measured else []))
    return Finding(ClaimVerdict.CONFOUNDED if changed == {reading.only_in} else UNDECIDED, numbers)


def _pairs(
    reading: PairReading, evidence: Evidence, without: tuple[str, int] | None = None
) -> tuple[ClaimVerdict, list[VariantPair]]:
    """Return the verdict on a reading, `without` a replicate if one is given, and the comparisons that it is of."""
    pairs = [comparisons.find_pair(evidence.pairs, *names) for names in reading.pairs]
    intervals = [pair.interval(first, without) for pair, (first, _) in zip(pairs, reading.pairs, strict=True)]
    return agreed(reading, intervals, evidence.data.smallest_effect(pairs[0].first)), pairs


def _pair_finding(reading: PairReading, evidence: Evidence) -> Finding:
    """Return the finding that follows from pairwise comparisons."""
    decided, pairs = _pairs(reading, evidence)
    numbers: list[Measurement] = []
    parts: list[Part] = []
    for pair, (first, _) in zip(pairs, reading.pairs, strict=True):
        if pair.judged is None:
            continue
        judged, least = pair.judged.judgement, pair.judged.smallest_effect
        interval, confidence = judged.simultaneous, judged.confidence
        estimate = judged.comparison.estimate
        numbers.append(Measurement(pair.label, "points", estimate, interval, confidence, (-least, least)))
        accepted = [each if pair.first == first else each.reverse for each in reading.verdicts or ()]
        parts += chain.from_iterable(comparisons.decision(pair.judged, accepted).ways)
    further = tuple(contrast.shown() for contrast in _measures(evidence, reading.further))
    # An interval that excludes 0 only excludes it more surely with more seeds.
    decision = Decision((tuple(parts),)) if reading.verdicts else None
    return Finding(decided, tuple(numbers), "", further, decision)


def _contrasts(reading: ContrastReading, needs: Mapping[str, int], evidence: Evidence) -> Finding:
    missing = [f"`{name}`" for name in needs if name not in evidence.timings]
    if missing and reading.outcome.in_seconds:
        raise InputError(f"There is no benchmark of {render.series(missing)}")
    decided, sets, opposed, required = _verdict(reading, evidence)
    remark = _remark(reading, needs, evidence)
    if reading.requires and not required:
        remark = f"{remark} {reading.requires.remark}".strip()
    shown = [contrast.shown(reading.supported, reading.not_supported) for contrast in chain(*sets)]
    shown += [contrast.shown(reading.unless.condition) for contrast in opposed if reading.unless]
    return Finding(decided, tuple(shown), remark, tuple(_further(reading, needs, evidence)), _decision(reading, sets))


def _verdict(
    reading: ContrastReading, evidence: Evidence
) -> tuple[ClaimVerdict, list[list[Measured]], list[Measured], bool]:
    """Return the verdict on a reading, the sets of contrasts that decide it, those opposed, and if it can be judged."""
    asked = [reading.contrasts] + ([reading.confounder] if reading.confounder else [])
    sets = [measure(evidence, reading, each, widened=True) for each in asked]
    opposed = _measures(evidence, [reading.unless] if reading.unless else [])
    required = not (clause := reading.requires) or met(clause.condition, _measures(evidence, [clause]))
    return verdict(reading, sets, opposed) if required else UNDECIDED, sets, opposed, required


def _measures(evidence: Evidence, several: Iterable[Quantities]) -> list[Measured]:
    return [contrast for quantities in several for contrast in measure(evidence, quantities, quantities.contrasts)]


def _decision(reading: ContrastReading, sets: Sequence[Sequence[Measured]]) -> Decision:
    """Return what decides a reading: in each set, one of its two conditions."""
    ways = []
    for measured in sets:
        either: list[tuple[Part, ...]] = []
        for condition in (reading.supported, reading.not_supported):
            parts = tuple(contrast.part(condition) for contrast in measured)
            either += [parts] if condition.quantifier == "all" else [(part,) for part in parts]
        ways.append(either)
    return Decision(tuple(tuple(chain.from_iterable(way)) for way in product(*ways)))


def _remark(reading: ContrastReading, names: Collection[str], evidence: Evidence) -> str:
    remarks = []
    if reading.outcome.name == "rise" and len(names) == 1:
        single = [analysis.verdict for name in names for analysis in evidence.data.groups[name].analyses.values()]
        counts = [f"*{name}* {single.count(name)}" for name in sorted(set(single))]
        remarks.append(
            "By the rule for a single history, which also asks whether accuracy is kept, the verdicts on the seeds "
            f"are: {', '.join(counts)}."
        )
    for name in names:
        if count := contrasts.unfinished(evidence, reading.outcome, name):
            remarks.append(
                f"{count} seed{'s' * (count > 1)} of `{name}` never reached it and {'are' if count > 1 else 'is'} "
                "counted as reaching it one epoch after the last."
            )
    return " ".join(remarks)


def _further(reading: ContrastReading, names: Iterable[str], evidence: Evidence) -> Iterator[Measurement]:
    for contrast in reading.contrasts.values():
        name = next(iter(contrast[0]))
        again = evidence.reproduced.get(name, {})
        if contrast == ({name: 1},) and reading.outcome.name in again:
            label = f"`{name}` in the reproduction, a single run"
            yield Measurement(label, reading.show, again[reading.outcome.name])
    yield from (measured.shown() for measured in _measures(evidence, reading.further))
    if reading.means is None:
        return
    at = f" in epoch {reading.outcome.epoch}" if reading.outcome.epoch else ""
    alone = {f"`{name}`{at}": ({name: 1.0},) for name in names}
    of_means = reading.model_copy(update={"show": reading.means})
    yield from (measured.shown() for measured in measure(evidence, of_means, alone))
    if reading.outcome.in_seconds:
        for name in names:
            timing = evidence.timings[name]
            label = f"`{name}`, per epoch (smallest to largest)"
            yield Measurement(label, "seconds", timing.median, Interval(timing.smallest, timing.largest))
