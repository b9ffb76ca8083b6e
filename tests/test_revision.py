"""Revisions: experiments of `dvc exp` by their names, as git keeps them."""

from pathlib import Path

import pytest

from pipeline import revision
from pipeline.errors import InputError
from tests.support.changes import commit, git


@pytest.fixture
def commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Work in a repository with three commits; return them."""
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "--quiet")
    found = []
    for number in range(3):
        (tmp_path / "file").write_text(str(number))
        found.append(commit(tmp_path))
    return found


def keep(name: str, baseline: str, at: str) -> None:
    """Make a commit an experiment of a baseline, where DVC keeps one."""
    git(Path.cwd(), "update-ref", f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}", at)


def test_an_experiment_is_a_revision(commits: list[str]) -> None:
    """Its name stands for its commit, whose files are read, also where a branch of that name is at this commit."""
    keep("slower", commits[0], commits[1])

    assert revision.resolve("slower") == commits[1]
    assert revision.show("slower", Path("file")) == b"1"
    git(Path.cwd(), "branch", "slower", commits[1])
    assert revision.resolve("slower") == commits[1]


def test_only_a_whole_name_is_an_experiment(commits: list[str]) -> None:
    """Neither a part of a name nor what else DVC keeps there, such as its queue, is one."""
    keep("slower", commits[0], commits[1])
    git(Path.cwd(), "update-ref", "refs/exps/exec/EXEC_HEAD", commits[0])

    for name in ("slow", "lower", "EXEC_HEAD", "exec/EXEC_HEAD"):
        with pytest.raises(InputError, match="git knows no revision"):
            revision.resolve(name)


def test_a_mistyped_name_is_told_the_nearest(commits: list[str]) -> None:
    """Experiments, branches and tags are proposed; where none is near, that it may be of another clone."""
    keep("slower", commits[0], commits[1])
    git(Path.cwd(), "tag", "v1.0.0", commits[0])

    for name, fix in (
        ("slwer", "did you mean slower?"),
        ("v1.0.O", "did you mean v1.0.0?"),
        ("x" * 9, "fetch it first"),
    ):
        with pytest.raises(InputError) as caught:
            revision.resolve(name)
        assert caught.value.fix.endswith(fix)


@pytest.mark.fault("verdict: two experiments of one name, or a branch and an experiment")
@pytest.mark.parametrize("kind", ["experiment", "git revision"])
def test_a_name_of_two_commits_is_refused(commits: list[str], kind: str) -> None:
    """Both are listed by their commits, by which each can be named, with what each is."""
    keep("slower", commits[0], commits[1])
    if kind == "experiment":
        keep("slower", commits[1], commits[2])
    else:
        git(Path.cwd(), "branch", "slower", commits[2])

    with pytest.raises(InputError, match=r"^slower names 2 commits: ") as refused:
        revision.resolve("slower")

    assert f"experiment {commits[1]}" in refused.value.what
    assert f"{kind} {commits[2]}" in refused.value.what
    assert [revision.resolve(one) for one in commits] == commits
