"""The verdicts on a change as text, as Markdown for a pull request, and as JSON; and the exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.analysis.power import MOST_SEEDS
from pipeline.analysis.verdicts import Verdict
from pipeline.change.difference import Difference, ModelChange
from pipeline.change.judgement import POWER, ChangeVerdict, Question
from pipeline.change.side import PARAMS, Side

_WORSE = (Verdict.WORSE, Verdict.WORSE_OPEN)


@dataclass(frozen=True)
class Answer:
    """What was asked, how the sides differ, and a verdict for each model that does, in the same order."""

    before: Side
    after: Side
    question: Question | None
    difference: Difference
    verdicts: tuple[ChangeVerdict, ...]

    @property
    def exit_code(self) -> int:
        """1 if a model is worse, else 2 if none was judged, one cannot be told or only A has one, else 0."""
        found = {one.verdict for one in self.verdicts}
        if found & {*_WORSE}:
            return 1
        return 2 if not found or Verdict.UNDECIDED in found or self.difference.only_before else 0

    def pairs(self) -> Iterator[tuple[ModelChange, ChangeVerdict]]:
        """Yield each changed model with its verdict."""
        yield from zip(self.difference.changed, self.verdicts, strict=True)


def as_text(answer: Answer) -> str:
    """Return the answer as lines of text."""
    lines = [f"A = {answer.before}, B = {answer.after}", *_notes(answer)]
    for change, verdict in answer.pairs():
        lines += ["", f"{change.model}: {_changes(change)}", f"  {_numbers(verdict)}", f"  {_words(verdict)}"]
    return "\n".join(lines)


def as_markdown(answer: Answer) -> str:
    """Return the answer as a section in Markdown."""
    lines = [f"### Verdict on `{answer.after}`, compared with `{answer.before}`", "", " ".join(_notes(answer))]
    if answer.verdicts:
        lines += ["", "| model | change | A | B | B - A | interval | verdict |", "|---" * 7 + "|"]
    for change, one in answer.pairs():
        means = (f"{_mean(values):.5f}" for values in (one.before, one.after))
        cells = [change.model, _changes(change), *means, f"{one.difference:+.5f}", _interval(one), _words(one)]
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines)


def as_json(answer: Answer) -> str:
    """Return the answer as one JSON object, with the values of each seed."""
    question = answer.question
    content = {
        "before": _side(answer.before),
        "after": _side(answer.after),
        "metric": question and question.metric,
        "smallest_effect": question and question.smallest_effect,
        "images": question and question.images,
        "models": [_model(change, verdict) for change, verdict in answer.pairs()],
        "only_before": answer.difference.only_before,
        "only_after": answer.difference.only_after,
        "exit_code": answer.exit_code,
    }
    return json.dumps(content, indent=2, allow_nan=False)


def _side(side: Side) -> Mapping[str, Any]:
    return {"name": side.name, "commit": side.commit}


def _model(change: ModelChange, verdict: ChangeVerdict) -> Mapping[str, Any]:
    return {
        "model": change.model,
        "params": {name: {"before": before, "after": after} for name, (before, after) in change.params.items()},
        "before": verdict.before,
        "after": verdict.after,
        "difference": verdict.difference,
        **verdict.interval._asdict(),
        "confidence": verdict.confidence,
        "verdict": str(verdict.verdict),
        "seeds_needed": verdict.seeds_needed,
        "seeds_needed_at_most": verdict.seeds_needed_at_most,
    }


def _notes(answer: Answer) -> Iterator[str]:
    """Yield sentences about the whole: what was measured, or that there is nothing to measure."""
    if answer.question is None:
        yield "CANNOT JUDGE: no model differs between A and B, but for the seed or the number of threads."
    else:
        yield from _measured(answer.question, answer)
    if names := answer.difference.only_before:
        yield f"CANNOT JUDGE: only A has {', '.join(names)}: removed or renamed."
    if names := answer.difference.only_after:
        yield f"Only B has {', '.join(names)}, which cannot be compared."


def _measured(question: Question, answer: Answer) -> Iterator[str]:
    better = "" if question.sign > 0 else "; less is better"
    seeds = answer.verdicts[0].seeds
    yield (
        f"Measured: {question.metric.replace('_', ' ')} on {question.images:,} validation images, "
        f"{seeds} seeds of each side, paired by seed{better}."
    )
    key = f"verdict.{answer.before.dataset}.{question.metric}"
    yield f"A difference matters from {question.smallest_effect:g} on ({key} in {PARAMS})."
    if len(answer.verdicts) > 1:
        yield f"The intervals of the {len(answer.verdicts)} models hold jointly with 95% confidence (Bonferroni)."


def _changes(change: ModelChange) -> str:
    return ", ".join(f"{name} {_value(before)} -> {_value(after)}" for name, (before, after) in change.params.items())


def _value(value: Any) -> str:
    return "none" if value is None else str(value)


def _numbers(one: ChangeVerdict) -> str:
    return f"A {_mean(one.before):.5f}, B {_mean(one.after):.5f}; B - A = {one.difference:+.5f}, {_interval(one)}"


def _interval(one: ChangeVerdict) -> str:
    return f"{100 * one.confidence:.3g}% interval {one.interval.low:+.5f} to {one.interval.high:+.5f}"


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)


def _words(one: ChangeVerdict) -> str:
    if one.verdict is not Verdict.UNDECIDED:
        return f"{one.verdict}" if one.verdict is Verdict.EQUIVALENT else f"B is {one.verdict}"
    if one.seeds_needed is None:
        return f"{one.verdict}: if difference and spread are as observed, not even {MOST_SEEDS:,} seeds would decide it"
    most = f" (or {one.seeds_needed_at_most:,}, if the spread is at its upper 80% bound)"
    return (
        f"{one.verdict}: {one.seeds_needed:,} seeds would decide it with a probability of {POWER:.0%}, if difference "
        f"and spread are as observed{most if one.seeds_needed_at_most else ''}"
    )
