"""What reports/promotion.json says of the champion, and MLflow's registry brought up to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline import files, gate
from pipeline.errors import InputError
from pipeline.tracking import registry, runs

PATH = Path("reports/promotion.json")
# The confidence of the bound, and the decimals with which the file tells it.
CONFIDENCE, DIGITS = 0.95, 6


@dataclass(frozen=True)
class Comparison:
    """The model beside the champion before it, on the same images; `lower_bound` had to lie above -`max_drop`."""

    champion: str
    champion_md5: str
    count: int
    accuracy: float
    champion_accuracy: float
    only_this: int
    only_champion: int
    difference: float
    lower_bound: float
    max_drop: float

    def as_text(self, images: str) -> str:
        """Return the comparison as a paragraph."""
        return (
            f"Compared with {self.champion} (md5 `{self.champion_md5}`) on the same {self.count} {images} images: "
            f"accuracy {self.accuracy:.4f} against {self.champion_accuracy:.4f}. {self.only_this} images this one "
            f"alone gets right, {self.only_champion} the other alone. Difference {self.difference:+.4f}, with "
            f"{CONFIDENCE:.0%} confidence above {self.lower_bound:+.4f}; it had to be above {-self.max_drop:+.4f}."
        )


@dataclass(frozen=True)
class Promotion:
    """One model made the champion: which, by what gate and comparison, judged on the `images` test or validation."""

    registered_model: str
    alias: str
    model: str
    model_md5: str
    data_md5: str
    recipe: str
    reason: str
    images: str
    checks: list[gate.Check]
    comparison: Comparison | None

    def tags(self) -> dict[str, str]:
        """Return the tags by which the model's run is known, and its version."""
        return {"model": self.model, "model.md5": self.model_md5, "data.md5": self.data_md5}

    def description(self, run_id: str) -> str:
        """Return what the registry says of the version, as Markdown."""
        compared = [self.comparison.as_text(self.images)] if self.comparison else []
        head = f"**{self.model}** of run `{run_id}`: {self.reason}."
        return "\n\n".join([head, gate.as_markdown(self.checks), *compared, self._caution()])

    def _caution(self) -> str:
        if self.images == "test":
            return (
                "Judged on the test images. Choosing a model on them makes its test score optimistic: "
                "the one that is chosen is in part the lucky one."
            )
        return (
            f"Compared on the {self.images} images, which were held out from training. "
            "The gate's `test_*` metrics are those of the test images."
        )


def write(promotion: Promotion) -> None:
    """Write the file, of which equal promotions make equal bytes."""
    files.write_json(PATH, asdict(promotion))


def read() -> Promotion:
    """Return the promotion in the file.

    Raises:
        InputError: It is missing or damaged, or tells of another registered model or alias.
    """
    content = files.read_json(PATH)
    heal = f"`git checkout {PATH}` brings back what was committed"
    try:
        promotion = TypeAdapter(Promotion).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{PATH}: {where}: {first['msg']}; {heal}") from None
    found = (promotion.registered_model, promotion.alias)
    if found != (expected := (registry.REGISTERED, registry.CHAMPION)):
        raise InputError(f"{PATH}: expected {'@'.join(expected)}, found {'@'.join(found)}; {heal}")
    return promotion


def tells_of(sums: Mapping[str, str]) -> bool:
    """Return whether there is a sound file, of the model with these tags."""
    try:
        return PATH.exists() and read().tags() == sums
    except InputError:
        return False


def is_of(version: Any, sums: Mapping[str, str]) -> bool:
    """Return whether a registered version is that of the model with these tags."""
    return all(version.tags.get(key) == sums[key] for key in ("model.md5", "data.md5"))


def apply(promotion: Promotion, run: Any) -> Any:
    """Make the model of `run` the champion in MLflow, and return its version; done twice it is there once."""
    return registry.crown(run, promotion.tags(), promotion.description(run.info.run_id))


def restore() -> str:
    """Give MLflow the champion of the file if it has none; return what came of it as a line, empty without a file.

    A champion that is there is left alone: the file may be that of an older commit.

    Raises:
        InputError: The file is damaged.
    """
    if not PATH.exists():
        return ""
    told = read()
    if champion := registry.champion():
        if is_of(champion, told.tags()):
            return "champion: complete in MLflow"
        return f"champion: MLflow has another one than {PATH}, and keeps it; `make promote MODEL=...` changes it"
    if not (run := runs.find_run(told.tags())):
        return f"champion: {told.model} of {PATH} (md5 {told.model_md5}) is not among the trained models; not added"
    apply(told, run)
    return f"champion: {told.model} added to MLflow"
