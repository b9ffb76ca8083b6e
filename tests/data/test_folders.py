"""Folders of pictures, from their source to the reader: what is left out is said, and all that is wrong is named."""

import errno
import os
import socket
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import fetch
from pipeline.data import raw
from pipeline.data.formats.checks import Faults
from pipeline.data.image_set import ImageSet
from pipeline.errors import InputError, PipelineError
from tests.support import made_sets

ARRAYS = made_sets.arrays((8, 8))
GOOD = made_sets.png(ARRAYS["train_images"][0])


def written(folder: Path, classes: tuple[str, ...] = made_sets.directories(), **others: Any) -> ImageSet:
    """Write a set of small grey pictures whose description has these class names."""
    return made_sets.write(folder, "folder", ARRAYS, (8, 8), **{"classes": list(classes)} | others)


def fetched(folder: Path, described: ImageSet) -> Path:
    """Fetch a set and return where it is."""
    fetch.fetch("stones", described, folder / "raw", folder)
    return folder / "raw"


def refusal(folder: Path, described: ImageSet) -> str:
    """Return why a set is not fetched; nothing of it has been copied."""
    with pytest.raises(PipelineError) as caught:
        fetched(folder, described)
    assert list((folder / "raw").rglob("*")) == []
    *_, reason = str(caught.value).splitlines()
    assert reason.isprintable()
    return reason


AGATE = Path("data/local/train/agate")


def first(folder: Path) -> Path:
    """Return the first picture of the first class."""
    return sorted((folder / AGATE).iterdir())[0]


def link(name: str, to: str) -> Callable[[Path], None]:
    """Return a change that makes a link."""
    return lambda folder: (folder / name).symlink_to(to)


def outside(folder: Path) -> None:
    """Make a picture in the set a link to one outside of it."""
    first(folder).rename(folder / "mine.png")
    (folder / AGATE / "mine.png").symlink_to(folder / "mine.png")


def linked_class(part: str, to: Callable[[Path], Path]) -> Callable[[Path], None]:
    """Return a change that moves the folder of a class elsewhere, and leaves a link to it."""

    def change(folder: Path) -> None:
        place = folder / "data/local" / part / "beryl"
        place.rename(to(folder))
        place.symlink_to(to(folder))

    return change


def shared(folder: Path) -> None:
    """Make the folder of test images a link to that of training images."""
    (folder / "data/local/test").rename(folder / "gone")
    (folder / "data/local/test").symlink_to("train")


@pytest.mark.fault("link in a folder of pictures to nothing, in a loop, to a folder, or out of the source")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (link("data/local/train/agate/x.png", "missing.png"), "train/agate/x.png: a link to nothing"),
        (link("data/local/train/agate/x.png", "x.png"), "train/agate/x.png: a link to nothing"),
        (link("data/local/train/agate/x", "."), "train/agate/x: a link to a folder"),
        (link("data/local/train/opal", "agate"), "train/opal: a link to a folder"),
        (linked_class("test", lambda folder: folder / "beryl"), "test/beryl: a link to a folder"),
        (linked_class("train", lambda folder: folder / "data/local/beryl"), "train/beryl: a link to a folder"),
        (link("data/local/train/opal", "/nowhere"), "train/opal: a link to nothing"),
        (outside, "train/agate/mine.png: a link that leads out of the source"),
        (link("data/local/train/agate/passwd.png", "/etc/passwd"), "train/agate/passwd.png: a link that leads out"),
        (shared, "test: a link to a folder"),
    ],
)  # fmt: skip
def test_links_that_cannot_be_copied_are_refused(tmp_path: Path, change: Callable[[Path], None], reason: str) -> None:
    """Such a link is named, whatever class or split it is in: the set is not trained on without its pictures."""
    described = written(tmp_path)
    change(tmp_path)

    assert f"directory data/local: {reason}" in refusal(tmp_path, described)


def test_a_link_within_the_source_is_a_file(tmp_path: Path) -> None:
    """A picture may lie elsewhere in the source, and the source itself may be a link."""
    described = written(tmp_path)
    path = first(tmp_path)
    store = tmp_path / "data/local/store"
    store.mkdir()
    expected = path.read_bytes()
    path.rename(store / "a.png")
    path.symlink_to("../../store/a.png")
    (tmp_path / "data/local").rename(tmp_path / "elsewhere")
    (tmp_path / "data/local").symlink_to(tmp_path / "elsewhere")

    copied = fetched(tmp_path, described) / "train" / "agate" / path.name

    assert copied.read_bytes() == expected
    assert not copied.is_symlink()


def test_files_that_dvc_links_to_its_cache_are_read(tmp_path: Path) -> None:
    """What has been fetched may be links to a cache anywhere; one that is gone is named."""
    described = written(tmp_path)
    path = first(tmp_path)
    path.rename(tmp_path / "cached")
    path.symlink_to(tmp_path / "cached")

    raw.read(tmp_path / "data/local", described)
    (tmp_path / "cached").unlink()

    with pytest.raises(InputError, match=rf"{path.name}: a link to nothing; `dvc repro fetch`"):
        raw.read(tmp_path / "data/local", described)


def test_what_is_no_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket or a pipe among the pictures is refused, not waited for."""
    described = written(tmp_path)
    os.mkfifo(tmp_path / AGATE / "x.png")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tmp_path / AGATE)
        listening.bind("y.png")

    reason = refusal(tmp_path, described)

    assert "train/agate/x.png: not a file; train/agate/y.png: not a file" in reason


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class whose folder is closed is not just missing."""
    described = written(tmp_path)
    closed, scan = tmp_path / "data/local/test/beryl", os.scandir

    def scandir(path: Any) -> Any:
        # As for everybody but root, whose tests could not see it otherwise.
        if Path(path) == closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)

    assert "beryl: cannot be read (Permission denied)" in refusal(tmp_path, described)


# What is left out


@pytest.mark.parametrize(
    "name",
    ["Thumbs.db", "thumbs.db", "desktop.ini", "@eaDir/0001.png/SYNOFILE.jpg", "__MACOSX/._0001.png", "._0001.png"],
)
@pytest.mark.parametrize("where", ["train", "train/agate"])
def test_what_systems_leave_in_folders_is_ignored(
    tmp_path: Path, name: str, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files that Windows, a Mac and a disk station leave among pictures are neither copied nor a fault, anywhere."""
    described = written(tmp_path)
    path = tmp_path / "data/local" / where / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"of the system")

    raw.read(fetched(tmp_path, described), described)
    raw.read(tmp_path / "data/local", described)

    assert Path(name).name not in {path.name for path in (tmp_path / "raw").rglob("*")}
    assert "left out" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "source", [{"directory": "data/local/stones"}, {"directory": "datasets/elsewhere"}, {"keras_cache": "elsewhere"}]
)
@pytest.mark.parametrize("linked", [False, True])
def test_a_source_that_dvc_does_not_watch_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    source: dict[str, str],
    linked: bool,
) -> None:
    """Each time, one line says what to do, unless the source is data/local/NAME, or that is a link to the source."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    content = written(tmp_path).model_dump(mode="json", exclude_none=True) | {"sources": [source]}
    is_outside = source != {"directory": "data/local/stones"}
    made = (tmp_path / "data/local").rename(tmp_path / "made")
    place = tmp_path / ("datasets/elsewhere" if is_outside else "data/local/stones")
    place.parent.mkdir()
    made.rename(place)
    if linked and is_outside:
        (tmp_path / "data/local").mkdir()
        (tmp_path / "data/local/stones").symlink_to(place)

    for _ in range(2):
        fetched(tmp_path, made_sets.describe(tmp_path, content))

        told = "put the files into data/local/stones, or make that a link to them" in capsys.readouterr().out
        assert told is (is_outside and not linked)


def test_notes_beside_the_classes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A README and a licence are left out, in one line that names them; a picture called README is a picture."""
    described = written(tmp_path, counts=None)
    for name in ("train/README.md", "train/LICENSE", "test/agate/licence.txt"):
        (tmp_path / "data/local" / name).write_text("Pictures of stones\n")
    (tmp_path / "data/local/test/agate/readme.png").write_bytes(GOOD)

    test = raw.read(fetched(tmp_path, described), described)["test"]

    assert len(test) == 22
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("left out")]
    assert line == "left out, as no pictures: test/agate/licence.txt, train/LICENSE, train/README.md"


# Names


def directory(folder: Path, old: str, new: str) -> None:
    """Rename the folder of a class in both splits."""
    for part in ("train", "test"):
        (folder / "data/local" / part / old).rename(folder / "data/local" / part / new)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("stated", ["NFC", "NFD"])
def test_a_name_matches_however_its_accents_are_written(tmp_path: Path, form: Any, stated: Any) -> None:
    """A Mac writes é as two characters, an editor as one: a folder and a class name are the same either way."""
    name = "grès"
    written(tmp_path)
    directory(tmp_path, "beryl", unicodedata.normalize(form, name))
    classes = tuple(unicodedata.normalize(stated, name) if one == "beryl" else one for one in made_sets.directories())
    described = written(tmp_path / "other", classes)

    train = raw.read(tmp_path / "data/local", described)["train"]

    assert np.bincount(train.labels).tolist() == [10] * 7


def test_a_name_that_only_looks_like_a_class_is_spelt_out(tmp_path: Path) -> None:
    """A Cyrillic letter in the name of a folder is shown by its code point; so is a split's folder of another form."""
    described = written(tmp_path)
    directory(tmp_path, "agate", "\N{CYRILLIC SMALL LETTER A}gate")

    with pytest.raises(InputError, match=r"no class of this name, which is '\\u0430gate', among agate"):
        raw.read(tmp_path / "data/local", described)

    (tmp_path / "data/local/test").rename(tmp_path / "data/local/te\u0301st")
    options = described.options.model_copy(update={"test": "t\u00e9st"})
    with pytest.raises(InputError, match=r"'t\\xe9st' \(there is 'te\\u0301st'\): no such directory"):
        raw.read(tmp_path / "data/local", described.model_copy(update={"options": options}))


@pytest.mark.parametrize("name", ["\u0645\u06cc\u200c\u062e\u06a9", "\u0915\u094d\u200d\u0937"])
def test_letters_may_be_joined(tmp_path: Path, name: str) -> None:
    """A class in Persian or Hindi may have a joiner in its name, and its folder and files too."""
    written(tmp_path)
    directory(tmp_path, "agate", name)
    path = sorted((tmp_path / "data/local/train" / name).iterdir())[0]
    path.rename(path.with_name(f"{name}.png"))
    classes = (name, *made_sets.directories()[1:])
    described = written(tmp_path / "other", classes)

    train = raw.read(fetched(tmp_path, described), described)["train"]

    assert np.bincount(train.labels).tolist() == [10] * 7
    assert str(InputError(f"no class {name}")) == f"no class {name}"


# All faults of a set in one run


ENDING = "expected CLASS/NAME with one of the endings .png, .jpg"


@pytest.mark.fault("folder of pictures with other files or folders")
def test_all_bad_files_of_a_set_are_named_in_one_run(tmp_path: Path) -> None:
    """Of both splits: damaged pictures, other endings, folders, places and sizes, a line each with the reason."""
    described = written(tmp_path, counts=None)
    local = tmp_path / "data/local"
    bad: dict[str, tuple[bytes | None, str]] = {
        "train/agate/0.png": (b"<html>", "not a PNG, JPEG, "),
        "train/agate/a.heic": (GOOD, ENDING),
        "train/1.png": (GOOD, ENDING),
        "test/agate/deep/1.png": (GOOD, ENDING),
        "train/opal": (None, "no class of this name among agate, beryl"),
        "train/beryl/1.png": (GOOD[:90], "not a PNG, JPEG, "),
        "test/coral/2.png": (made_sets.png(np.zeros((8, 9), np.uint8)), "expected 8x8 pixels, found 9x8"),
    }
    (local / "test/agate/deep").mkdir()
    for name, (content, _) in bad.items():
        (local / name).mkdir() if content is None else (local / name).write_bytes(content)
    for number in range(30):
        (local / f"train/opal/{number}.png").write_bytes(GOOD)

    with pytest.raises(InputError) as caught:
        raw.read(local, described)

    lines = dict(line.removeprefix(f"{local}/").split(": ", 1) for line in str(caught.value).splitlines())
    assert lines.keys() == bad.keys()
    for name, (_, reason) in bad.items():
        assert lines[name].startswith(reason)


@pytest.mark.parametrize("count", [1, 10, 11, 500])
def test_of_many_bad_files_the_first_and_the_count_are_told(tmp_path: Path, count: int) -> None:
    """Ten are named; how many more there are is the last line."""
    described = written(tmp_path, counts=None)
    for number in range(count):
        (tmp_path / AGATE / f"x{number:03}.png").write_bytes(b"")

    with pytest.raises(InputError) as caught:
        raw.read(tmp_path / "data/local", described)

    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0][-8:-4] for line in lines[: Faults.MOST]] == [f"x{n:03}" for n in range(min(count, 10))]
    assert lines[Faults.MOST :] == ([f"and {count - 10} more"] if count > 10 else [])


def test_of_many_files_that_cannot_be_copied_the_first_and_the_count_are_told(tmp_path: Path) -> None:
    """Links to nothing of a set that was not fully got: five are named, and how many more there are."""
    described = written(tmp_path)
    for number in range(40):
        (tmp_path / AGATE / f"x{number:02}.png").symlink_to(f"../objects/{number}")

    reason = refusal(tmp_path, described)

    assert [f"x{number:02}.png" in reason for number in range(7)] == [True] * 5 + [False] * 2
    assert reason.endswith("; and 35 more")
