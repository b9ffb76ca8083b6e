"""A plan as validated objects, as in study/params.yaml, and the replicates and training runs that it gives."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from pipeline import files, schema
from pipeline.schema import Block, Name, Positive, Seed
from pipeline.training import recipe
from pipeline.training.settings import Instructions, Model, Training

# More seeds than these are no plan.
MOST_SEEDS = 10_000
# The ingredients that only replicates have whose seed does something else than usual.
SEEDED = ("training_images", "varied")
FirstSeed = Annotated[int, Field(ge=0, le=2**32 - MOST_SEEDS)]


class DataSplit(Block):
    """The data sets, how each is split, and how the pixels are permuted for the variants that ask for it."""

    sets: Annotated[tuple[Name, ...], BeforeValidator(schema.as_tuple), Field(min_length=1)]
    validation: Positive
    split_seed: Seed
    permutation_seed: Seed


class SharedTraining(Block):
    """Settings shared by all training runs."""

    batch_size: Positive
    threads: Annotated[int, Field(gt=0, le=256)]
    instructions: Instructions = "native"


class Variant(Model):
    """A model of the study on one of its data sets, trained with `seeds` seeds from its own or the study's first on.

    Replicates are scored after their last epoch, so another one cannot be kept. `training_images` are those of the
    split that all share, `all` that there are, so that the test images are scored after every epoch instead of held-out
    ones, or those of a split `drawn` by each seed. If one part is `varied`, only it has the replicate's seed, and the
    others have the study's first one.
    """

    dataset: Name
    keep: Literal["last"] = "last"
    precision: Literal["float32", "mixed_bfloat16"]
    pixels: Literal["original", "permuted"]
    training_images: Literal["shared", "all", "drawn"] = "shared"
    varied: Literal["weights", "order", "dropout"] | None = None
    first_seed: FirstSeed | None = None
    seeds: Annotated[int, Field(gt=0, le=MOST_SEEDS)]


ListedPair = Annotated[tuple[Name, Name], BeforeValidator(schema.as_tuple)]
ListedPairs = Annotated[tuple[ListedPair, ...], BeforeValidator(schema.as_tuple)]


class ComparisonSettings(Block):
    """The pairwise comparisons, and how often any verdict on them may be wrong.

    Those that are `added` after the others were judged are a family of their own, so that their intervals stay.
    """

    level: Annotated[float, Field(gt=0, lt=0.5)]
    comparisons: Annotated[ListedPairs, Field(min_length=1)]
    added: ListedPairs = ()

    @property
    def families(self) -> tuple[tuple[tuple[str, str], ...], ...]:
        """The families of comparisons, which have a level each."""
        return tuple(family for family in (self.comparisons, self.added) if family)

    @property
    def every(self) -> tuple[tuple[str, str], ...]:
        """All comparisons."""
        return (*self.comparisons, *self.added)


class Study(Block):
    """The content of a plan's file."""

    first_seed: FirstSeed = 0
    data: DataSplit
    train: SharedTraining
    variants: Annotated[Mapping[Name, Variant], AfterValidator(schema.distinct), Field(min_length=1)]
    statistics: ComparisonSettings

    @model_validator(mode="after")
    def _sets_are_those_of_the_variants(self) -> Self:
        named, listed = {variant.dataset for variant in self.variants.values()}, self.data.sets
        unlisted = [name for name in self.variants if self.variants[name].dataset not in listed]
        if unlisted:
            values = {"name": unlisted[0], "dataset": self.variants[unlisted[0]].dataset}
            raise PydanticCustomError("set", "variants.{name}.dataset: {dataset} is not listed in data.sets", values)
        if len(set(listed)) < len(listed) or named != set(listed):
            idle = [name for name in listed if name not in named]
            fault = f"no variant uses {idle[0]}" if idle else "expected each data set once"
            raise PydanticCustomError("sets", "data.sets: {fault}", {"fault": fault})
        return self

    @model_validator(mode="after")
    def _variants_differ(self) -> Self:
        known: dict[str, str] = {}
        for name, variant in self.variants.items():
            other = known.setdefault(variant.model_dump_json(exclude={"seeds"}), name)
            if other != name:
                text = "variants.{name}: is the same as {other}"
                raise PydanticCustomError("same", text, {"name": name, "other": other})
        return self

    @model_validator(mode="after")
    def _seeds_are_the_same_or_others(self) -> Self:
        for (name, one), (other, known) in combinations(self.variants.items(), 2):
            seeds, before = self.seeds_of(known), self.seeds_of(one)
            if same_network(one, known) and one.first_seed != known.first_seed and {*seeds} & {*before}:
                text = "variants.{other}.first_seed: {name} has some of its seeds; expected all, or others"
                raise PydanticCustomError("seeds", text, {"name": name, "other": other})
        return self

    @model_validator(mode="after")
    def _comparisons_are_of_variants(self) -> Self:
        seen: set[frozenset[str]] = set()
        for pair in self.statistics.every:
            key = "added" if pair in self.statistics.added else "comparisons"
            unknown = [name for name in pair if name not in self.variants]
            fault = f"no variant {unknown[0]}" if unknown else ""
            if frozenset(pair) in seen or pair[0] == pair[1]:
                fault = fault or "expected two variants, compared once"
            if not fault and len({self.variants[name].dataset for name in pair}) > 1:
                fault = "expected two variants on the same data set"
            if not fault and {self.variants[name].training_images for name in pair} != {"shared"}:
                fault = "expected variants that hold out the same images, on which a difference is shown, too"
            if fault:
                text = "statistics.{key}: {first}, {second}: {fault}"
                values = {"key": key, "first": pair[0], "second": pair[1], "fault": fault}
                raise PydanticCustomError("comparison", text, values)
            seen.add(frozenset(pair))
        return self

    def on(self, dataset: str) -> dict[str, Variant]:
        """Return the variants on a data set, by name."""
        return {name: variant for name, variant in self.variants.items() if variant.dataset == dataset}

    def training(self, precision: Literal["float32", "mixed_bfloat16"] = "float32") -> Training:
        """Return how variants of this precision are trained, with the first seed."""
        return Training(seed=self.first_seed, precision=precision, **self.train.model_dump())

    def seeds_of(self, variant: Variant) -> range:
        """Return the seeds of a variant."""
        first = self.first_seed if variant.first_seed is None else variant.first_seed
        return range(first, first + variant.seeds)


@dataclass(frozen=True)
class Replicate:
    """One variant with one seed, and the ingredients of its recipe."""

    variant: str
    seed: int
    ingredients: Mapping[str, Any]

    @property
    def recipe(self) -> str:
        """The hash of everything that determines its result."""
        return recipe.digest(self.ingredients)

    @property
    def epochs(self) -> int:
        """The number of epochs after which it is scored."""
        return int(self.ingredients["model"]["epochs"])


@dataclass(frozen=True)
class Trajectory:
    """One training run that yields several replicates, which differ only in their number of epochs."""

    replicates: tuple[Replicate, ...]

    @property
    def longest(self) -> Replicate:
        """The replicate with the most epochs."""
        return max(self.replicates, key=lambda replicate: replicate.epochs)

    @property
    def name(self) -> str:
        """Its display name: the variant with the most epochs, and the seed."""
        return f"{self.longest.variant}-{self.longest.seed}"

    @property
    def data(self) -> str:
        """The SHA-256 of the npz that it is trained on."""
        return str(self.replicates[0].ingredients["data"])


def load_study(path: Path) -> Study:
    """Return the validated content of the study's params file at `path`.

    Raises:
        InputError: The file is missing, is not YAML or breaks a rule: one line per fault.
    """
    return schema.validate(Study, files.read_yaml(path), path)


def replicates(study: Study, data: Mapping[str, str]) -> list[Replicate]:
    """Return all replicates, seed by seed, within a seed in the order of the variants.

    `data` has the SHA-256 of each data set's npz. Only this tells the data sets apart in a recipe, not their names.
    """
    every = [
        replicate for name, variant in study.variants.items() for replicate in _of_variant(study, name, variant, data)
    ]
    return sorted(every, key=lambda replicate: replicate.seed)


def _of_variant(study: Study, name: str, variant: Variant, data: Mapping[str, str]) -> list[Replicate]:
    training, common = study.training(variant.precision), {"data": data[variant.dataset], **recipe.implementation()}
    permutation_seed = study.data.permutation_seed if variant.pixels == "permuted" else None
    # What is usual is no part of a recipe, so that those of earlier plans stay.
    images, varied = SEEDED
    if variant.training_images != "shared":
        common[images] = variant.training_images
    if variant.varied:
        common[varied] = {"part": variant.varied, "seed_of_others": study.first_seed}
    settings = [training.model_copy(update={"seed": seed}) for seed in study.seeds_of(variant)]
    return [
        Replicate(name, training.seed, {**ingredients(variant, training, permutation_seed), **common})
        for training in settings
    ]


def ingredients(model: Model, training: Training, permutation_seed: int | None = None) -> dict[str, Any]:
    """Return the part of a recipe that says what is trained, and how."""
    return {
        "model": model.model_dump(mode="json", include=set(Model.model_fields), exclude_unset=True),
        "train": training.model_dump(mode="json"),
        "permutation_seed": permutation_seed,
        **recipe.revisions(model, training),
    }


def trajectories(wanted: Iterable[Replicate]) -> Iterator[Trajectory]:
    """Yield the training runs that give the `wanted` replicates, in the order of their first replicates."""

    def shared(replicate: Replicate) -> str:
        ingredients = dict(replicate.ingredients)
        model = dict(ingredients.pop("model"))
        # A cosine reaches its end with the last epoch, so with more epochs it is another one from the first epoch on.
        cosine = (model.get("schedule") or {}).get("name") == "cosine"
        if not cosine and model.get("keep", "last") == "last":
            del model["epochs"]
        return repr((model, ingredients))

    together: dict[str, list[Replicate]] = {}
    for replicate in wanted:
        together.setdefault(shared(replicate), []).append(replicate)
    yield from (Trajectory(tuple(group)) for group in together.values())


def same_network(first: Variant, second: Variant) -> bool:
    """Return True if two variants have the same network: only dropout may differ."""

    def weights(variant: Variant) -> dict[str, Any]:
        return {key: value for key, value in variant.network.model_dump().items() if "dropout" not in key}

    return weights(first) == weights(second)


def same_seeds(first: Variant, second: Variant) -> bool:
    """Return True if two variants share initial weights and image order by seed.

    They do so on two data sets as well if these have the same image shape, classes and number of training images.
    """

    def seeded(variant: Variant) -> tuple[object, ...]:
        return variant.first_seed, variant.varied, variant.training_images == "all"

    return same_network(first, second) and seeded(first) == seeded(second)
