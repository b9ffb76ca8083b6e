"""The models in which two sides differ, and whether two sides can be compared at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import params, tracking
from pipeline.change.side import Side, code_of
from pipeline.errors import InputError
from pipeline.training.settings import Model, Training
from pipeline.trials import plan

# Results do not depend on the seed and the number of threads but by chance. One thread for each training run, and as
# many runs as there are cores, is the fastest.
_BY_CHANCE = {"seed": 0, "threads": 1}


@dataclass(frozen=True)
class ModelChange:
    """A model as both sides have it: A's settings in `before`, B's in `after`."""

    model: str
    before: tuple[Model, Training]
    after: tuple[Model, Training]

    @property
    def params(self) -> dict[str, tuple[Any, Any]]:
        """The params that differ, by their names below the model or `train`: A's value and B's, None for a missing."""
        before, after = (_flat(*side) for side in (self.before, self.after))
        names = [*before, *(name for name in after if name not in before)]
        pairs = {name: (before.get(name), after.get(name)) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


@dataclass(frozen=True)
class Difference:
    """The models that differ, and the names of those that only A or only B has."""

    changed: tuple[ModelChange, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]


def find_difference(before: Side, after: Side, model: str | None = None) -> Difference:
    """Return the models that differ between two sides, or whether `model` does.

    Raises:
        InputError: A side has no model of that name.
    """
    names = [*before.params.models, *(name for name in after.params.models if name not in before.params.models)]
    for side in (before, after) if model else ():
        if model not in side.params.models:
            known = ", ".join(side.params.models)
            raise InputError(f"not comparable: {side} has no model {model!r}; it has {known}")
    chosen = [name for name in names if model in (None, name)]
    both = [name for name in chosen if name in before.params.models and name in after.params.models]
    pairs = [ModelChange(name, _settings(before, name), _settings(after, name)) for name in both]
    return Difference(
        tuple(pair for pair in pairs if pair.params),
        tuple(name for name in chosen if name not in after.params.models),
        tuple(name for name in chosen if name not in before.params.models),
    )


def check_comparable(before: Side, after: Side) -> None:
    """Check that two sides differ in nothing but params of models, and that the code here is that of both.

    Raises:
        InputError: They do not; the message says in which data or code they differ.
    """
    if reasons := [*_other_data(before, after), *_other_code(before, after)]:
        raise InputError(f"not comparable: {'; '.join(reasons)}")


def check_trainable(side: Side, changes: tuple[ModelChange, ...], shape: tuple[int, ...], count: int) -> None:
    """Check that the changed models of a side can be trained on `count` images of `shape`, and scored on others.

    Raises:
        InputError: They cannot; one line per fault.
    """
    models = {change.model: side.params.models[change.model] for change in changes}
    params.check_images(models, side.params.train.batch_size, shape, count, Path(side.name))
    for name, model in models.items():
        if model.keep != "last":
            text = (
                f"models.{name}.keep: {model.keep} of {side} chooses an epoch by the images on which it would be judged"
            )
            raise InputError(f"not comparable: {text}", fix="compare with keep: last")


def _settings(side: Side, name: str) -> tuple[Model, Training]:
    return side.params.models[name], side.params.train.model_copy(update=_BY_CHANCE)


def _flat(model: Model, training: Training) -> dict[str, Any]:
    made = plan.ingredients(model, training)
    return tracking.flatten(made["model"]) | tracking.flatten({"train": made["train"]})


def _other_data(before: Side, after: Side) -> Iterator[str]:
    for key in ("dataset", "validation", "split_seed"):
        first, second = (getattr(side.params.data, key) for side in (before, after))
        if first != second:
            yield f"data.{key} is {first} in {before} and {second} in {after}"
    if before.dataset != after.dataset:
        return
    if keys := _differing(before.image_set, after.image_set):
        yield f"data/sets/{before.dataset}.yaml differs between {before} and {after} ({', '.join(keys)})"
    elif None not in (before.data_md5, after.data_md5) and before.data_md5 != after.data_md5:
        yield f"dvc.lock of {before} and {after} record different preprocessed data"


def _other_code(before: Side, after: Side) -> Iterator[str]:
    """Yield the training modules that are not the same on both sides and here, whose code trains both."""
    here = code_of(lambda path: (Path(plan.__file__).parents[2] / path).read_bytes())
    if differing := _differing(before.code, after.code):
        yield f"other code in {after} than in {before}: {', '.join(differing)}"
        return
    there = {path: code for path, code in before.code.items() if code is not None}
    if differing := [path for path, code in there.items() if code != here[path]]:
        both = f"{before} and {after}, so check out their code first"
        yield f"the code that would train both is not that of {both}: {', '.join(differing)}"


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in first.keys() | second.keys() if first.get(key) != second.get(key))
