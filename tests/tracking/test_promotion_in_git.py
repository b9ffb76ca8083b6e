"""The champion in git and DVC: what is committed and tagged, and what another machine gets by it."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import yaml
from gto import api
from gto.exceptions import GTOException

from pipeline import files
from pipeline.errors import InputError, PipelineError
from pipeline.tracking import promotion
from pipeline.tracking.promotion import Promotion
from tests.support import forks, small

LOCK = Path("dvc.lock")


def git(*arguments: str) -> str:
    """Run git in the current directory, and return what it printed."""
    return small.run(Path.cwd(), "git", *arguments).strip()


def trained(name: str) -> Path:
    """Train a model: its file, and dvc.lock that records it, committed."""
    model = Path(f"models/{name}.keras")
    files.write_text(model, f"weights of {name}")
    out = {"path": str(model), "hash": "md5", "md5": files.md5(model), "size": model.stat().st_size}
    LOCK.write_text(yaml.safe_dump({"schema": "2.0", "stages": {f"train@{name}": {"cmd": "train", "outs": [out]}}}))
    git("add", "--", str(LOCK))
    git("commit", "--quiet", "--message", f"Train {name}")
    return model


def promoted(model: Path) -> Promotion:
    """Return the promotion of a model, and write its file."""
    made = Promotion(
        registered_model="mnist",
        alias="champion",
        model=model.stem,
        model_md5=files.md5(model),
        data_md5="0" * 32,
        recipe="recipe",
        reason="it is good",
        images="test",
        checks=[],
        comparison=None,
    )
    files.write_json(promotion.PATH, dataclasses.asdict(made))
    return made


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository of the project's without a commit: making one takes a second, copying it none."""
    folder = tmp_path_factory.mktemp("begun")
    small.copy(folder, "dvc.yaml", "params.yaml", ".gitignore")
    small.run(folder, "git", "init", "--quiet", "--initial-branch=main")
    small.run(folder, "git", "config", "user.name", "somebody")
    small.run(folder, "git", "config", "user.email", "somebody@example.org")
    small.run(folder, "dvc", "init", "--quiet")
    small.run(folder, "dvc", "remote", "add", "--default", "team", "/remote of the test")
    return folder


@pytest.fixture
def model(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a trained model in a repository of the project's, the current directory, with a remote for DVC."""
    folder = Path(shutil.copytree(begun, tmp_path / "a clone"))
    config = folder / ".dvc" / "config"
    config.write_text(config.read_text().replace("/remote of the test", str(tmp_path / "remote")))
    monkeypatch.chdir(folder)
    for key, value in (small.environment() | forks.environment()).items():
        monkeypatch.setenv(key, value)
    git("add", "--all")
    return trained("cnn")


def test_another_machine_gets_the_file_by_its_stage(model: Path, tmp_path: Path) -> None:
    """After a push, an empty folder gets the promoted file from a clone, though the models have changed since."""
    made = promoted(model)
    line = promotion.register(made, model)
    trained("other")
    forks.run(Path.cwd(), "dvc", "push", "--quiet", str(promotion.FILE))
    clone, empty = tmp_path / "clone", tmp_path / "empty"
    git("clone", "--quiet", ".", str(clone))
    empty.mkdir()

    forks.run(empty, "dvc", "artifacts", "get", str(clone), "classifier", "--stage", "champion")

    (got,) = empty.iterdir()
    assert files.md5(got) == files.read_json(promotion.PATH)["model_md5"] == made.model_md5
    assert line.startswith("classifier v0.0.1: is the champion in git now")


def test_only_the_champions_files_are_committed(model: Path) -> None:
    """What is staged stays staged, what has changed stays changed; the commit has the promotion and DVC's file."""
    files.write_text(Path("staged"), "x")
    git("add", "staged")
    with Path("params.yaml").open("a") as file:
        file.write("# changed\n")

    promotion.register(promoted(model), model)

    committed = git("show", "--name-only", "--format=%s").split()
    folder = promotion.FILE.parent
    assert committed[:2] == ["Promote", "cnn"]
    assert {*committed[2:]} == {str(promotion.PATH), f"{promotion.FILE}.dvc", str(folder / ".gitignore")}
    assert {*git("status", "--porcelain").splitlines()} >= {"A  staged", "M params.yaml"}


def test_repeated_it_changes_nothing(model: Path) -> None:
    """A second call leaves commits and tags as they are, and says so."""
    made = promoted(model)
    promotion.register(made, model)
    before = git("rev-parse", "HEAD"), git("tag")

    line = promotion.register(made, model)

    assert line == "classifier v0.0.1: is the champion in git already"
    assert (git("rev-parse", "HEAD"), git("tag")) == before


def test_the_next_champion_takes_the_stage(model: Path, tmp_path: Path) -> None:
    """The stage gives the new file, and the old version still the old one."""
    old = promoted(model)
    promotion.register(old, model)
    other = trained("other")
    promotion.register(promoted(other), other)
    get = ("dvc", "artifacts", "get", str(Path.cwd()), "classifier")

    forks.run(tmp_path, *get, "--stage", "champion", "--out", "new")
    forks.run(tmp_path, *get, "--rev", "v0.0.1", "--out", "old")

    assert files.md5(tmp_path / "new") == files.md5(other)
    assert files.md5(tmp_path / "old") == old.model_md5


@pytest.mark.fault("promotion in git: results not committed")
def test_results_that_are_not_committed_are_refused(model: Path) -> None:
    """A commit that is tagged has the results: dvc.lock in HEAD has to record the model."""
    made = dataclasses.replace(promoted(model), model_md5="f" * 32)

    with pytest.raises(InputError) as caught:
        promotion.register(made, model)

    assert caught.value.path == LOCK
    assert "commit the results" in caught.value.fix
    assert (git("tag"), git("log", "-1", "--format=%s")) == ("", "Train cnn")


def without_remote() -> str:
    """Commit a configuration without a default remote, as before one was added, and return the old one."""
    config = Path(".dvc/config")
    before = config.read_text()
    config.write_text(before.replace("remote = team", ""))
    git("commit", "--quiet", "--message", "No remote", str(config))
    return before


@pytest.mark.fault("promotion in git: no remote from which anybody would get the file")
@pytest.mark.parametrize("before", ["nothing", "a tag of an earlier version"])
def test_without_a_remote_nothing_is_tagged(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """The line has the command that adds one; once that is committed, the same call makes a tag that gives the file."""
    made, config = promoted(model), without_remote()
    if before != "nothing":
        with monkeypatch.context() as patch:
            patch.setattr(promotion, "_has_remote", lambda _: True)
            promotion.register(made, model)

    with pytest.raises(InputError, match=r"^\.dvc/config: in HEAD, it has no default remote") as caught:
        promotion.register(made, model)
    Path(".dvc/config").write_text(config.replace("[core]\n    remote = team", ""))
    command = caught.value.fix.split("`")[1].replace("ADDRESS", str(tmp_path / "remote"))
    forks.run(Path.cwd(), *command.split(), "--force")
    with pytest.raises(InputError, match="in HEAD, it has no default remote"):
        promotion.register(made, model)
    git("commit", "--quiet", "--message", "A remote", ".dvc/config")
    promotion.register(made, model)
    forks.run(Path.cwd(), "dvc", "push", "--quiet", str(promotion.FILE))
    forks.run(tmp_path, "dvc", "artifacts", "get", str(Path.cwd()), "classifier", "--stage", "champion", "--out", "got")

    assert files.md5(tmp_path / "got") == made.model_md5
    assert "is the champion in git already" in promotion.register(made, model)


@pytest.mark.fault("promotion in git: interrupted before the tag")
def test_interrupted_before_the_tag_it_is_completed(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GTO's own words are reported; the next call tags the commit that is there already."""
    made = promoted(model)
    with monkeypatch.context() as patch:
        patch.setattr(api, "assign", lambda *_, **__: (_ for _ in ()).throw(GTOException("no tag today")))
        with pytest.raises(PipelineError, match="no tag today"):
            promotion.register(made, model)
    commit = git("rev-parse", "HEAD")

    promotion.register(made, model)

    assert git("rev-parse", "HEAD") == commit
    assert sorted(git("tag").split()) == ["classifier#champion#1", "classifier@v0.0.1"]


@pytest.mark.fault("promotion in git: git cannot commit")
def test_a_commit_that_git_refuses_is_reported(model: Path) -> None:
    """A hook's refusal ends it in git's words, and there is no tag."""
    hook = Path(".git/hooks/pre-commit")
    files.write_text(hook, "#!/bin/sh\necho not on a Friday >&2\nexit 1\n")
    hook.chmod(0o755)

    with pytest.raises(PipelineError, match=r"`git commit` failed \(not on a Friday\)"):
        promotion.register(promoted(model), model)

    assert git("tag") == ""


@pytest.mark.fault("promotion in git: DVC cannot add the file")
def test_a_failure_of_dvc_is_reported_in_its_words(model: Path) -> None:
    """With a damaged dvc.yaml nothing is committed, and the message has DVC's reason."""
    Path("dvc.yaml").write_text("stages: [\n")

    with pytest.raises(PipelineError, match=r"`dvc add` failed \(.*dvc\.yaml"):
        promotion.register(promoted(model), model)

    assert (git("tag"), git("log", "-1", "--format=%s")) == ("", "Train cnn")
