"""The demo as people run it: how the program starts and ends, its models' predictions, its page in a browser."""

import base64
import dataclasses
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from pipeline import demo, params
from pipeline.data import dataset as datasets
from pipeline.data import sets
from pipeline.data.dataset import Dataset, Split
from pipeline.data.formats.pictures import KINDS
from pipeline.errors import InputError
from pipeline.inference import server
from pipeline.training import backend
from tests.support import browser, forks, untrained
from tests.support.frozen import FROZEN
from tests.support.request import request

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with params of three small models, two of which have their files."""
    folder = untrained.make(tmp_path_factory.mktemp("demo"), "mnist", "one", "two", "three")
    (folder / "models" / "three.keras").unlink()
    return folder


def start(folder: Path, port: int, patch: str = "") -> subprocess.Popen[str]:
    """Start the demo as from a terminal, where Ctrl-C is not ignored; `patch` is executed before."""
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from pipeline import cli, demo; "
    )
    line = ["python", "-c", f"{code}sys.argv[1:] = ['--port', '{port}']; {patch}cli.run(demo.main)"]
    environment, pipe = {**os.environ, "PYTHONPATH": str(ROOT)} | forks.environment(), subprocess.PIPE
    return subprocess.Popen(line, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


@contextmanager
def demonstrated(folder: Path, patch: str = "") -> Iterator[tuple[subprocess.Popen[str], list[str], int]]:
    """Yield a demo that has started, the lines that it printed, and its port."""
    with start(folder, 0, patch) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            while lines[-1] and not (found := re.match(r"http://127\.0\.0\.1:(\d+)/ ", lines[-1])):
                lines.append(process.stdout.readline())
            assert found, process.stderr.read()
            yield process, lines, int(found[1])
        finally:
            process.kill()


def drawing() -> bytes:
    """Return a PNG with a stroke, black on a transparent background, as the page's canvas makes it."""
    image = Image.new("RGBA", (560, 560))
    ImageDraw.Draw(image).line((250, 80, 300, 480), (0, 0, 0, 255), 44)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.fault("SIGTERM, Ctrl-C")
def test_trained_models_predict_and_ctrl_c_ends_it(trained: Path) -> None:
    """Each trained model classifies drawings, also several at once; the others are named; Ctrl-C ends with 130."""
    with demonstrated(trained) as (process, lines, port):
        about = request(port, "GET", "/models")[1]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: request(port, "POST", "/predict", drawing()), range(4)))
        blank = request(port, "POST", "/predict", b"no picture")

        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert lines[0].startswith("not trained: three; `make repro` trains all models")
    assert (about["trained"], about["missing"]) == (["one", "two"], ["three"])
    assert [status for status, *_ in answers] == [200] * 4
    assert all(content == answers[0][1] for _, content, _ in answers)
    content = answers[0][1]
    assert [prediction["model"] for prediction in content["predictions"]] == ["one", "two"]
    for prediction in content["predictions"]:
        assert sum(prediction["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert prediction["probabilities"][prediction["label"]] == max(prediction["probabilities"])
        assert prediction["certain"] is False  # the networks are not trained at all
    assert (len(content["pixels"]), max(content["pixels"])) == (784, 255)
    assert blank[:2] == (400, {"error": f"The drawing: not a {KINDS} file that can be read (another kind of file)"})
    assert (process.returncode, out, err) == (130, "", "interrupted\n")


@pytest.mark.fault("SIGTERM, Ctrl-C")
@pytest.mark.parametrize(("number", "code", "said"), [(signal.SIGTERM, 143, ""), (signal.SIGINT, 130, "interrupted\n")])
def test_predictions_that_wait_do_not_delay_the_end(trained: Path, number: int, code: int, said: str) -> None:
    """The one under way is answered, those behind it are told that the demo ends, and it does, without a traceback."""
    patch = (
        "import time; real = demo.classifier.predict; "
        "demo.classifier.predict = lambda *given: (time.sleep(0.5), real(*given))[1]; "
    )
    with demonstrated(trained, patch) as (process, _, port), ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(request, port, "POST", "/predict", drawing()) for _ in range(12)]
        time.sleep(0.3)
        process.send_signal(number)
        begun = time.monotonic()
        out, err = process.communicate(timeout=60)
        took = time.monotonic() - begun
        answers = [one.result() for one in asked]

    assert (process.returncode, out, err) == (code, "", said)
    # Each takes a second; all would take twelve.
    assert took < 8
    assert {status for status, *_ in answers} <= {200, 500}
    assert next(content for status, content, _ in answers if status == 500) == {"error": "the demo ends"}


def test_without_trained_models_there_is_no_demo(tmp_path: Path) -> None:
    """One line says that no model is trained, what trains them and how long that takes; the exit code is 2."""
    (tmp_path / "params.yaml").write_text((FROZEN / "params.yaml").read_text())

    with start(tmp_path, 0) as process:
        out, err = process.communicate(timeout=60)

    how = "`make repro` trains all models, in 10 to 30 minutes on two cores"
    assert (process.returncode, out) == (2, "")
    assert err == f"error: models: no model of params.yaml is trained; {how}\n"


@pytest.mark.fault("port of the demo in use")
def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    """On a port that another program has, it ends with 1 and a line that names the option, before it loads a model."""
    untrained.make(tmp_path, "mnist", "cnn")
    (tmp_path / "models" / "cnn.keras").write_text("loading this would fail")
    with server.listen(0) as other:
        port = other.getsockname()[1]
        with start(tmp_path, port) as process:
            out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (1, "")
    assert err == f"error: 127.0.0.1:{port}: Address already in use; choose another port with --port\n"


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_must_be_a_number_in_range(
    port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A port is a number from 0 to 65535."""
    monkeypatch.setattr(sys, "argv", ["demo", "--port", port])

    with pytest.raises(SystemExit) as ended:
        demo.main()

    assert ended.value.code == 2
    assert "argument --port" in capsys.readouterr().err


@pytest.fixture(scope="module", params=["stones", "fashion_mnist"])
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a folder with two models of images in colour with seven classes, or of grey ones, and their data set."""
    folder = tmp_path_factory.mktemp(request.param)
    return untrained.make(folder, request.param, "one", "two"), request.param


def test_models_of_other_data_sets_take_pictures(other: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture gets each model's probabilities for what the networks are shown of it; the page gets the classes."""
    folder, dataset = other
    monkeypatch.chdir(folder)
    # In this process, TensorFlow's threads cannot be set any more.
    monkeypatch.setattr(backend, "start", lambda **_: None)
    described = sets.load(folder / "data" / "sets" / f"{dataset}.yaml")
    files = demo.trained(params.load(folder / "params.yaml"))
    classifiers = demo.Classifiers(files, 1, described)

    content = json.loads(json.dumps(classifiers.reply(untrained.saved(untrained.picture()))))

    image = np.array(content["pixels"], np.uint8).reshape(described.image.shape)
    assert [one["model"] for one in content["predictions"]] == ["one", "two"]
    for one in content["predictions"]:
        expected = untrained.answer(folder, one["model"], image)
        assert one["probabilities"] == pytest.approx(expected, abs=1e-5)
        assert one["label"] == int(np.argmax(expected))
    with pytest.raises(InputError, match=r"The picture: not a PNG, JPEG, "):
        classifiers.reply(b"no picture")
    told = demo.about(described, list(files), [])
    assert (told["title"], told["credit"]) == (described.title, described.credit)
    assert told["classes"] == list(described.classes)
    assert told["image"] == list(described.image.shape)
    assert told["drawn"] is False
    assert "digit" not in json.dumps(told | content)


def test_a_sample_is_one_of_the_test_images(digits: Dataset, tmp_path: Path) -> None:
    """It is one that can be read as a picture; without the data there is one line."""
    data = sets.load(ROOT / "data" / "sets" / "mnist.yaml")
    empty, shown = np.zeros((1, 28, 28), np.uint8), digits.test.images[:1]
    test = Split(np.concatenate([empty, shown]), digits.test.labels[:2])
    datasets.save(tmp_path / "digits.npz", dataclasses.replace(digits, test=test))

    found = [np.asarray(Image.open(io.BytesIO(demo.sample(tmp_path / "digits.npz", data)))) for _ in range(5)]

    assert all(np.array_equal(image, shown[0]) for image in found)
    with pytest.raises(InputError, match=r"digits\.npz"):
        demo.sample(tmp_path / "gone" / "digits.npz", data)


@pytest.mark.parametrize("dataset", ["mnist", "kmnist", "fashion_mnist", "cifar10"])
def test_only_handwriting_is_drawn(dataset: str) -> None:
    """The page is drawn on for MNIST and KMNIST, and takes pictures for the other shipped data sets."""
    described = sets.load(ROOT / "data" / "sets" / f"{dataset}.yaml")

    assert demo.about(described, [], [])["drawn"] is (dataset in ("mnist", "kmnist"))


@pytest.mark.fault("model whose class names are not known")
@pytest.mark.parametrize("change", ["another data set", "classes in another order"])
def test_models_of_other_data_are_not_shown(
    other: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A model that dvc.lock records for other data than it made last of params.yaml's set counts as not trained."""
    folder, dataset = other
    shutil.copytree(folder, tmp_path / "partly")
    monkeypatch.chdir(tmp_path / "partly")
    values, lock = params.load(Path("params.yaml")), yaml.safe_load(Path("dvc.lock").read_text())
    old = {"path": f"data/processed/{dataset}.npz", "md5": "e" * 32}
    if change == "another data set":
        old["path"] = "data/processed/mnist.npz"

    lock["stages"]["train@one"] = {"deps": [old]}
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    assert list(demo.trained(values)) == ["two"]

    lock["stages"]["train@two"] = {"deps": [old]}
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    os.utime("dvc.lock", ns=(1, 1))
    with pytest.raises(InputError, match=f"no model of params.yaml is trained on {dataset}"):
        demo.trained(values)


# Points of strokes on the paper, whose sides are 1 long.
SEVEN = [(0.25, 0.2), (0.5, 0.2), (0.75, 0.2), (0.6, 0.5), (0.45, 0.85)]
ELEVEN = [[(0.25, 0.2), (0.25, 0.8)], [(0.75, 0.2), (0.75, 0.8)]]


@contextmanager
def shown(folder: Path, profile: Path, size: tuple[int, int], scheme: str) -> Iterator[tuple[browser.Browser, int]]:
    """Yield a browser's window with the page of a demo, and the demo's port."""
    with demonstrated(folder) as (_, _, port), browser.opened(profile) as window:
        window.view(*size, scheme)
        window.open(f"http://127.0.0.1:{port}/")
        window.wait("document.querySelectorAll('section').length == 2")
        yield window, port


def draw(window: browser.Browser, stroke: list[tuple[float, float]], pointer: str = "mouse") -> None:
    """Draw a stroke on the paper."""
    left, top, side = window.run(
        "const box = document.getElementById('paper').getBoundingClientRect();return [box.left, box.top, box.width]"
    )
    window.drag([(left + side * x, top + side * y) for x, y in stroke], pointer)


@pytest.mark.slow
@browser.needs_browser
@pytest.mark.parametrize(
    ("size", "scheme", "pointer"),
    [((1280, 800), "light", "mouse"), ((1280, 800), "dark", "pen"), ((360, 740), "light", "touch")],
    ids=["light", "dark", "narrow"],
)
def test_a_digit_drawn_in_a_browser_is_answered(
    trained: Path, tmp_path: Path, size: tuple[int, int], scheme: str, pointer: str
) -> None:
    """Drawn by mouse, pen or finger, a digit gets the server's predictions as bars; Clear removes them."""
    with shown(trained, tmp_path / "profile", size, scheme) as (window, port):
        draw(window, SEVEN, pointer)
        window.wait("document.querySelectorAll('.first').length == 2")
        models = window.run(
            "return [...document.querySelectorAll('section')].map(s => [s.dataset.model,"
            " s.querySelector('.best').textContent, s.querySelectorAll('tr').length, "
            " s.querySelector('.first').rowIndex])"
        )
        time.sleep(0.3)  # the bars grow
        window.screenshot(tmp_path / "page.png")
        width = window.run("return document.documentElement.scrollWidth")
        requests = window.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
        missing = window.run("return document.getElementById('missing').textContent")
        said = window.run("return document.getElementById('status').textContent")
        window.run("document.getElementById('clear').click()")
        cleared = window.run("return document.querySelectorAll('.first').length")
        complaints = window.complaints()

    assert [(name, rows) for name, _, rows, _ in models] == [("one", 10), ("two", 10)]
    assert all(digit == f"{first}?" for _, digit, _, first in models)
    assert all(f"{first}" in said for *_, first in models)
    assert "Uncertain: one, two." in said
    assert missing.startswith("Not trained: three; make repro trains all models")
    assert cleared == 0
    assert width <= size[0]
    assert {request.rpartition("/")[0] for request in requests} <= {f"http://127.0.0.1:{port}"}
    assert complaints == []
    assert (tmp_path / "page.png").stat().st_size > 5000


@pytest.mark.slow
@pytest.mark.fault("photograph of something other than one digit")
@browser.needs_browser
def test_what_is_not_one_digit_gets_no_prediction(trained: Path, tmp_path: Path) -> None:
    """A dot, and a second digit next to the first, give the reason in words; earlier predictions disappear."""
    predicted = "return document.querySelectorAll('.first').length"
    with shown(trained, tmp_path / "profile", (1280, 800), "light") as (window, _):
        draw(window, [(0.5, 0.5), (0.5, 0.5)])
        window.wait("document.getElementById('status').textContent.includes('too thick')")
        after_dot = window.run(predicted)
        window.run("document.getElementById('clear').click()")
        draw(window, ELEVEN[0])
        window.wait("document.querySelectorAll('.first').length == 2")
        draw(window, ELEVEN[1])
        window.wait("document.getElementById('status').textContent.includes('several things')")
        after_second = window.run(predicted)

    assert (after_dot, after_second) == (0, 0)


@pytest.mark.slow
@browser.needs_browser
def test_a_drawing_is_sent_at_once(trained: Path, tmp_path: Path) -> None:
    """The request starts within 0.15 s after the pen is lifted, however busy the browser is."""
    with shown(trained, tmp_path / "profile", (1280, 800), "light") as (window, _):
        window.run(
            "window.lifted = []; document.getElementById('paper')"
            ".addEventListener('pointerup', () => window.lifted.push(performance.now()));"
            # Never idle: each frame takes longer than a screen allows for it.
            "(function work() { for (const end = performance.now() + 40; performance.now() < end;); "
            "requestAnimationFrame(work); })();"
        )
        for _ in range(3):
            draw(window, SEVEN)
            window.wait("document.querySelectorAll('.first').length == 2")
            window.run("document.getElementById('clear').click()")
        waits = window.run(
            "return performance.getEntriesByType('resource').filter(entry => entry.name.endsWith('/predict'))"
            ".map((entry, at) => entry.startTime - window.lifted[at])"
        )

    assert len(waits) == 3
    assert max(waits) < 150


def give(window: browser.Browser, content: bytes, kind: str, how: str) -> None:
    """Choose a file with this content in the page's dialogue, or drop it onto the page."""
    encoded = base64.b64encode(content).decode()
    window.run(
        f"const bytes = Uint8Array.from(atob('{encoded}'), letter => letter.charCodeAt(0)), given = new DataTransfer();"
        f"given.items.add(new File([bytes], 'x', {{type: '{kind}'}}));"
        "const input = document.getElementById('file'), paper = document.getElementById('paper');"
        + {
            "chosen": "input.files = given.files; input.dispatchEvent(new Event('change'));",
            "dropped": "paper.dispatchEvent(new DragEvent('drop', "
            "{bubbles: true, cancelable: true, dataTransfer: given}));",
        }[how]
    )


@pytest.mark.slow
@browser.needs_browser
@pytest.mark.parametrize("how", ["dropped", "chosen"])
def test_where_one_draws_a_picture_can_be_given_too(trained: Path, tmp_path: Path, how: str) -> None:
    """A picture of a stroke is answered; what is drawn next is drawn on an empty sheet, and answered."""
    picture = Image.new("L", (60, 80), 255)
    picture.paste(0, (28, 10, 34, 70))
    is_shown = "return document.getElementById('paper').classList.contains('picture')"
    with shown(trained, tmp_path / "profile", (1280, 800), "dark") as (window, _):
        give(window, untrained.saved(picture), "image/png", how)
        window.wait("document.querySelectorAll('.first').length == 2")
        before = window.run(is_shown)
        draw(window, SEVEN, "mouse")
        window.wait("document.querySelectorAll('.first').length == 2")
        after = window.run(is_shown)
        offered = window.run("return ['choose', 'clear'].filter(id => !document.getElementById(id).hidden)")
        complaints = window.complaints()

    assert (before, after) == (True, False)
    assert offered == ["choose", "clear"]
    assert complaints == []


@pytest.mark.slow
@browser.needs_browser
@pytest.mark.parametrize(("size", "how"), [((1280, 800), "dropped"), ((360, 740), "chosen")], ids=["wide", "narrow"])
def test_a_picture_given_to_the_page_is_answered(
    other: tuple[Path, str], tmp_path: Path, size: tuple[int, int], how: str
) -> None:
    """A picture of any size and format gets the names of the classes, and a text is refused."""
    folder, dataset = other
    described = sets.load(folder / "data" / "sets" / f"{dataset}.yaml")
    rng = np.random.default_rng(0)
    large = untrained.saved(Image.fromarray(rng.integers(0, 256, (900, 1200, 3), np.uint8)))
    with shown(folder, tmp_path / "profile", size, "light") as (window, _):
        # Of a TIFF file the browser cannot show anything.
        for content, kind in ((untrained.saved(untrained.picture(), "TIFF"), "image/tiff"), (large, "image/png")):
            give(window, content, kind, how)
            window.wait("document.querySelectorAll('.first').length == 2")
            rows = window.run("return [...document.querySelectorAll('section th')].map(cell => cell.textContent)")
            best = window.run("return [...document.querySelectorAll('.best')].map(one => one.textContent)")
            give(window, b"no picture", "image/png", how)
            window.wait("document.getElementById('status').textContent.includes('not a PNG, JPEG, ')")
            assert window.run("return document.querySelectorAll('.first').length") == 0
            assert rows == 2 * list(described.classes)
            assert {text.rstrip("?") for text in best} <= set(described.classes)
        text = window.run("return document.title + document.body.innerText")
        width = window.run("return document.documentElement.scrollWidth")
        complaints = window.complaints()

    assert described.title in text
    assert described.credit in text
    assert "digit" not in text.lower().replace(described.credit.lower(), "")
    assert width <= size[0]
    # The browser itself reports the two refusals, and nothing else.
    assert [complaint.rpartition(" of ")[2] for complaint in complaints] == 2 * ["400 (Bad Request)"]
