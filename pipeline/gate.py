"""The committed metrics against the bounds in params.yaml, and against an earlier revision.

`gate.default` holds for every model; `gate.models.MODEL` replaces its bounds one by one. A value that equals its bound
passes, and a drop is the difference of the decimals that the two files show: from .9850 to .9820 it is .003 exactly.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from pipeline import cli, files, params
from pipeline.errors import InputError


class Bounds(params.Block):
    """What one metric must keep: at least `min`, at most `max`, at most `max_drop` below the earlier revision."""

    min: float | None = None
    max: float | None = None
    max_drop: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        given = [getattr(self, name) for name in self.model_fields_set]
        if not given or None in given:
            raise PydanticCustomError("no_bound", "expected a number for one or more of min, max, max_drop")
        return self


Metrics = Mapping[params.Name, Bounds]


class Gate(params.Block):
    """Bounds by metric, for every model and for one."""

    default: Metrics = Field(default_factory=dict)
    models: Mapping[params.Name, Metrics] = Field(default_factory=dict)

    def bounds(self, model: str) -> dict[str, Bounds]:
        """Return the bounds of one model by metric: the default's with its own in their place."""
        merged = dict(self.default)
        for metric, own in self.models.get(model, {}).items():
            given = own.model_dump(exclude_unset=True)
            merged[metric] = merged[metric].model_copy(update=given) if metric in merged else own
        return merged


class _Section(params.Block):
    gate: Gate


class Verdict(StrEnum):
    """How a check ended."""

    PASSED = "pass"
    FAILED = "FAIL"
    UNJUDGED = "CANNOT JUDGE"


@dataclass(frozen=True)
class Check:
    """One line of the table; `reason` says why a check could not be judged."""

    model: str
    metric: str
    kind: str
    value: str
    bound: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Baseline:
    """An earlier revision: the models of its params.yaml and its metrics by model, both empty where it had no file."""

    revision: str
    models: frozenset[str]
    metrics: Mapping[str, Any]


def load(path: Path) -> dict[str, dict[str, Bounds]]:
    """Return the bounds of every model of the params file at `path`, by model and metric.

    Raises:
        InputError: The file or its gate section breaks a rule, or the section names a model that there is not.
    """
    values = params.load(path)
    gate = params.validate(_Section, {"gate": values.gate}, str(path)).gate
    for name in gate.models:
        if name not in values.models:
            raise InputError(f"{path}: gate.models.{name}: no such model; known: {', '.join(values.models)}")
    return {name: gate.bounds(name) for name in values.models}


def read_baseline(revision: str, params_path: Path, metrics_path: Path) -> Baseline:
    """Read the two files as `revision` has them; of its params, which may have an older form, the models' names only.

    Raises:
        InputError: There is no git or no such revision, or one of its files is damaged.
    """
    if not revision or revision.startswith("-") or not revision.isprintable():
        raise InputError(f"--baseline: expected a git revision, found {revision!r}")
    content = params.parse(_show(revision, params_path) or b"{}", f"{revision}:{params_path}")
    models = content.get("models", {}) if isinstance(content, Mapping) else content
    try:
        metrics = json.loads(_show(revision, metrics_path) or b"{}")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{revision}:{metrics_path}: not JSON ({error})") from None
    for path, value in ((params_path, models), (metrics_path, metrics)):
        if not isinstance(value, Mapping):
            raise InputError(f"{revision}:{path}: expected models by name, found {type(value).__name__}")
    return Baseline(revision, frozenset(map(str, models)), metrics)


def _show(revision: str, path: Path) -> bytes | None:
    """Return the content of the file at `path` in `revision`, None if it was not there."""
    commit = _git(path.parent, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit is None:
        where = path.parent.absolute()
        raise InputError(f"--baseline: git knows no revision {revision!r} in {where}; fetch it first")
    name = commit.decode().strip()
    if not _git(path.parent, "ls-tree", name, "--", path.name):
        return None
    content = _git(path.parent, "show", f"{name}:./{path.name}")
    if content is None:
        raise InputError(f"{revision}:{path}: git cannot show it")
    return content


def _git(directory: Path, *arguments: str) -> bytes | None:
    """Return what git prints, None if it fails."""
    try:
        done = subprocess.run(["git", *arguments], cwd=directory, capture_output=True, check=False)
    except OSError as error:
        raise InputError(f"--baseline: git does not run in {directory.absolute()} ({error.strerror})") from None
    return done.stdout if done.returncode == 0 else None


def judge(
    bounds: Mapping[str, Mapping[str, Bounds]], metrics: Mapping[str, Any], baseline: Baseline | None
) -> list[Check]:
    """Return a check for each bound of each model; of drops only for the models that `baseline` had.

    A model that is left without any check gets one that cannot be judged: it must not pass unseen.
    """
    checks: list[Check] = []
    for model, of_model in bounds.items():
        before = baseline if baseline and model in baseline.models else None
        checks += list(_checks(model, of_model, metrics, before)) or [_unchecked(model, of_model)]
    return checks


def _checks(
    model: str, bounds: Mapping[str, Bounds], metrics: Mapping[str, Any], baseline: Baseline | None
) -> Iterator[Check]:
    for metric, bound in bounds.items():
        value = _number(metrics, model, metric)
        if bound.min is not None:
            yield _check(model, metric, "min", value, f"{bound.min!r}", _decimal(bound.min))
        if bound.max is not None:
            yield _check(model, metric, "max", value, f"{bound.max!r}", _decimal(bound.max))
        if bound.max_drop is not None and baseline:
            before = _number(baseline.metrics, model, metric)
            yield _check(model, metric, "max_drop", value, *_floor(before, bound.max_drop, baseline.revision))


def _floor(before: Decimal | str, max_drop: float, revision: str) -> tuple[str, Decimal | str]:
    """Return the bound that a drop sets, as it is shown and as a number; a text says why there is none."""
    if isinstance(before, str):
        return f"{max_drop!r} below ?", f"{revision}: {before}"
    return f"{max_drop!r} below {before}", before - _decimal(max_drop)


def _check(model: str, metric: str, kind: str, value: Decimal | str, shown: str, limit: Decimal | str) -> Check:
    """Compare two numbers; a text in the place of one says what is wrong with it."""
    if isinstance(value, str):
        return Check(model, metric, kind, "-", shown, Verdict.UNJUDGED, value)
    if isinstance(limit, str):
        return Check(model, metric, kind, str(value), shown, Verdict.UNJUDGED, limit)
    passed = value <= limit if kind == "max" else value >= limit
    return Check(model, metric, kind, str(value), shown, Verdict.PASSED if passed else Verdict.FAILED, "")


def _unchecked(model: str, bounds: Mapping[str, Bounds]) -> Check:
    reason = "nothing to compare with and no min or max" if bounds else "no bound"
    return Check(model, "-", "-", "-", "-", Verdict.UNJUDGED, f"{reason}; set gate.models.{model}")


def _number(metrics: Mapping[str, Any], model: str, metric: str) -> Decimal | str:
    """Return the metric's value, or what is wrong with it."""
    of_model = metrics.get(model)
    if not isinstance(of_model, Mapping) or metric not in of_model:
        return "missing" if isinstance(of_model, Mapping) else "the metrics lack this model"
    value = of_model[metric]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"not a number ({type(value).__name__})"
    # False for NaN, for infinities and for integers beyond any float.
    finite = -sys.float_info.max <= value <= sys.float_info.max
    return _decimal(value) if finite else "not a finite number"


def _decimal(value: float) -> Decimal:
    """Return the number as it is written: the shortest decimal that reads back to it."""
    return Decimal(repr(value))


def exit_code(checks: Sequence[Check]) -> int:
    """Return 0 if every check passed, 1 if one failed, whatever else there is, and 2 if one could not be judged."""
    verdicts = {check.verdict for check in checks}
    return 1 if Verdict.FAILED in verdicts else 2 if Verdict.UNJUDGED in verdicts else 0


def _notes(checks: Sequence[Check], models: Sequence[str], baseline: Baseline | None) -> list[str]:
    """Return what is said below the table: which models have no drop check and why, and the sum of the verdicts."""
    if baseline is None:
        notes = ["No --baseline: drops are not checked."]
    elif not baseline.models:
        notes = [f"{baseline.revision} has no params file with models: every model is new and has no drop check."]
    else:
        new = [model for model in models if model not in baseline.models]
        notes = [f"{model} is new, not in {baseline.revision}: it has no drop check." for model in new]
    counts = [(word, sum(check.verdict == word for check in checks)) for word in Verdict]
    return [*notes, f"gate: {', '.join(f'{count} {word}' for word, count in counts if count)}"]


def _rows(checks: Sequence[Check]) -> list[tuple[str, ...]]:
    verdicts = [": ".join(filter(None, (check.verdict, check.reason))) for check in checks]
    rows = [(c.model, c.metric, c.kind, c.value, c.bound, v) for c, v in zip(checks, verdicts, strict=True)]
    return [("model", "metric", "check", "value", "bound", "verdict"), *rows]


def as_text(checks: Sequence[Check]) -> str:
    """Return the checks as a table with aligned columns."""
    rows = _rows(checks)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def as_markdown(checks: Sequence[Check]) -> str:
    """Return the checks as a Markdown table."""
    header, *rows = ("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in _rows(checks))
    return "\n".join([header, "|---" * 6 + "|", *rows])


def _append(path: Path | None, *paragraphs: str) -> None:
    if path is None:
        return
    try:
        # Appended, not replaced: the steps of a CI job share one summary.
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write("\n" + "\n\n".join(["### Gate", *paragraphs]) + "\n")
    except OSError as error:
        raise InputError(f"--summary: {path} cannot be written ({error.strerror})") from None


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.gate", description=main.__doc__)
    parser.add_argument(
        "--baseline", metavar="REV", help="git revision below which no metric may drop by more than max_drop"
    )
    parser.add_argument("--summary", type=Path, metavar="FILE", help="file to append the table to, as Markdown")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--metrics", type=Path, default=Path("reports/metrics.json"))
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Hold the metrics of every model against the bounds in params.yaml.

    Exit codes: 0 every check was evaluated and passed; 1 one failed; 2 none failed, but one could not be judged.
    """
    arguments = _arguments(argv)
    try:
        bounds = load(arguments.params)
        metrics = files.read_json(arguments.metrics)
        revision = arguments.baseline
        baseline = None if revision is None else read_baseline(revision, arguments.params, arguments.metrics)
    except InputError as error:
        _append(arguments.summary, f"Could not judge: {error}")
        raise
    checks = judge(bounds, metrics, baseline)
    notes = _notes(checks, list(bounds), baseline)
    print(as_text(checks), *notes, sep="\n")
    _append(arguments.summary, as_markdown(checks), *notes)
    return exit_code(checks)


if __name__ == "__main__":
    cli.run(main)
