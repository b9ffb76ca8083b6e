"""The champion: a trained model takes its place if the gate passes and if it is not inferior to the one before.

Each promotion may lose a little, and a chain of them more than one largest drop: only the gate's `min` limits what they
lose together.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import cli, dvc_lock, files, gate, params, tracking
from pipeline.analysis import proportions
from pipeline.data import dataset
from pipeline.data.dataset import Dataset, Split
from pipeline.errors import InputError, PipelineError, UnavailableError
from pipeline.inference import classifier
from pipeline.tracking import Comparison, Promotion, promotion

# The metric whose largest allowed drop is also that against the champion.
METRIC = "test_accuracy"
_EXACT = 10**promotion.DIGITS


@dataclass(frozen=True)
class Candidate:
    """A model of the workspace, its bounds in the gate, and the threads with which it is asked."""

    outcome: tracking.Outcome
    bounds: Mapping[str, gate.Bounds]
    threads: int

    @property
    def name(self) -> str:
        """The model's name in params.yaml."""
        return self.outcome.name

    def max_drop(self) -> float:
        """Return what it may lose against another model, or raise InputError if the gate does not say."""
        bounds = self.bounds.get(METRIC)
        if bounds is None or bounds.max_drop is None:
            raise InputError(f"{self.name}: gate: no {METRIC}.max_drop, so nothing says what it may lose")
        return bounds.max_drop

    def refused(self, why: str) -> PipelineError:
        """Return the error that says why it is not promoted."""
        return PipelineError(f"{self.name}: not promoted: {why}")


def read(name: str, params_path: Path) -> Candidate:
    """Return the trained model `name`, its files held against dvc.lock.

    Raises:
        InputError: There is no such model, it is not trained and evaluated as it is now, or a file is another.
    """
    values = params.load(params_path)
    values.model(name)
    if (outcome := tracking.trained(name)) is None:
        raise InputError(f"{name}: not trained and evaluated as it is now; `make repro` does it")
    outcome.verify()
    return Candidate(outcome, gate.load(params_path)[name], values.train.threads)


def checked(candidate: Candidate, path: Path) -> list[gate.Check]:
    """Return the gate's checks of the candidate by the metrics at `path`, all of which it passed.

    Raises:
        PipelineError: One failed, or could not be judged.
        InputError: The metrics are missing or damaged, or those of another training.
    """
    dvc_lock.verify(path)
    metrics = files.read_json(path)
    of_model, own = metrics.get(candidate.name), candidate.outcome.evidence.final_metrics()
    if isinstance(of_model, Mapping) and any(own.get(key, value) != value for key, value in of_model.items()):
        raise InputError(f"{path}: {candidate.name}: of another training; `dvc repro report` makes it again")
    checks = gate.judge({candidate.name: candidate.bounds}, metrics, None)
    if gate.exit_code(checks):
        bad = [_told(check) for check in checks if check.status != gate.CheckStatus.PASSED]
        raise candidate.refused(f"the gate does not pass: {'; '.join(bad)}")
    return checks


def _told(check: gate.Check) -> str:
    return f"{check.metric} {check.value}, {check.kind} {check.bound}: {check}"


def judge(candidate: Candidate, checks: list[gate.Check], champion: Any, *, replace: bool) -> Promotion:
    """Return the promotion of a candidate that passed the gate's `checks`; `champion` is the version before, or None.

    Raises:
        PipelineError: It may be inferior to the champion, or cannot be compared with it and is not to `replace` it.
        InputError: The gate sets no largest drop for it.
        UnavailableError: MLflow does not answer.
    """
    data, sums = dataset.load(candidate.outcome.data), candidate.outcome.sums()
    reason, comparison = _against(candidate, champion, data, replace)
    return Promotion(
        registered_model=tracking.REGISTERED,
        alias=tracking.CHAMPION,
        model=candidate.name,
        model_md5=sums["model.md5"],
        data_md5=sums["data.md5"],
        recipe=candidate.outcome.facts().recipe,
        reason=f"the gate passes, and {reason}",
        images=images(data),
        checks=checks,
        comparison=comparison,
    )


def _against(candidate: Candidate, champion: Any, data: Dataset, replace: bool) -> tuple[str, Comparison | None]:
    """Return why the candidate may take the champion's place, and their comparison if there is one."""
    if champion is None and not promotion.PATH.exists():
        return "there was no champion before", None
    network_before = (
        opponent(champion, candidate.outcome.sums(), candidate.threads)
        if champion
        else f"of {promotion.PATH} is not in MLflow"
    )
    if not isinstance(network_before, str):
        max_drop = candidate.max_drop()
        network = classifier.load(candidate.outcome.file, candidate.threads)
        comparison = compare(network, network_before, champion.tags, data.monitored, max_drop)
        if comparison.lower_bound <= -max_drop:
            raise candidate.refused(f"it may be inferior. {comparison.as_text(images(data))}")
        return "it is not inferior to the champion before", comparison
    if not replace:
        raise candidate.refused(f"the champion {network_before}: no comparison is possible; --replace does without")
    return f"it takes, without a comparison, the place of a champion that {network_before}", None


def images(data: Dataset) -> str:
    """Return the name of the split on which models are compared: the test images only where none are held out."""
    return "test" if data.validation is None else "validation"


def opponent(champion: Any, sums: Mapping[str, str], threads: int) -> Any:
    """Return the network of a registered version, or a text that says why no model with the tags `sums` is comparable.

    Raises:
        UnavailableError: MLflow does not answer.
    """
    if any(key not in champion.tags for key in sums):
        return "was not registered by this command"
    if champion.tags["data.md5"] != sums["data.md5"]:
        return "is of other data"
    try:
        return classifier.load_logged(f"{classifier.REGISTRY_URI}{champion.name}/{champion.version}", threads)
    except InputError as error:
        return f"cannot be loaded ({error})"


def right_answers(network: Any, split: Split) -> NDArray[np.bool_]:
    """Return which images of `split` the network gets right, (n,)."""
    found = np.array([answer.digit for answer in classifier.predict(network, split.images)])
    return np.asarray(found == split.labels)


def compare(network: Any, champion: Any, tags: Mapping[str, str], split: Split, max_drop: float) -> Comparison:
    """Ask both networks, of which the champion's version has these `tags`, the images of `split`."""
    now, before = right_answers(network, split), right_answers(champion, split)
    test, n = proportions.mcnemar(now, before), len(now)
    bound = proportions.tango_lower_bound(test.only_first, test.only_second, n, promotion.CONFIDENCE)
    return Comparison(
        champion=tags["model"],
        champion_md5=tags["model.md5"],
        count=n,
        accuracy=float(now.mean()),
        champion_accuracy=float(before.mean()),
        only_this=test.only_first,
        only_champion=test.only_second,
        difference=round((test.only_first - test.only_second) / n, promotion.DIGITS),
        # Downwards: none may seem to be above the limit that is not.
        lower_bound=floor(bound * _EXACT) / _EXACT,
        max_drop=max_drop,
    )


def apply(made: Promotion, run: Any) -> Any:
    """Write the file and make the model of `run` the champion; return its version.

    Raises:
        PipelineError: The file cannot be written.
        UnavailableError: MLflow does not answer.
    """
    # First the file: whatever happens after it, running again brings MLflow up to it.
    promotion.write(made)
    try:
        with tracking.reachable():
            return promotion.apply(made, run)
    except UnavailableError as error:
        raise UnavailableError(f"{error}; run again: {promotion.PATH} tells of a promotion that MLflow lacks") from None


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.promote", description=main.__doc__)
    parser.add_argument("model", metavar="MODEL", help="name of a model in params.yaml, trained and evaluated")
    parser.add_argument(
        "--replace", action="store_true", help="take the place of a champion with which no comparison is possible"
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the experiment's settings")
    parser.add_argument("--metrics", type=Path, default=Path("reports/metrics.json"), help="JSON made by report")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Make a trained model the champion in MLflow's registry, if the gate passes and it is not inferior to the present.

    Exit codes: 0 it is the champion; 1 it was refused; 2 bad input; 3 MLflow does not answer.
    """
    arguments = _arguments(argv)
    candidate = read(arguments.model, arguments.params)
    sums = candidate.outcome.sums()
    with tracking.reachable():
        # Nobody takes the place of a champion unseen because the store was lost.
        if tracking.champion() is None and (brought_back := promotion.restore()):
            print(brought_back)
        run, champion = tracking.find_run(sums), tracking.champion()
    if champion and promotion.is_of(champion, sums):
        print(f"{candidate.name}: is the champion already, {champion.name} version {champion.version}")
        if not promotion.tells_of(sums):
            print(f"notice: {promotion.PATH} does not tell of it; git may have the file that does", file=sys.stderr)
        return 0
    if run is None:
        raise InputError(f"{candidate.name}: MLflow lacks its run; `make sync` adds it")
    checks = checked(candidate, arguments.metrics)
    made = judge(candidate, checks, champion, replace=arguments.replace)
    version = apply(made, run)
    print(f"{candidate.name}: is the champion now, {version.name} version {version.version}: {made.reason}")
    if made.comparison:
        print(made.comparison.as_text(made.images))
    print(f"Commit {promotion.PATH}.")
    return 0


if __name__ == "__main__":
    cli.run(main)
