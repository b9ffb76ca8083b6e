"""Files as an earlier git revision has them, or an experiment of `dvc exp`."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import InputError

GIT_TIMEOUT_S = 120.0  # a partial clone fetches what it does not have yet
# Where DVC keeps the commit of an experiment: below the commit that it started from.
_EXPERIMENT = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(.+)")


def show(revision: str, path: Path) -> bytes | None:
    """Return the content of the file at `path` in `revision`, None if that revision has no such file.

    Raises:
        InputError: There is no such revision, or git cannot tell; the message has git's own words.
    """
    commit = resolve(revision, path.parent)
    if not _git(path.parent, "ls-tree", commit, "--", path.name):
        return None
    return _git(path.parent, "show", f"{commit}:./{path.name}")


def archive(commit: str, folder: str) -> dict[str, bytes]:
    """Return the files below a top-level `folder` of `commit` by path; none if it has no such folder.

    Raises:
        InputError: Git cannot tell.
    """
    here = Path()
    if not _git(here, "ls-tree", commit, "--", folder):
        return {}
    content = io.BytesIO(_git(here, "archive", "--format=tar", commit, "--", folder))
    with tarfile.open(fileobj=content) as archive:
        return {member.name: read.read() for member in archive if (read := archive.extractfile(member))}


def added(path: Path) -> str | None:
    """Return the commit of this history that first had the file at `path`; None if it has none yet.

    Raises:
        InputError: Git cannot tell.
    """
    commits = _git(path.parent, "log", "--diff-filter=A", "--format=%H", "--", path.name).decode().split()
    return commits[-1] if commits else None


@contextmanager
def worktree(revision: str) -> Iterator[Path]:
    """Yield a temporary folder with the files of `revision`, which is removed again, as is git's note of it.

    Raises:
        InputError: There is no such revision, or git fails.
    """
    here = Path()
    commit = resolve(revision, here)
    try:
        with tempfile.TemporaryDirectory(prefix="rerun-") as temporary:
            folder = Path(temporary).resolve() / "worktree"
            # Without hooks: DVC's own would check out data.
            add = ("worktree", "add", "--quiet", "--detach", str(folder), commit)
            if (done := _run(here, "-c", "core.hooksPath=/dev/null", *add)).returncode:
                raise _unanswered("worktree add", _words(done))
            yield folder
    finally:
        _run(here, "worktree", "prune")


def described(directory: Path = Path()) -> str | None:
    """Return the commit of the working tree in `directory`, with `-dirty` if tracked files differ; None without git."""
    try:
        done = _run(directory, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")
    except InputError:
        return None
    return done.stdout.decode().strip() or None


def resolve(revision: str, directory: Path = Path()) -> str:
    """Return the commit that `revision` names in the repository of `directory`: a git revision, or an experiment.

    Raises:
        InputError: There is no such revision, or git cannot tell; the message has git's own words.
    """
    if not revision or revision.startswith("-") or not revision.isprintable():
        raise InputError(f"expected a git revision, found {revision!r}")
    done = _run(directory, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if done.returncode == 0:
        return done.stdout.decode().strip()
    # With --quiet, git has nothing to say of a name that it does not know; what it says is another failure.
    if words := _words(done):
        raise _unanswered("rev-parse", words)
    commits = _experiments(revision, directory)
    if len(commits) > 1:
        fix = "name one of these commits"
        raise InputError(f"{len(commits)} experiments are called {revision}: {', '.join(commits)}", fix=fix)
    for commit in commits:
        return commit
    raise InputError(f"git knows no revision {revision!r} in {directory.absolute()}", fix="fetch it first")


def _experiments(name: str, directory: Path) -> list[str]:
    """Return the commits of the experiments of this name; one may have been made from each of several commits."""
    listed = _git(directory, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").decode()
    pairs = (line.split(" ", 1) for line in listed.splitlines())
    return [commit for commit, ref in pairs if (found := _EXPERIMENT.fullmatch(ref)) and found[1] == name]


def _git(directory: Path, command: str, *arguments: str) -> bytes:
    done = _run(directory, command, *arguments)
    if done.returncode != 0:
        raise _unanswered(command, _words(done) or f"exit code {done.returncode}")
    return done.stdout


def _run(directory: Path, command: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    line = ["git", command, *arguments]
    # Nobody is there to type a password for what a partial clone fetches.
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    try:
        return subprocess.run(
            line,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except OSError as error:
        raise InputError(f"git does not run in {directory.absolute()} ({error.strerror})") from None
    except subprocess.TimeoutExpired:
        raise _unanswered(command, f"no answer within {GIT_TIMEOUT_S:g} s") from None


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join(done.stderr.decode(errors="replace").split())


def _unanswered(command: str, words: str) -> InputError:
    return InputError(f"`git {command}` failed ({words})")
