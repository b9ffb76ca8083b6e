"""Stage run: train the replicates that are missing from the ledger, on Dask; each is kept as soon as it is done."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dask.system import CPU_COUNT
from distributed import Client
from tqdm import tqdm

from pipeline import cli, revision
from pipeline.errors import PipelineError
from pipeline.study import cluster, cost, ledger, plan, prepared
from pipeline.study.ledger import Entry, EntryState, Lookup
from pipeline.study.plan import Replicate
from pipeline.study.prepared import Summaries
from pipeline.study.tracker import Tracker


def run(
    client: Client,
    wanted: Sequence[Replicate],
    data: Mapping[str, Path],
    summaries: Summaries,
    folder: Path,
    name: str = "study",
) -> Iterator[Entry | str]:
    """Train the `wanted` replicates; yield each entry once it is in the ledger, or why a training run failed.

    `data` has the npz files of the data sets by their SHA-256. The progress bar has this `name`.

    Raises:
        UnavailableError: The scheduler was lost.
    """
    trajectories = list(plan.trajectories(list(wanted)))
    by_sha256 = {summary["sha256"]: summary for summary in summaries.values()}
    costs = {one.name: cost.of(one, by_sha256[one.data]) for one in trajectories}
    used = {one.data: data[one.data] for one in trajectories}
    shape = "{l_bar}{bar}| {elapsed}, {remaining} left{postfix}"
    with tqdm(total=sum(costs.values()), desc=name, bar_format=shape, disable=None) as bar:
        for outcome in cluster.outcomes(client, trajectories, used):
            bar.update(costs[outcome.trajectory.name])
            bar.set_postfix_str(outcome.trajectory.name)
            if outcome.error:
                yield f"{outcome.trajectory.name}: {outcome.error}"
            yield from _keep(folder, outcome)


def _keep(folder: Path, outcome: cluster.TrainingOutcome) -> Iterator[Entry]:
    for result in outcome.results:
        yield ledger.append(folder, {**result, "commit": revision.described()})


def main() -> int:
    """Train the replicates that are missing from the ledger."""
    arguments = _arguments()
    study = plan.load_study(arguments.study)
    summaries = prepared.load(arguments.summaries, study.data.sets)
    prepared.check_images(study, summaries, arguments.study)
    data = prepared.verified(arguments.data, summaries)
    found = list(ledger.look_up(arguments.runs, plan.replicates(study, prepared.checksums(summaries))))
    ledger.check_not_overwritten(found, arguments.runs)
    print(_counts(found, arguments.runs), flush=True)
    wanted = [replicate for replicate, _, state in found if state is not EntryState.CURRENT]
    tracker = Tracker(*summaries.values())
    for _, entry, state in found:
        if entry and state is EntryState.CURRENT:
            tracker.add(entry)
    failed = _work(arguments, wanted, data, summaries, tracker) if wanted else 0
    tracker.close()
    if failed:
        raise PipelineError(f"{failed} training run{'s' * (failed > 1)} failed; the others are in {arguments.runs}")
    return 0


def _counts(found: Sequence[Lookup], folder: Path) -> str:
    """Return in one line how many replicates are planned, and how many of which kind are in the ledger."""
    counts = Counter(state for _, _, state in found)
    outdated = counts[EntryState.STALE] + counts[EntryState.OTHER_VERSIONS]
    others = ledger.unplanned(folder, [replicate for replicate, _, _ in found])
    parts = [f"{len(found)} replicates planned, {counts[EntryState.CURRENT]} of them in {folder}"]
    if outdated:
        parts.append(f"{outdated} there are of another version of results or libraries and will be made again")
    if others:
        parts.append(f"{others} more there are not in this plan and stay as they are")
    return "; ".join(parts)


def _work(
    arguments: argparse.Namespace,
    wanted: list[Replicate],
    data: Mapping[str, Path],
    summaries: Summaries,
    tracker: Tracker,
) -> int:
    """Train the `wanted` replicates and return the number of training runs that failed."""
    failed = 0
    with cluster.connected(arguments.scheduler, arguments.workers) as client:
        if address := cluster.dashboard(client):
            print(f"dashboard: {address}", flush=True)
        for entry in run(client, wanted, data, summaries, arguments.runs):
            if isinstance(entry, str):
                failed += 1
                tqdm.write(f"error: {entry}", file=sys.stderr)
            else:
                tracker.add(entry)
                accuracy = entry.score("test", "accuracy")
                tqdm.write(f"{entry.variant}  seed {entry.seed}: test accuracy {accuracy:.4f}")
                sys.stdout.flush()
    return failed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.study.run", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory with prepare's npz files")
    parser.add_argument("--summaries", type=Path, required=True, help="directory with prepare's JSON files")
    parser.add_argument("--runs", type=Path, required=True, help="directory of the ledger")
    parser.add_argument("--study", type=Path, default=Path("study/params.yaml"), help="YAML with the plan of the study")
    parser.add_argument(
        "--scheduler",
        default=os.environ.get(cluster.ADDRESS),
        help=f"of Dask; default: ${cluster.ADDRESS}",
    )
    parser.add_argument("--workers", type=int, default=CPU_COUNT, help="workers of a local cluster; default: all cores")
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
