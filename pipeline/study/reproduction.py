"""Whether a rerun gave the same result: the models in the workspace against the committed ones, and other seeds.

On another processor the last digits of the scores differ, and so do the files. The study's prediction intervals of one
more seed (study/reports/prediction.csv) show whether it is the same result all the same. They are for the study's data
set and for models with its settings only.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline import cli, files, params, revision
from pipeline.analysis.verdicts import Interval
from pipeline.errors import InputError
from pipeline.params import Params
from pipeline.reporting import render
from pipeline.trials import other_seeds

HEAD = "HEAD"
# The outcomes of prediction.csv, and what they are called.
WORDS = {
    "test_accuracy": "test accuracy",
    "test_loss": "test loss",
    "running_accuracy": "running accuracy",
    "rise": "rise",
}

Numbers = Mapping[str, float]


def lines(
    values: Params, metrics: Mapping[str, Numbers], running: Numbers, committed: Mapping[str, Numbers], study: Path
) -> Iterator[str]:
    """Yield a line for each model: its test accuracy, the difference from the committed one, and the intervals.

    `metrics` and `committed` are the contents of reports/metrics.json here and in git, `running` has each model's
    training accuracy of the last epoch, and `study` is the folder of the study.
    """
    found, reason = other_seeds.intervals(values.models, values.train, values.data.dataset, study)
    for name in values.models:
        here = metrics[name]
        scores = {
            "test_accuracy": here["test_accuracy"],
            "test_loss": here["test_loss"],
            "running_accuracy": running[name],
        }
        # Too few epochs have no rise.
        scores |= {"rise": here["val_loss_rise"]} if "val_loss_rise" in here else {}
        place = _against_seeds(scores, found[name]) if name in found else reason
        accuracy, change = render.percent(here["test_accuracy"]), _against(here, committed.get(name))
        yield f"{name}: test accuracy {accuracy}, {change}; {place}"


def _against(here: Numbers, committed: Numbers | None) -> str:
    if committed is None:
        return "not among the committed results"
    if here == committed:
        return "every score as committed"
    before = committed.get("test_accuracy")
    if before is None:
        return "committed without a test accuracy"
    if here["test_accuracy"] == before:
        return "as committed; other scores differ"
    change = render.signed(100 * (here["test_accuracy"] - before), 2)
    return f"{change} points from the committed {render.percent(before)}"


def _against_seeds(scores: Numbers, every: Mapping[str, Interval]) -> str:
    intervals = {key: interval for key, interval in every.items() if key in scores}
    outside = [key for key, (low, high) in intervals.items() if not low <= scores[key] <= high]
    inside = len(intervals) - len(outside)
    text = f"{inside} of {len(intervals)} scores within the 95% intervals of one more seed"
    if not outside:
        return text
    parts = [f"{WORDS[key]} {scores[key]:.4g} ({intervals[key][0]:.4g} to {intervals[key][1]:.4g})" for key in outside]
    return f"{text}, not {render.series(parts)}; by chance, 1 in 20 is outside"


def _committed(path: Path) -> Mapping[str, Numbers]:
    """Return the content of the file at `path` in git's last commit; nothing if git has none that can be read."""
    try:
        content = revision.show(HEAD, path)
        found = {} if content is None else json.loads(content)
    except (InputError, ValueError):
        return {}
    scores = found.items() if isinstance(found, dict) else ()
    return {name: of_model for name, of_model in scores if isinstance(of_model, dict)}


def main() -> int:
    """Print how each trained model compares with the committed results, and with other seeds of the study."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.study.reproduction", description=main.__doc__)
    for name, default, words in (
        ("params", "params.yaml", "the experiment's settings"),
        ("metrics", "reports/metrics.json", "JSON made by report"),
        ("history", "reports/history", "directory of the scores per epoch, made by train"),
        ("study", "study", "folder of the study"),
    ):
        parser.add_argument(f"--{name}", type=Path, default=Path(default), help=f"{words}; default: {default}")
    arguments = parser.parse_args()
    values, metrics = params.load(arguments.params), files.read_json(arguments.metrics)
    if missing := [name for name in values.models if name not in metrics]:
        what = f"has no scores of {render.series(missing)}"
        raise InputError(what, path=arguments.metrics, fix="`make repro` writes it again")
    histories = {name: files.read_csv(arguments.history / f"{name}.csv") for name in values.models}
    running = {name: float(history["accuracy"].iloc[-1]) for name, history in histories.items()}
    for line in lines(values, metrics, running, _committed(arguments.metrics), arguments.study):
        print(line)
    return 0


if __name__ == "__main__":
    cli.run(main)
