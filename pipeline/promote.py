"""The champion: a trained model becomes it if the gate passes and it is not inferior to the previous champion.

Each data set has a champion of its own. reports/promotion.json records the latest promotion.

Each promotion may lose up to the non-inferiority margin, and several in a row more than that: only the gate's `min`
limits their total.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import bounds, cli, dvc_lock, files, gate, params, tracking
from pipeline.analysis import proportions
from pipeline.bounds import ModelBounds
from pipeline.data import dataset as datasets
from pipeline.data.dataset import Dataset, Split
from pipeline.errors import InputError, PipelineError, UnavailableError
from pipeline.inference import classifier
from pipeline.tracking import ChampionComparison, Promotion, TrainedModel, promotion, registry

# The metric whose largest allowed drop is also the non-inferiority margin against the champion.
METRIC = "test_accuracy"
_EXACT = 10**promotion.DIGITS


@dataclass(frozen=True)
class Candidate:
    """A trained model, the bounds of the gate, and the number of threads for its predictions."""

    trained: TrainedModel
    bounds: ModelBounds
    threads: int
    params: Path

    @property
    def name(self) -> str:
        """The model's name in params.yaml."""
        return self.trained.name

    def max_drop(self) -> float:
        """Return the non-inferiority margin, or raise InputError if params.yaml does not set it."""
        required = self.bounds.models[self.name].get(METRIC)
        if required is None or required.max_drop is None:
            key = f"gate.{self.bounds.dataset}.models.{self.name}.{METRIC}.max_drop"
            raise InputError(f"{key} is not set; promotion needs it as the non-inferiority margin", path=self.params)
        return required.max_drop

    def refused(self, why: str) -> PipelineError:
        """Return the error that says why it is not promoted."""
        return PipelineError(f"{self.name}: not promoted: {why}")


def load_candidate(name: str, params_path: Path) -> Candidate:
    """Return the trained model `name`, its files checked against dvc.lock.

    Raises:
        InputError: There is no such model, it is out of date, or a file differs from dvc.lock.
    """
    values = params.load(params_path)
    values.model(name)
    trained = tracking.trained_model(name, values.overfitting)
    if trained is None:
        what = "out of date: code or params changed since it was trained or evaluated"
    elif trained.dataset != values.data.dataset:
        what = f"trained on {trained.dataset}, and data.dataset of {params_path} is {values.data.dataset}"
    else:
        trained.verify()
        return Candidate(trained, bounds.load(params_path), values.train.threads, params_path)
    raise InputError(f"{name}: {what}", fix="run `make repro`")


def passed_checks(candidate: Candidate, path: Path) -> list[gate.Check]:
    """Return the gate's checks of the candidate's metrics in the file at `path`, all of which passed.

    Raises:
        PipelineError: One failed, or could not be judged.
        InputError: The metrics are missing or damaged, or those of another training run.
    """
    dvc_lock.verify(path)
    metrics = files.read_json(path)
    of_model, own = metrics.get(candidate.name), candidate.trained.artifacts.final_metrics()
    if isinstance(of_model, Mapping) and any(own.get(key, value) != value for key, value in of_model.items()):
        what = f"its metrics of {candidate.name} are those of another training run"
        raise InputError(what, path=path, fix="`dvc repro report` writes it again")
    checks = [check for check in gate.judge(candidate.bounds, metrics, None) if check.model == candidate.name]
    if gate.exit_code(checks):
        failed = [check for check in checks if check.status != gate.CheckStatus.PASSED]
        bad = [f"{check.metric} {check.value}, {check.kind} {check.bound}: {check}" for check in failed]
        raise candidate.refused(f"the gate does not pass: {'; '.join(bad)}")
    return checks


def decide(candidate: Candidate, checks: list[gate.Check], champion: Any, *, replace: bool) -> Promotion:
    """Return the promotion of a candidate that passed the gate's `checks`; `champion` is a version or None.

    Raises:
        PipelineError: It may be inferior to the champion, or cannot be compared with it and should not `replace` it.
        InputError: The non-inferiority margin is not set.
        UnavailableError: MLflow does not answer.
    """
    data, checksums = datasets.load(candidate.trained.data), candidate.trained.checksums()
    reason, comparison = _against(candidate, champion, data, replace)
    return Promotion(
        registered_model=candidate.trained.dataset,
        alias=promotion.CHAMPION,
        model=candidate.name,
        model_md5=checksums["model.md5"],
        data_md5=checksums["data.md5"],
        recipe=candidate.trained.description().recipe,
        reason=f"the gate passes, and {reason}",
        images=compared_split(data),
        checks=checks,
        comparison=comparison,
    )


def _against(
    candidate: Candidate, champion: Any, data: Dataset, replace: bool
) -> tuple[str, ChampionComparison | None]:
    """Return why the candidate may replace the champion, and their comparison if there is one."""
    if champion is None and not promotion.is_on(candidate.trained.dataset):
        return f"there was no champion on {candidate.trained.dataset} before", None
    opponent = (
        load_opponent(champion, candidate.trained.checksums(), candidate.threads, data)
        if champion
        else f"is recorded in {promotion.PATH}, but not in MLflow"
    )
    if not isinstance(opponent, str):
        max_drop = candidate.max_drop()
        network = classifier.load(candidate.trained.file, candidate.threads, data.shape, data.classes)
        comparison = compare(network, opponent, champion.tags, data.monitored, max_drop)
        if comparison.lower_bound <= -max_drop:
            raise candidate.refused(f"it may be inferior. {comparison.as_text(compared_split(data))}")
        return "it is not inferior to the previous champion", comparison
    if not replace:
        command = f"make promote MODEL={candidate.name} REPLACE=1"
        raise candidate.refused(f"the champion {opponent}, so they cannot be compared; `{command}` promotes it anyway")
    return f"it replaces, without a comparison, a champion that {opponent}", None


def compared_split(data: Dataset) -> str:
    """Return the name of the split on which models are compared: test only if no validation split is held out."""
    return "test" if data.validation is None else "validation"


def load_opponent(champion: Any, checksums: Mapping[str, str], threads: int, data: Dataset) -> Any:
    """Return the network of a registered version, or a text that says why a model with these tags cannot be compared.

    Raises:
        UnavailableError: MLflow does not answer.
    """
    if any(key not in champion.tags for key in checksums):
        return "was not registered by this command"
    if champion.tags["data.md5"] != checksums["data.md5"]:
        return "was trained on other data"
    try:
        address = f"{classifier.REGISTRY_URI}{champion.name}/{champion.version}"
        return classifier.load_logged(address, threads, data.shape, data.classes)
    except InputError as error:
        return f"cannot be loaded ({error})"


def correct(network: Any, split: Split) -> NDArray[np.bool_]:
    """Return which images of `split` the network classifies correctly, (n,)."""
    return np.asarray(classifier.probabilities(network, split.images).argmax(axis=1) == split.labels)


def compare(network: Any, champion: Any, tags: Mapping[str, str], split: Split, max_drop: float) -> ChampionComparison:
    """Compare the predictions of both networks on the images of `split`; the champion's version has these `tags`."""
    now, before = correct(network, split), correct(champion, split)
    test, n = proportions.mcnemar(now, before), len(now)
    bound = proportions.tango_lower_bound(test.only_first, test.only_second, n, promotion.CONFIDENCE)
    return ChampionComparison(
        champion=tags["model"],
        champion_md5=tags["model.md5"],
        count=n,
        accuracy=float(now.mean()),
        champion_accuracy=float(before.mean()),
        only_this=test.only_first,
        only_champion=test.only_second,
        difference=round((test.only_first - test.only_second) / n, promotion.DIGITS),
        # Rounded down: a bound must not seem to be above the margin if it is not.
        lower_bound=floor(bound * _EXACT) / _EXACT,
        max_drop=max_drop,
    )


def apply(made: Promotion, run: Any) -> Any:
    """Write the file and make the model of `run` the champion; return its version.

    Raises:
        PipelineError: The file cannot be written.
        UnavailableError: MLflow does not answer.
    """
    # The file first: whatever happens next, running again brings MLflow up to date with it.
    files.write_json(promotion.PATH, asdict(made))
    try:
        with tracking.reachable():
            return registry.set_champion(made, run)
    except UnavailableError as error:
        what = f"{error}; {promotion.PATH} records a promotion that MLflow is missing"
        raise UnavailableError(what, fix="run this command again") from None


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.promote", description=main.__doc__)
    parser.add_argument("model", metavar="MODEL", help="name of a model in params.yaml, trained and evaluated")
    parser.add_argument("--replace", action="store_true", help="replace a champion with which it cannot be compared")
    parser.add_argument("--gto", action="store_true", help="also commit the champion in git, with tags that DVC reads")
    cli.add_json_argument(parser)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the experiment's settings")
    parser.add_argument("--metrics", type=Path, default=Path("reports/metrics.json"), help="JSON made by report")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Make a trained model the champion in MLflow, if the gate passes and it is not inferior to the present champion.

    Exit codes: 0 it is the champion; 1 it was refused; 2 bad input; 3 MLflow does not answer.
    """
    arguments = _arguments(argv)
    candidate = load_candidate(arguments.model, arguments.params)
    checksums, dataset = candidate.trained.checksums(), candidate.trained.dataset
    with tracking.reachable():
        # A champion is not forgotten because the store was lost.
        if registry.champion(dataset) is None and promotion.is_on(dataset) and (restored := registry.restore()):
            print(restored)
        run, champion = tracking.find_run(dataset, checksums), registry.champion(dataset)
        if champion and registry.is_of(champion, checksums) and not registry.fault(champion):
            if (recorded := promotion.find(checksums)) is None:
                text = "does not record it; the file that does may be in version control"
                print(f"notice: {promotion.PATH} {text}", file=sys.stderr)
            return _answer(arguments, candidate, champion, recorded, now=False)
        if run is None:
            raise InputError(f"{candidate.name}: MLflow is missing its run", fix="`make sync` adds it")
        if fault := tracking.run_fault(run):
            raise InputError(f"{candidate.name}: {fault}", fix="`make sync` puts it back")
    checks = passed_checks(candidate, arguments.metrics)
    promoted = decide(candidate, checks, champion, replace=arguments.replace)
    return _answer(arguments, candidate, apply(promoted, run), promoted, now=True)


def _answer(
    arguments: argparse.Namespace, candidate: Candidate, version: Any, promoted: Promotion | None, *, now: bool
) -> int:
    """Say that the candidate is the champion, `now` or already, and tag it in git if that is asked for."""
    said = f"{candidate.name}: is the champion {'now' if now else 'already'}, {version.name} version {version.version}"
    # It is, even if git refuses the tag.
    print(f"{said}: {promoted.reason}" if promoted and now else said)
    if promoted and now and promoted.comparison:
        print(promoted.comparison.as_text(promoted.images))
    if promoted and arguments.gto:
        print(promotion.register(promoted, candidate.trained.file))
    elif now:
        print(f"Commit {promotion.PATH}.")
    content = {"model": candidate.name, "registered_model": version.name, "version": int(version.version)}
    return cli.answer(arguments.json, "", content | {"promoted_now": now, "promotion": promoted and asdict(promoted)})


if __name__ == "__main__":
    cli.run(main)
