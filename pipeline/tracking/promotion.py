"""reports/promotion.json, which records the champion and why, and MLflow's registry brought up to date with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline import dvc_lock, files, gate
from pipeline.errors import InputError
from pipeline.schema import Name
from pipeline.tracking import logged_model, registry, runs

PATH = Path("reports/promotion.json")
# The confidence of the lower bound, and the decimals of numbers in the file.
CONFIDENCE, DIGITS = 0.95, 6


@dataclass(frozen=True)
class ChampionComparison:
    """The model and the previous champion on the same `count` images; `lower_bound` had to be above -`max_drop`.

    `only_this` and `only_champion` count the discordant pairs: images that only one of the two classifies correctly.
    """

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
            f"accuracy {self.accuracy:.4f} against {self.champion_accuracy:.4f}. Discordant pairs: {self.only_this} "
            f"images that only this model classifies correctly, {self.only_champion} that only the other does. "
            f"Difference {self.difference:+.4f}, {CONFIDENCE:.0%} lower confidence bound {self.lower_bound:+.4f}; "
            f"it had to be above {-self.max_drop:+.4f}."
        )


@dataclass(frozen=True)
class Promotion:
    """Which model was made the champion, by what checks of the gate and what comparison.

    `registered_model` is the name of the data set, since each has a champion of its own. `images` is the split on which
    it was compared: test or validation.
    """

    registered_model: Name
    alias: str
    model: str
    model_md5: str
    data_md5: str
    recipe: str
    reason: str
    images: str
    checks: list[gate.Check]
    comparison: ChampionComparison | None

    def tags(self) -> dict[str, str]:
        """Return the tags by which the model's run is found, and its version."""
        return {"model": self.model, "model.md5": self.model_md5, "data.md5": self.data_md5}

    def description(self, run_id: str) -> str:
        """Return the description of the version in the registry, in Markdown."""
        compared = [self.comparison.as_text(self.images)] if self.comparison else []
        head = f"**{self.model}** of run `{run_id}`: {self.reason}."
        return "\n\n".join([head, gate.as_markdown(self.checks), *compared, self._caution()])

    def _caution(self) -> str:
        if self.images == "test":
            return (
                "Judged on the test images. Selecting a model on them makes its test score optimistic: "
                "the selected model is partly the lucky one."
            )
        return (
            f"Compared on the {self.images} images, which were held out from training. "
            "The gate's `test_*` metrics are those of the test images."
        )


def write(promotion: Promotion) -> None:
    """Write the file; equal promotions give equal bytes."""
    files.write_json(PATH, asdict(promotion))


def read() -> Promotion:
    """Return the promotion in the file.

    Raises:
        InputError: The file is missing or damaged, or is about another alias.
    """
    content = files.read_json(PATH)
    fix = f"`git checkout {PATH}` restores what was committed"
    try:
        promotion = TypeAdapter(Promotion).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{where}: {first['msg']}", path=PATH, fix=fix) from None
    if promotion.alias != registry.CHAMPION:
        raise InputError(f"alias: expected {registry.CHAMPION}, found {promotion.alias}", path=PATH, fix=fix)
    return promotion


def is_recorded(tags: Mapping[str, str]) -> bool:
    """Return whether a valid file records the model with these tags as the champion."""
    try:
        return PATH.exists() and read().tags() == tags
    except InputError:
        return False


def is_on(dataset: str) -> bool:
    """Return whether there is a file, and it records the champion on a data set.

    Raises:
        InputError: The file is damaged.
    """
    return PATH.exists() and read().registered_model == dataset


def is_of(version: Any, tags: Mapping[str, str]) -> bool:
    """Return whether a registered version is that of the model with these tags."""
    return all(version.tags.get(key) == tags[key] for key in ("model.md5", "data.md5"))


def fault(version: Any) -> str:
    """Return what is wrong with the files of a registered version that we created; empty if nothing."""
    return logged_model.fault(logged_model.of_version(version), version.tags["model.md5"])


def apply(promotion: Promotion, run: Any) -> Any:
    """Make the model of `run` the champion in MLflow, and return its version; repeated, it changes nothing."""
    description = promotion.description(run.info.run_id)
    return registry.set_champion(promotion.registered_model, run, promotion.tags(), description)


def restore() -> str:
    """Restore in MLflow the champion that the file records, if it has none or has lost its files.

    Returns one line about the result, empty if the file records no model that MLflow has, as in a clone that trained
    its own. Another champion than that of the file is kept: the file may be from an older commit.

    Raises:
        InputError: The file is damaged, or the files of the champion are lost and in DVC's cache neither.
    """
    if not PATH.exists():
        return ""
    recorded = read()
    champion = registry.champion(recorded.registered_model)
    if champion and is_of(champion, recorded.tags()):
        return _restore_files(champion, recorded)
    if not (run := runs.find_run(recorded.registered_model, recorded.tags())):
        return ""
    if champion:
        return f"champion: MLflow has another one than {PATH}, and keeps it; `make promote MODEL=...` changes it"
    apply(recorded, run)
    return f"champion: {recorded.model} added to MLflow"


def offered(trained: Collection[tuple[str, str]]) -> str:
    """Return one line with the command that makes a model of this machine the champion, if MLflow has none; else "".

    It is the one with the name that the file records, if it is among the models that are `trained`, each with its data
    set: on another machine, the same training run gives other bits.

    Raises:
        InputError: The file is damaged.
    """
    if not PATH.exists():
        return ""
    recorded = read()
    if (recorded.model, recorded.registered_model) not in trained or registry.champion(recorded.registered_model):
        return ""
    command = f"make promote MODEL={recorded.model} REPLACE=1"
    return f"champion: none in MLflow; {PATH} records another {recorded.model} than this; `{command}` promotes this one"


def _restore_files(champion: Any, recorded: Promotion) -> str:
    if not (found := fault(champion)):
        return "champion: complete in MLflow"
    model, cached = logged_model.of_version(champion), dvc_lock.cached(recorded.model_md5)
    if model is None or not cached.is_file() or files.md5(cached) != recorded.model_md5:
        fix = f"`make promote MODEL={recorded.model} REPLACE=1` promotes the model in the workspace instead"
        raise InputError(f"champion: {found}, and DVC's cache does not have the file", fix=fix)
    logged_model.upload(model, cached)
    return f"champion: files of {recorded.model} put back into MLflow"


def register_in_git(promotion: Promotion, file: Path) -> str:
    """Commit the promoted model `file` with tags that GTO and DVC read, and return a line on what was done.

    Raises:
        InputError: The results are not committed, or git or DVC refuse.
        PipelineError: It did not succeed.
    """
    # Imported late: it takes half a second.
    from pipeline.tracking import git_registry

    return git_registry.register(promotion, file)
