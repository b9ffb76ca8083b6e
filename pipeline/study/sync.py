"""Bring MLflow up to date with the study's ledger: add the replicates that it is missing."""

import argparse
import sys
from pathlib import Path

from pipeline import cli, files, tracking
from pipeline.errors import PipelineError, UnavailableError
from pipeline.trials import ledger, prepared
from pipeline.trials.tracker import Tracker

# So many take seconds, during which it is said what is done.
_MANY = 50


def sync(folder: Path, summaries: Path) -> None:
    """Add to MLflow the replicates of the ledger in `folder` that it is missing, and print how many.

    Only those on the data that a JSON file in `summaries` describes: of others, the name of the data set is not known.

    Raises:
        InputError: A summary is damaged.
        UnavailableError: MLflow does not answer.
    """
    if not (entries := list(ledger.read(folder))):
        return
    tracker = Tracker(*(prepared.read(path) for path in sorted(summaries.glob("*.json"))))
    known = [entry for entry in entries if tracker.knows(entry.record)]
    if others := len(entries) - len(known):
        print(f"notice: {folder}: {others} replicates on data that {summaries} does not describe", file=sys.stderr)
    with tracking.reachable():
        present = tracker.recipes()
    absent = [entry for entry in known if entry.record["recipe"] not in present]
    if len(absent) > _MANY:
        print(f"study: adding {len(absent)} of {len(known)} replicates to MLflow, about ten a second", flush=True)
    for entry in absent:
        tracker.add(entry)
    if page := _page(summaries.parent):
        variant, run = page
        for data in {entry.record["ingredients"]["data"] for entry in known if entry.variant == variant}:
            tracker.put(data, run)
    if missing := tracker.close():
        raise UnavailableError(f"study: MLflow is missing {missing} of {len(known)} replicates")
    done = f"{len(absent)} replicates added to MLflow" if absent else "complete in MLflow"
    print(f"study: {done}", flush=True)


def _page(reports: Path) -> tuple[str, tracking.FinishedRun] | None:
    """Return the page on the claims as a run in MLflow, with figures and comparisons, and a variant that it is on.

    None if there is no page, or nothing was compared.

    Raises:
        InputError: The table of comparisons is missing or damaged.
    """
    page = reports / "claims.md"
    if not page.exists() or (compared := files.read_csv(reports / "comparisons.csv")).empty:
        return None
    findings = {
        f"{row.first} - {row.second}": tracking.LoggedEstimate(
            str(row.verdict), row.estimate, row.simultaneous_low, row.simultaneous_high
        )
        for row in compared.itertuples()
    }
    pictures = sorted((reports / "figures").glob("*.png"))
    shown = {path.relative_to(reports).as_posix(): path.read_bytes() for path in (page, *pictures)}
    variants = dict.fromkeys([*compared["first"], *compared["second"]])
    judged = {name: name for name in variants}
    return str(compared["first"][0]), tracking.verdict_run("study", findings, shown, judged)


def main() -> int:
    """Add to MLflow the replicates of the ledger, and the page on them, that it is missing."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.study.sync", description=main.__doc__)
    parser.add_argument("--runs", type=Path, default=Path("study/runs"), help="directory of the ledger")
    parser.add_argument(
        "--summaries", type=Path, default=Path("study/reports/data"), help="directory with prepare's JSON files"
    )
    parser.add_argument(
        "--optional", action="store_true", help="exit with 0 whatever happens; what went wrong is still printed"
    )
    arguments = parser.parse_args()
    try:
        sync(arguments.runs, arguments.summaries)
    except PipelineError as error:
        if not arguments.optional:
            raise
        print(f"notice: {error}; `make sync` tries again", file=sys.stderr)
    return 0


if __name__ == "__main__":
    cli.run(main)
