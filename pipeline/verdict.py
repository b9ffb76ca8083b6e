"""Is a change of params real? Both sides trained with many seeds, and a verdict on the difference."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline import cli, params, smallest_effect, tracking
from pipeline.analysis.verdicts import MIN_SEEDS
from pipeline.change import answer, difference, judgement, trials
from pipeline.change.answer import Answer
from pipeline.change.side import PARAMS, read_side
from pipeline.errors import InputError
from pipeline.trials import ledger, run
from pipeline.trials.run import Display
from pipeline.trials.tracker import Tracker

# What MLflow shows of these runs: nobody is to choose by a test score.
_SPLITS = ("train", "validation")


def main(argv: Sequence[str] | None = None) -> int:
    """Train the models in which A and B differ with the same seeds, and say whether B is better or worse than A.

    A and B are git revisions, experiments of `dvc exp`, or `workspace`. Exit codes: 0 better, or no relevant
    difference; 1 worse; 2 cannot tell, or not comparable.
    """
    arguments = _arguments(argv)
    try:
        found = _answer(arguments)
    except InputError as error:
        cli.append_summary(arguments.summary, "### Verdict", f"CANNOT JUDGE: {error}")
        raise
    print(answer.as_json(found) if arguments.json else answer.as_text(found))
    cli.append_summary(arguments.summary, answer.as_markdown(found))
    return found.exit_code


def _answer(arguments: argparse.Namespace) -> Answer:
    if arguments.seeds < MIN_SEEDS:
        raise InputError(f"--seeds: expected at least {MIN_SEEDS}, found {arguments.seeds}: fewer show no spread")
    engine = run.engine(arguments, arguments.work / "runs")
    before, after = read_side(arguments.before), read_side(arguments.after)
    found = difference.find_difference(before, after, arguments.model)
    difference.check_comparable(before, after)
    if not found.changed:
        return Answer(before, after, None, found, ())
    effect = smallest_effect.find(params.load(PARAMS), before.dataset, arguments.metric, PARAMS)
    data = trials.held_out(before, arguments.data_summary, arguments.work)
    for side in (before, after):
        difference.check_trainable(side, found.changed, data.shape, data.count("train"))
    question = judgement.ask(arguments.metric, effect, data)
    planned = trials.plan_trials(found.changed, arguments.seeds, data.sha256)
    lookups = list(ledger.look_up(engine.folder, trials.in_turn(planned)))
    judgement.check_scored(lookups, question, engine.folder)
    tracker = Tracker(data.summary, experiment=tracking.of_verdict, splits=_SPLITS, command="make verdict")
    entries = run.complete(lookups, [data], engine, tracker, Display("verdict", "validation", sys.stderr))
    return Answer(before, after, question, found, judgement.judge_trials(planned, entries, question))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.verdict", description=main.__doc__)
    parser.add_argument("before", metavar="A", help="git revision, experiment of `dvc exp`, or `workspace`")
    parser.add_argument("after", metavar="B", help="the same, of what is compared with A")
    parser.add_argument("--model", help="of the models that differ, this one alone; default: all of them")
    parser.add_argument("--seeds", type=int, default=10, help="seeds of each side; default: 10")
    parser.add_argument(
        "--metric", choices=smallest_effect.metric_names(), default="accuracy", help="default: accuracy"
    )
    parser.add_argument("--summary", type=Path, metavar="FILE", help="file to append the answer to, in Markdown")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON, with the values of each seed")
    run.add_arguments(parser)
    parser.add_argument("--work", type=Path, default=Path("work/verdict"), help="directory of data and results")
    parser.add_argument("--data-summary", type=Path, default=Path("reports/data.json"), help="JSON made by preprocess")
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.run(main)
