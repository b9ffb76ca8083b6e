"""params.yaml as frozen, validated objects. The only reader of that file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from pipeline import files, schema
from pipeline.data import sets
from pipeline.errors import InputError
from pipeline.schema import Block, Fraction, Name, Positive, Seed
from pipeline.training.settings import Model, Training


def _held_out(value: Any) -> Any:
    number = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if value != "test" and not number:
        text = "expected 'test' or a number of images above 0, found {value}"
        raise PydanticCustomError("validation", text, {"value": schema.shown(value)})
    return value


class Data(Block):
    """The data set, by its name in data/sets/, and how it is split."""

    dataset: Name
    validation: Annotated[Literal["test"] | int, BeforeValidator(_held_out)]
    split_seed: Seed


class OverfittingRule(Block):
    """When a history counts as overfitting."""

    window: Positive
    onset: Annotated[float, Field(gt=1)]
    slight: Annotated[float, Field(ge=1)]
    strong: Annotated[float, Field(ge=1)]
    tolerance: Fraction

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.slight > self.strong:
            values = {"slight": self.slight, "strong": self.strong}
            raise PydanticCustomError("order", "slight is {slight}, above strong, which is {strong}", values)
        return self


class Params(Block):
    """The whole of params.yaml. `gate` and `verdict` are left as read: their only users know their schemas."""

    data: Data
    train: Training
    models: Annotated[Mapping[Name, Model], AfterValidator(schema.distinct), Field(min_length=1)]
    overfitting: OverfittingRule
    gate: Mapping[str, Any]
    # What older revisions do not have.
    verdict: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _chosen_on_held_out_images(self) -> Self:
        for name, model in self.models.items():
            if model.keep != "last" and self.data.validation == "test":
                text = "models.{name}.keep: {keep} would choose on the test images; set data.validation to a number"
                raise PydanticCustomError("keep", text, {"name": name, "keep": model.keep})
        return self

    def model(self, name: str) -> Model:
        """Return the block of the model called `name`.

        Raises:
            InputError: params.yaml has no such model.
        """
        if name not in self.models:
            raise InputError(f"models: no model {name!r}; known: {', '.join(self.models)}")
        return self.models[name]


def load(path: Path) -> Params:
    """Return the validated content of the params file at `path`.

    Raises:
        InputError: The file is missing, is not YAML or breaks a rule: one line per fault with the key's path, what was
            expected and what was found.
    """
    values = schema.validate(Params, files.read_yaml(path), path)
    described = path.parent / "data" / "sets" / f"{values.data.dataset}.yaml"
    # A copy of the file elsewhere has no data sets near it; preprocess checks the images themselves.
    if described.exists():
        _raise(_misfits(values, sets.load(described).image.shape, values.models), path)
    return values


def check_images(values: Params, shape: tuple[int, ...], count: int, path: Path, *names: str) -> None:
    """Check that `count` images of `shape` can be trained on as the params file at `path` says.

    Of the models those called `names` are checked, all of them if there are no names.

    Raises:
        InputError: A batch is larger, or a network does not fit the shape; one line per fault.
    """
    faults = []
    if values.train.batch_size > count:
        found = values.train.batch_size
        faults.append(f"train.batch_size: expected at most the {count} training images, found {found}")
    _raise([*faults, *_misfits(values, shape, names or values.models)], path)


def _misfits(values: Params, shape: tuple[int, ...], names: Iterable[str]) -> Iterator[str]:
    """Yield a line for each of these models whose network images of `shape` do not fit."""
    for name in names:
        try:
            values.model(name).network.check_shape(shape)
        except ValueError as error:
            yield f"models.{name}.network: {error}"


def _raise(faults: Iterable[str], path: Path) -> None:
    if lines := list(faults):
        raise InputError(f"\n{path}: ".join(lines), path=path)
