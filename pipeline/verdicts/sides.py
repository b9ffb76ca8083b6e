"""From the names of sides to an answer: what differs, trained until it is clear, and judged."""

import functools
import json
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from math import comb, inf
from string import ascii_uppercase
from typing import Any

from tqdm import tqdm

from pipeline import params, smallest_effect, tracking
from pipeline.analysis.metrics import SCORES
from pipeline.analysis.verdicts import Verdict
from pipeline.errors import InputError, PipelineError
from pipeline.trials import cluster
from pipeline.trials.ledger import Entry
from pipeline.trials.prepared import PreparedData
from pipeline.trials.run import Engine
from pipeline.trials.tracker import Tracker
from pipeline.verdicts import answer, campaign, difference, judgement, training
from pipeline.verdicts.answer import Answer, ModelAnswer
from pipeline.verdicts.judgement import MOST_SEEDS, Question, SideVerdict
from pipeline.verdicts.side import PARAMS, Side, read_side
from pipeline.verdicts.training import JudgedImages, SideModel, Trainer

# With fewer seeds no interval is finite.
MIN_SEEDS = 5


@dataclass(frozen=True)
class _Rules:
    """How every model is judged; `family` counts the comparisons of all, `deadline` is on the monotonic clock."""

    question: Question
    held_out: JudgedImages
    family: int
    deadline: float

    def judge(self, entries: Mapping[str, Sequence[Entry]]) -> dict[tuple[str, str], SideVerdict]:
        """Return the judgements on all pairs of sides from their entries by seed."""
        scores = {name: training.scores(made, self.question.metric, self.held_out) for name, made in entries.items()}
        chosen_on = max(made[0].record["ingredients"]["held_out"]["chosen_on"] for made in entries.values())
        judged = judgement.judge_all(scores, self.question, self.held_out.sample(chosen_on), self.family)
        same = [pair for pair in judged if training.same_results(*(entries[name] for name in pair))]
        return judged | {(a, b): judgement.same_results(scores[a], self.question) for a, b in same}


def judge(names: Sequence[str], options: Namespace) -> Answer:
    """Train the models in which the other sides differ from the first, and return the verdicts.

    `options` are those of the command.

    Raises:
        InputError: The sides cannot be compared, or not be judged.
        PipelineError: A training run failed.
        UnavailableError: No scheduler answers, or it was lost.
    """
    if not MIN_SEEDS <= options.seeds <= MOST_SEEDS:
        raise InputError(
            f"--seeds: expected {MIN_SEEDS} to {MOST_SEEDS}, found {options.seeds}: fewer have no interval"
        )
    minutes = inf if options.minutes is None else options.minutes
    if options.minutes is not None and not 0 <= minutes < inf:
        raise InputError(f"--minutes: expected a number from 0 on, found {minutes:g}")
    engine = Engine(options.scheduler, options.workers, options.work / "runs")
    data = training.prepared_data(options.data_summary)
    letters = zip(ascii_uppercase, names, strict=False)
    before, *after = (read_side(name, data, options.work / "code", letter) for letter, name in letters)
    for side in after:
        difference.check_comparable(before, side)
    training.check_data(before, data)
    changed = difference.changed_models(before, after, options.model)
    sides = {side.name: str(side) for side in (before, *after)}
    lacking = {side.name: _lacking(before, side, options.model) for side in after}
    added = {side.name: _lacking(side, before, options.model) for side in after}
    if not changed:
        return Answer(sides, None, only_before=lacking, only_after=added)
    question = _question(options.metric, data.summary["classes"], before.dataset)
    held_out = training.hold_out(data)
    planned = {
        name: [training.plan(side, name, options.seeds, data, held_out) for side in (before, *others)]
        for name, others in changed.items()
    }
    if engine.scheduler is None:
        training.check_memory(chain.from_iterable(planned.values()), data)
    family = sum(comb(len(candidates), 2) for candidates in planned.values())
    rules = _Rules(question, held_out, family, time.monotonic() + 60 * minutes)
    shown = {"train": "train", training.JUDGED: "validation"}
    tracker = Tracker(data.summary, experiment=tracking.of_verdict, splits=shown, command="make verdict")
    found = _train(planned, data, engine, rules, tracker)
    compared = [one for name in planned for one in _compared(planned[name], found[name])]
    judged = Answer(
        sides,
        question,
        f"verdict.{before.dataset}.{question.metric} in {PARAMS}",
        held_out.sample(),
        tuple(_of_model(before, changed[name], name, found[name]) for name in planned),
        campaign=campaign.record(options.work / "comparisons.jsonl", compared),
        only_before=lacking,
        only_after=added,
    )
    tracker.put(data.summary["sha256"], _logged(judged, planned))
    tracker.close()
    return judged


def _logged(judged: Answer, planned: Mapping[str, Sequence[SideModel]]) -> tracking.FinishedRun:
    """Return the answer as a run in MLflow: differences with intervals and their figure, verdicts, the page."""
    findings = {
        f"{model.model} {after} - {before}": tracking.LoggedEstimate(
            str(one.verdict), one.difference, *map(answer.finite, one.interval)
        )
        for model in judged.models
        for (before, after), one in model.judgements.items()
    }
    page, content = answer.as_markdown(judged), json.dumps(answer.as_object(judged), indent=2, allow_nan=False)
    artifacts = {"verdict.md": page.encode(), "verdict.json": content.encode(), **_figure(findings, judged.question)}
    every = [one for candidates in planned.values() for one in candidates]
    variants = {f"{one.model}, {one.side.name}": one.replicates[0].variant for one in every}
    return tracking.verdict_run(f"verdict on {', '.join(list(judged.sides)[1:])}", findings, artifacts, variants)


def _figure(findings: Mapping[str, tracking.LoggedEstimate], question: Question | None) -> dict[str, bytes]:
    """Return the finite intervals as a figure by its name, which is in percentage points; none of what is no share."""
    rows = [(name, *one) for name, one in findings.items() if None not in one]
    if not rows or question is None or not SCORES[question.metric].share:
        return {}
    # Imported late: other commands that judge draw nothing.
    import pandas as pd

    from pipeline.reporting.plots import effects, style

    table = pd.DataFrame(rows, columns=["label", "verdict", "estimate", "low", "high"])
    return {"intervals.png": style.png(effects.intervals(table, question.smallest_effect, list(Verdict)))}


def _train(
    planned: Mapping[str, Sequence[SideModel]], data: PreparedData, engine: Engine, rules: _Rules, tracker: Tracker
) -> dict[str, dict[tuple[str, str], SideVerdict]]:
    """Return the judgements on each model, trained one model after the other."""
    with ExitStack() as stack:
        # Once, and not at all if the ledger has all that is needed.
        connect = functools.cache(lambda: stack.enter_context(cluster.connected(engine.scheduler, engine.workers)))
        trainer = Trainer(data, engine, tracker, connect, rules.question.metric)
        return {name: _judgements(candidates, trainer, rules) for name, candidates in planned.items()}


def _judgements(candidates: Sequence[SideModel], trainer: Trainer, rules: _Rules) -> dict[tuple[str, str], SideVerdict]:
    """Return the judgements on a model, looked at after each seed, until they are final or the budget is spent.

    Raises:
        PipelineError: There was no time for two seeds.
    """
    model, judged = candidates[0].model, dict[tuple[str, str], SideVerdict]()
    _say(f"{model}: {_plan(candidates, training.expected_minutes(candidates, trainer.where))}")
    for entries in trainer.entries(candidates):
        if len(next(iter(entries.values()))) > 1:
            judged = rules.judge(entries)
            _say(f"{model}, {_look(judged, candidates)}")
        if (judged and all(one.final for one in judged.values())) or time.monotonic() > rules.deadline:
            break
    if not judged:
        raise PipelineError(f"{model}: no two seeds of each side within --minutes", fix="give it more")
    return judged


def _plan(candidates: Sequence[SideModel], minutes: float | None) -> str:
    seeds = len(candidates[0].replicates)
    time = "how long that takes is known after the first" if minutes is None else f"about {minutes:.0f} minutes"
    return f"up to {seeds} seeds of {len(candidates)} sides, fewer if the verdict is clear; for all of them, {time}"


def _look(judged: Mapping[tuple[str, str], SideVerdict], candidates: Sequence[SideModel]) -> str:
    first = candidates[0].side.name
    letters = {one.side.name: one.side.letter for one in candidates}
    seeds = len(next(iter(judged.values())).before)
    parts = [answer.short(one, letters[b]) for (a, b), one in judged.items() if a == first]
    return f"{seeds} seeds: {'; '.join(parts)}"


def _say(text: str) -> None:
    # Not over the progress bar.
    tqdm.write(text, file=sys.stderr)


def _question(metric: str, classes: Sequence[str], dataset: str) -> Question:
    """Return what is asked of each model.

    Raises:
        InputError: The metric is for data with more classes, or params.yaml does not say which difference matters.
    """
    if len(classes) < (needed := SCORES[metric].min_classes):
        raise InputError(f"--metric: {metric} needs {needed} classes or more, {dataset} has {len(classes)}")
    return Question(metric, smallest_effect.find(params.load(PARAMS), dataset, metric, PARAMS))


def _lacking(first: Side, second: Side, model: str | None) -> list[str]:
    """Return the models of the first side that the second one does not have."""
    return [name for name in first.models if model in (None, name) and name not in second.models]


def _of_model(
    before: Side, after: Sequence[Side], model: str, judged: Mapping[tuple[str, str], SideVerdict]
) -> ModelAnswer:
    return ModelAnswer(
        model,
        tuple(side.name for side in (before, *after)),
        judged,
        {side.name: difference.changed_params(before, side, model) for side in after},
        {side.name: difference.changed_code(before, side) for side in after},
    )


def _compared(
    candidates: Sequence[SideModel], judged: Mapping[tuple[str, str], SideVerdict]
) -> Iterator[dict[str, Any]]:
    """Yield what the campaign keeps of each comparison; recipes name the sides, whatever they are called later."""
    variants = {one.side.name: one.replicates[0].variant for one in candidates}
    for (a, b), one in judged.items():
        outcome = {"verdict": str(one.verdict), "difference": one.difference, "seeds": len(one.before)}
        key = {"before": variants[a], "after": variants[b], "metric": one.question.metric}
        yield {**key, "confidence": one.confidence, **outcome}
