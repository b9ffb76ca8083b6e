"""The committed metrics checked against the bounds in params.yaml, and against an earlier revision.

Bounds belong to a data set; on one that has none, nothing can be judged. A value that equals its bound
passes, and a drop is the difference of the decimals that the two files show: from .9850 to .9820 it is .003 exactly.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipeline import cli, files, revision
from pipeline.bounds import UNJUDGED, Bounds, ModelBounds, load
from pipeline.errors import InputError


class CheckStatus(StrEnum):
    """The outcome of a check."""

    PASSED = "pass"
    FAILED = "FAIL"
    UNJUDGED = UNJUDGED


@dataclass(frozen=True)
class Check:
    """One row of the table; `reason` says why a check could not be judged."""

    model: str
    metric: str
    kind: str
    value: str
    bound: str
    status: CheckStatus
    reason: str

    def __str__(self) -> str:
        """Its status, with the reason if it has one."""
        return ": ".join(filter(None, (self.status, self.reason)))


@dataclass(frozen=True)
class Baseline:
    """An earlier revision: data set and models of its params.yaml, and its metrics by model.

    Models and metrics are empty if it has no such file, and the data set is None if its params do not name one.
    """

    revision: str
    dataset: str | None
    models: frozenset[str]
    metrics: Mapping[str, Any]

    def other_data(self, dataset: str) -> str:
        """Return why metrics on `dataset` cannot be compared with those of this revision, or an empty text."""
        return f"{self.revision} is of the data set {self.dataset}" if self.dataset not in (None, dataset) else ""


def read_baseline(name: str, params_path: Path, metrics_path: Path) -> Baseline:
    """Read the two files as the git revision `name` has them; of its params, the names of data set and models are read.

    Its params file may have an older schema.

    Raises:
        InputError: There is no such revision, git cannot read it, or one of its files is damaged.
    """
    content = files.parse_yaml(_at(name, params_path), _place(name, params_path))
    models = content.get("models", {}) if isinstance(content, Mapping) else content
    try:
        metrics = json.loads(_at(name, metrics_path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON ({error})", path=_place(name, metrics_path)) from None
    for path, value in ((params_path, models), (metrics_path, metrics)):
        if not isinstance(value, Mapping):
            raise InputError(f"expected models by name, found {type(value).__name__}", path=_place(name, path))
    data = content.get("data") if isinstance(content, Mapping) else None
    dataset = data.get("dataset") if isinstance(data, Mapping) else None
    return Baseline(name, None if dataset is None else str(dataset), frozenset(map(str, models)), metrics)


def _at(name: str, path: Path) -> bytes:
    """Return the content of the file at `path` in a revision; an empty mapping if it has no such file."""
    try:
        content = revision.show(name, path)
    except InputError as error:
        raise InputError(f"--baseline: {CheckStatus.UNJUDGED}: {error.what}", fix=error.fix) from None
    return b"{}" if content is None else content


def _place(name: str, path: Path) -> Path:
    """Return where a file of a revision is, as git writes it."""
    return Path(f"{name}:{path}")


def judge(bounds: ModelBounds, metrics: Mapping[str, Any], baseline: Baseline | None) -> list[Check]:
    """Return a check for each bound of each model; drops are checked only for the models that `baseline` has.

    A model without any check gets one that cannot be judged, so that it does not pass unnoticed, and so does a drop
    from a baseline of another data set.
    """
    checks: list[Check] = []
    for model, of_model in bounds.models.items():
        before = baseline if baseline and model in baseline.models else None
        found = list(_checks(model, of_model, metrics, before, bounds.dataset))
        checks += found or [_unchecked(model, of_model, bounds.dataset)]
    return checks


def _checks(
    model: str, bounds: Mapping[str, Bounds], metrics: Mapping[str, Any], baseline: Baseline | None, dataset: str
) -> Iterator[Check]:
    for metric, bound in bounds.items():
        value = _number(metrics, model, metric)
        if bound.min is not None:
            yield _check(model, metric, "min", value, f"{bound.min!r}", _decimal(bound.min))
        if bound.max is not None:
            yield _check(model, metric, "max", value, f"{bound.max!r}", _decimal(bound.max))
        if bound.max_drop is not None and baseline:
            before = _number(baseline.metrics, model, metric)
            before = f"{baseline.revision}: {before}" if isinstance(before, str) else before
            floor = _floor(baseline.other_data(dataset) or before, bound.max_drop)
            yield _check(model, metric, "max_drop", value, *floor)


def _floor(before: Decimal | str, max_drop: float) -> tuple[str, Decimal | str]:
    """Return the bound that `max_drop` implies, as text and as a number; or the reason why there is none."""
    if isinstance(before, str):
        return f"{max_drop!r} below ?", before
    return f"{max_drop!r} below {before}", before - _decimal(max_drop)


def _check(model: str, metric: str, kind: str, value: Decimal | str, shown: str, limit: Decimal | str) -> Check:
    """Compare a value with its limit; either may be a text instead, which says what is wrong with it."""
    if isinstance(value, str):
        return Check(model, metric, kind, "-", shown, CheckStatus.UNJUDGED, value)
    if isinstance(limit, str):
        return Check(model, metric, kind, str(value), shown, CheckStatus.UNJUDGED, limit)
    passed = value <= limit if kind == "max" else value >= limit
    return Check(model, metric, kind, str(value), shown, CheckStatus.PASSED if passed else CheckStatus.FAILED, "")


def _unchecked(model: str, bounds: Mapping[str, Bounds], dataset: str) -> Check:
    reason = "nothing to compare with and no min or max" if bounds else "no bound"
    return Check(model, "-", "-", "-", "-", CheckStatus.UNJUDGED, f"{reason}; set gate.{dataset}.models.{model}")


def _number(metrics: Mapping[str, Any], model: str, metric: str) -> Decimal | str:
    """Return the value of the metric, or a text that says what is wrong with it."""
    of_model = metrics.get(model)
    if not isinstance(of_model, Mapping) or metric not in of_model:
        return "missing" if isinstance(of_model, Mapping) else "no metrics of this model"
    value = of_model[metric]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"not a number ({type(value).__name__})"
    # False for NaN, for infinities and for integers beyond any float.
    finite = -sys.float_info.max <= value <= sys.float_info.max
    return _decimal(value) if finite else "not a finite number"


def _decimal(value: float) -> Decimal:
    """Return the number as it is written: the shortest decimal that reads back as the same float."""
    return Decimal(repr(value))


def exit_code(checks: Sequence[Check]) -> int:
    """Return 1 if a check failed, else 2 if one could not be judged, else 0."""
    statuses = {check.status for check in checks}
    return 1 if CheckStatus.FAILED in statuses else 2 if CheckStatus.UNJUDGED in statuses else 0


def _notes(checks: Sequence[Check], models: Sequence[str], baseline: Baseline | None) -> list[str]:
    """Return the lines below the table: which models have no drop check and why, and the count of each status."""
    if baseline is None:
        notes = ["No --baseline: drops are not checked."]
    elif not baseline.models:
        notes = [f"{baseline.revision} has no params file with models: every model is new and has no drop check."]
    else:
        new = [model for model in models if model not in baseline.models]
        notes = [f"{model} is new, not in {baseline.revision}: it has no drop check." for model in new]
    counts = [(status, sum(check.status == status for check in checks)) for status in CheckStatus]
    return [*notes, f"gate: {', '.join(f'{count} {status}' for status, count in counts if count)}"]


def _rows(checks: Sequence[Check]) -> list[tuple[str, ...]]:
    rows = [(c.model, c.metric, c.kind, c.value, c.bound, str(c)) for c in checks]
    return [("model", "metric", "check", "value", "bound", "status"), *rows]


def as_text(checks: Sequence[Check]) -> str:
    """Return the checks as a plain-text table with aligned columns."""
    rows = _rows(checks)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def as_markdown(checks: Sequence[Check]) -> str:
    """Return the checks as a Markdown table."""
    header, *rows = ("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in _rows(checks))
    return "\n".join([header, "|---" * 6 + "|", *rows])


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.gate", description=main.__doc__)
    parser.add_argument(
        "--baseline", metavar="REV", help="git revision to compare with: no metric may be more than max_drop below it"
    )
    parser.add_argument("--summary", type=Path, metavar="FILE", help="file to append the table to, in Markdown")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the experiment's settings")
    parser.add_argument("--metrics", type=Path, default=Path("reports/metrics.json"), help="JSON made by report")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Check the metrics of every model against the bounds in params.yaml.

    Exit codes: 0 every check passed; 1 a check failed; 2 no check failed, but one could not be judged.
    """
    arguments = _arguments(argv)
    try:
        required = load(arguments.params)
        metrics = files.read_json(arguments.metrics)
        name = arguments.baseline
        baseline = None if name is None else read_baseline(name, arguments.params, arguments.metrics)
    except InputError as error:
        cli.append_summary(arguments.summary, "### Gate", f"{CheckStatus.UNJUDGED}: {error}")
        raise
    checks = judge(required, metrics, baseline)
    notes = _notes(checks, list(required.models), baseline)
    print(as_text(checks), *notes, sep="\n")
    cli.append_summary(arguments.summary, "### Gate", as_markdown(checks), *notes)
    return exit_code(checks)


if __name__ == "__main__":
    cli.run(main)
