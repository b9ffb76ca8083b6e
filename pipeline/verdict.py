"""Is a change real? All sides trained with many seeds, and a verdict on their differences."""

import argparse
from collections.abc import Iterable, Sequence
from math import comb
from pathlib import Path
from string import ascii_uppercase

from pipeline import cli, smallest_effect
from pipeline.errors import InputError, PipelineError
from pipeline.reporting import render
from pipeline.verdicts import answer, judgement, scores
from pipeline.verdicts.answer import Answer, ModelAnswer
from pipeline.verdicts.judgement import Question

# Beyond these seeds of each side, few differences that matter are still open.
SEEDS = 40


def main(argv: Sequence[str] | None = None) -> int:
    """Train the models in which other sides differ from A with the same seeds, until it is clear which are better.

    Sides are git revisions, experiments of `dvc exp`, or `workspace`; each is trained by its own code. Exit codes: 0
    better, or no relevant difference; 1 worse; 2 cannot tell, not comparable, nothing that differs, or a model of A
    that another side does not have.
    """
    arguments = _arguments(argv)
    try:
        found = _of_scores(arguments) if arguments.scores else _of_sides(arguments)
    except PipelineError as error:
        cli.append_summary(arguments.summary, "### Verdict", f"CANNOT JUDGE: {render.literal(str(error))}")
        raise
    cli.append_summary(arguments.summary, answer.as_markdown(found))
    cli.answer(arguments.json, answer.as_text(found), answer.as_object(found))
    if arguments.exit_zero:
        return 0 if found.is_complete else 2
    return found.exit_code


def _of_scores(arguments: argparse.Namespace) -> Answer:
    """Judge the sides in a CSV, all of them or those that are named.

    Raises:
        InputError: The file is wrong, a side is not in it, or the smallest difference is no positive number.
    """
    effect, most = arguments.effect, scores.LARGEST
    if effect is None:
        raise InputError("--scores: --effect is missing, so nothing says which difference matters")
    if not 1 / most <= effect <= most:
        raise InputError(f"--effect: expected a number from {1 / most:g} to {most:g}, found {effect:g}")
    found, images = scores.read(arguments.scores, arguments.metric)
    names = _once([*filter(None, [arguments.before, *arguments.after])] or found)
    if unknown := [name for name in names if name not in found]:
        raise InputError(f"has no side {unknown[0]}, but {', '.join(found)}", path=arguments.scores)
    question = Question(arguments.metric, effect)
    chosen = {name: found[name] for name in names}
    judgements = judgement.judge_all(chosen, question, images, comb(len(names), 2))
    model = ModelAnswer("scores", tuple(names), judgements)
    return Answer({name: name for name in names}, question, images=images, models=(model,))


def _of_sides(arguments: argparse.Namespace) -> Answer:
    # Imported late: a verdict on scores needs neither Dask nor MLflow.
    from pipeline.verdicts import sides

    if arguments.effect is not None:
        raise InputError("--effect is for --scores alone", fix="set it in params.yaml: verdict.DATASET.METRIC")
    return sides.judge(_once([arguments.before or "HEAD", *(arguments.after or ["workspace"])]), arguments)


def _once(sides: Iterable[str]) -> list[str]:
    """Return the names of sides, each once.

    Raises:
        InputError: They are fewer than two, or more than there are letters.
    """
    names, most = list(dict.fromkeys(sides)), len(ascii_uppercase)
    if not 2 <= len(names) <= most:
        raise InputError(f"expected 2 to {most} different sides, found {len(names)}", fix="name those to compare")
    return names


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.verdict", description=main.__doc__)
    side = "git revision, experiment of `dvc exp`, or `workspace`"
    parser.add_argument("before", metavar="A", nargs="?", help=f"{side}; default: HEAD")
    parser.add_argument(
        "after", metavar="B", nargs="*", help="the same, of what is compared with A; default: workspace"
    )
    parser.add_argument("--model", help="of the models that differ, this one alone; default: all of them")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"at most so many of each side; default: {SEEDS}")
    parser.add_argument("--minutes", type=float, help="stop after these, whatever is known then; default: no limit")
    parser.add_argument(
        "--metric", choices=smallest_effect.metric_names(), default="accuracy", help="default: accuracy"
    )
    parser.add_argument("--scores", type=Path, metavar="FILE", help="CSV (side, seed, score[, image]): train nothing")
    parser.add_argument("--effect", type=float, help="with --scores: the smallest difference that matters")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="file to append the answer to, in Markdown")
    parser.add_argument(
        "--exit-zero", action="store_true", help="exit with 0 for any verdict, 2 where a model has none"
    )
    cli.add_json_argument(parser)
    cli.add_engine_arguments(parser)
    parser.add_argument("--work", type=Path, default=Path("work/verdict"), help="directory of code and results")
    parser.add_argument("--data-summary", type=Path, default=Path("reports/data.json"), help="JSON made by preprocess")
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.run(main)
