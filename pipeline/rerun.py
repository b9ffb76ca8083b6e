"""Train a run of MLflow again, from its commit, params and data, and compare the results.

On the same machine with the same library versions, the model file is the same to the bit. Elsewhere the last digits of
the scores differ; how much is to be compared with what another seed changes.

Nothing in the workspace is touched: the training runs in a worktree of git's in a temporary directory, with an MLflow
store of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, suppress
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import StringConstraints

from pipeline import cli, dvc_lock, files, machine, params, revision, schema, tracking
from pipeline.analysis.verdicts import Interval
from pipeline.errors import InputError, PipelineError, printable
from pipeline.params import Data
from pipeline.schema import Block, Name
from pipeline.tracking import EvaluationArtifacts, LoggedTraining
from pipeline.training.settings import Model, Training
from pipeline.trials import other_seeds

# Variables that would lead the stages away from their worktree.
_OURS = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "REQUIRE_TRACKING", "DVC_", "GIT_")
_END_TIMEOUT_S = 15.0  # for a stage that is interrupted
# Leads the process group of a stage and ends it once this process is gone, however that came: it waits for its end of a
# pipe.
_GUARD = (sys.executable, "-SEc", "import os, sys; sys.stdin.read(); os.killpg(0, 9)")
_COMPARED = ("train_", "validation_", "test_", "val_loss_rise", "min_val_loss")
_STUDY = Path("study")


class Rerun(NamedTuple):
    """The md5 of the run's model and of the one made again; if they differ, why that may be, and the scores."""

    md5_of_run: str
    md5: str
    reasons: Sequence[str] = ()
    scores: Sequence[ComparedScore] = ()

    @property
    def identical(self) -> bool:
        """Whether both are the same file."""
        return self.md5_of_run == self.md5


class ComparedScore(NamedTuple):
    """A score of the run and of the model made again, and the 95% prediction interval of one more seed, if known."""

    name: str
    run: float
    again: float
    interval: Interval | None


def rerun(logged: LoggedTraining, data: Path, rule: params.OverfittingRule) -> Rerun:
    """Train again on the file `data` and return how the model compares with that of the run.

    Raises:
        InputError: What MLflow has is not what a run recorded, or the commit is not there, or has no such stages.
        PipelineError: A stage failed.
    """
    names = {"model": logged.model, "dataset": logged.params["data"].get("dataset"), "commit": logged.commit}
    schema.validate(_Names, names, Path(f"run {logged.run_id}"))
    with revision.worktree(logged.commit) as folder:
        write_params(folder, logged)
        # It may record other data than the run's.
        (folder / dvc_lock.LOCK).unlink(missing_ok=True)
        train = _stage(folder, "train", logged.model)
        place = folder / train["data"]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(data.absolute())
        _execute(folder, train["cmd"])
        md5 = files.md5(folder / train["output"])
        if md5 == logged.tags["model.md5"]:
            return Rerun(md5, md5)
        evaluate = _stage(folder, "evaluate", logged.model)
        _execute(folder, evaluate["cmd"])
        scores, predictions = folder / evaluate["output"], folder / evaluate["predictions"]
        shown = EvaluationArtifacts(logged.model, scores, folder / train["history"], None, rule, predictions, place)
        made_with = files.read_json(shown.metrics)["made_with"]
        found = scores_of(logged, shown.final_metrics(), seeds(logged))
        return Rerun(logged.tags["model.md5"], md5, tuple(reasons(logged, made_with)), tuple(found))


class _Names(Block):
    """What a run names, of which commands and paths are made; whoever reaches MLflow can edit it there."""

    model: Name
    dataset: Name
    commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40,64}$")]


def write_params(folder: Path, logged: LoggedTraining) -> None:
    """Give params.yaml in `folder` the run's model, alone, and what else the run was trained with.

    Raises:
        InputError: The file of the commit, or what MLflow has of the run, is nothing that can be written.
    """
    path = folder / "params.yaml"
    values = files.read_yaml(path)
    try:
        values["models"] = {logged.model: logged.block()}
        for section in ("train", "data"):
            values[section] = {**values.get(section, {}), **logged.params[section]}
        # JSON is YAML.
        files.write_json(path, values)
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"run {logged.run_id}: its params cannot be written ({error})") from None


def _stage(folder: Path, name: str, model: str) -> dict[str, str]:
    """Return the command, as `cmd`, and the paths of a model's stage as dvc.yaml in `folder` has it.

    Raises:
        InputError: It has no such stage.
    """
    # Imported late: it takes a second.
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        # DVC looks for dvc.yaml where it stands, whatever its repository is.
        with chdir(folder), Repo(config={"core": {"no_scm": True}}) as repository:
            (stage,) = repository.stage.collect(f"{name}@{model}")
        return {"cmd": stage.cmd, **{key: str(path) for key, path in dvc_lock.paths({"cmd": stage.cmd}).items()}}
    except (DvcException, TypeError, ValueError) as error:
        raise InputError(f"the run's commit has no stage {name}@{model} that can be run ({error})") from None


def _execute(folder: Path, command: str) -> None:
    """Run the command of a stage in `folder`; if this process is interrupted, it ends before that returns.

    Raises:
        PipelineError: It failed.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
    environment |= {"DVC_ROOT": str(folder), "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"}
    # No shell: it would execute what params say.
    line = shlex.split(command)
    with subprocess.Popen(_GUARD, stdin=subprocess.PIPE, process_group=0) as guard:
        try:
            # What a stage prints is not the answer.
            process = subprocess.Popen(line, stdout=2, cwd=folder, env=environment, process_group=guard.pid)
        except OSError as error:
            raise InputError(f"`{command}` of the run's commit does not start ({error.strerror})") from None
        try:
            code = process.wait()
        finally:
            with cli.uninterrupted():
                _end(process, guard.pid)
    if code:
        raise PipelineError(f"`{command}` failed at the run's commit (exit code {code}), for the reason above")


def _end(process: subprocess.Popen[bytes], group: int) -> None:
    """End a process, if it has not, and all of its group."""
    if process.poll() is None:
        os.killpg(group, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_TIMEOUT_S)
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    process.wait()


def reasons(logged: LoggedTraining, made_with: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each known reason for which the new model, `made_with` recipe and versions, may differ."""
    before = {key.partition(".")[2]: value for key, value in logged.tags.items() if key.startswith("version.")}
    now = {key: value for key, value in made_with.items() if key != "recipe"}
    if before and before != now:
        changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
        words = [f"{key} {before.get(key, 'absent')} then, {now.get(key, 'absent')} now" for key in changed]
        yield f"library versions: {'; '.join(words)}"
    elif made_with["recipe"] != logged.tags["recipe"]:
        dirty = logged.tags.get("git.dirty") == "true"
        yield f"code: that of the commit is not the run's{', which had changes that were not committed' * dirty}"
    if (processor := logged.tags.get("processor")) and processor != machine.processor():
        yield f"processor: {processor} then, {machine.processor()} now"


def scores_of(
    logged: LoggedTraining, scores: Mapping[str, float], intervals: Mapping[str, Interval]
) -> Iterator[ComparedScore]:
    """Yield the scores that both have, with the intervals of another seed where there are any."""
    for name in sorted(scores):
        if name.startswith(_COMPARED) and name in logged.metrics:
            yield ComparedScore(name, logged.metrics[name], scores[name], intervals.get(name))


def table(scores: Sequence[ComparedScore]) -> Iterator[str]:
    """Yield the lines of a table of the scores that differ."""
    differing = [one for one in scores if one.run != one.again]
    if not differing:
        yield f"all {len(scores)} scores are the same"
        return
    head = f"{'score':<26} {'run':>12} {'again':>12} {'difference':>12}"
    yield head + "  one more seed, 95%" * any(one.interval for one in scores)
    for name, before, now, interval in differing:
        line = f"{name:<26} {before:>12.6g} {now:>12.6g} {now - before:>+12.2g}"
        yield f"{line}  {interval[0]:.6g} to {interval[1]:.6g}" if interval else line
    if same := len(scores) - len(differing):
        yield f"{same} more scores are the same"


def _text(logged: LoggedTraining, found: Rerun) -> str:
    if found.identical:
        return f"{logged.model}: identical: the model file has the md5 of run {logged.run_id}, {found.md5}"
    head = f"{logged.model}: not identical: md5 {found.md5}, that of run {logged.run_id} is {found.md5_of_run}"
    return "\n".join(map(printable, [head, *found.reasons, *table(found.scores)]))


def seeds(logged: LoggedTraining, study: Path = _STUDY) -> dict[str, Interval]:
    """Return the 95% prediction intervals of one more seed, by score, if the study has them for this model; {} without.

    It has none for a run of another version, whose settings are not those of today.
    """
    try:
        model = schema.validate(Model, logged.block())
        training = schema.validate(Training, logged.params["train"])
        data = schema.validate(Data, logged.params["data"])
    except InputError:
        return {}
    found, _ = other_seeds.intervals({logged.model: model}, training, data, study)
    return found.get(logged.model, {})


def find_data(md5: str) -> Path:
    """Return a file with this md5: one that dvc.lock records, or one in DVC's cache.

    Raises:
        InputError: There is none.
    """
    if not re.fullmatch(r"[0-9a-f]{32}", md5):
        raise InputError(f"data.md5 of the run: expected an md5, found {schema.shown(md5)}")
    outputs = [Path(path) for path, recorded in dvc_lock.recorded().items() if recorded == md5]
    for path in (*outputs, dvc_lock.cached(md5)):
        if path.is_file() and files.md5(path) == md5:
            return path
    what = f"the run's data (md5 {md5}) is neither in the workspace nor in DVC's cache"
    raise InputError(what, fix="`dvc fetch --all-commits` gets it from a remote that has it")


def main() -> int:
    """Train a run of MLflow again and compare: identical, or a table of the differences.

    Exit codes: 0 identical; 1 different, or the training failed; 2 commit, data or params are gone; 3 no MLflow.
    """
    parser = argparse.ArgumentParser(prog="python -m pipeline.rerun", description=main.__doc__)
    parser.add_argument("run", metavar="RUN", help="id of a training run, as MLflow's pages show it")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="settings with the overfitting rule")
    cli.add_json_argument(parser)
    arguments = parser.parse_args()
    logged = tracking.logged_training(arguments.run)
    found = rerun(logged, find_data(logged.tags["data.md5"]), params.load(arguments.params).overfitting)
    content = found._asdict() | {"identical": found.identical, "scores": [one._asdict() for one in found.scores]}
    return cli.answer(arguments.json, _text(logged, found), content, 0 if found.identical else 1)


if __name__ == "__main__":
    cli.run(main)
