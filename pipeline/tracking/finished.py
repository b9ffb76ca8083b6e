"""Runs that are added to MLflow when they have finished, one per recipe: replicates, and verdicts on them."""

import hashlib
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from pipeline import files
from pipeline.tracking import experiments, runs
from pipeline.tracking.client import mlflow
from pipeline.tracking.description import NOTE
from pipeline.tracking.experiments import Experiment

_PAGE = 1000  # runs that MLflow is asked for at once
VERDICT = "verdict"  # what the tag `variant` of a verdict is


@dataclass(frozen=True)
class FinishedRun:
    """A run as it is at its end: `rows` has the metrics of each epoch, `final` those of the whole.

    The tags name the recipe and the variant. `artifacts` has the content of files by their paths. It took `seconds`. A
    verdict is on the runs of the variants in `judged`, by what they are called in it.
    """

    name: str
    tags: Mapping[str, str]
    params: Mapping[str, Any]
    rows: Sequence[Mapping[str, float]]
    final: Mapping[str, float]
    artifacts: Mapping[str, bytes] = field(default_factory=dict)
    seconds: float = 0.0
    judged: Mapping[str, str] = field(default_factory=dict)


class LoggedEstimate(NamedTuple):
    """A verdict in words, and what it stands on: a number with its interval, None where that has no end."""

    verdict: str
    estimate: float
    low: float | None
    high: float | None


def verdict_run(
    name: str, findings: Mapping[str, LoggedEstimate], artifacts: Mapping[str, bytes], judged: Mapping[str, str]
) -> FinishedRun:
    """Return the run of a verdict on runs of the same experiment: equal artifacts, such as its page, give the same run.

    It has a link to the runs of each variant in `judged`, by what the verdict calls it. Each finding is a metric, with
    others that end in `_low` and `_high`, and a tag that begins with `verdict.`.
    """
    # A name may be that of a git revision, and MLflow takes no `~` or `^` in one.
    named = {re.sub(r"[^\w./ -]", "-", key): finding for key, finding in findings.items()}
    final = {
        f"{key}{ending}": value
        for key, estimate in named.items()
        for ending, value in (("", estimate.estimate), ("_low", estimate.low), ("_high", estimate.high))
        if value is not None
    }
    sha256 = hashlib.sha256(b"".join(artifacts[key] for key in sorted(artifacts))).hexdigest()
    note = "Estimates with their intervals (`_low`, `_high`), and verdicts on these runs:"
    tags = {"recipe": sha256, "variant": VERDICT, NOTE: note}
    tags |= {f"verdict.{key}": estimate.verdict for key, estimate in named.items()}
    return FinishedRun(name, tags, {}, [], final, artifacts, judged=judged)


class FinishedRuns:
    """The finished runs of an experiment."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._id = ""
        self._colours: dict[str, str] = {}

    def recipes(self) -> set[str]:
        """Return the recipes that have a finished run; store and experiment are created where they are missing."""
        self._id = experiments.connect(self._experiment)
        recipes, token = set(), None
        while True:
            page = mlflow.MlflowClient().search_runs(
                [self._id], "status = 'FINISHED'", max_results=_PAGE, page_token=token
            )
            recipes |= {run.data.tags["recipe"] for run in page if "recipe" in run.data.tags and _is_complete(run)}
            if not (token := page.token):
                return recipes

    def add(self, run: FinishedRun) -> None:
        """Create a finished run, unless its recipe has one.

        A run of the recipe that is not finished, because its creation was cut short, is marked as KILLED; a
        finished one that has lost its rows is deleted.
        """
        try:
            self._add(run)
        except Exception:
            # When MLflow answers again, the store may have been replaced.
            self._id, self._colours = "", {}
            raise

    def _add(self, run: FinishedRun) -> None:
        self._id = self._id or experiments.connect(self._experiment)
        api, entities = mlflow.MlflowClient(), mlflow.entities
        same = api.search_runs([self._id], f"tags.recipe = '{run.tags['recipe']}'")
        if any(other.info.status == "FINISHED" and _is_complete(other) for other in same):
            return
        for left in same:
            if left.info.status == "FINISHED":
                api.delete_run(left.info.run_id)
            if left.info.status == "RUNNING" and runs.is_ours(left):
                api.set_terminated(left.info.run_id, "KILLED")
        tags, started = self._linked(run, self._coloured(run.tags)), int(1000 * (time.time() - run.seconds))
        created = api.create_run(self._id, started, tags, run.name).info.run_id
        params = [entities.Param(key, str(value)) for key, value in run.params.items()]
        # In few requests, since there may be ten thousand such runs.
        points = [
            point for row in run.rows for point in runs.points(dict(row), int(row["epoch"])) if point.key != "epoch"
        ]
        runs.log_points(created, [*points, *runs.points(run.final, step=0)], params)
        if run.artifacts:
            with tempfile.TemporaryDirectory() as folder:
                for name, content in run.artifacts.items():
                    files.write_bytes(Path(folder) / name, content)
                api.log_artifacts(created, folder)
        api.set_terminated(created, "FINISHED")

    def _coloured(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Return the tags with the colour of the variant, for which MLflow is asked once."""
        if (variant := tags["variant"]) not in self._colours:
            self._colours[variant] = experiments.colour(self._id, "variant", variant)
        return {**tags, experiments.COLOUR: self._colours[variant]}

    def _linked(self, run: FinishedRun, tags: dict[str, str]) -> dict[str, str]:
        """Return the tags with links to the runs that are judged, as MLflow's pages have them, in the note."""
        runs_of = f"#/experiments/{self._id}/runs?"
        queries = {name: {"searchFilter": f"params.variant = '{variant}'"} for name, variant in run.judged.items()}
        links = [f"- [{name}]({runs_of}{urlencode(query)})" for name, query in queries.items()]
        return tags | {NOTE: "\n".join([tags[NOTE], "", *links])} if links else tags


def _is_complete(run: Any) -> bool:
    """Return whether a run has metrics and params, as each of these has, but for verdicts, which have no params."""
    return bool(run.data.metrics and (run.data.params or run.data.tags.get("variant") == VERDICT))
