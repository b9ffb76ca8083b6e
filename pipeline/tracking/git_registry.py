"""The champion for those who have git and DVC, and no MLflow: its file, in a commit with tags that GTO and DVC read.

`dvc artifacts get ADDRESS classifier --stage champion` then gives the file, anywhere.
"""

from __future__ import annotations

import configparser
import os
import subprocess
from configparser import RawConfigParser
from contextlib import suppress
from pathlib import Path

from pipeline import dvc_lock, files, revision
from pipeline.errors import InputError, PipelineError
from pipeline.tracking import promotion
from pipeline.tracking.logged_model import CHAMPION
from pipeline.tracking.promotion import Promotion

# The name under `artifacts` in dvc.yaml. Its file is a copy: a model in the workspace may be trained again and differ.
ARTIFACT, FILE = "classifier", Path("models/champion/model.keras")
# What `dvc add` writes for git.
_POINTER, _IGNORED = FILE.with_name(f"{FILE.name}.dvc"), FILE.with_name(".gitignore")
_CONFIG = Path(".dvc/config")
_TIMEOUT_S = 600.0


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
    if (found := _tagged()) and found[1] == promoted.model_md5:
        return f"{ARTIFACT} {found[0]}: is the champion in git already"
    if not _has_remote("HEAD"):
        what = "in HEAD, it has no default remote, from which others would get the file"
        fix = "`dvc remote add --default team ADDRESS`, commit that file, then run this command again"
        raise InputError(what, path=_CONFIG, fix=fix)
    files.write_bytes(FILE, model.read_bytes())
    _call("dvc", "add", str(FILE))
    _commit(promoted, [str(promotion.PATH), str(_POINTER), str(_IGNORED)])
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
        found = api.find_versions_in_stage(".", ARTIFACT, CHAMPION)
    except ArtifactNotFound:
        return None
    if not found or not _has_remote(found[0].commit_hexsha):
        return None
    pointer = revision.show(found[0].commit_hexsha, _POINTER)
    return found[0].version, str(files.parse_yaml(pointer, _POINTER)["outs"][0]["md5"]) if pointer else ""


def _has_remote(commit: str) -> bool:
    """Return whether DVC has a default remote in a commit: its own `dvc artifacts get` reads it from there."""
    config = RawConfigParser(strict=False)
    with suppress(configparser.Error, UnicodeDecodeError):
        config.read_string((revision.show(commit, _CONFIG) or b"").decode())
    return config.has_option("core", "remote")


def _commit(promoted: Promotion, paths: list[str]) -> None:
    """Commit these files, unless HEAD has them as they are; what else is staged stays staged."""
    _call("git", "add", "--", *paths)
    if _call("git", "status", "--porcelain", "--", *paths):
        _call("git", "commit", "--quiet", "--only", "--message", f"Promote {promoted.model}", "--", *paths)


def _call(*command: str) -> str:
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PipelineError(f"`{command[0]} {command[1]}` failed ({error})") from None
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())
        raise PipelineError(f"`{command[0]} {command[1]}` failed ({words})")
    return done.stdout
