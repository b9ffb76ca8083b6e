"""A card, for whoever gets a model alone: what it is, how good, what is not known of it, how to use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.analysis import metrics, proportions
from pipeline.reporting import render

_SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "loss", "calibration_error", "brier")
# What is shown of a run's tags, and what it is called.
_FACTS = {"data.md5": "Data (md5)", "recipe": "Recipe", "seed": "Seed"}
_USE = (
    "```sh",
    "python -m pipeline.predict --model models:/ID picture.png    # the ID is on the model's page in MLflow",
    "```",
)
_LIMITS = """\
- The interval is for other images of the same kind. Another seed moves the scores, too: by how much, the study says.
- Of images of another kind, such as other cameras, hands or classes, nothing is known: it answers all the same.
- Its probabilities are as good as the calibration error says, and no reason to leave a decision to it."""


def model_card(content: Mapping[str, Any], about: str, known: Mapping[str, str]) -> str:
    """Return the card in Markdown: from what evaluate wrote, a text `about` the model, and the tags `known` of its run.

    What only some runs of a recipe have, as the commit and the processor, is not on it: a run may be restored.
    """
    libraries = [f"{key.removeprefix('version.')} {known[key]}" for key in known if key.startswith("version.")]
    facts = {name: known[key] for key, name in _FACTS.items() if key in known}
    rows = {"Parameters": render.thousands(content["parameters"]), **facts, "Libraries": ", ".join(libraries)}
    lines = [about, "", "| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items())]
    lines += ["", "## Scores", "", *_scores(content["splits"])]
    if "per_class" in content["splits"]["test"]:
        lines += ["", "## Test images of each class", "", *_per_class(content["splits"]["test"], content["classes"])]
    return "\n".join([*lines, "", "## Limits", "", _LIMITS, "", "## Use", "", *_USE, ""])


def _scores(splits: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    names = [name for name in reversed(metrics.SPLITS) if name in splits]
    heads = [f"{name} ({splits[name]['count']:,} images)" for name in names]
    yield f"| Score, without dropout | {' | '.join(heads)} |"
    yield "|---" * (len(names) + 1) + "|"
    for score in _SCORES:
        if score in splits["test"]:
            cells = [
                metrics.SCORES[score].title or score.capitalize(),
                *(_value(splits[name], score) for name in names),
            ]
            yield f"| {' | '.join(cells)} |"


def _value(scores: Mapping[str, Any], name: str) -> str:
    if name != "accuracy" or "errors" not in scores:
        return render.fixed(scores[name], 4)
    low, high = proportions.wilson(scores["count"] - scores["errors"], scores["count"])
    return f"{render.percent(scores[name])} (95% interval {render.percent(low)} to {render.percent(high)})"


def _per_class(scores: Mapping[str, Any], classes: list[str]) -> Iterator[str]:
    yield "| Class | Images | Recall | Precision |"
    yield "|---|---:|---:|---:|"
    for name, found in zip(classes, scores["per_class"], strict=True):
        shares = " | ".join(
            "-" if found[key] is None else render.percent(found[key]) for key in ("recall", "precision")
        )
        yield f"| {render.literal(name)} | {found['support']:,} | {shares} |"
