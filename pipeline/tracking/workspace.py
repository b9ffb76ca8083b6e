"""The trained models in the workspace, as dvc.lock records them, and MLflow brought up to date with one.

What a run must hold comes from dvc.lock and from the files that it records, not from params.yaml as it is now.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import dvc_lock, files, schema
from pipeline.data import dataset, original
from pipeline.params import OverfittingRule
from pipeline.tracking import logged_model, runs, store
from pipeline.tracking.artifacts import EvaluationArtifacts
from pipeline.tracking.description import RunDescription
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.settings import Model, Training

_OF_DATA = ("dataset", "validation", "split_seed")


def trained_model(name: str, rule: OverfittingRule) -> "TrainedModel | None":
    """Return the model `name` as dvc.lock records it; None unless it was trained and evaluated as its stages are now.

    Its history is judged by the overfitting rule of the report that dvc.lock records, or by `rule` if there is none.

    Raises:
        InputError: Something that DVC writes to dvc.lock is missing there.
    """
    stages = dvc_lock.stages()
    trained, evaluated = stages.get(f"train@{name}"), stages.get(f"evaluate@{name}")
    try:
        if not trained or not evaluated or not (_is_fresh(trained) and _is_fresh(evaluated)):
            return None
        preprocess, block = stages[dvc_lock.PREPROCESS], f"models.{name}"
        data_params = {key: dvc_lock.param(preprocess, f"data.{key}") for key in _OF_DATA}
        of_train, of_evaluate = dvc_lock.paths(trained), dvc_lock.paths(evaluated)
        reported = of_evaluate["reported"] if data_params["dataset"] == original.DATASET else None
        scores, history, predictions = of_evaluate["output"], of_train["history"], of_evaluate["predictions"]
        if "report" in stages:
            of_report = dvc_lock.param(stages["report"], "overfitting")
            rule = schema.validate(OverfittingRule, of_report, dvc_lock.LOCK, "overfitting")
        return TrainedModel(
            name,
            schema.validate(Model, dvc_lock.param(trained, block), dvc_lock.LOCK, block),
            schema.validate(Training, dvc_lock.param(trained, "train"), dvc_lock.LOCK, "train"),
            data_params,
            of_train["data"],
            of_train["output"],
            of_train["timing"],
            EvaluationArtifacts(name, scores, history, reported, rule, predictions, of_train["data"]),
        )
    except (KeyError, TypeError) as error:
        raise dvc_lock.missing(name, error) from None


def _is_fresh(stage: Mapping[str, Any]) -> bool:
    """Return whether the dependencies with which the stage ran are what other stages wrote last.

    The data has to be one of these: after a change of the data set, its file has another name.
    """
    written = dvc_lock.recorded()
    on_this = dvc_lock.paths(stage)["data"].as_posix() in written
    return on_this and all(written.get(dep["path"], dep.get("md5")) == dep.get("md5") for dep in stage["deps"])


def sync_model(trained: "TrainedModel", work: Path) -> tuple[Any, bool]:
    """Complete the model's run in MLflow and mark it as current; return the run, and whether anything was added.

    `work` is the directory of the checkpoints: while the same recipe is being trained there, nothing is changed.
    Another call for the same directory is waited for.

    Raises:
        InputError: A file differs from dvc.lock.
        PipelineError: The recipe is being trained.
        UnavailableError: Another call takes too long.
    """
    with store.alone(work / "sync.lock"):
        trained.verify()
        description = trained.description()
        checkpoints = Checkpoints(work, description.name, description.recipe)
        with checkpoints.alone():
            finished = runs.find_run(trained.dataset, trained.checksums())
            run = finished or runs.complete(description, dataset.load(trained.data), trained.rows(), trained.file)
            runs.end_interrupted(trained.dataset, description.recipe)
            checkpoints.discard()
        added = [
            not finished or runs.add_training(run, description, lambda: dataset.load(trained.data), trained.rows()),
            bool(finished) and logged_model.restore(run, trained.name, trained.file),
            runs.add_artifacts(run, trained.artifacts),
        ]
        runs.mark_current(run)
        return run, any(added)


@dataclass(frozen=True)
class TrainedModel:
    """A trained and evaluated model in the workspace: the params that dvc.lock records for it, and its files."""

    name: str
    model: Model
    train: Training
    data_params: Mapping[str, Any]
    data: Path
    file: Path
    timing: Path
    artifacts: EvaluationArtifacts

    @property
    def dataset(self) -> str:
        """The name of the data set on which it was trained."""
        return str(self.data_params["dataset"])

    def verify(self) -> None:
        """Raise InputError if a file differs from dvc.lock, or was made in another way than dvc.lock records."""
        evaluated = self.artifacts.metrics, self.artifacts.predictions
        dvc_lock.verify(self.data, self.file, self.timing, self.artifacts.history, *evaluated)
        dvc_lock.check_record(self.name, files.read_json(self.artifacts.metrics).get("made_with"))

    def description(self) -> RunDescription:
        """Return what was known before the training run."""
        versions = dict(files.read_json(self.artifacts.metrics)["made_with"])
        recipe, md5 = versions.pop("recipe"), dvc_lock.recorded()[self.data.as_posix()]
        stage = f"train@{self.name}"
        return RunDescription(self.name, recipe, md5, self.model, self.train, self.data_params, stage, versions)

    def checksums(self) -> dict[str, str]:
        """Return the tags by which the model's run is found."""
        written = dvc_lock.recorded()
        md5s = {"model.md5": written[self.file.as_posix()], "data.md5": written[self.data.as_posix()]}
        return {"model": self.name, **md5s}

    def rows(self) -> list[dict[str, float]]:
        """Return the history with the seconds of each epoch."""
        history, timing = files.read_csv(self.artifacts.history), files.read_csv(self.timing)
        return list(history.merge(timing[["epoch", "seconds"]], on="epoch").to_dict("records"))


def retire_others(names: list[str]) -> list[str]:
    """Mark runs whose model is not the file in dvc.lock, or not in `names`, as not current; return their models' names.

    Runs on other data sets than that of dvc.lock stay as they are.
    """
    if (dataset := dvc_lock.dataset()) is None:
        return []
    stages = {name: dvc_lock.stages().get(f"train@{name}") for name in names}
    return runs.retire(dataset, {name: _md5(stage) if stage else None for name, stage in stages.items()})


def _md5(stage: Mapping[str, Any]) -> str | None:
    """Return the md5 of the model file that a stage train@MODEL wrote, "" if on other data than is preprocessed now."""
    paths, written = dvc_lock.paths(stage), dvc_lock.recorded()
    if "data" in paths and paths["data"].as_posix() not in written:
        return ""
    return written.get(paths["output"].as_posix()) if "output" in paths else None
