"""The program that says what is on a picture, run as people run it, with small models of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw, ImageFont

from pipeline import files, predict, tracking
from pipeline.data.dataset import Dataset, Split
from pipeline.data.formats.pictures import KINDS
from pipeline.errors import InputError, PipelineError, UnavailableError
from pipeline.inference import classifier, reading, training_data
from pipeline.inference.classifier import Prediction
from pipeline.params import Params
from pipeline.tracking import experiments, logged_model
from pipeline.tracking.description import RunDescription
from pipeline.training import backend, model_file, networks
from pipeline.training.backend import keras
from tests.support import forks, programs, small, untrained

ROOT = Path(__file__).parents[1]
Run = Callable[..., int]
NO_PICTURE = f"not a {KINDS} file that can be read (another kind of file)"
MNIST = training_data.load(ROOT / "data" / "sets" / "mnist.yaml")


@pytest.fixture
def run(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return the program as a function of its arguments, in the folder of the trained model."""
    monkeypatch.chdir(trained)
    # In this process, TensorFlow's threads cannot be set any more.
    monkeypatch.setattr(backend, "start", lambda **_: None)

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["predict", *arguments])
        return predict.main()

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with params of one small model called cnn, its file, and a picture each of 3 and 7."""
    folder = untrained.make(tmp_path_factory.mktemp("trained"), "mnist", "cnn", "other")
    (folder / "models" / "other.keras").unlink()
    for name, text in (("three.png", "3"), ("seven.jpg", "7")):
        picture = Image.new("L", (200, 300), 255)
        ImageDraw.Draw(picture).text((100, 150), text, 0, ImageFont.load_default(160), anchor="mm")
        picture.save(folder / name)
    (folder / "text.png").write_text("3\n")
    return folder


def expected(folder: Path, name: str) -> list[float]:
    """Return the small model's probabilities for the digit in a picture."""
    network, image = model_file.load(folder / "models" / "cnn.keras"), reading.read(folder / name, MNIST)
    return network(image[None]).numpy()[0].tolist()


@pytest.mark.fault("picture damaged, blank, too large, or not a picture")
def test_each_picture_has_its_line_for_machines(trained: Path) -> None:
    """With --json a line is an object: file as given, class, ten probabilities; of a bad one, why. That gives 2."""
    line = ["python", "-m", "pipeline.predict", "three.png", "text.png", "./seven.jpg", "three.png", "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | forks.environment()

    done = subprocess.run(line, cwd=trained, env=environment, capture_output=True, text=True, check=False, timeout=120)

    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (2, f"error: text.png: {NO_PICTURE}\n")
    assert [answer["file"] for answer in found] == ["three.png", "seven.jpg", "text.png"]
    assert found[-1]["error"] == f"text.png: {NO_PICTURE}"
    assert found[0].keys() | found[-1].keys() == programs.keys("predict")
    for answer in found[:2]:
        assert list(answer["probabilities"]) == list("0123456789")
        assert list(answer["probabilities"].values()) == pytest.approx(expected(trained, answer["file"]), abs=1e-5)
        assert answer["class"] == str(np.argmax(expected(trained, answer["file"])))


def test_each_picture_has_its_row_for_people(trained: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has the digit, the probability of each and the file's name; if all files are good, the code is 0."""
    code = run("three.png", "seven.jpg")

    head, *rows, note = (line.split() for line in capsys.readouterr().out.splitlines())
    assert code == 0
    assert head == ["digit", *"0123456789", "file"]
    for row, name in zip(rows, ("three.png", "seven.jpg"), strict=True):
        probabilities = expected(trained, name)
        assert max(probabilities) < 0.9  # the network is not trained at all
        assert row == [f"{np.argmax(probabilities)}?", *(f"{value:.3f}" for value in probabilities), name]
    assert note[0] == "?:"


def test_the_only_model_is_asked(
    trained: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one model in params.yaml, whatever its name, none has to be named; with several, cnn is asked."""
    shutil.copytree(trained, tmp_path / "one")
    monkeypatch.chdir(tmp_path / "one")
    with small.edited(Path("params.yaml")) as content:
        content["models"] = {"of_stones": content["models"]["cnn"]}
    Path("models/cnn.keras").rename("models/of_stones.keras")
    untrained.record(Path(), "mnist", "of_stones")

    assert run("three.png", "--json") == 0

    (answer,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert list(answer["probabilities"].values()) == pytest.approx(expected(trained, "three.png"), abs=1e-5)


@pytest.mark.fault("photograph of something other than one digit")
@pytest.mark.parametrize(("highest", "certain"), [(0.9, True), (0.899, False)])
def test_a_low_probability_is_marked(highest: float, certain: bool) -> None:
    """A digit whose probability is below 0.9 has a question mark, which a last line explains, and certain is false."""
    found = {Path("a.png"): Prediction(small.DIGITS, [0, highest, 1 - highest, *[0.0] * 7])}

    head, row, *note = predict.table(found, "digit").splitlines()

    assert row.split()[0] == ("1" if certain else "1?")
    assert row.index("a.png") == head.index("file")
    assert note == ([] if certain else ["?: uncertain, with a probability below 0.9"])
    assert predict.objects(found, {})[0]["certain"] is certain


@pytest.mark.fault("picture damaged, blank, too large, or not a picture")
def test_each_bad_picture_is_a_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each bad file is one line on stderr and the exit code is 2; with no other, no model is loaded."""
    monkeypatch.setattr(classifier, "load", lambda *_: pytest.fail("a model was loaded"))

    code = run("missing.png", "text.png", "line\nbreak.png", "models")

    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert [line.split(": ")[:2] for line in err.splitlines()] == [
        ["error", "missing.png"],
        ["error", "text.png"],
        ["error", "'line\\nbreak.png'"],
        ["error", "models"],
    ]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "other",
            "models/other.keras: not trained yet; `make repro` trains all models, in 10 to 30 minutes on two cores",
        ),
        ("svm", "models: no model 'svm'; known: cnn, other"),
        ("../models/cnn", "models: no model '../models/cnn'; known: cnn, other"),
        ("cnn\n", r"models: no model 'cnn\n'; known: cnn, other"),
    ],
)
def test_a_missing_model_is_an_error(run: Run, model: str, message: str) -> None:
    """An unknown name gets those that are known, an untrained one what trains it; no name becomes a path unseen."""
    with pytest.raises(InputError) as error:
        run("three.png", "--model", model)

    assert str(error.value) == message


@pytest.mark.fault("input edited or swapped after the stage that made it")
def test_a_model_that_dvc_did_not_record_is_refused(
    trained: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model file with another sum than dvc.lock's is not loaded; the line says what restores it."""
    shutil.copytree(trained, tmp_path / "altered")
    outs = [{"path": "models/cnn.keras", "md5": "0" * 32}]
    (tmp_path / "altered" / "dvc.lock").write_text(yaml.safe_dump({"stages": {"train@cnn": {"outs": outs}}}))
    monkeypatch.chdir(tmp_path / "altered")

    with pytest.raises(InputError, match=r"models/cnn.keras: has md5 .*dvc repro"):
        run("three.png")


def networks_of(values: Params, **changes: Any) -> Any:
    """Return a small network, or one that is none of this project's."""
    if changes:
        return keras.Sequential([keras.Input(**changes), keras.layers.Flatten(), keras.layers.Dense(10)])
    return networks.build(values.models["mlp_rmsprop"].network, (28, 28), 10, seed=0, precision="float32")


@pytest.mark.fault("model file of something else")
@pytest.mark.usefixtures("run")
def test_a_network_for_other_images_is_refused(values: Params, tmp_path: Path) -> None:
    """Images of another size or type are not given to a network that would take them for something else."""
    for number, form in enumerate(({"shape": (8, 8), "dtype": "uint8"}, {"shape": (28, 28), "dtype": "float32"})):
        path = tmp_path / f"{number}.keras"
        model_file.save(path, networks_of(values, **form), {})

        with pytest.raises(InputError, match="expected a network from and to"):
            classifier.load(path, 1, (28, 28), small.DIGITS)


@pytest.mark.fault("model with NaN in its weights")
def test_answers_that_are_no_probabilities_are_refused(values: Params) -> None:
    """NaN in a weight gives an error instead of a digit."""
    network = networks_of(values)
    network.set_weights([np.full_like(weights, np.nan) for weights in network.get_weights()])

    with pytest.raises(PipelineError, match="train the model again"):
        classifier.predict(network, np.zeros((1, 28, 28), np.uint8), small.DIGITS)


def test_many_pictures_are_scored_a_few_at_a_time(values: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as fit into the bytes that scoring may take, in their order."""
    network, sizes = networks_of(values), list[int]()
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)

    def counted(some: np.ndarray, *, training: bool) -> Any:
        sizes.append(len(some))
        return network(some, training=training)

    monkeypatch.setattr(networks, "scoring_batch", lambda _: 2)

    found = classifier.probabilities(counted, images)

    assert sizes == [2, 2, 1]
    np.testing.assert_allclose(found, network.predict(images, verbose=0), rtol=1e-5)


@pytest.fixture
def champion(trained: Path, store: Path, values: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the small model the champion of a store, logged as a training logs it."""
    import mlflow

    monkeypatch.chdir(trained)
    split = Split(np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8))
    description = RunDescription("cnn", "r" * 64, "d" * 32, values.models["cnn"], values.train, {"dataset": "mnist"})
    with tracking.training_run(description, Dataset(split, None, split, small.DIGITS), required=True) as run:
        run.log_model(trained / "models" / "cnn.keras")
    client = mlflow.MlflowClient(f"sqlite:///{store}")
    (logged,) = client.search_logged_models([experiments.connect(experiments.of_dataset("mnist"))])
    client.create_registered_model("mnist")
    version = client.create_model_version("mnist", f"models:/{logged.model_id}", logged.source_run_id)
    client.set_registered_model_alias("mnist", "champion", version.version)


@pytest.mark.usefixtures("champion")
def test_the_champion_in_mlflow_answers(trained: Path, run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    """A models:/ address finds the model that has the alias, which answers as the file that was logged, and quietly."""
    before = files.md5(trained / "models" / "cnn.keras")

    code = run("three.png", "--json", "--model", "models:/mnist@champion")

    out, err = capfd.readouterr()
    assert (code, err) == (0, "")
    found = list(json.loads(out)["probabilities"].values())
    assert found == pytest.approx(expected(trained, "three.png"), abs=1e-5)
    assert files.md5(trained / "models" / "cnn.keras") == before


@pytest.mark.fault("MLflow has no such model, or does not answer")
def test_a_model_that_mlflow_does_not_have_is_one_line(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model or alias that is not there, or is none of Keras, is an InputError; a store that is away, unavailable."""
    import mlflow

    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.pkl").write_bytes(b"never read")
    client = mlflow.MlflowClient(f"sqlite:///{store}")
    client.create_registered_model("other")
    client.create_model_version("other", str(tmp_path / "other"))
    for model in ("mnist@champion", "other@champion", "", "mnist/1/data", "mnist@a@b", "other/2", "other/1"):
        with pytest.raises(InputError, match=f"models:/{model}") as error:
            tracking.fetch(f"models:/{model}", tmp_path / "to")
        assert "\n" not in str(error.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    with pytest.raises(UnavailableError) as away:
        tracking.fetch("models:/mnist@champion", tmp_path / "to")
    assert "secret" not in str(away.value)


@pytest.mark.fault("model file that runs code")
@pytest.mark.usefixtures("run")
def test_a_logged_model_with_code_in_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A champion whose layers carry code of their own is refused in one line."""
    layers = [keras.Input((28, 28), dtype="uint8"), keras.layers.Lambda(lambda images: images), keras.layers.Flatten()]
    keras.Sequential(layers).save(tmp_path / "model.keras")
    monkeypatch.setattr(tracking, "fetch", lambda *_: tmp_path / "model.keras")

    with pytest.raises(InputError, match="models:/x: not a model of this project") as error:
        classifier.load_logged("models:/x", 1, (28, 28), small.DIGITS)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module", params=["stones", "fashion_mnist"])
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a folder with a model of images in colour with seven classes, or of grey ones, and the data set's name."""
    folder = untrained.make(tmp_path_factory.mktemp(request.param), request.param, "cnn")
    (folder / "photo.jpg").write_bytes(untrained.saved(untrained.picture((300, 200)), "JPEG"))
    (folder / "blank.png").write_bytes(untrained.saved(untrained.picture().point(lambda _: 7)))
    return folder, request.param


def test_other_data_sets_have_classes_of_their_own(
    other: tuple[Path, str], run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model's classes have the names of its data set, in JSON and in the table, where nothing is called a digit."""
    folder, dataset = other
    described = yaml.safe_load((folder / "data" / "sets" / f"{dataset}.yaml").read_text())
    grey = described["image"]["channels"] == 1
    monkeypatch.chdir(folder)
    size = (described["image"]["width"], described["image"]["height"])
    shown = Image.open("photo.jpg").convert("L" if grey else "RGB").resize(size, Image.Resampling.BILINEAR)
    expected = untrained.answer(folder, "cnn", np.asarray(shown))

    assert run("photo.jpg", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["probabilities"]) == described["classes"]
    assert list(found["probabilities"].values()) == pytest.approx(expected, abs=1e-5)
    assert found["class"] == described["classes"][int(np.argmax(expected))]

    assert run("photo.jpg", "blank.png") == 2
    out, err = capsys.readouterr()
    head, row = out.splitlines()[:2]
    first, second, third = np.argsort(expected)[::-1][:3]
    assert head.split() == [described["noun"], "probability", "next", "file"]
    assert row.startswith(described["classes"][first])
    following = [f"{described['classes'][at]} {expected[at]:.3f}" for at in (second, third)]
    assert ", ".join(following) in row
    assert row.endswith("  photo.jpg")
    assert row.index("photo.jpg") == head.index("file")
    assert err == "error: blank.png: shows nothing: all of it has one brightness\n"
    assert "digit" not in out + err


@pytest.fixture
def dataset(run: Run, other: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Work in a copy of such a folder, which may be changed; return the data set's name."""
    assert run
    folder, name = other
    monkeypatch.chdir(shutil.copytree(folder, tmp_path / "changed"))
    return name


def choose_another(dataset: str, model: str = "cnn") -> None:
    """Change dvc.lock as DVC does when another data set is preprocessed after a model was trained and evaluated."""
    classes = yaml.safe_load(Path(f"data/sets/{dataset}.yaml").read_text())["classes"]
    trained = yaml.safe_load(Path("dvc.lock").read_text())["stages"][f"train@{model}"]
    untrained.record(Path(), "kmnist", md5="e" * 32)
    lock, metrics = yaml.safe_load(Path("dvc.lock").read_text()), Path(f"reports/metrics/{model}.json")
    files.write_json(metrics, {"classes": classes})
    file = {"path": f"models/{model}.keras", "md5": files.md5(Path(f"models/{model}.keras"))}
    lock["stages"][f"train@{model}"] = trained | {"outs": [file]}
    outs = [{"path": str(metrics), "md5": files.md5(metrics)}]
    lock["stages"][f"evaluate@{model}"] = {"deps": [*trained["deps"], file], "outs": outs}
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace(f"dataset: {dataset}", "dataset: kmnist"))


@pytest.mark.fault("model whose class names are not known")
def test_a_model_keeps_the_data_set_that_it_was_trained_on(
    dataset: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """When another one was preprocessed since, its metrics have the classes; a file with others is not asked."""
    choose_another(dataset)
    path = Path(f"data/sets/{dataset}.yaml")
    described = yaml.safe_load(path.read_text())

    assert run("photo.jpg", "--json") == 0

    assert list(json.loads(capsys.readouterr().out)["probabilities"]) == described["classes"]
    path.write_text(yaml.safe_dump(described | {"classes": described["classes"][::-1]}))
    with pytest.raises(InputError, match=rf"{path}: classes: not those with which cnn was trained; `dvc repro` "):
        run("photo.jpg")
    path.rename(tmp_path / "copy.yaml")
    with pytest.raises(InputError, match=rf"{path}: no such file, .* --set") as missing:
        run("photo.jpg")
    assert "\n" not in str(missing.value)
    Path("models/cnn.keras").touch()
    Path("reports/metrics/cnn.json").write_text("{}")
    with pytest.raises(InputError, match=r"reports/metrics/cnn.json: has md5"):
        run("photo.jpg")


@pytest.mark.fault("model whose class names are not known")
def test_a_copied_model_needs_its_data_set_named(
    dataset: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file of a model alone is refused in a line that names the option which says what its classes are called."""
    alone = str(shutil.copy("models/cnn.keras", tmp_path / "copy.keras"))

    with pytest.raises(InputError, match=r"copy.keras: .* names of its classes; .* --set data/sets/NAME.yaml"):
        run("photo.jpg", "--model", alone)
    assert run("photo.jpg", "--json", "--model", alone, "--set", f"data/sets/{dataset}.yaml") == 0
    copied = json.loads(capsys.readouterr().out)
    assert run("photo.jpg", "--json") == 0
    assert json.loads(capsys.readouterr().out) == copied
    with pytest.raises(InputError, match="expected a network from and to"):
        run("photo.jpg", "--model", alone, "--set", "data/sets/cifar10.yaml")


@pytest.mark.fault("class names put in another order, or the data set's file gone, after a training")
@pytest.mark.parametrize("change", ["reordered", "preprocessed", "gone"])
def test_the_names_of_classes_stay_with_the_model(
    dataset: str, run: Run, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    """The answer is the one of the training, whatever the file says by now; once other data are made, there is none."""
    assert run("photo.jpg", "--json") == 0
    before = capsys.readouterr().out
    path = Path(f"data/sets/{dataset}.yaml")
    described = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(described | {"classes": described["classes"][::-1], "handwriting": None}))
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    if change == "gone":
        path.unlink()
    if change == "preprocessed":
        untrained.record(Path(), dataset, md5="e" * 32)
        again = yaml.safe_load(Path("dvc.lock").read_text())
        again["stages"]["train@cnn"] = lock["stages"]["train@cnn"]
        Path("dvc.lock").write_text(yaml.safe_dump(again))

        with pytest.raises(InputError, match=r"nothing records the classes that cnn was trained with; .* --set"):
            run("photo.jpg", "--json")
    else:
        assert run("photo.jpg", "--json") == 0
        assert capsys.readouterr().out == before


@pytest.mark.fault("class names put in another order, or the data set's file gone, after a training")
@pytest.mark.usefixtures("champion")
def test_the_champion_has_its_classes_with_it(
    trained: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model in MLflow answers in a folder that has none of its data; --set names another description."""
    address = "models:/mnist@champion"
    run("three.png", "--json")
    expected = capsys.readouterr().out
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in ("params.yaml", "three.png"):
        shutil.copy(trained / name, name)

    assert run("three.png", "--json", "--model", address) == 0

    assert capsys.readouterr().out == expected
    text = (trained / "data/sets/mnist.yaml").read_text()
    Path("copy.yaml").write_text(text.replace('"9"', "nine") if '"9"' in text else text.replace("'9'", "nine"))
    assert run("three.png", "--json", "--model", address, "--set", "copy.yaml") == 0
    assert "nine" in capsys.readouterr().out


@pytest.mark.fault("model whose class names are not known")
@pytest.mark.usefixtures("champion")
@pytest.mark.parametrize("record", [None, "text", {"dataset": "mnist", "handwriting": None, "classes": 3}])
def test_a_champion_without_its_classes_needs_them_named(
    trained: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Any
) -> None:
    """Logged by an earlier version, or damaged, it is refused in one line, unless the workspace has the same data."""
    monkeypatch.setattr(logged_model, "_metadata", lambda _: {"data": record})
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "three.png"):
        shutil.copy(trained / name, name)

    with pytest.raises(InputError, match=r"models:/mnist@champion: .* --set data/sets/NAME.yaml") as caught:
        run("three.png", "--model", "models:/mnist@champion")

    assert "\n" not in str(caught.value)
    monkeypatch.setattr(logged_model, "_recorded", lambda _: {"data.md5": "d" * 32})
    monkeypatch.chdir(trained)
    if record is None:
        assert run("three.png", "--model", "models:/mnist@champion") == 0


def test_many_classes_are_not_all_in_the_table() -> None:
    """Of a thousand classes the table has the three most probable ones, the JSON all."""
    classes, chances = tuple(f"thing {number}" for number in range(1000)), [0.0] * 1000
    chances[700], chances[3], chances[999] = 0.6, 0.3, 0.1

    found = {Path("a.png"): Prediction(classes, chances)}

    assert predict.table(found, "image").splitlines()[1].split("  ")[0] == "thing 700?"
    assert "thing 3 0.300, thing 999 0.100" in predict.table(found, "image")
    assert len(predict.objects(found, {})[0]["probabilities"]) == 1000
