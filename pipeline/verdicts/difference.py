"""The models in which sides differ, and whether sides can be compared at all."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline import tracking
from pipeline.errors import InputError
from pipeline.verdicts.side import Ingredients, Side

# Results do not depend on the seed and the number of threads but by chance. One thread for each training run, and as
# many runs as there are cores, is the fastest.
_BY_CHANCE = {"seed": 0, "threads": 1}


def settings(side: Side, model: str) -> Ingredients:
    """Return what is trained of a model, apart from the seed."""
    ingredients = side.models[model]
    return {**ingredients, "train": {**ingredients["train"], **_BY_CHANCE}}


def changed_models(before: Side, after: Sequence[Side], model: str | None = None) -> dict[str, list[Side]]:
    """Return the models of A, or just `model`, that other sides train differently, by params or code, with these sides.

    Raises:
        InputError: A side has no model of that name, or none of A's.
    """
    for side in after:
        if side.models.keys().isdisjoint(before.models):
            first, second = (", ".join(one.models) for one in (before, side))
            raise InputError(
                f"not comparable: {before} has the models {first}, and {side} has {second}: none is shared"
            )
    for side in (before, *after) if model else ():
        if model not in side.models:
            raise InputError(f"not comparable: {side} has no model {model!r}; it has {', '.join(side.models)}")
    changed = {
        name: [
            side
            for side in after
            if name in side.models
            and (side.source.digest != before.source.digest or settings(side, name) != settings(before, name))
        ]
        for name in before.models
        if model in (None, name)
    }
    return {name: sides for name, sides in changed.items() if sides}


def changed_params(before: Side, after: Side, model: str) -> dict[str, tuple[Any, Any]]:
    """Return the params that differ, by their names below the model or `train`: A's value and B's, or None."""
    trained = [settings(side, model) for side in (before, after)]
    first, second = (tracking.flatten({**one["model"], "train": one["train"]}) for one in trained)
    pairs = {name: (first.get(name), second.get(name)) for name in [*first, *second]}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def changed_code(before: Side, after: Side) -> list[str]:
    """Return the paths of the training modules that differ."""
    return _differing(before.source.training, after.source.training)


def check_comparable(before: Side, after: Side) -> None:
    """Check that two sides are trained on the same data, with the same versions of libraries.

    Raises:
        InputError: They are not; the message says in what they differ.
    """
    if reasons := [*_other_data(before, after), *_other_libraries(before, after)]:
        raise InputError(f"not comparable: {'; '.join(reasons)}")


def _other_data(before: Side, after: Side) -> Iterator[str]:
    for key in ("dataset", "validation", "split_seed"):
        first, second = (side.data[key] for side in (before, after))
        if first != second:
            yield f"data.{key} is {first} in {before} and {second} in {after}"
    if before.dataset != after.dataset:
        return
    if keys := _differing(before.image_set, after.image_set):
        yield f"data/sets/{before.dataset}.yaml differs between {before} and {after} ({', '.join(keys)})"
    elif None not in (before.data_md5, after.data_md5) and before.data_md5 != after.data_md5:
        yield f"dvc.lock of {before} and {after} record different preprocessed data"


def _other_libraries(before: Side, after: Side) -> Iterator[str]:
    for name in before.libraries.keys() & after.libraries.keys():
        first, second = before.libraries[name], after.libraries[name]
        if first != second:
            yield (
                f"requirements.lock of {before} pins {name} {first}, that of {after} {second}: one environment trains "
                "both, so give both the same lock file"
            )


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in first.keys() | second.keys() if first.get(key) != second.get(key))
