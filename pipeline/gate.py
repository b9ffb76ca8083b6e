"""The committed metrics checked against the bounds in params.yaml, and against an earlier revision.

Bounds belong to a data set; on one that has none, nothing can be judged. A value that equals its bound
passes, and a drop is the difference of the decimals that the two files show: from .9850 to .9820 it is .003 exactly.
Where less is better, as of a loss, it is a rise.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import Any

from pipeline import cli, dvc_lock, files, revision
from pipeline.bounds import UNJUDGED, Bounds, ModelBounds, load, meaning
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
    """An earlier revision: the models of its params.yaml, and its metrics by model, empty if it has no such file.

    `other_data` says why these cannot be compared with metrics here; it is empty if they can.
    """

    revision: str
    models: frozenset[str]
    metrics: Mapping[str, Any]
    other_data: str


def read_baseline(name: str, params_path: Path, metrics_path: Path) -> Baseline:
    """Read files as the git revision `name` has them; of its params, only the names of the models are read.

    Its params file may have an older schema. Beside the metrics, data.json says what they were measured on.

    Raises:
        InputError: There is no such revision, git cannot read it, it has no models, or one of its files is damaged.
    """
    place = Path(f"{name}:{params_path}")
    content = files.parse_yaml(_at(name, params_path) or b"", place)
    models = content.get("models") if isinstance(content, Mapping) else None
    if not isinstance(models, Mapping) or not models:
        raise InputError(f"{CheckStatus.UNJUDGED}: no models to compare with", path=place)
    metrics = _json(name, metrics_path) or {}
    data_path = metrics_path.with_name("data.json")
    before, now = _json(name, data_path) or {}, files.read_json(data_path) if data_path.exists() else {}
    return Baseline(
        name, frozenset(" ".join(str(model).split()) for model in models), metrics, _other_data(name, before, now)
    )


def _other_data(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return how the data of the revision `name` differ, by what preprocess wrote of both; an empty text if nowhere."""
    for where, summary in ((name, before), ("the workspace", now)):
        if "sha256" not in summary:
            return f"no data.json in {where} says which data were measured"
    if before.get("dataset") != now.get("dataset"):
        return f"{name} is of the data set {before.get('dataset')}"
    return "" if before["sha256"] == now["sha256"] else f"{name} is of other data, by the sha256 in data.json"


def _json(name: str, path: Path) -> dict[str, Any] | None:
    content = _at(name, path)
    return None if content is None else files.parse_json(content, Path(f"{name}:{path}"))


def _at(name: str, path: Path) -> bytes | None:
    """Return the content of the file at `path` in a revision; None if it has no such file."""
    try:
        return revision.show(name, path)
    except InputError as error:
        raise InputError(f"--baseline: {CheckStatus.UNJUDGED}: {error.what}", fix=error.fix) from None


def judge(bounds: ModelBounds, metrics: Mapping[str, Any], baseline: Baseline | None) -> list[Check]:
    """Return a check for each bound of each model; drops are checked only for the models that `baseline` has.

    What would pass unnoticed gets a check that cannot be judged: a model without any check, a drop from a baseline of
    other data, and a model that only the baseline has, unless it was removed on purpose.
    """
    checks: list[Check] = []
    for model, of_model in bounds.models.items():
        before = baseline if baseline and model in baseline.models else None
        found = list(_checks(model, of_model, metrics, before))
        checks += found or [_unchecked(model, of_model, bounds.dataset)]
    gone = baseline.models - bounds.models.keys() - set(bounds.removed) if baseline else ()
    reason = (
        f"in the baseline, not here; if it was removed or renamed on purpose, add it to gate.{bounds.dataset}.removed"
    )
    return checks + [Check(model, "-", "-", "-", "-", CheckStatus.UNJUDGED, reason) for model in sorted(gone)]


def _checks(
    model: str, bounds: Mapping[str, Bounds], metrics: Mapping[str, Any], baseline: Baseline | None
) -> Iterator[Check]:
    for metric, bound in bounds.items():
        value = _number(metrics, model, metric)
        if bound.min is not None:
            yield _check(model, metric, "min", value, f"{bound.min!r}", _decimal(bound.min), False)
        if bound.max is not None:
            yield _check(model, metric, "max", value, f"{bound.max!r}", _decimal(bound.max), True)
        if bound.max_drop is not None and baseline:
            before = _number(baseline.metrics, model, metric)
            before = f"{baseline.revision}: {before}" if isinstance(before, str) else before
            limit = _limit(metric, baseline.other_data or before, bound.max_drop)
            yield _check(model, metric, "max_drop", value, *limit)


def _limit(metric: str, before: Decimal | str, max_drop: float) -> tuple[str, Decimal | str, bool]:
    """Return the bound that `max_drop` implies, as text and as a number, and whether it is an upper one.

    In the place of the number may be the reason why there is none.
    """
    known = meaning(metric)
    upper = known is not None and not known[0]
    if known is None:
        before = "it is not known whether more of it is better; set min or max"
    direction, shown = ("above" if upper else "below"), ("?" if isinstance(before, str) else before)
    text = f"{max_drop!r} {direction} {shown}"
    if isinstance(before, str):
        return text, before, upper
    return text, before + _decimal(max_drop) * (1 if upper else -1), upper


def _check(
    model: str, metric: str, kind: str, value: Decimal | str, shown: str, limit: Decimal | str, upper: bool
) -> Check:
    """Compare a value with its limit; either may be a text instead, which says what is wrong with it."""
    if isinstance(value, str):
        return Check(model, metric, kind, "-", shown, CheckStatus.UNJUDGED, value)
    if isinstance(limit, str):
        return Check(model, metric, kind, str(value), shown, CheckStatus.UNJUDGED, limit)
    passed = value <= limit if upper else value >= limit
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
    if not -sys.float_info.max <= value <= sys.float_info.max:
        return "not a finite number"
    _, lowest, highest = meaning(metric) or (False, -inf, inf)
    return _decimal(value) if lowest <= value <= highest else f"{value!r} is not within {lowest:g} and {highest:g}"


def _decimal(value: float) -> Decimal:
    """Return the number as it is written: the shortest decimal that reads back as the same float."""
    return Decimal(repr(value))


def exit_code(checks: Sequence[Check]) -> int:
    """Return 1 if a check failed, else 2 if one could not be judged, else 0."""
    statuses = {check.status for check in checks}
    return 1 if CheckStatus.FAILED in statuses else 2 if CheckStatus.UNJUDGED in statuses else 0


def _notes(checks: Sequence[Check], bounds: ModelBounds, baseline: Baseline | None) -> list[str]:
    """Return the lines below the table: which models have no drop check and why, and the count of each status."""
    if baseline is None:
        notes = ["No --baseline: drops are not checked."]
    else:
        new = [model for model in bounds.models if model not in baseline.models]
        notes = [f"{model} is new, not in {baseline.revision}: it has no drop check." for model in new]
        notes += [
            f"{model} was removed since {baseline.revision}." for model in bounds.removed if model in baseline.models
        ]
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
    """Return the checks as a Markdown table, in which texts mark nothing up."""
    header, *rows = ("| " + " | ".join(map(_literal, row)) + " |" for row in _rows(checks))
    return "\n".join([header, "|---" * 6 + "|", *rows])


def _literal(text: object) -> str:
    # Imported late: it takes half a second, and not every call writes Markdown.
    from pipeline.reporting import render

    return render.literal(str(text))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.gate", description=main.__doc__)
    parser.add_argument(
        "--baseline", metavar="REV", help="git revision to compare with: no metric may be more than max_drop below it"
    )
    parser.add_argument("--summary", type=Path, metavar="FILE", help="file to append the table to, in Markdown")
    cli.add_json_argument(parser)
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
        for model in required.models.keys() & dvc_lock.trained():
            of_model = arguments.metrics.with_suffix("") / f"{model}.json"
            dvc_lock.check_record(model, files.read_json(of_model).get("made_with"))
        name = arguments.baseline
        baseline = None if name is None else read_baseline(name, arguments.params, arguments.metrics)
    except InputError as error:
        cli.append_summary(arguments.summary, "### Gate", f"{CheckStatus.UNJUDGED}: {_literal(error)}")
        raise
    checks = judge(required, metrics, baseline)
    notes = _notes(checks, required, baseline)
    cli.append_summary(arguments.summary, "### Gate", as_markdown(checks), *map(_literal, notes))
    content = {"checks": [asdict(check) for check in checks], "notes": notes}
    return cli.answer(arguments.json, "\n".join([as_text(checks), *notes]), content, exit_code(checks))


if __name__ == "__main__":
    cli.run(main)
