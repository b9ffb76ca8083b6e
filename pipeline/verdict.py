"""Is a change of params real? Both sides trained with many seeds, and a verdict on the difference."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from dask.system import CPU_COUNT

from pipeline import cli, params
from pipeline.analysis.verdicts import MIN_SEEDS
from pipeline.change import answer, difference, judgement, trials
from pipeline.change.answer import Answer
from pipeline.change.side import PARAMS, read_side
from pipeline.change.trials import Engine
from pipeline.errors import InputError, PipelineError
from pipeline.study import cluster


def main(argv: Sequence[str] | None = None) -> int:
    """Train the models in which A and B differ with the same seeds, and say whether B is better or worse than A.

    A and B are git revisions, experiments of `dvc exp`, or `workspace`. Exit codes: 0 better, or no relevant
    difference; 1 worse; 2 cannot tell, not comparable, nothing that differs, or a model that only A has.
    """
    arguments = _arguments(argv)
    try:
        found = _answer(arguments)
    except PipelineError as error:
        if arguments.json:
            print(json.dumps({"error": str(error), "exit_code": error.exit_code}, indent=2))
        cli.append_summary(arguments.summary, "### Verdict", f"CANNOT JUDGE: {error}")
        raise
    print(answer.as_json(found) if arguments.json else answer.as_text(found))
    cli.append_summary(arguments.summary, answer.as_markdown(found))
    return found.exit_code


def _answer(arguments: argparse.Namespace) -> Answer:
    if arguments.seeds < MIN_SEEDS:
        raise InputError(f"--seeds: expected at least {MIN_SEEDS}, found {arguments.seeds}: fewer show no spread")
    before, after = read_side(arguments.before), read_side(arguments.after)
    found = difference.find_difference(before, after, arguments.model)
    difference.check_comparable(before, after)
    if not found.changed:
        return Answer(before, after, None, found, ())
    effect = judgement.smallest_effect(params.load(PARAMS), before.dataset, arguments.metric)
    data = trials.held_out(before, arguments.data_summary, arguments.work)
    for side in (before, after):
        difference.check_trainable(side, found.changed, data.shape, data.count)
    question = judgement.ask(arguments.metric, effect, data)
    planned = trials.plan_trials(found.changed, arguments.seeds, data.sha256)
    engine = Engine(arguments.scheduler, arguments.workers, arguments.work / "runs")
    entries = trials.complete(planned, data, engine, question.score)
    return Answer(before, after, question, found, judgement.judge_trials(planned, entries, question))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.verdict", description=main.__doc__)
    parser.add_argument("before", metavar="A", help="git revision, experiment of `dvc exp`, or `workspace`")
    parser.add_argument("after", metavar="B", help="the same, of what is compared with A")
    parser.add_argument("--model", help="of the models that differ, this one alone; default: all of them")
    parser.add_argument("--seeds", type=int, default=10, help="seeds of each side; default: 10")
    parser.add_argument("--metric", choices=judgement.metric_names(), default="accuracy", help="default: accuracy")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="file to append the answer to, in Markdown")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON, with the values of each seed")
    parser.add_argument(
        "--scheduler", default=os.environ.get(cluster.ADDRESS), help=f"of Dask; default: ${cluster.ADDRESS}"
    )
    parser.add_argument("--workers", type=int, default=CPU_COUNT, help="workers of a local cluster; default: all cores")
    parser.add_argument("--work", type=Path, default=Path("work/verdict"), help="directory of data and results")
    parser.add_argument("--data-summary", type=Path, default=Path("reports/data.json"), help="JSON made by preprocess")
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.run(main)
