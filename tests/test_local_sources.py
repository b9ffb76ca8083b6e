"""What is done to own data under data/local, as `dvc repro` sees it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dvc.repo import Repo

from pipeline import files
from tests.support import forks, made_sets, small
from tests.test_data_sets import write_params

LOCAL = "data/local/stones"


def describe(folder: Path, content: dict[str, Any]) -> None:
    """Write the file of a set whose source is the folder that DVC watches."""
    path = folder / "data" / "sets" / "stones.yaml"
    path.write_text(json.dumps(content | {"sources": [{"directory": LOCAL}]}))


def project(folder: Path, kind: str) -> dict[str, Any]:
    """Make a repository with stones of one kind in data/local/stones, fetched and preprocessed; return their file."""
    small.start(folder)
    local = folder / LOCAL
    local.mkdir()
    content = made_sets.described(kind) | made_sets.WRITERS[kind](local, made_sets.arrays())
    del content["counts"]
    describe(folder, content)
    write_params(folder, "layers")
    forks.run(folder, "dvc", "add", "--quiet", LOCAL)
    forks.run(folder, "dvc", "repro", "preprocess")
    return content


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with a folder of pictures per class."""
    folder = tmp_path_factory.mktemp("pictures")
    project(folder, "folder")
    return folder


def counts(repository: Path) -> list[int]:
    """Return how many images of each class there are to train on and held out."""
    splits = files.read_json(repository / "reports" / "data.json")["splits"]
    return [sum(pair) for pair in zip(splits["train"]["classes"], splits["validation"]["classes"], strict=True)]


def relabel(local: Path) -> None:
    """Move a picture of an agate to the beryls."""
    path = sorted((local / "train" / "agate").iterdir())[0]
    path.rename(local / "train" / "beryl" / f"new-{path.name}")


def add(local: Path) -> None:
    """Add a picture of a coral."""
    shutil.copy(sorted((local / "train" / "coral").iterdir())[0], local / "train" / "coral" / "added.png")


def remove(local: Path) -> None:
    """Delete a picture of a garnet."""
    sorted((local / "train" / "garnet").iterdir())[0].unlink()


@pytest.mark.parametrize(
    ("change", "by"), [(relabel, {0: -1, 1: 1}), (add, {2: 1}), (remove, {6: -1})], ids=["relabel", "add", "remove"]
)
def test_a_change_of_pictures_is_seen(pictures: Path, change: Callable[[Path], None], by: dict[int, int]) -> None:
    """After a picture was moved, added or deleted, `dvc repro` fetches and counts again, and then there is peace."""
    before = counts(pictures)

    change(pictures / LOCAL)
    forks.run(pictures, "dvc", "repro", "preprocess")

    assert counts(pictures) == [count + by.get(label, 0) for label, count in enumerate(before)]
    assert "Running stage" not in forks.run(pictures, "dvc", "repro", "preprocess")


@pytest.mark.fault("a damaged picture among one's own, which is then removed")
def test_a_broken_picture_is_removed(pictures: Path) -> None:
    """A file that is not a picture fails the stage; once it is deleted, the same command succeeds."""
    before = counts(pictures)
    broken = pictures / LOCAL / "train" / "agate" / "broken.png"
    broken.write_bytes(b"not a picture")
    failed = small.execute(pictures, "dvc", "repro", "preprocess", **forks.environment() | {"DVC_ROOT": str(pictures)})
    assert failed.returncode != 0
    assert "broken.png" in failed.stdout

    broken.unlink()
    forks.run(pictures, "dvc", "repro", "preprocess")

    assert counts(pictures) == before


def test_another_sets_folder_runs_nothing(pictures: Path) -> None:
    """What is put into the folder of another set, or of a shipped one, leaves the stages of this one alone."""
    for name in ("mnist", "others"):
        place = pictures / "data" / "local" / name
        place.mkdir(exist_ok=True)
        (place / "one.png").write_bytes(b"x")

    assert "Running stage" not in forks.run(pictures, "dvc", "repro", "preprocess")


@pytest.mark.parametrize("name", sorted(path.stem for path in (small.ROOT / "data" / "sets").glob("*.yaml")))
def test_the_files_of_a_shipped_set_change_no_hash(tmp_path: Path, name: str) -> None:
    """The folder of a shipped set is there in a clone, and to DVC it is the same whatever is put into it."""
    small.start(tmp_path)
    with small.edited(tmp_path / "params.yaml") as values:
        values["data"]["dataset"] = name
    place = tmp_path / "data" / "local" / name

    assert (place / ".gitkeep").is_file()
    with Repo(str(tmp_path)) as repo:
        dep = repo.stage.load_one(str(tmp_path / "dvc.yaml"), "fetch").deps[0]
        assert dep.def_path == f"data/local/{name}"
        before = dep.get_hash()
        (place / "file").write_bytes(b"x")
        assert dep.get_hash() == before


def replace_csv(local: Path) -> None:
    """Give the first image of a table another label."""
    table = pd.read_csv(local / "a.csv")
    table.loc[0, "label"] = (table.loc[0, "label"] + 1) % 7
    table.to_csv(local / "a.csv", index=False)


@pytest.mark.fault("own data that no longer have the stated checksum")
@pytest.mark.parametrize(("kind", "change"), [("csv", replace_csv), ("folder", relabel)])
def test_a_checksum_that_no_longer_fits_is_an_error(tmp_path: Path, kind: str, change: Callable[[Path], None]) -> None:
    """The message has the stated and the found checksum; with the latter in the set's file, the change is used."""
    content = project(tmp_path, kind)
    if kind == "folder":
        printed = forks.run(tmp_path, "dvc", "repro", "--force", "--single-item", "fetch")
        content["checksum"] = printed.rpartition("checksum: ")[2].split()[0]
        describe(tmp_path, content)
        forks.run(tmp_path, "dvc", "repro", "preprocess")
    before = counts(tmp_path)
    change(tmp_path / LOCAL)

    failed = small.execute(tmp_path, "dvc", "repro", "preprocess", **forks.environment() | {"DVC_ROOT": str(tmp_path)})

    stated = content["checksum"] if kind == "folder" else content["files"]["train"][0]["sha256"]
    assert failed.returncode != 0
    (line,) = [line for line in failed.stdout.splitlines() if f"expected sha256 {stated}, found " in line]
    assert "state in data/sets/stones.yaml what was found" in failed.stdout
    found = line.rpartition("found ")[2].strip()
    if kind == "folder":
        describe(tmp_path, content | {"checksum": found})
    else:
        content["files"]["train"][0]["sha256"] = found
        describe(tmp_path, content)
    forks.run(tmp_path, "dvc", "repro", "preprocess")
    assert counts(tmp_path) != before
