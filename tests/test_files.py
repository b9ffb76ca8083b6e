"""Atomic writes, and what is written reads back as it was."""

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline import files
from pipeline.errors import InputError, PipelineError


@pytest.fixture
def mask() -> Iterator[Callable[[int], int]]:
    """Return a function that sets the umask; the old one is put back."""
    old = os.umask(0o022)
    yield os.umask
    os.umask(old)


def names(directory: Path) -> list[str]:
    """Return the names of everything in a directory, hidden files too."""
    return sorted(path.name for path in directory.iterdir())


def write_half(path: Path, error: BaseException) -> None:
    """Begin to write a file, then raise `error`."""
    with files.atomic(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("name", ["table.csv", "a/b/table.csv"])
def test_the_old_file_stays_until_the_block_ends(tmp_path: Path, name: str) -> None:
    """While the new content is written, a reader finds the old one, complete; then no other file is next to the new.

    Writers that choose a format by the file's ending see the right one, on the same file system; folders are made.
    """
    path = tmp_path / name
    if path.parent == tmp_path:
        path.write_text("old")

    with files.atomic(path) as temporary:
        temporary.write_text("half")
        assert (temporary.parent, temporary.suffix) == (path.parent, ".csv")
        assert path.read_text() == "old" if path.parent == tmp_path else not path.exists()

    assert (path.read_text(), names(path.parent)) == ("half", ["table.csv"])


@pytest.mark.fault("error or interruption while a file is written")
@pytest.mark.parametrize("old", ["old", None])
@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(143)])
def test_an_exception_leaves_the_old_file(tmp_path: Path, error: BaseException, old: str | None) -> None:
    """After an error or an interruption the previous file is as it was, or none, with no temporary file next to it."""
    path = tmp_path / "table.csv"
    if old:
        path.write_text(old)

    with pytest.raises(type(error)):
        write_half(path, error)

    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == ({"table.csv": old} if old else {})


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600), (0o000, 0o666)])
def test_the_umask_is_respected(tmp_path: Path, mask: Callable[[int], int], umask: int, mode: int) -> None:
    """A file has the mode that open() would have given it, and the process keeps its umask."""
    mask(umask)

    files.write_text(tmp_path / "new.txt", "text")

    assert stat.S_IMODE((tmp_path / "new.txt").stat().st_mode) == mode
    assert mask(umask) == umask


@pytest.mark.fault("output path cannot be written")
@pytest.mark.parametrize("path", ["file/below.txt", "directory"])
@pytest.mark.parametrize("ask", [lambda path: files.write_text(path, "text"), files.check_writable])
def test_a_path_that_cannot_be_written_is_named(tmp_path: Path, path: str, ask: Callable[[Path], None]) -> None:
    """A file in the place of a directory and the reverse are one line with the path, exit code 1, asked beforehand too.

    Nothing is changed.
    """
    (tmp_path / "file").write_text("text")
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "kept.txt").write_text("text")

    with pytest.raises(PipelineError, match=r"cannot be written \(.+\)$") as caught:
        ask(tmp_path / path)

    assert (caught.value.path, caught.value.exit_code) == (tmp_path / path, 1)
    assert names(tmp_path) == ["directory", "file"]


@pytest.mark.fault("disk full")
def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    """An error of the system while writing becomes one line with path, sizes and way out; the old file stays."""
    path = tmp_path / "table.csv"
    path.write_text("old")

    with pytest.raises(PipelineError, match=r"No space left on device after 4 bytes, \d+ bytes free") as caught:
        write_half(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    assert caught.value.path == path
    assert "`dvc checkout`" in caught.value.fix
    assert (path.read_text(), names(tmp_path)) == ("old", ["table.csv"])


def test_a_path_that_can_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    """Asking leaves an old file and makes no new one."""
    (tmp_path / "old").write_text("text")

    for name in ("old", "new"):
        files.check_writable(tmp_path / name)

    assert names(tmp_path) == ["old"]
    assert (tmp_path / "old").read_text() == "text"


def test_text_has_the_same_bytes_everywhere(tmp_path: Path) -> None:
    """Text is UTF-8 with the line ends it was given."""
    files.write_text(tmp_path / "text", "a\nß\n")

    assert (tmp_path / "text").read_bytes() == b"a\n\xc3\x9f\n"


def test_json_keeps_order_and_values(tmp_path: Path) -> None:
    """Keys stand as given, numbers read back as they were, and the file ends with a line end."""
    value = {"z": 0.1 + 0.2, "a": [1, None, "ß"], "m": {"y": 1e-300, "b": True}}

    files.write_json(tmp_path / "x.json", value)

    assert files.read_json(tmp_path / "x.json") == value
    text = (tmp_path / "x.json").read_text()
    assert [text.index(f'"{key}"') for key in "zamyb"] == sorted(text.index(f'"{key}"') for key in "zamyb")
    assert text.endswith("}\n")
    assert "ß" in text


@pytest.mark.fault("NaN in a result")
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_json_refuses_what_is_not_a_number(tmp_path: Path, number: float) -> None:
    """NaN and infinities are not JSON; the old file stays."""
    (tmp_path / "x.json").write_text("{}")

    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "x.json", {"loss": number})

    assert (tmp_path / "x.json").read_text() == "{}"


@pytest.mark.fault("JSON damaged")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "expected a JSON object, found list"),
        (b"null", "expected a JSON object, found NoneType"),
    ],
)
def test_what_is_not_a_json_object_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    """A damaged file is an input error of one line with its path."""
    (tmp_path / "x.json").write_bytes(content)

    with pytest.raises(InputError, match=f"{message}.*$") as caught:
        files.read_json(tmp_path / "x.json")

    assert caught.value.path == tmp_path / "x.json"
    assert "\n" not in str(caught.value)


@pytest.mark.fault("JSON or YAML larger than the memory")
@pytest.mark.parametrize("read", [files.read_json, files.read_yaml])
def test_a_file_that_is_too_long_is_not_read(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    """Its size is found out before, and is an input error of one line."""
    (tmp_path / "file").touch()
    os.truncate(tmp_path / "file", 300_000_000_000)

    with pytest.raises(InputError, match=r"file: expected at most \d+ bytes, found 300000000000$"):
        read(tmp_path / "file")


def test_floats_survive_a_csv_exactly(tmp_path: Path) -> None:
    """Every float reads back as the same bits, whatever its size, and whole numbers stay whole."""
    random = np.random.default_rng(0)
    bits = random.integers(0, 2**63, 20_000, dtype=np.uint64).view(np.float64)
    values = np.concatenate(
        [bits[np.isfinite(bits)], random.random(20_000), random.random(9).astype(np.float32), [0.1]]
    )
    table = pd.DataFrame({"epoch": range(1, len(values) + 1), "loss": values})

    files.write_csv(tmp_path / "x.csv", table)
    back = files.read_csv(tmp_path / "x.csv")

    pd.testing.assert_frame_equal(back, table, check_exact=True)


def test_a_csv_has_shortest_floats_and_plain_lines(tmp_path: Path) -> None:
    """0.1 is written as 0.1, without an index and with LF."""
    files.write_csv(tmp_path / "x.csv", pd.DataFrame({"epoch": [1], "loss": [0.1]}))

    assert (tmp_path / "x.csv").read_bytes() == b"epoch,loss\n1,0.1\n"


@pytest.mark.fault("CSV damaged")
@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n1,2,3\n", b"\xff\xfe\xff"])
def test_what_is_not_a_table_is_named(tmp_path: Path, content: bytes) -> None:
    """An empty file, uneven rows and bytes that are not text are an input error of one line with the path."""
    (tmp_path / "x.csv").write_bytes(content)

    with pytest.raises(InputError, match=r"not a CSV table \([^\n]+\)$") as caught:
        files.read_csv(tmp_path / "x.csv")

    assert caught.value.path == tmp_path / "x.csv"


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_checksums_are_those_of_hashlib(tmp_path: Path, size: int) -> None:
    """SHA-256 and MD5 of files that are empty, small and larger than any buffer."""
    content = np.random.default_rng(0).bytes(size)
    (tmp_path / "x").write_bytes(content)

    assert files.sha256(tmp_path / "x") == hashlib.sha256(content).hexdigest()
    assert files.md5(tmp_path / "x") == hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.mark.fault("input missing, or a directory")
@pytest.mark.parametrize("read", [files.read_json, files.read_csv, files.sha256, files.md5])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    """An absent file is reported with what creates it, a directory with the system's reason; both are input errors."""
    with pytest.raises(InputError, match="absent: no such file; `dvc repro` creates it"):
        read(tmp_path / "absent")
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        read(tmp_path)


@pytest.mark.parametrize("read", [files.read_json, files.read_yaml, files.read_csv, files.sha256, files.md5])
def test_a_pipe_is_not_waited_for(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    """In the place of a file, it would hold a command for ever, and /dev/zero until the memory is full."""
    os.mkfifo(tmp_path / "file")

    for path in (tmp_path / "file", Path("/dev/zero")):
        with pytest.raises(InputError, match=f"{path}: expected a file, found a pipe, socket or device"):
            read(path)


STAGES = """
stages:
  train:
    foreach: ${models}
    do:
      cmd: python -m pipeline.train ${key}
      deps: ["data/${data.dataset}.npz", pipeline/training, pipeline/train.py]
      params: ["models.${key}", train]
"""
PARAMS = "models: {cnn: {epochs: 2}, mlp: {epochs: 2}}\ntrain: {seed: 0}\ngate: {min: 0}\n"


@pytest.mark.fault("inputs of a stage changed while it runs")
@pytest.mark.parametrize(
    ("path", "content", "named"),
    [
        ("params.yaml", PARAMS.replace("seed: 0", "seed: 1"), "train in params.yaml"),
        ("params.yaml", PARAMS.replace("cnn: {epochs: 2}", "cnn: {epochs: 3}"), "models.cnn in params.yaml"),
        ("params.yaml", PARAMS.replace("cnn: {epochs: 2}, ", ""), "models.cnn in params.yaml"),
        ("params.yaml", PARAMS.replace("min: 0", "min: 1"), None),
        ("params.yaml", PARAMS.replace("mlp: {epochs: 2}", "mlp: {epochs: 3}"), None),
        ("params.yaml", f"# a comment\n{PARAMS}", None),
        ("pipeline/train.py", "other", "pipeline/train.py"),
        ("pipeline/train.py", "", None),
        ("pipeline/training/deep/new.py", "new", "pipeline/training"),
        ("pipeline/training/__pycache__/x.pyc", "new", None),
        ("pipeline/report.py", "other", None),
        ("data/raw/deep/a.png", "other", "data/raw"),
        ("data/raw/b.png", "new", "data/raw"),
        ("data/set.yaml", "other", "data/set.yaml"),
        ("data/set.yaml", None, "data/set.yaml"),
    ],
)
def test_what_changes_under_a_stage_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, content: str | None, named: str | None
) -> None:
    """What DVC would record of it must be what it read; another model, or the same content, is no matter."""
    monkeypatch.chdir(tmp_path)
    made = {"dvc.yaml": STAGES, "params.yaml": PARAMS, "data/raw/deep/a.png": "", "data/set.yaml": "x"}
    for name, text in (made | {f"pipeline/{name}.py": "" for name in ("train", "training/loop", "report")}).items():
        files.write_text(Path(name), text)
    inputs = files.Inputs("train@cnn", Path("data/raw"), Path("data/set.yaml"))
    inputs.check()

    Path(path).unlink() if content is None else files.write_text(Path(path), content)

    if named is None:
        inputs.check()
    else:
        with pytest.raises(PipelineError, match=f"^{re.escape(named)}: changed while this ran"):
            inputs.check()


@pytest.mark.parametrize(
    ("path", "text", "named"),
    [
        ("study/params.yaml", "variants: {a: {seeds: 3}}\nlevel: 1\n", "variants in study/params.yaml"),
        ("study/params.yaml", "variants: {a: {seeds: 2}}\nlevel: 2\n", None),
        ("params.yaml", PARAMS.replace("min: 0", "min: 1"), "gate in params.yaml"),
        ("pipeline/trials/run.py", "other", "pipeline/trials"),
    ],
)
def test_a_stage_of_another_folders_dvc_yaml_has_the_params_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, text: str, named: str | None
) -> None:
    """Params files are those of the folder of dvc.yaml, code is that of the folder in which the stage runs."""
    monkeypatch.chdir(tmp_path)
    stages = "{run: {deps: [pipeline/trials], params: [{params.yaml: [variants]}, {../params.yaml: [gate]}]}}"
    made = {"study/dvc.yaml": f"stages: {stages}\n", "params.yaml": PARAMS, "pipeline/trials/run.py": ""}
    for name, content in (made | {"study/params.yaml": "variants: {a: {seeds: 2}}\nlevel: 1\n"}).items():
        files.write_text(Path(name), content)
    inputs = files.Inputs("study/dvc.yaml:run")
    files.write_text(Path(path), text)

    with nullcontext() if named is None else pytest.raises(PipelineError, match=f"^{named}: changed"):
        inputs.check()


def test_outside_of_dvc_the_files_alone_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without dvc.yaml no code and no params are known to be a stage's."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("a: 1\n")
    inputs = files.Inputs("train@cnn", Path("data"))
    Path("params.yaml").write_text("a: 2\n")
    inputs.check()
    Path("data").touch()

    with pytest.raises(PipelineError, match=r"^data: changed"):
        inputs.check()
