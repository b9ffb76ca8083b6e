"""The replicates that are missing from the ledger, trained on Dask; each is kept as soon as it is done."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from dask.system import CPU_COUNT
from distributed import Client
from tqdm import tqdm

from pipeline import revision, schema
from pipeline.errors import InputError, PipelineError
from pipeline.training import architecture
from pipeline.training.architecture import Network, Shape, with_channels
from pipeline.training.layers import Dense
from pipeline.training.settings import Model
from pipeline.trials import cluster, ledger, plan
from pipeline.trials.ledger import Entry, EntryState, Lookup
from pipeline.trials.plan import Replicate, Trajectory
from pipeline.trials.prepared import PreparedData, Summary
from pipeline.trials.tracker import Tracker


@dataclass(frozen=True)
class Engine:
    """Where training runs take place, with a local cluster of as many workers as there are cores by default.

    `folder` is that of the ledger that keeps their results.
    """

    scheduler: str | None
    local_workers: int | None
    folder: Path

    @property
    def workers(self) -> int:
        """The workers of a local cluster."""
        return CPU_COUNT if self.local_workers is None else self.local_workers

    def __post_init__(self) -> None:
        """Raise InputError if there is no worker to do anything."""
        if self.workers < 1:
            raise InputError(f"--workers: expected at least 1, found {self.workers}")


def complete(lookups: Sequence[Lookup], data: Sequence[PreparedData], engine: Engine, tracker: Tracker) -> None:
    """Train the planned replicates that are not current in the ledger, and print the test accuracy of each.

    `lookups` is what `ledger.look_up` says of them. All go to `tracker` as well; after an interruption nobody waits for
    MLflow.

    Raises:
        InputError: The results of another experiment would be overwritten.
        PipelineError: A training run failed; the others are kept.
        UnavailableError: No scheduler answers at the address, or it was lost.
    """
    ledger.check_not_overwritten(lookups, engine.folder)
    print(_counts(lookups, engine.folder), flush=True)
    for _, entry, state in lookups:
        if entry and state is EntryState.CURRENT:
            tracker.add(entry)
    failed = 0
    if wanted := [replicate for replicate, _, state in lookups if state is not EntryState.CURRENT]:
        with cluster.connected(engine.scheduler, engine.workers) as client:
            if address := cluster.dashboard(client):
                print(f"dashboard: {address}", flush=True)
            for trained in train(client, wanted, data, engine.folder, "study"):
                # Not over the progress bar.
                if isinstance(trained, str):
                    failed += 1
                    tqdm.write(f"error: {trained}", file=sys.stderr)
                    continue
                tracker.add(trained)
                accuracy = f"test accuracy {trained.score('test', 'accuracy'):.4f}"
                tqdm.write(f"{trained.variant}  seed {trained.seed}: {accuracy}", file=sys.stdout)
                sys.stdout.flush()
    tracker.close()
    if failed:
        raise PipelineError(f"{failed} training run{'s' * (failed > 1)} failed; the others are in {engine.folder}")


def _counts(lookups: Sequence[Lookup], folder: Path) -> str:
    """Return in one line how many replicates are planned, and how many of which kind are in the ledger."""
    counts = Counter(state for _, _, state in lookups)
    outdated = counts[EntryState.STALE] + counts[EntryState.OTHER_VERSIONS]
    others = ledger.unplanned(folder, [replicate for replicate, _, _ in lookups])
    parts = [f"{len(lookups)} replicates planned, {counts[EntryState.CURRENT]} of them in {folder}"]
    if outdated:
        parts.append(f"{outdated} there are of another version of results or libraries and will be made again")
    if others:
        parts.append(f"{others} more there are not in this plan and stay as they are")
    return "; ".join(parts)


class Code(NamedTuple):
    """An archive of the package, and the commit or state that it is of."""

    archive: Path
    commit: str | None


def train(
    client: Client,
    wanted: Sequence[Replicate],
    data: Sequence[PreparedData],
    folder: Path,
    name: str,
    code: Mapping[str, Code] = MappingProxyType({}),
) -> Iterator[Entry | str]:
    """Train the `wanted` replicates; yield each entry once it is in the ledger, or why a training run failed.

    Replicates with the ingredient `code` are trained by what that stands for in `code`. The progress bar has this
    `name`.

    Raises:
        PipelineError: The ledger cannot be written.
        UnavailableError: The scheduler was lost.
    """
    trajectories, by_sha256 = list(plan.trajectories(wanted)), {prepared.sha256: prepared for prepared in data}
    # Other code may know networks whose cost is unknown here; there, runs are alike.
    costs = {run.name: 1.0 if code else cost(run, by_sha256[run.data].summary) for run in trajectories}
    archives = {digest: package.archive for digest, package in code.items()}
    used = {run.data: by_sha256[run.data].path for run in trajectories}
    shape = "{l_bar}{bar}| {elapsed}, {remaining} left{postfix}"
    with tqdm(total=sum(costs.values()), desc=name, bar_format=shape, disable=None) as bar:
        for outcome in cluster.outcomes(client, trajectories, used, code=archives):
            bar.update(costs[outcome.trajectory.name])
            bar.set_postfix_str(outcome.trajectory.name)
            if outcome.error:
                yield f"{outcome.trajectory.name}: {outcome.error}"
            for result in outcome.results:
                made = code.get(result["ingredients"].get("code"))
                state = made.commit if made else revision.described()
                try:
                    kept = ledger.append(folder, {**result, "commit": state, "seconds": round(outcome.seconds, 1)})
                except OSError as error:
                    what = f"cannot be written ({error.strerror}); what it has is kept"
                    raise PipelineError(what, path=folder, fix="make room for it, then run again") from None
                except PipelineError as error:
                    yield str(error)
                else:
                    yield kept


def cost(trajectory: Trajectory, summary: Summary) -> float:
    """Return the multiply-adds of a training run on the data set that `summary` is of, without their constant factor.

    The factor is that of the gradients, about 3.
    """
    model = schema.validate(Model, trajectory.longest.ingredients["model"], key="model")
    of_image = multiply_adds(model.network, tuple(summary["image"]), len(summary["classes"]))
    return float(of_image * summary["splits"]["train"]["count"] * model.epochs)


def multiply_adds(network: Network, shape: Shape, classes: int) -> int:
    """Return the multiply-adds of the convolutions and dense layers for one image of `shape`, (h, w) or (h, w, c).

    A layer has its number of outputs times the number of inputs to each.
    """
    every = (*network.hidden().values(), Dense(name="dense", units=classes))
    return architecture.multiply_adds(every, with_channels(shape))
