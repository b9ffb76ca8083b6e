"""data/sets/NAME.yaml: what is rejected with which message, and what the shipped files describe."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.data import sets
from pipeline.errors import InputError

ROOT = Path(__file__).parents[2]
SETS = ROOT / "data" / "sets"
FORMATS = ", ".join(sets.FORMATS)
COMMON = {
    "title": "Small",
    "credit": "made here",
    "image": {"height": 28, "width": 28, "channels": 1},
    "classes": ["a", "b"],
    "sources": [{"directory": "data/local"}],
}
SHA = {"sha256": "0" * 64}
WHEEL = {"wheel": "a==1", "member": "x", **SHA}
LOCAL = "'directory', 'keras_cache'"
BLOCKS: dict[str, dict[str, Any]] = {
    "npz": {
        "files": {"data": {"name": "x.npz", **SHA}},
        "arrays": {
            name: {"file": "data", "key": name}
            for name in ("train_images", "train_labels", "test_images", "test_labels")
        },
    },
    "cifar": {"files": {"archive": {"name": "x.tar.gz", **SHA}}, "options": {"train": ["a.bin"], "test": ["b.bin"]}},
    "folder": {"options": {"train": "train", "test": "test"}},
    "csv": {"files": {"train": [{"name": "a.csv", **SHA}], "test": [{"name": "b.csv", **SHA}]}},
    "parquet": {"files": {"train": [{"name": "a.parquet", **SHA}]}, "held_out": {"share": 0.2, "seed": 0}},
}

Change = Callable[[dict[str, Any]], Any]


def described(kind: str) -> dict[str, Any]:
    """Return what describes a data set of a format."""
    if kind == "idx":
        return yaml.safe_load((SETS / "mnist.yaml").read_text())
    return copy.deepcopy(COMMON | {"format": kind} | BLOCKS[kind])


def fault(folder: Path, content: Any) -> str:
    """Return the one line of the error for a set's file with `content`, without the file's path."""
    path = folder / "x.yaml"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError) as caught:
        sets.load(path)
    text = str(caught.value)
    assert (caught.value.path, caught.value.exit_code, "\n" in text) == (path, 2, False)
    assert text.isprintable()
    return text.removeprefix(f"{path}: ")


@pytest.mark.parametrize("kind", ["idx", *BLOCKS])
def test_each_format_is_read(tmp_path: Path, kind: str) -> None:
    """A file with what its format needs, and without what has a default, is accepted."""
    (tmp_path / "x.yaml").write_text(json.dumps(described(kind)))

    found = sets.load(tmp_path / "x.yaml")

    assert found.format == kind
    assert found.image.shape == (28, 28)
    assert found.noun == ("digit" if kind == "idx" else "image")


@pytest.mark.parametrize(
    ("name", "shape", "first", "last"),
    [
        ("mnist", (28, 28), "0", "9"),
        ("fashion_mnist", (28, 28), "T-shirt/top", "Ankle boot"),
        ("kmnist", (28, 28), "o", "wo"),
        ("cifar10", (32, 32, 3), "airplane", "truck"),
    ],
)
def test_the_shipped_sets_have_ten_classes(name: str, shape: tuple[int, ...], first: str, last: str) -> None:
    """Each shipped file is valid, and has its images' shape, its first and last class, and a local directory first."""
    found = sets.load(SETS / f"{name}.yaml")

    assert found.image.shape == shape
    assert (len(found.classes), found.classes[0], found.classes[-1]) == (10, first, last)
    assert found.sources[0].model_dump() == {"directory": f"data/local/{name}"}
    assert found.counts is not None
    assert found.counts.test == 10_000


def put(key: str, value: Any) -> Change:
    """Return a change that puts `value` at `key`, a path with dots; an absent value removes it."""

    def change(content: dict[str, Any]) -> None:
        *parents, name = key.split(".")
        for parent in parents:
            content = content.setdefault(parent, {})
        if value is None:
            del content[name]
        else:
            content[name] = value

    return change


CLASS_NAME = "classes: expected a class name of 1 to 60 printable letters"
NO_NAMES = ("\u200c", "b\u200d", "b\u200bc", "", " b", "b" * 61, "\x1b[31m")
PUBLIC = "expected https://HOST/FOLDER, without a login or options"
BELOW = "expected a path below the directory"
IN_ANOTHER = "options: expected folders, none of them in another"
SHAPE = "expected printable text without spaces at its ends, found"


@pytest.mark.fault("data set's file: unknown or missing key, wrong type or range, limits, names")
@pytest.mark.parametrize(
    ("kind", "key", "value", "message"),
    [
        ("csv", "format", None, "format: missing"),
        ("csv", "format", "tiff", f"format: expected one of {FORMATS}, found 'tiff'"),
        ("csv", "format", ["csv"], f"format: expected one of {FORMATS}, found ['csv']"),
        ("csv", "title", None, "title: missing"),
        ("csv", "titel", "x", "unknown key 'titel'; did you mean title?"),
        ("csv", "title", "two\nlines", f"title: {SHAPE} 'two\\nlines'"),
        ("csv", "noun", " digit", f"noun: {SHAPE} ' digit'"),
        ("csv", "credit", "", "credit: "),
        # the limits
        ("csv", "image.height", 7, "image.height: expected greater than or equal to 8, found 7"),
        ("csv", "image.width", 257, "image.width: expected less than or equal to 256, found 257"),
        ("csv", "image.width", 28.0, "image.width: expected a valid integer, found 28.0"),
        ("csv", "image.channels", 2, "image.channels: expected 1 or 3, found 2"),
        ("csv", "image.channels", True, "image.channels: expected a whole number, found True"),
        ("csv", "image.channels", 1.0, "image.channels: expected a whole number, found 1.0"),
        ("cifar", "options.label_bytes", True, "options.label_bytes: expected a whole number, found True"),
        ("csv", "image.channels", 4, "image.channels: expected 1 or 3, found 4"),
        ("csv", "classes", ["a"], "classes: expected 2 to 1000 class names, found 1"),
        ("csv", "classes", [f"c{i}" for i in range(1001)], "classes: expected 2 to 1000 class names, found 1001"),
        ("csv", "classes", "ab", "classes: expected a list, found 'ab'"),
        ("csv", "classes", [0, "b"], "classes[0]: expected a valid string, found 0"),
        ("csv", "classes", ["a", "b", "a"], "classes: expected different class names, found 'a' twice"),
        ("csv", "classes", ["caf\u00e9", "cafe\u0301"], "classes: expected different class names, found 'caf"),
        *(("csv", "classes", ["a", name], CLASS_NAME) for name in NO_NAMES),
        ("csv", "target_accuracy", 1.0, "target_accuracy: expected less than 1, found 1.0"),
        ("csv", "counts", {"train": 2**24, "test": 1}, "counts.train: expected less than 16777216, found 16777216"),
        ("csv", "counts", {"train": 5}, "counts: expected test if files have test images, and only then"),
        # test images
        ("csv", "held_out", {"share": 0.2, "seed": 0}, "expected either test images in files or a share held_out"),
        ("csv", "files.test", None, "expected either test images in files or a share held_out, found neither"),
        ("parquet", "held_out.share", 1.0, "held_out.share: expected less than 1, found 1.0"),
        ("parquet", "held_out.share", 0.0, "held_out.share: expected greater than 0, found 0.0"),
        ("cifar", "options.validation", ["b.bin"], "options: expected each member once, found 'b.bin' twice"),
        ("folder", "options.validation", "test", IN_ANOTHER),
        *(("folder", "options.test", name, IN_ANOTHER) for name in ("train/test", "Train", "./train", ".")),
        ("npz", "arrays.test_images.key", "train_images", "arrays: expected each array once, found 'train_images"),
        ("npz", "arrays.test_labels", {"file": "data", "key": "train_images"}, "arrays: expected each array once"),
        ("cifar", "options.test", ["a.bin"], "options: expected each member once, found 'a.bin' twice"),
        ("cifar", "options.train", ["c.bin", "c.bin"], "options: expected each member once, found 'c.bin' twice"),
        # pictures
        ("folder", "options.resize", "squash", "options.resize: expected 'stretch', 'pad' or 'crop', found 'squash'"),
        ("folder", "options.resize", 1, "options.resize: expected 'stretch', 'pad' or 'crop', found 1"),
        ("folder", "options.background", "whit", "options.background: expected the name of a colour"),
        ("parquet", "options.background", "#ffffff80", "options.background: expected the name of a colour, or #rrggbb"),
        ("parquet", "options.background", 255, "options.background: expected a valid string, found 255"),
        # files
        ("csv", "files.train", [], "files.train: expected one item or more, found []"),
        ("csv", "files.train", [{"name": "a.csv"}], "files.train[0]: expected sha256 or gz_sha256, found neither"),
        ("csv", "files.train", [{"name": "../a.csv", **SHA}], "files.train[0].name: expected a text matching "),
        ("csv", "files.train", [{"name": "B.csv", **SHA}], "files: expected different file names"),
        ("csv", "files.train", [{"name": "a.csv", "sha256": "A" * 64}], "files.train[0].sha256: expected a text"),
        ("csv", "files.train", [{"name": "a.csv", **SHA, "size": 0}], "files.train[0].size: expected greater than 0"),
        ("idx", "files.test_labels", None, "files.test_labels: missing"),
        ("idx", "counts", None, "counts: missing"),
        ("idx", "image.height", 32, "handwriting: expected images of 28x28 with one channel for it"),
        ("idx", "image.channels", 3, "handwriting: expected images of 28x28 with one channel for it"),
        ("idx", "counts.train", -1, "counts.train: expected greater than 0, found -1"),
        ("idx", "counts.test", None, "counts: expected test if files have test images, and only then"),
        ("idx", "options.first_label", -1, "options.first_label: expected greater than or equal to 0, found -1"),
        ("idx", "options.transposed", 1, "options.transposed: expected a valid boolean, found 1"),
        ("npz", "arrays.test_labels", None, "arrays: expected test_images and test_labels, or neither"),
        ("npz", "arrays.train_labels.file", "b", "arrays.train_labels.file: expected one of the files: data, found b"),
        ("cifar", "options.label_bytes", 3, "options.label_bytes: expected 1 or 2, found 3"),
        ("cifar", "options.test", ["/etc/passwd"], "options.test[0]: expected a path below the directory, without .."),
        ("folder", "options.train", "../train", "options.train: expected a path below the directory, without .."),
        ("folder", "options.size", 28, "options: unknown key 'size'; did you mean resize?"),
        # sources
        ("csv", "sources", [], "sources: expected one item or more, found []"),
        ("csv", "sources", ["data/local"], "sources[0]: expected a mapping, found 'data/local'"),
        ("csv", "sources", [{"folder": "x"}], "sources[0]: unknown key 'folder'; known here: directory"),
        ("csv", "sources", [{"directory": 5}], "sources[0].directory: expected a valid string, found 5"),
        ("csv", "sources", [{"directory": "a\0b"}], "sources[0].directory: expected a path, found 'a\\x00b'"),
        ("csv", "sources", [{"mirror": "http://x.org/a"}], f"sources[0].mirror: {PUBLIC}"),
        ("csv", "sources", [{"mirror": "https://u@x.org"}], f"sources[0].mirror: {PUBLIC}"),
        ("csv", "sources", [{"mirror": "https://x.org/a;b"}], f"sources[0].mirror: {PUBLIC}"),
        ("csv", "sources", [{"mirror": 5}], "sources[0].mirror: expected a valid string, found 5"),
        *(("csv", "sources", [{"keras_cache": path}], f"sources[0].keras_cache: {BELOW}") for path in ("../x", "/x")),
        ("csv", "sources", [WHEEL], f"sources[0]: expected {LOCAL}, 'mirror' for source, found 'wheel'"),
        ("folder", "sources", [{"mirror": "https://x.y"}], f"sources[0]: expected {LOCAL} for source, found 'mirror'"),
        ("idx", "sources", [WHEEL | {"wheel": "--pre"}], "sources[0].wheel: expected a text matching"),
        ("idx", "sources", [WHEEL | {"number": 1}], "sources[0]: unknown key 'number'; did you mean member?"),
        ("idx", "sources", [WHEEL | {"sha256": 0}], "sources[0].sha256: expected a valid string, found 0"),
    ],
)  # fmt: skip
def test_each_fault_is_one_line(tmp_path: Path, kind: str, key: str, value: Any, message: str) -> None:
    """The line has the key's path, what was expected and what was found."""
    content = described(kind)
    put(key, value)(content)

    found = fault(tmp_path, content)

    assert found.startswith(message), found


@pytest.mark.fault("data set's file: no mapping")
@pytest.mark.parametrize(
    ("text", "message"),
    [("", "expected a mapping, found None"), ("- a", "expected a mapping, found ['a']"), ("a: [", "not YAML as DVC")],
)
def test_what_is_no_such_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    """Empty files, lists and what is not YAML are refused."""
    assert fault(tmp_path, text).startswith(message)


@pytest.mark.fault("data set that is not described")
def test_an_unknown_set_is_reported_with_the_known_ones(tmp_path: Path) -> None:
    """The error for a name without a file lists the names that have one."""
    for name in ("kmnist", "mnist"):
        (tmp_path / f"{name}.yaml").touch()

    with pytest.raises(InputError, match=r"minst\.yaml: no such data set; .*: kmnist, mnist$"):
        sets.load(tmp_path / "minst.yaml")
