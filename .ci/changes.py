"""The changes of params and metrics since a revision, as DVC reports them, in Markdown; .ci/summary calls it."""

import json
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pipeline.reporting import render

KINDS = {"params": "Params", "metrics": "Metrics"}
# All metrics, which the gate checks, and not the few that `dvc metrics show` shows.
TARGETS = {"params": [], "metrics": ["--targets", "reports/metrics.json"]}
DVC_TIMEOUT_S = 120.0  # DVC never ends in a partial clone where it finds a blob missing


def section(kind: str, revision: str) -> str:
    """Return the heading and the table of one kind, or the reason that DVC gives for having none."""
    heading = f"### {KINDS[kind]} since `{revision}`"
    try:
        command = ["dvc", kind, "diff", "--json", *TARGETS[kind], "--", revision]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DVC_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"{heading}\n\n{_without_table(revision, f'no answer within {DVC_TIMEOUT_S:g} s')}"
    # Where DVC cannot read one side, it exits with 0 and shows the other as if all of it were new.
    if done.returncode or "failed to load" in done.stderr:
        return f"{heading}\n\n{_without_table(revision, done.stderr.strip())}"
    return f"{heading}\n\n{table(kind, json.loads(done.stdout))}"


def _without_table(revision: str, reason: str) -> str:
    # Indented, so as code: nothing in it can end that, or be a heading.
    lines = "".join(f"\n    {line}" for line in reason.splitlines())
    return f"DVC cannot compare with `{revision}`:\n{lines}"


def table(kind: str, files: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return the changes sorted by name: DVC's own order differs from call to call."""
    header = ["file", kind.removesuffix("s"), "before", "after"] + ["change"] * (kind == "metrics")
    rows = [
        [text(file), text(name), *cells(kind, change.get("old"), change.get("new"))]
        for file, changes in sorted(files.items())
        for name, change in sorted(changes.items())
    ]
    if not rows:
        return "Nothing has changed."
    lines = ["| " + " | ".join(row) + " |" for row in [header, *rows]]
    return "\n".join([lines[0], "|---" * len(header) + "|", *lines[1:]])


def cells(kind: str, old: Any, new: Any) -> list[str]:
    """Return the cells of a change; a metric has its difference too, of the decimals that the files show."""
    if kind == "params":
        return [text(old), text(new)]
    numbers = {type(old), type(new)} <= {int, float}
    difference = f"{Decimal(repr(new)) - Decimal(repr(old)):+.3g}" if numbers else "-"
    return [*(f"{value:.6g}" if isinstance(value, float) else text(value) for value in (old, new)), difference]


def text(value: Any) -> str:
    """Return a value as text that marks nothing up, neither as HTML nor as Markdown, and does not break the table."""
    if value is None:
        return "-"
    return render.literal(render.flow(value if isinstance(value, str) else json.dumps(value)))


if __name__ == "__main__":
    print("\n\n".join(section(kind, sys.argv[1]) for kind in KINDS))
