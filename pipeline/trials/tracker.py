"""Replicates, the study's and those of verdicts on changes, on their way to MLflow."""

import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from tqdm import tqdm

from pipeline import tracking
from pipeline.analysis import metrics
from pipeline.trials.ledger import Entry
from pipeline.trials.plan import SEEDED

_SPLITS = MappingProxyType({name: name for name in metrics.SPLITS})


class Tracker:
    """Logs replicates to MLflow in the background: one finished run per recipe.

    There is an `experiment` for each data set; `summaries` are the contents of the files that describe these. `splits`
    has the splits whose scores are logged, and what they are called there. `command` adds later what an outage keeps
    from MLflow.
    """

    def __init__(
        self,
        *summaries: Mapping[str, Any],
        experiment: Callable[[str, str], tracking.Experiment] = tracking.of_study,
        splits: Mapping[str, str] = _SPLITS,
        command: str = "make sync",
    ) -> None:
        self._splits, self._command = splits, command
        self._runs = {
            summary["sha256"]: tracking.FinishedRuns(
                experiment(summary["dataset"], str(summary.get("title", summary["dataset"])))
            )
            for summary in summaries
        }
        self._outbox = tracking.Outbox(tracking.is_permanent)

    def recipes(self) -> set[str]:
        """Return the recipes of the replicates that MLflow has."""
        return {recipe for runs in self._runs.values() for recipe in runs.recipes()}

    def knows(self, record: Mapping[str, Any]) -> bool:
        """Return whether a replicate with this record is on one of the data sets."""
        return record["ingredients"]["data"] in self._runs

    def add(self, entry: Entry) -> None:
        """Have the run of `entry` created, unless it exists."""
        made, scores = entry.record["ingredients"], entry.record["splits"]
        params = {"variant": entry.variant, **tracking.flatten(made["model"] | {"train": made["train"]})}
        params["pixels"] = "original" if made["permutation_seed"] is None else "permuted"
        tags = {"recipe": entry.record["recipe"], "variant": entry.variant, "seed": str(entry.seed)}
        tags |= {f"version.{library}": version for library, version in made["versions"].items()}
        tags["processor"] = entry.record["processor"]
        rows = entry.history.rename(columns={"train_loss": "sample_loss", "train_accuracy": "sample_accuracy"})
        params |= tracking.flatten({key: made[key] for key in SEEDED if key in made})
        final = metrics.flat({name: scores[split] for split, name in self._splits.items() if split in scores})
        name, took = f"{entry.variant}-{entry.seed}", entry.record.get("seconds", 0.0)
        run = tracking.FinishedRun(name, tags, params, rows.to_dict("records"), final, seconds=took)
        self.put(made["data"], run)

    def put(self, data: str, run: tracking.FinishedRun) -> None:
        """Have a run on the data set with this checksum created, unless its recipe has one."""
        self._outbox.put(run.name, lambda: self._runs[data].add(run))

    def close(self) -> int:
        """Wait until all runs are logged, as long as that makes progress; report and return how many could not be."""
        pending = len(self._outbox.wait(0))
        with tqdm(total=pending, desc="MLflow", unit="run", disable=None if pending else True) as bar:
            left = self._outbox.drain(tracking.END_TIMEOUT_S, bar.update)
        if left:
            text = f"{len(left)} replicates are missing from MLflow ({tracking.reason(self._outbox.error)})"
            print(f"warning: {text}; the ledger has them, and `{self._command}` adds them", file=sys.stderr)
        return len(left)
