"""Whether a rerun gave the same result: the models in the workspace against the committed ones, and other seeds.

On another processor the last digits of the scores differ, and so do the files. The study's prediction intervals of one
more seed (study/reports/prediction.csv) show whether it is the same result all the same. They are for the study's data
set and for models with its settings only.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import cli, files, params, revision
from pipeline.analysis.verdicts import Interval
from pipeline.errors import InputError
from pipeline.params import Params
from pipeline.reporting import render
from pipeline.trials import other_seeds

HEAD = "HEAD"

Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Reproduced:
    """The scores of a trained model, those committed of it, if any, and the intervals of one more seed, by score.

    `scores` are those that intervals may be of; `reason` says why there is no interval.
    """

    name: str
    metrics: Numbers
    scores: Numbers
    committed: Numbers | None
    intervals: Mapping[str, Interval]
    reason: str

    @property
    def outside(self) -> list[str]:
        """The scores outside of their intervals."""
        return [key for key, (low, high) in self.intervals.items() if not low <= self.scores[key] <= high]

    def as_object(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "model": self.name,
            **self.scores,
            "committed": self.committed,
            "every_score_as_committed": self.metrics == self.committed,
            "one_more_seed": {key: list(interval) for key, interval in self.intervals.items()},
            "outside": self.outside,
        }

    def __str__(self) -> str:
        """Its test accuracy, the difference from the committed one, and the intervals, in a line."""
        accuracy = render.percent(self.metrics["test_accuracy"])
        return f"{self.name}: test accuracy {accuracy}, {self._against_committed()}; {self._against_seeds()}"

    def _against_committed(self) -> str:
        if self.committed is None:
            return "not among the committed results"
        if self.metrics == self.committed:
            return "every score as committed"
        now, before = self.metrics["test_accuracy"], self.committed.get("test_accuracy")
        if before is None:
            return "committed without a test accuracy"
        if now == before:
            return "as committed; other scores differ"
        return f"{render.signed(100 * (now - before), 2)} points from the committed {render.percent(before)}"

    def _against_seeds(self) -> str:
        if not self.intervals:
            return self.reason
        inside = len(self.intervals) - len(self.outside)
        text = f"{inside} of {len(self.intervals)} scores within the 95% intervals of one more seed"
        if not self.outside:
            return text
        ends = {key: f"{self.intervals[key][0]:.4g} to {self.intervals[key][1]:.4g}" for key in self.outside}
        parts = [f"{key.replace('_', ' ')} {self.scores[key]:.4g} ({between})" for key, between in ends.items()]
        return f"{text}, not {render.series(parts)}; by chance, 1 in 20 is outside"


def compare(
    values: Params, metrics: Mapping[str, Numbers], running: Numbers, committed: Mapping[str, Numbers], study: Path
) -> Iterator[Reproduced]:
    """Yield how each model compares with what is committed, and with other seeds.

    `metrics` and `committed` are the contents of reports/metrics.json here and in git, `running` has each model's
    training accuracy of the last epoch, and `study` is the folder of the study.
    """
    by_model, reason = other_seeds.intervals(values.models, values.train, values.data, study)
    for name in values.models:
        here = metrics[name]
        scores = {
            "test_accuracy": here["test_accuracy"],
            "test_loss": here["test_loss"],
            "running_accuracy": running[name],
        }
        # Too few epochs have no rise.
        scores |= {"rise": here["val_loss_rise"]} if "val_loss_rise" in here else {}
        intervals = {key: interval for key, interval in by_model.get(name, {}).items() if key in scores}
        yield Reproduced(name, here, scores, committed.get(name), intervals, reason)


def _committed(path: Path) -> Mapping[str, Numbers]:
    """Return the content of the file at `path` in git's last commit; nothing if git has none that can be read."""
    try:
        content = revision.show(HEAD, path)
        metrics = {} if content is None else json.loads(content)
    except (InputError, ValueError):
        return {}
    scores = metrics.items() if isinstance(metrics, dict) else ()
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
    cli.add_json_argument(parser)
    arguments = parser.parse_args()
    values, metrics = params.load(arguments.params), files.read_json(arguments.metrics)
    if missing := [name for name in values.models if name not in metrics]:
        what = f"has no scores of {render.series(missing)}"
        raise InputError(what, path=arguments.metrics, fix="`make repro` writes it again")
    histories = {name: files.read_csv(arguments.history / f"{name}.csv") for name in values.models}
    running = {name: float(history["accuracy"].iloc[-1]) for name, history in histories.items()}
    compared = [*compare(values, metrics, running, _committed(arguments.metrics), arguments.study)]
    return cli.answer(
        arguments.json, "\n".join(map(str, compared)), {"models": [model.as_object() for model in compared]}
    )


if __name__ == "__main__":
    cli.run(main)
