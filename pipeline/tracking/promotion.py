"""The champion without MLflow: reports/promotion.json, which records it and why, and its file in a tagged commit.

GTO and DVC read the tags: `dvc artifacts get ADDRESS classifier --stage champion` gives the file, anywhere.
"""

import configparser
import os
import subprocess
from collections.abc import Mapping
from configparser import RawConfigParser
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline import dvc_lock, files, gate, revision
from pipeline.errors import InputError, PipelineError
from pipeline.schema import Name
from pipeline.tracking.artifacts import CARD
from pipeline.tracking.description import COMMIT
from pipeline.tracking.logged_model import CHAMPION as CHAMPION

PATH = Path("reports/promotion.json")
# The confidence of the lower bound, and the decimals of numbers in the file.
CONFIDENCE, DIGITS = 0.95, 6
# The name under `artifacts` in dvc.yaml. Its file is a copy: a model in the workspace may be trained again and differ.
ARTIFACT, FILE = "classifier", Path("models/champion/model.keras")
# What `dvc add` writes for git.
_POINTER, _IGNORED = FILE.with_name(f"{FILE.name}.dvc"), FILE.with_name(".gitignore")
_CONFIG = Path(".dvc/config")
_TIMEOUT_S = 600.0


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

    def description(self, run: Any) -> str:
        """Return the description of the version in the registry, in Markdown, with links to the pages of its `run`."""
        page, tags = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}", run.data.tags
        commit = f", trained at commit `{tags[COMMIT]}`" if COMMIT in tags else ""
        commit += " with changes that were not committed" if commit and tags.get("git.dirty") == "true" else ""
        head = f"**{self.model}** of [run `{run.info.run_id}`]({page}){commit}: {self.reason}."
        use = (
            f"[Its card]({page}/artifacts/{CARD}) describes it. This version or its successor is used by "
            f"`python -m pipeline.predict --model models:/{self.registered_model}@{self.alias} picture.png`."
        )
        compared = [self.comparison.as_text(self.images)] if self.comparison else []
        return "\n\n".join([head, use, gate.as_markdown(self.checks), *compared, self._caution()])

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
    if promotion.alias != CHAMPION:
        raise InputError(f"alias: expected {CHAMPION}, found {promotion.alias}", path=PATH, fix=fix)
    return promotion


def find(tags: Mapping[str, str]) -> Promotion | None:
    """Return the promotion of the model with these tags, None unless a valid file records it as the champion."""
    with suppress(InputError):
        if PATH.exists() and (promotion := read()).tags() == tags:
            return promotion
    return None


def is_on(dataset: str) -> bool:
    """Return whether there is a file, and it records the champion on a data set.

    Raises:
        InputError: The file is damaged.
    """
    return PATH.exists() and read().registered_model == dataset


def register(promoted: Promotion, model: Path) -> str:
    """Commit the promotion and the file `model` as the champion, and tag that commit; return one line about it.

    Nothing else is committed, and nothing pushed. Interrupted anywhere and repeated, it leaves one version.

    Raises:
        InputError: Nobody could get the file from that commit, or it would lack the results: in HEAD, DVC has no
            remote, or dvc.lock does not record the model.
        PipelineError: git, DVC or GTO failed; the message has their words.
    """
    # Imported late: it takes half a second.
    from gto import api
    from gto.exceptions import GTOException

    lock = revision.show("HEAD", dvc_lock.LOCK)
    if lock is None or promoted.model_md5.encode() not in lock:
        what = f"in HEAD, it does not record {promoted.model} (md5 {promoted.model_md5})"
        raise InputError(what, path=dvc_lock.LOCK, fix="commit the results, then run this command again")
    if (tagged := _tagged()) and tagged[1] == promoted.model_md5:
        return f"{ARTIFACT} {tagged[0]}: is the champion in git already"
    if not _has_remote("HEAD"):
        what = "in HEAD, it has no default remote, from which others would get the file"
        fix = "`dvc remote add --default team ADDRESS`, commit that file, then run this command again"
        raise InputError(what, path=_CONFIG, fix=fix)
    files.write_bytes(FILE, model.read_bytes())
    _call("dvc", "add", str(FILE))
    paths = [str(PATH), str(_POINTER), str(_IGNORED)]
    _call("git", "add", "--", *paths)
    # HEAD may have them as they are; what else is staged stays staged.
    if _call("git", "status", "--porcelain", "--", *paths):
        _call("git", "commit", "--quiet", "--only", "--message", f"Promote {promoted.model}", "--", *paths)
    try:
        api.assign(".", ARTIFACT, CHAMPION, ref="HEAD")
    except GTOException as error:
        raise PipelineError(f"GTO cannot tag the commit ({error})") from None
    version, _ = _tagged() or ("", "")
    return f"{ARTIFACT} {version}: is the champion in git now; `dvc push` and `git push --follow-tags` share it"


def _tagged() -> tuple[str, str] | None:
    """Return the version that the tags call the champion, and the md5 of its file; None if nobody can get any."""
    from gto import api
    from gto.exceptions import ArtifactNotFound

    try:
        versions = api.find_versions_in_stage(".", ARTIFACT, CHAMPION)
    except ArtifactNotFound:
        return None
    if not versions or not _has_remote(versions[0].commit_hexsha):
        return None
    pointer = revision.show(versions[0].commit_hexsha, _POINTER)
    return versions[0].version, str(files.parse_yaml(pointer, _POINTER)["outs"][0]["md5"]) if pointer else ""


def _has_remote(commit: str) -> bool:
    """Return whether DVC has a default remote in a commit: its own `dvc artifacts get` reads it from there."""
    config = RawConfigParser(strict=False)
    with suppress(configparser.Error, UnicodeDecodeError):
        config.read_string((revision.show(commit, _CONFIG) or b"").decode())
    return config.has_option("core", "remote")


def _call(*command: str) -> str:
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PipelineError(f"`{command[0]} {command[1]}` failed ({error})") from None
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())
        raise PipelineError(f"`{command[0]} {command[1]}` failed ({words})")
    return done.stdout
