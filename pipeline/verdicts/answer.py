"""The verdicts on a change as text, as Markdown for a pull request, and as JSON; and the exit code."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, isfinite, log10
from string import ascii_uppercase
from typing import Any

from pipeline.analysis.verdicts import Verdict
from pipeline.reporting import render
from pipeline.verdicts import judgement
from pipeline.verdicts.campaign import Campaign
from pipeline.verdicts.judgement import MOST_SEEDS, WORSE, ImageSample, Question, SideVerdict

_ALIKE = "no model differs between A and B, but for the seed or the number of threads"
# The picture of an interval: its width in characters.
_WIDTH = 41


@dataclass(frozen=True)
class ModelAnswer:
    """The judgements on one model, by the names of the two sides, and what each side changed in comparison with A.

    `changes` has the params that differ, with A's value and the side's, and `code` the modules.
    """

    model: str
    sides: tuple[str, ...]
    judgements: Mapping[tuple[str, str], SideVerdict]
    changes: Mapping[str, Mapping[str, tuple[Any, Any]]] = field(default_factory=dict)
    code: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def of_after(self) -> dict[str, SideVerdict]:
        """Return the judgements on the other sides, compared with A."""
        return {second: one for (first, second), one in self.judgements.items() if first == self.sides[0]}


@dataclass(frozen=True)
class Answer:
    """What was asked, of which sides (by name: how it is called in full), and what came of it.

    `only_before` and `only_after` have the models that only A has, and only the side, by the side's name.
    """

    sides: Mapping[str, str]
    question: Question | None
    key: str = ""
    images: ImageSample | None = None
    models: tuple[ModelAnswer, ...] = ()
    only_before: Mapping[str, Sequence[str]] = field(default_factory=dict)
    only_after: Mapping[str, Sequence[str]] = field(default_factory=dict)
    campaign: Campaign | None = None

    @property
    def is_complete(self) -> bool:
        """Whether there is a verdict, and no side lacks a model that A has."""
        return bool(self.models) and not any(self.only_before.values())

    @property
    def exit_code(self) -> int:
        """1 if a model is worse, else 2 if none was judged, one cannot be told or only A has one, else 0."""
        found = {one.verdict for model in self.models for one in model.of_after().values()}
        if found & {*WORSE}:
            return 1
        return 2 if Verdict.UNDECIDED in found or not self.is_complete else 0

    @property
    def letters(self) -> dict[str, str]:
        """A, B and so on for the sides, by name."""
        return dict(zip(self.sides, ascii_uppercase, strict=False))


def as_text(answer: Answer) -> str:
    """Return the answer as lines of text."""
    lines = [", ".join(f"{answer.letters[name]} = {full}" for name, full in answer.sides.items()), *_notes(answer)]
    for model in answer.models:
        for name, one in model.of_after().items():
            letter = answer.letters[name]
            means = f"A {_number(one, _mean(one.before))}, {letter} {_number(one, _mean(one.after))}"
            lines += ["", f"{model.model}: {_changes(model, name)}", f"  {means}; {_difference(one, letter)}"]
            lines += [f"  {_picture(one)}", f"  {_words(one, letter)}"]
        if best := _best(answer, model):
            lines.append(f"  {best}")
    return "\n".join(lines)


def as_markdown(answer: Answer) -> str:
    """Return the answer as a section in Markdown, in which names and values mark nothing up."""
    before, *after = map(_literal, answer.sides.values())
    lines = [f"### Verdict on {', '.join(after)}, compared with {before}", ""]
    lines.append(_literal(" ".join(_notes(answer))))
    if answer.models:
        lines += ["", "| model | change | A | other | difference | interval | | verdict |", "|---" * 8 + "|"]
    for model in answer.models:
        for name, one in model.of_after().items():
            letter = answer.letters[name]
            means = _number(one, _mean(one.before)), f"{letter}: {_number(one, _mean(one.after))}"
            cells = [model.model, _changes(model, name), *means, _number(one, one.difference, "+"), _interval(one)]
            picture = _picture(one).replace("|", r"\|")
            lines.append(f"| {' | '.join(map(_literal, cells))} | `{picture}` | {_literal(_words(one, letter))} |")
    lines += [f"\n**{_literal(model.model)}**: {best}" for model in answer.models if (best := _best(answer, model))]
    return "\n".join(lines)


def _literal(text: str) -> str:
    return render.literal(render.flow(text))


def as_object(answer: Answer) -> dict[str, Any]:
    """Return the answer as a JSON object, with the values of each seed; docs/programs.md has its schema."""
    question, images = answer.question, answer.images
    return {
        "exit_code": answer.exit_code,
        "sides": dict(answer.sides),
        "metric": question and question.metric,
        "smallest_effect": question and question.smallest_effect,
        "images": images and {"judged": images.judged, "drawn_again_for_each_seed": images.trained is not None},
        "models": [_model(model) for model in answer.models],
        "only_before": {name: list(models) for name, models in answer.only_before.items()},
        "only_after": {name: list(models) for name, models in answer.only_after.items()},
        "earlier_comparisons": answer.campaign and answer.campaign.comparisons,
        "wrong_by_chance": answer.campaign and answer.campaign.by_chance,
        **({} if question else {"error": _ALIKE}),
    }


def _model(model: ModelAnswer) -> dict[str, Any]:
    comparisons = [{"before": a, "after": b, **_comparison(one)} for (a, b), one in model.judgements.items()]
    return {
        "model": model.model,
        "changes": {
            name: {
                "params": {key: {"before": a, "after": b} for key, (a, b) in params.items()},
                "code": list(model.code.get(name, ())),
            }
            for name, params in model.changes.items()
        },
        "comparisons": comparisons,
        "may_be_best": judgement.best(model.judgements, model.sides),
    }


def _comparison(one: SideVerdict) -> dict[str, Any]:
    here = one.estimate.interval_of_seeds(one.confidence)
    return {
        "values_before": one.before,
        "values_after": one.after,
        "difference": one.difference,
        "low": finite(one.interval.low),
        "high": finite(one.interval.high),
        "verdict": str(one.verdict),
        "low_on_these_images": finite(here.low),
        "high_on_these_images": finite(here.high),
        "verdict_on_these_images": str(one.verdict_here),
        "confidence": one.confidence,
        "seeds_needed": one.seeds_needed,
        "images_needed": finite(one.images_needed),
    }


def finite(value: float) -> float | None:
    """Return `value`, or None where it is none that JSON or MLflow takes."""
    return value if isfinite(value) else None


def _notes(answer: Answer) -> Iterator[str]:
    """Yield sentences about the whole: what was measured, or that there is nothing to measure."""
    if answer.question is None:
        yield f"CANNOT JUDGE: {_ALIKE}."
    elif answer.models:
        yield from _measured(answer.question, answer)
    for name, models in answer.only_before.items():
        if models:
            yield f"CANNOT JUDGE: {answer.letters[name]} has no {', '.join(models)}, which A has: removed or renamed."
    for name, models in answer.only_after.items():
        if models:
            yield f"Only {answer.letters[name]} has {', '.join(models)}, which cannot be compared."


def _measured(question: Question, answer: Answer) -> Iterator[str]:
    judged = [one for model in answer.models for one in model.judgements.values()]
    better = "" if question.sign > 0 else "; less is better"
    seeds = "/".join(str(n) for n in dict.fromkeys(len(one.before) for one in judged))
    yield f"Measured: {question.metric.replace('_', ' ')} {_on(answer.images)}, {seeds} seeds, paired{better}."
    where = f" ({answer.key})" if answer.key else ""
    yield f"A difference matters from {question.smallest_effect:g} on{where}."
    if any(one.estimate.image_error is None for one in judged):
        yield "Other images may give another answer: only the seeds count as a sample here."
    if len(judged) > 1:
        yield f"The intervals of all {len(judged)} comparisons hold jointly with 95% confidence (Bonferroni)."
    if answer.campaign and answer.campaign.comparisons:
        n, wrong = answer.campaign.comparisons, answer.campaign.by_chance
        yield f"{n} comparison{'s' * (n > 1)} before: had none made a difference, up to {wrong:.1f} would by chance."


def _on(images: ImageSample | None) -> str:
    if images is None:
        return "as given"
    what = "other ones for each seed" if images.trained else "the same for all seeds"
    return f"on {images.judged:,} held-out images ({what})"


def _changes(model: ModelAnswer, name: str) -> str:
    pairs = model.changes.get(name, {}).items()
    parts = [f"{key} {_value(before)} -> {_value(after)}" for key, (before, after) in pairs]
    if code := model.code.get(name):
        parts.append(f"code: {', '.join(path.removeprefix('pipeline/') for path in code)}")
    return ", ".join(parts) or name


def _value(value: Any) -> str:
    return "none" if value is None else str(value)


def _difference(one: SideVerdict, letter: str) -> str:
    return f"{letter} - A = {_number(one, one.difference, '+')}, {_interval(one)}"


def _interval(one: SideVerdict) -> str:
    low, high = one.interval
    if not isfinite(low):
        return f"too few seeds for an interval ({len(one.before)})"
    return f"{100 * one.confidence:.3g}% interval {_number(one, low, '+')} to {_number(one, high, '+')}"


def _number(one: SideVerdict, value: float, sign: str = "") -> str:
    """Return a value with a hundredth of the smallest effect as its last digit."""
    return f"{value:{sign}.{max(2 - floor(log10(one.question.smallest_effect)), 0)}f}"


def short(one: SideVerdict, letter: str) -> str:
    """Return the state of a comparison in one line."""
    return f"{_difference(one, letter)}: {one.verdict}"


def _picture(one: SideVerdict) -> str:
    """Return an interval as characters: `[`, `*`, `]` are its ends and the difference, `|` is 0, `:` what matters."""
    effect = one.question.smallest_effect
    most = 9 * effect + abs(one.difference)
    low, high = max(one.interval.low, -most), min(one.interval.high, most)
    most = max(abs(low), abs(high), 2 * effect)

    def at(value: float) -> int:
        return round((value / most + 1) / 2 * (_WIDTH - 1))

    marks = ["-" if at(low) < place < at(high) else "." for place in range(_WIDTH)]
    ends = ((low, "["), (high, "]")) if at(low) < at(high) else ()
    for value, mark in ((-effect, ":"), (effect, ":"), (0.0, "|"), (one.difference, "*"), *ends):
        marks[at(value)] = mark
    return "".join(marks)


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)


def _words(one: SideVerdict, letter: str) -> str:
    if one.estimate.same:
        return f"{one.verdict}: the same results to the last bit"
    if one.verdict is not Verdict.UNDECIDED:
        return _sentence(one.verdict, letter)
    if one.images_needed >= 1:
        known = one.verdict_here is not Verdict.UNDECIDED
        here = f"on these images {_sentence(one.verdict_here, letter)}; " * known
        times = f"about {ceil(10 * one.images_needed) / 10:g} times as many" if isfinite(one.images_needed) else "more"
        return f"{one.verdict}: {here}more seeds do not decide it for other images, {times} held-out images would"
    if one.seeds_needed is None:
        return f"{one.verdict}: if difference and spread are as observed, not even {MOST_SEEDS:,} seeds would decide it"
    needed = max(one.seeds_needed, len(one.before) + 1)
    return f"{one.verdict}: about {needed:,} seeds would decide it, if difference and spread are as observed"


def _sentence(verdict: Verdict, letter: str) -> str:
    return str(verdict) if verdict is Verdict.EQUIVALENT else f"{letter} is {verdict}"


def _best(answer: Answer, model: ModelAnswer) -> str:
    """Return which of several candidates may be the best one, if there are several."""
    letters = ", ".join(answer.letters[name] for name in judgement.best(model.judgements, model.sides))
    return f"May be the best, as no other one was found to be better: {letters}" if len(model.sides) > 2 else ""
