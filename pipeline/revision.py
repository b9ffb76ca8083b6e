"""Files as an earlier git revision has them, or an experiment of `dvc exp`."""

import difflib
import fcntl
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import cli
from pipeline.errors import InputError

# Where a worktree is, below the directory for temporary files, and what its process holds locked next to it.
_WORKTREE, _LOCK = Path("rerun-/worktree"), "lock"
GIT_TIMEOUT_S = 120.0  # a partial clone fetches what it does not have yet
# Where DVC keeps the commit of an experiment: below the commit that it started from.
_EXPERIMENT = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(.+)")
# What git warns of where it finds a name, but perhaps not what was meant.
_DOUBT = re.compile(r"^warning: (?:refname|log for) .*", re.MULTILINE)


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
    for line in _git(here, "worktree", "list", "--porcelain").decode(errors="surrogateescape").splitlines():
        left = Path(line.removeprefix("worktree "))
        if left.name == _WORKTREE.name and left.parent.name.startswith(_WORKTREE.parent.name) and _is_left(left):
            _forget(left)
    temporary = Path(tempfile.mkdtemp(prefix=_WORKTREE.parent.name)).resolve()
    folder = temporary / _WORKTREE.name
    try:
        with (temporary / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Without hooks: DVC's own would check out data.
            add = ("worktree", "add", "--quiet", "--detach", str(folder), commit)
            if (done := _run(here, "-c", "core.hooksPath=/dev/null", *add)).returncode:
                raise _unanswered("worktree add", _words(done))
            yield folder
    finally:
        with cli.uninterrupted():
            _forget(folder)


def _is_left(folder: Path) -> bool:
    """Return whether the process that made a worktree is gone: the kernel has released its lock."""
    try:
        with (folder.parent / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _forget(folder: Path) -> None:
    """Remove a worktree with the folder around it, and git's note of it, which is locked while git writes it."""
    shutil.rmtree(folder.parent, ignore_errors=True)
    _run(Path(), "worktree", "unlock", str(folder))
    _run(Path(), "worktree", "prune")


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
        InputError: There is no such revision, several commits have the name, or git cannot tell; the message has git's
            own words.
    """
    if not revision or revision.startswith("-") or not revision.isprintable():
        raise InputError(f"expected a git revision, found {revision!r}")
    done = _run(directory, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if done.returncode == 0:
        _check_distinct(revision, directory)
    # Git ends with 1 where it does not know the name; what it says then is not about the name.
    elif done.returncode != 1 and (words := _words(done)):
        raise _unanswered("rev-parse", words)
    kinds = dict.fromkeys(_experiments(revision, directory), "experiment")
    kinds |= dict.fromkeys(done.stdout.decode().split(), "git revision")
    if len(kinds) > 1:
        found = ", ".join(f"{kind} {commit}" for commit, kind in kinds.items())
        raise InputError(f"{revision} names {len(kinds)} commits: {found}", fix="give one of these instead")
    for commit in kinds:
        return commit
    near = difflib.get_close_matches(revision, _names(directory), n=1)
    fix = f"did you mean {near[0]}?" if near else "if it is of another clone, fetch it first"
    raise InputError(f"git knows no revision {revision!r} in {directory.absolute()}", fix=fix)


def _check_distinct(revision: str, directory: Path) -> None:
    """Check that git finds the name once: it would take a tag called as the branch that is meant, and only warn."""
    warning = ("-c", "core.warnAmbiguousRefs=true", "rev-parse", "--verify", "--end-of-options")
    said = _run(directory, *warning, f"{revision}^{{commit}}").stderr.decode(errors="replace")
    if doubt := _DOUBT.search(said):
        fix = "say which, as in refs/heads/NAME, refs/remotes/NAME or refs/tags/NAME"
        raise InputError(f"git finds {revision!r}, but says: {doubt[0]}", fix=fix)


def _experiments(name: str, directory: Path) -> list[str]:
    """Return the commits of the experiments of this name; one may have been made from each of several commits."""
    listed = _git(directory, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").decode()
    pairs = (line.split(" ", 1) for line in listed.splitlines())
    return [commit for commit, ref in pairs if (found := _EXPERIMENT.fullmatch(ref)) and found[1] == name]


def _names(directory: Path) -> list[str]:
    """Return the names of branches, tags and experiments."""
    listed = _git(directory, "for-each-ref", "--format=%(refname:lstrip=2)").decode()
    return [re.sub(r"^[0-9a-f]{2}/[0-9a-f]{38}/", "", name) for name in listed.splitlines()]


def _git(directory: Path, command: str, *arguments: str) -> bytes:
    done = _run(directory, command, *arguments)
    if done.returncode != 0:
        raise _unanswered(command, _words(done) or f"exit code {done.returncode}")
    return done.stdout


def _run(directory: Path, command: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    line = ["git", command, *arguments]
    # Nobody is there to type a password for what a partial clone fetches.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_TRACE")}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        return subprocess.run(
            line, cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=GIT_TIMEOUT_S
        )
    except OSError as error:
        raise InputError(f"git does not run in {directory.absolute()} ({error.strerror})") from None
    except subprocess.TimeoutExpired:
        raise _unanswered(command, f"no answer within {GIT_TIMEOUT_S:g} s") from None


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join(done.stderr.decode(errors="replace").split())


def _unanswered(command: str, words: str) -> InputError:
    return InputError(f"`git {command}` failed ({words})")
