"""params.yaml: what is rejected with which message, and that it is read as DVC reads it."""

import datetime
import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.exceptions import InvalidArgumentError
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import modify_yaml, parse_yaml
from pydantic import TypeAdapter, ValidationError

from pipeline import files, params, schema, train
from pipeline.data import dataset
from pipeline.data.dataset import Dataset
from pipeline.errors import InputError
from pipeline.params import Params
from pipeline.training.settings import Augmentation, Model
from tests.support import forks, small
from tests.support.frozen import FROZEN

ROOT = Path(__file__).parents[1]
TEXT = (FROZEN / "params.yaml").read_text()
RMSPROP = "models.mlp_rmsprop.optimizer"
KINDS = "expected 'rmsprop', 'adadelta', 'sgd', 'adam', 'adamw' for name, found"
NOT_YAML = "not YAML as DVC reads it"
HELD_OUT = "data.validation: expected 'test', 'own' or a number of images above 0, found"
WRONG_NAMES = ("../cnn", ".cnn", "-cnn", "c nn", "", "c" * 65, "cnn.small", "cnn+", "cnn/a", "cn\u00f1")
NAME = "expected a name of at most 64 letters, digits, _ and -, beginning with a letter, found"


def load(tmp_path: Path, text: str | bytes) -> Params:
    """Read `text` as a params file."""
    path = tmp_path / "params.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return params.load(path)


def faults(tmp_path: Path, text: str | bytes) -> list[str]:
    """Return the lines of the error for `text`, each without the path of the file that it begins with."""
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    lines = str(caught.value).splitlines()
    assert (caught.value.path, caught.value.exit_code) == (tmp_path / "params.yaml", 2)
    assert all(line.startswith(f"{tmp_path}/params.yaml: ") for line in lines)
    return [line.removeprefix(f"{tmp_path}/params.yaml: ") for line in lines]


def edited(old: str, new: str) -> str:
    """Return the params with the first `old` replaced."""
    assert old in TEXT
    return TEXT.replace(old, new, 1)


def test_the_projects_params_are_read(values: Params) -> None:
    """The file's values arrive with the types they are written in; a list is a tuple, which nothing is appended to."""
    cnn = values.model("cnn")

    assert list(values.models) == ["mlp_rmsprop", "mlp_adadelta", "cnn"]
    assert (cnn.network.name, cnn.network.filters, cnn.optimizer.rho, cnn.epochs) == ("cnn", (32, 64), 0.95, 12)
    assert (values.data.dataset, values.data.validation, values.train.batch_size) == ("mnist", "test", 128)
    assert values.model("mlp_rmsprop").optimizer.epsilon == 1e-8


def test_one_batch_may_hold_all_training_images(tmp_path: Path) -> None:
    """The largest batch has as many images as there are to train on, and every network is tried with their shape."""
    values = load(tmp_path, TEXT)
    models, whole = values.models, values.train.model_copy(update={"batch_size": 55000})

    params.check_images(models, whole, (28, 28), 55000, tmp_path)
    with pytest.raises(InputError) as caught:
        params.check_images(models, whole, (8, 8, 3), 54999, tmp_path)

    assert caught.value.path == tmp_path
    assert str(caught.value).splitlines() == [
        f"{tmp_path}: train.batch_size: expected at most the 54999 training images, found 55000"
    ]
    with pytest.raises(InputError, match=r"models\.cnn\.network: a 4x28 image is too small"):
        params.check_images(models, values.train, (4, 28), 55000, tmp_path)


@pytest.mark.parametrize(("shape", "most"), [((12, 12), 6), ((12, 40, 3), 6), ((29, 28), 14)])
def test_a_shift_may_not_leave_empty_images(values: Params, tmp_path: Path, shape: tuple[int, ...], most: int) -> None:
    """A shift by up to half of the smaller side is taken, and more is a line that names key, bound and shape."""

    def check(shift: int) -> None:
        model = values.models["mlp_rmsprop"].model_copy(update={"augmentation": Augmentation(shift=shift)})
        params.check_images({"m": model}, values.train, shape, 128, tmp_path)

    check(most)
    with pytest.raises(InputError) as caught:
        check(most + 1)
    bound = f"expected at most half a side of a {shape[0]}x{shape[1]} image, {most}, found {most + 1}"
    assert str(caught.value).splitlines() == [f"{tmp_path}: models.m.augmentation: shift: {bound}"]


CONV = {"name": "conv2d", "filters": 8, "kernel": 10**6, "stride": 1, "padding": "same"}


@pytest.mark.fault("params: what no machine can hold")
@pytest.mark.parametrize(
    ("network", "fault"),
    [
        # 784 inputs and 10 classes apart: weights and gradients of 4 bytes each, and the outputs of 128 images.
        (
            {"name": "mlp", "units": [2 * 10**9], "dropout": 0.5},
            "its 1,568,000,000,000 weights .* take 14,592 GB or more",
        ),
        ({"name": "sequential", "layers": [CONV, {"name": "flatten"}]}, "its 8,000,000,000,000 weights .* 64,0"),
    ],
)
def test_networks_that_no_machine_can_hold_are_refused_at_once(
    values: Params, tmp_path: Path, network: dict[str, Any], fault: str
) -> None:
    """The line has the key and the memory that they would take; what fits a machine of that size is taken."""
    settings = values.models["mlp_rmsprop"].settings()
    model = schema.validate(Model, {**settings, "network": network})

    with pytest.raises(InputError, match=f"models.m.network: {fault}") as caught:
        params.check_images({"m": model}, values.train, (28, 28), 60000, tmp_path, memory=16 * 10**9)
    params.check_images({"m": values.models["cnn"]}, values.train, (28, 28), 60000, tmp_path, memory=100 * 10**6)

    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.fault("params: more layers than Keras builds in an hour")
def test_too_many_layers_are_refused_whatever_the_memory(values: Params, tmp_path: Path) -> None:
    """Preprocess and a study on workers elsewhere, which do not ask for the memory, refuse them as well."""
    network = {"name": "mlp", "units": [4] * 2000, "dropout": 0.5}
    model = schema.validate(Model, {**values.models["mlp_rmsprop"].settings(), "network": network})

    with pytest.raises(InputError, match=r"models\.m\.network: expected at most 500 layers, found 4,001"):
        params.check_images({"m": model}, values.train, (28, 28), 60000, tmp_path)


def test_a_batch_has_an_image_for_each_thread(values: Params, tmp_path: Path) -> None:
    """As many threads as images are taken; more would each wait for a part that is empty."""
    enough, more = (values.train.model_copy(update={"batch_size": 16, "threads": threads}) for threads in (16, 17))

    params.check_images({}, enough, (28, 28), 16, tmp_path)
    with pytest.raises(InputError, match=r"train\.threads: expected at most one per image of a batch, 16, found 17"):
        params.check_images({}, more, (28, 28), 16, tmp_path)


@pytest.mark.fault("params: batch or network that does not fit the data")
def test_a_model_that_does_not_fit_the_data_is_refused_before_its_training(
    tmp_path: Path, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage train asks the data itself, whatever the data set is called: one line, and nothing is written."""
    dataset.save(tmp_path / "data.npz", digits)
    path = tmp_path / "params.yaml"
    path.write_text(edited("batch_size: 128", f"batch_size: {len(digits.train) + 1}"))
    outputs = [word for name in ("output", "history", "timing") for word in (f"--{name}", str(tmp_path / name))]
    words = ["train", "cnn", "--data", str(tmp_path / "data.npz"), "--params", str(path), *outputs]
    monkeypatch.setattr("sys.argv", [*words, "--work", str(tmp_path / "work")])
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InputError, match=r"expected at most the 1400 training images, found 1401"):
        train.main()

    assert {one.name for one in tmp_path.iterdir()} == {"data.npz", "params.yaml"}


def test_loading_params_opens_no_other_file(tmp_path: Path) -> None:
    """A new data set or format cannot change what params are: with a broken description near it, the file is read."""
    (tmp_path / "data" / "sets").mkdir(parents=True)
    (tmp_path / "data" / "sets" / "mnist.yaml").write_text("no: [description")

    assert load(tmp_path, TEXT).data.dataset == "mnist"


@pytest.mark.fault("params: the best epoch chosen on the test images")
@pytest.mark.parametrize("keep", ["best_val_loss", "best_val_accuracy"])
def test_the_best_epoch_needs_held_out_images(tmp_path: Path, keep: str) -> None:
    """With `validation: test` the best epoch would be chosen on the test images, which is refused."""
    text = edited("    epochs: 12\n", f"    epochs: 12\n    keep: {keep}\n")

    assert load(tmp_path, text.replace("validation: test", "validation: 5000")).model("cnn").keep == keep
    assert faults(tmp_path, text) == [
        f"models.cnn.keep: {keep} would choose on the test images; set data.validation to a number or own"
    ]


@pytest.mark.fault("params: a number of hundreds of digits")
@pytest.mark.parametrize("number", ["1" + "0" * 400, "0x" + "F" * 6000, str(2**32)])
@pytest.mark.parametrize("key", ["units: [512, 512]", "batch_size: 128", "validation: test", "split_seed: 0"])
def test_a_number_that_nothing_can_count_is_one_short_line(tmp_path: Path, key: str, number: str) -> None:
    """No more of it is shown than fits a line."""
    name = key.partition(":")[0]

    (fault,) = faults(tmp_path, edited(key, f"{name}: {f'[{number}]' if name == 'units' else number}"))

    assert len(fault) < 120


@pytest.mark.fault("params: unknown or missing key, wrong type or range, name that leads out of its folder")
@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        # unknown, missing, of the wrong kind
        ("split_seed", "split_sede", "data: unknown key 'split_sede'; did you mean split_seed?"),
        ("\ntrain:", "\ntrian:", "unknown key 'trian'; did you mean train?"),
        ("pool: 2", "pool: 2\n      zebra: 1", "models.cnn.network: unknown key 'zebra'; known here: name, filters, "),
        ("  split_seed: 0\n", "", "data.split_seed: missing"),
        ("      epsilon_in_root: false\n", "", f"{RMSPROP}.epsilon_in_root: missing"),
        ("      name: rmsprop\n", "", f"{RMSPROP}: missing name"),
        ("name: rmsprop\n", "name: rmsprob\n", f"{RMSPROP}: {KINDS} 'rmsprob'"),
        ("name: crossentropy", "name: hinge", "models.mlp_rmsprop.loss.name: expected 'crossentropy', found 'hinge'"),
        ("{name: crossentropy, clip: 1.0e-7}", "[1]", "models.mlp_rmsprop.loss: expected a mapping, found [1]"),
        ("units: [512, 512]", "units: 512", "models.mlp_rmsprop.network.units: expected a list, found 512"),
        ("units: [512, 512]", "units: []", "models.mlp_rmsprop.network.units: expected one item or more, found []"),
        # integers
        ("split_seed: 0", "split_seed: true", "data.split_seed: expected a valid integer, found True"),
        ("split_seed: 0", "split_seed: 0.0", "data.split_seed: expected a valid integer, found 0.0"),
        ("split_seed: 0", "split_seed: -1", "data.split_seed: expected greater than or equal to 0, found -1"),
        ("split_seed: 0", "split_seed: 4294967296", "data.split_seed: expected less than 4294967296, found 4294967296"),
        ("\n  seed: 0", "\n  seed: '0'", "train.seed: expected a valid integer, found '0'"),
        ("\n  seed: 0", "\n  seed:", "train.seed: expected a valid integer, found None"),
        ("epochs: 12", "epochs: 0", "models.cnn.epochs: expected greater than 0, found 0"),
        ("epochs: 12", "epochs: 12.0", "models.cnn.epochs: expected a valid integer, found 12.0"),
        ("epochs: 12", "epochs: true", "models.cnn.epochs: expected a valid integer, found True"),
        ("epochs: 12", "epochs: 100000", "models.cnn.epochs: expected less than or equal to 10000, found 100000"),
        ("[512, 512]", "[512, 0]", "models.mlp_rmsprop.network.units[1]: expected greater than 0, found 0"),
        ("threads: 2 ", "instructions: avx\n  threads: 2 ", "train.instructions: expected 'native' or 'avx2', found "),
        ("threads: 2 ", "threads: 0 ", "train.threads: expected greater than 0, found 0"),
        # numbers
        ("dropout: 0.5", "dropout: 1.0", "models.cnn.network.dropout: expected less than 1, found 1.0"),
        ("dropout: 0.5", "dropout: -0.1", "models.cnn.network.dropout: expected greater than or equal to 0, found -"),
        ("dropout: 0.5", "dropout: .nan", "models.cnn.network.dropout: expected a finite number, found nan"),
        ("dropout: 0.5", "dropout: '0.5'", "models.cnn.network.dropout: expected a valid number, found '0.5'"),
        ("dropout: 0.5", "dropout: false", "models.cnn.network.dropout: expected a valid number, found False"),
        ("rho: 0.9\n", "rho: 1.1\n", f"{RMSPROP}.rho: expected less than 1, found 1.1"),
        ("learning_rate: 0.001", "learning_rate: 0", f"{RMSPROP}.learning_rate: expected greater than 0, found 0"),
        ("rate: 0.001", "rate: .inf", f"{RMSPROP}.learning_rate: expected a finite number, found inf"),
        ("epsilon: 1.0e-8\n", "epsilon: 0\n", f"{RMSPROP}.epsilon: expected greater than 0"),
        ("in_root: false", "in_root: no", f"{RMSPROP}.epsilon_in_root: expected a valid boolean, found 'no'"),
        ("in_root: false", "in_root: 0", f"{RMSPROP}.epsilon_in_root: expected a valid boolean, found 0"),
        ("clip: 1.0e-7", "clip: 0.5", "models.mlp_rmsprop.loss.clip: expected less than 0.1, found 0.5"),
        ("onset: 1.10", "onset: 1.0", "overfitting.onset: expected greater than 1, found 1.0"),
        ("slight: 1.05", "slight: 1.30", "overfitting: slight is 1.3, above strong, which is 1.25"),
        # what must fit together
        ("validation: test", "validation: 0", f"{HELD_OUT} 0"),
        ("validation: test", "validation: true", f"{HELD_OUT} True"),
        ("validation: test", "validation: 5e3", f"{HELD_OUT} 5000.0"),
        ("validation: test", "validation: train", f"{HELD_OUT} 't"),
        # texts that become paths, addresses or arguments
        *[("  cnn:", f"  '{name}':", f"models.'{name}': {NAME} '{name}'") for name in WRONG_NAMES],
        ("  cnn:", '  "cnn\\n":', f"models.'cnn\\n': {NAME} 'cnn\\n'"),
        ("  cnn:", "  1:", "models.1: expected a valid string, found 1"),
        ("  cnn:", "  '9cnn':", f"models.9cnn: {NAME} '9cnn'"),
        ("  cnn:", "  _cnn:", f"models._cnn: {NAME} '_cnn'"),
        ("  cnn:", "  nul:", "models.nul: 'nul' is a reserved file name on Windows"),
        ("  cnn:", "  COM1:", "models.COM1: 'COM1' is a reserved file name on Windows"),
        ("  cnn:", "  MLP_Rmsprop:", "models: mlp_rmsprop and MLP_Rmsprop differ only in case: their files are the "),
        ("dataset: mnist", "dataset: mnist.v2", f"data.dataset: {NAME} 'mnist.v2'"),
        ("dataset: mnist", "dataset: a/b", f"data.dataset: {NAME} 'a/b'"),
        # keys that are named as the member of a union
        ("kernel: 3", "kernel: 3\n      cnn: 3", "models.cnn.network: unknown key 'cnn'; known here: name, filters"),
        ("name: rmsprop\n", "rmsprop: rmsprop\n", f"{RMSPROP}: missing name"),
        ("name: rmsprop\n", "name: [rmsprop]\n", f"{RMSPROP}: {KINDS} \"['rms"),
        ("name: rmsprop\n", "name: <rmsprop>\n", f"{RMSPROP}: {KINDS} '<rmspr"),
    ],
)
def test_each_fault_is_one_line(tmp_path: Path, old: str, new: str, fault: str) -> None:
    """The line has the key's path, what was expected and what was found."""
    found = faults(tmp_path, edited(old, new))

    assert len(found) == 1
    assert found[0].startswith(fault), found


@pytest.mark.fault("params: control characters in a value")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("split_seed:", '"\\e[31mred":'),
        ("  cnn:", '  "\\e[2J":'),
        ("dataset: mnist", 'dataset: "\\a\\e]0;title\\a"'),
        ("name: rmsprop\n", 'name: "\\e[31m"\n'),
        ("name: crossentropy", 'name: "\\u202e\\x9b"'),
    ],
)
def test_control_characters_are_escaped(tmp_path: Path, old: str, new: str) -> None:
    """No message sends a terminal anything that it would act on, whether as a key or as a value."""
    assert [line for line in faults(tmp_path, edited(old, new)) if not line.isprintable()] == []


ADMITTED = ("A", "a-b", "a--b", "a_", "a-", "key", "item", "null", "true", "nan", "inf", "on", "e5", "x" * 64)


def test_dvc_can_address_every_name_that_is_admitted(tmp_path: Path) -> None:
    """Under each name that is admitted DVC runs the stage with its params, and `-S` sets them."""
    path = tmp_path / "params.yaml"
    path.write_text(json.dumps({"models": {name: {"epochs": 3} for name in ADMITTED}}))
    (tmp_path / "dvc.yaml").write_text(
        "stages: {train: {foreach: '${models}', do: {cmd: 'echo ${item.epochs} > ${key}', outs: ['${key}'],"
        " params: ['models.${key}']}}}\n"
    )
    small.run(tmp_path, "git", "init", "--quiet")
    forks.run(tmp_path, "dvc", "init", "--quiet")

    forks.run(tmp_path, "dvc", "repro", "--quiet")
    apply_overrides(path, [f"models.{name}.epochs=5" for name in ADMITTED])

    assert [TypeAdapter(schema.Name).validate_python(name) for name in ADMITTED] == list(ADMITTED)
    assert {name: (tmp_path / name).read_text() for name in ADMITTED} == dict.fromkeys(ADMITTED, "3\n")
    assert files.read_yaml(path) == {"models": {name: {"epochs": 5} for name in ADMITTED}}


@pytest.mark.parametrize(
    "name", ["mlp.small", "9mlp", "1e5", "a+b", "a@b", "a:b", "a=b", "a,b", "a b", "\u00e4", "-a", "~x"]
)
def test_dvc_cannot_set_what_is_refused(tmp_path: Path, name: str) -> None:
    """Names are refused where `dvc exp run -S` does not take them as a key."""
    path = tmp_path / "params.yaml"
    path.write_text(json.dumps({"models": {name: {"epochs": 3}}}))

    with pytest.raises(InvalidArgumentError):
        apply_overrides(path, [f"models.{name}.epochs=5"])
    with pytest.raises(ValidationError):
        TypeAdapter(schema.Name).validate_python(name)


@pytest.mark.fault("params: empty, no mapping, tabs, NUL, 10 MB")
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "expected a mapping, found None"),
        ("# a comment\n", "expected a mapping, found None"),
        ("- data\n- train\n", "expected a mapping, found ['data', 'train']"),
        ("data\n", "expected a mapping, found 'data'"),
        (edited("  dataset:", "\tdataset:"), f"{NOT_YAML} (while scanning for the next token found character"),
        (edited("mnist", "mn\0ist"), f"{NOT_YAML} (unacceptable character #x0000"),
        (edited("mnist", "*x"), f"{NOT_YAML} (found undefined alias"),
        (edited("mnist", "!!python/object/apply:os.getcwd []"), f"{NOT_YAML} (could not determine a const"),
        (edited("mnist", "{{}}"), f"{NOT_YAML} (while constructing a mapping"),
        ("data: [\n", f"{NOT_YAML} (while parsing a flow node"),
        ("data: 1\n---\ndata: 2\n", f"{NOT_YAML} (expected a single document"),
        ("data: " + "[" * 1_000, f"{NOT_YAML} (maximum recursion depth exceeded"),
        (TEXT.encode("utf-16"), f"{NOT_YAML} ('utf-8' codec can't decode byte"),
        (b"#" * 10_000_000, "expected at most 1000000 bytes, found 10000000"),
    ],
)
def test_what_is_not_such_a_file_is_one_line(tmp_path: Path, text: str | bytes, fault: str) -> None:
    """Empty files, lists, tabs, NUL bytes, aliases to nothing, Python's tags, other encodings and ten megabytes."""
    found = faults(tmp_path, text)

    assert len(found) == 1
    assert found[0].startswith(fault), found


@pytest.mark.fault("params: duplicate key")
@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("  split_seed: 0\n", "  split_seed: 0\n  split_seed: 1\n", "split_seed"),
        ("  cnn:", "  mlp_rmsprop:", "mlp_rmsprop"),
        ("pool: 2\n", "pool: 2\n      pool: 2\n", "pool"),
        ("overfitting:", "train:", "train"),
    ],
)
def test_a_duplicate_key_is_refused(tmp_path: Path, old: str, new: str, key: str) -> None:
    """A key that stands twice is named with its lines, at any depth and even with equal values."""
    found = faults(tmp_path, edited(old, new))

    assert len(found) == 1
    assert f'found duplicate key "{key}"' in found[0]


@pytest.mark.fault("params: no such file")
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    """An absent file and a directory are input errors with the system's reason."""
    with pytest.raises(InputError, match=r"absent.yaml: cannot be read \(No such file or directory\)"):
        params.load(tmp_path / "absent.yaml")
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        params.load(tmp_path)


@pytest.mark.fault("params: aliases of aliases")
def test_aliases_do_not_blow_up_the_message(tmp_path: Path) -> None:
    """Ten nested aliases to ten each stand for 10^10 items; the line stays short and comes at once."""
    names = "abcdefghij"
    levels = [
        "&a [1]",
        *(f"&{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in pairwise(names)),
    ]
    bomb = f"[{', '.join(levels)}]"

    start = time.monotonic()
    found = faults(tmp_path, edited("dataset: mnist", f"dataset: {bomb}").replace("validation: test", "validation: *j"))

    assert time.monotonic() - start < 5
    assert len(found) == 2
    assert max(map(len, found)) < 200


def test_an_unknown_model_is_reported_with_the_known_ones(values: Params) -> None:
    """Asking for an unknown model names the known ones."""
    with pytest.raises(InputError, match="no model 'cnm'; known: mlp_rmsprop, mlp_adadelta, cnn"):
        values.model("cnm")


@pytest.mark.parametrize("path", ["data.dataset", "models", "train.seed", "overfitting.window"], ids=str)
def test_values_cannot_be_changed(values: Params, path: str) -> None:
    """Every object is frozen."""
    *parents, name = path.split(".")
    block: Any = values
    for parent in parents:
        block = getattr(block, parent)

    with pytest.raises(ValidationError, match="frozen"):
        setattr(block, name, getattr(block, name))


def test_the_projects_file_is_read_as_dvc_reads_it() -> None:
    """The reader and DVC's own parser give the same content, value for value and type for type."""
    ours, dvcs = files.read_yaml(FROZEN / "params.yaml"), parse_yaml(TEXT, "params.yaml")

    assert repr(ours) == repr(dvcs)


@pytest.mark.fault("params: values that YAML 1.1 and 1.2 read differently")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-8", 1e-8),
        ("1e-08", 1e-8),
        ("1E-8", 1e-8),
        ("1.0e-8", 1e-8),
        ("1e5", 1e5),
        ("NO", "NO"),
        ("on", "on"),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", 1000),
        ("1:30", "1:30"),
        ("~", None),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("True", True),
        ("'1e-8'", "1e-8"),
        ("2017-01-01", datetime.date(2017, 1, 1)),
    ],
)
def test_tricky_values_are_read_as_dvc_reads_them(text: str, value: Any) -> None:
    """Numbers and words that YAML 1.1 and 1.2 take differently mean the same here and to DVC."""
    ours = files.parse_yaml(f"key: {text}\n".encode(), Path("text"))["key"]
    dvcs = parse_yaml(f"key: {text}\n", "text")["key"]

    assert (ours, type(ours)) == (value, type(value))
    assert (dvcs, type(dvcs)) == (value, type(value))


@pytest.mark.parametrize("text", ["1e-8", "1e-08", "NO", "0o17", "1:30"])
def test_pyyaml_would_read_another_value(text: str) -> None:
    """PyYAML takes 1e-8 for a text and NO for false, so it cannot be the reader."""
    assert yaml.safe_load(f"key: {text}") != files.parse_yaml(f"key: {text}".encode(), Path("text"))


def test_what_dvc_writes_is_read_back(tmp_path: Path) -> None:
    """A value that DVC sets, as `dvc exp run -S` does, arrives as the number it is, and no other byte changes."""
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    with modify_yaml(str(path)) as content:
        content["models"]["mlp_rmsprop"]["optimizer"]["learning_rate"] = 1e-8
        content["train"]["seed"] = 5

    assert path.read_text() == edited("\n  seed: 0\n", "\n  seed: 5\n").replace("rate: 0.001", "rate: 1e-08")
    assert params.load(path).models["mlp_rmsprop"].optimizer.learning_rate == 1e-8


@pytest.mark.fault("params: several faults at once")
@pytest.mark.fault("params: faults met by a program")
def test_a_command_ends_with_2_and_the_lines(tmp_path: Path) -> None:
    """A real command prints a line per fault and nothing else, and returns 2."""
    path = tmp_path / "params.yaml"
    text = edited("epochs: 12", "epochs: 0").replace("split_seed", "split_sede")
    path.write_text(text.replace("  batch_size: 128\n", ""))

    line = [sys.executable, "-m", "pipeline.gate", "--params", str(path)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, env=os.environ, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"error: {path}: data: unknown key 'split_sede'; did you mean split_seed?",
        f"{path}: train.batch_size: missing",
        f"{path}: models.cnn.epochs: expected greater than 0, found 0",
    ]
