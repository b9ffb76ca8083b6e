"""What sides are, in what they differ, and what makes them impossible to compare."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.errors import InputError
from pipeline.verdicts import difference, training
from pipeline.verdicts.side import Side, read_side
from tests.support import changes
from tests.support.small import ROOT


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a repository with one commit."""
    monkeypatch.chdir(tmp_path)
    return changes.make(tmp_path)


def read(name: str) -> Side:
    """Return a side."""
    return read_side(name, training.prepared_data(Path("reports/data.json")), Path("work"))


def sides() -> tuple[Side, Side]:
    """Return HEAD and the workspace."""
    return read("HEAD"), read("workspace")


def changed(repository: Path, change: Callable[[dict[str, Any]], object]) -> dict[str, dict[str, Any]]:
    """Return the params that differ, by model, between HEAD and the workspace after a change of its params."""
    changes.edit(repository, change)
    head, workspace = sides()
    models = difference.changed_models(head, [workspace])
    return {name: difference.changed_params(head, workspace, name) for name in models}


def reasons() -> str:
    """Return why HEAD and the workspace cannot be compared."""
    with pytest.raises(InputError) as refused:
        difference.check_comparable(*sides())
    assert refused.value.what.startswith("not comparable: ")
    return refused.value.what.removeprefix("not comparable: ")


def test_a_side_is_a_commit_or_the_workspace(repository: Path) -> None:
    """A revision has the params of its commit; the workspace those of the file as it is, committed or not."""
    changes.edit(repository, lambda values: values["models"]["cnn"].update(epochs=7))

    head, workspace = sides()

    assert [one.models["cnn"]["model"]["epochs"] for one in (head, workspace)] == [1, 7]
    assert str(head) == f"HEAD ({changes.git(repository, 'rev-parse', 'HEAD')[:7]})"
    assert str(workspace) == "workspace"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda _: None, {}),
        (lambda v: v["train"].update(seed=5, threads=1), {}),
        (lambda v: v["overfitting"].update(slight=1.06), {}),
        (lambda v: v["models"]["cnn"].update(epochs=4), {"cnn": {"epochs": (1, 4)}}),
        (
            lambda v: v["models"]["cnn"].update(schedule={"name": "cosine"}),
            {"cnn": {"schedule.name": (None, "cosine")}},
        ),
        (
            lambda v: v["train"].update(batch_size=64),
            {name: {"train.batch_size": (128, 64)} for name in ("mlp_adadelta", "cnn")},
        ),
    ],
    ids=["nothing", "seed and threads", "rule", "epochs", "schedule", "batch size"],
)
def test_the_models_that_differ_are_found(
    repository: Path, change: Callable[[dict[str, Any]], object], expected: dict[str, Any]
) -> None:
    """A model differs if anything but chance does: neither the seed nor the number of threads is a change."""
    assert changed(repository, change) == expected


def test_a_model_of_one_side_alone_is_none_that_differs(repository: Path) -> None:
    """It cannot be compared; asked for by its name, it is refused."""
    changes.edit(repository, lambda v: v["models"].update(deep=v["models"].pop("cnn")))

    head, workspace = sides()

    assert difference.changed_models(head, [workspace]) == {}
    with pytest.raises(InputError, match=r"not comparable: workspace has no model 'cnn'; it has mlp_adadelta, deep"):
        difference.changed_models(head, [workspace], "cnn")


@pytest.mark.fault("verdict: two sides that share no model")
def test_sides_that_share_no_model_are_not_comparable(repository: Path) -> None:
    """The models of both are named."""
    changes.edit(repository, lambda v: v.update(models={f"{name}_2": one for name, one in v["models"].items()}))
    head, workspace = sides()
    with pytest.raises(InputError) as refused:
        difference.changed_models(head, [workspace])
    words = "has the models mlp_adadelta, cnn, and workspace has mlp_adadelta_2, cnn_2: none is shared"
    assert str(refused.value) == f"not comparable: {head} {words}"


@pytest.mark.fault("verdict: sides with other data")
@pytest.mark.parametrize(
    ("key", "value"), [("validation", 200), ("split_seed", 3)], ids=["validation images", "another split"]
)
def test_other_images_are_not_comparable(repository: Path, key: str, value: int) -> None:
    """The setting that differs is named with both values."""
    before = read("HEAD").data[key]
    changes.edit(repository, lambda values: values["data"].update({key: value}))

    assert reasons() == f"data.{key} is {before} in {read('HEAD')} and {value} in workspace"


@pytest.mark.fault("verdict: sides with other data")
def test_another_data_set_is_not_comparable(repository: Path) -> None:
    """Neither is one of another name, nor one of this name that is described as other images; a new title is."""
    path = repository / "data" / "sets" / "digits.yaml"
    described = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(described | {"title": "Other words"}))
    difference.check_comparable(*sides())

    path.write_text(yaml.safe_dump(described | {"counts": {"train": 1399, "test": 397}}))
    assert reasons().endswith("differs between " + " and ".join(map(str, sides())) + " (counts)")

    shutil.copy(path, path.with_name("others.yaml"))
    changes.edit(repository, lambda values: values["data"].update(dataset="others"))
    assert reasons().startswith("data.dataset is digits in HEAD")


@pytest.mark.fault("verdict: sides with other data")
def test_data_that_dvc_recorded_as_other_is_not_comparable(repository: Path) -> None:
    """The md5 of the preprocessed data in each side's dvc.lock counts, where both have one."""

    def record(md5: str) -> None:
        out = {"path": "data/processed/digits.npz", "md5": md5}
        (repository / "dvc.lock").write_text(yaml.safe_dump({"stages": {"preprocess": {"outs": [out]}}}))

    record("1" * 32)
    with pytest.raises(InputError):
        training.prepared_data(Path("reports/data.json"))
    (repository / "dvc.lock").unlink()
    data = training.prepared_data(Path("reports/data.json"))
    record("1" * 32)
    changes.commit(repository)
    record("2" * 32)

    with pytest.raises(InputError, match=r"not comparable: dvc\.lock of HEAD .* record different preprocessed data"):
        difference.check_comparable(*(read_side(name, data, Path("work")) for name in ("HEAD", "workspace")))


@pytest.mark.fault("verdict: files of another shape")
@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("dvc.lock", "stages: {a: 5}\n", "dvc.lock: not a lock file as DVC writes it"),
        ("dvc.lock", "[1]\n", "dvc.lock: not a lock file as DVC writes it"),
        ("data/sets/digits.yaml", "7\n", "data/sets/digits.yaml: not the file of a data set"),
        ("params.yaml", "[]\n", "params.yaml: "),
    ],
)
def test_a_file_of_another_shape_is_one_line(repository: Path, path: str, content: str, words: str) -> None:
    """YAML that is none of the kind is an error that names the file, in a commit too."""
    data = training.prepared_data(Path("reports/data.json"))
    (repository / path).write_text(content)
    commit = changes.commit(repository)
    for name, place in (("workspace", ""), (commit, f"{commit}:")):
        with pytest.raises(InputError) as refused:
            read_side(name, data, Path("work"))
        assert str(refused.value).startswith(place + words)
        assert len(str(refused.value).splitlines()) == 1


@pytest.mark.fault("verdict: sides with other versions of libraries")
def test_other_libraries_are_not_comparable(repository: Path) -> None:
    """One environment trains both sides, so what they pin of keras, numpy and TensorFlow has to be the same."""
    (repository / "requirements.lock").write_text("keras==3.1 ; x\nidna==3 \\\nnumpy==2.1 \\\n")
    changes.commit(repository)
    (repository / "requirements.lock").write_text("keras==3.1 ; y\nidna==4 \\\nnumpy==2.2 \\\n")

    head = read("HEAD")
    assert reasons().startswith(f"requirements.lock of {head} pins numpy 2.1, that of workspace 2.2")


@pytest.mark.fault("verdict: invalid params in a revision")
def test_a_fault_in_the_params_of_a_revision_names_it(repository: Path) -> None:
    """File and revision, key and fault are one line, also where another batch does not fit the images."""
    changes.edit(repository, lambda values: values["models"]["cnn"].update(epochs=0))
    changes.commit(repository)
    with pytest.raises(InputError) as refused:
        read("HEAD")
    assert str(refused.value).startswith("HEAD:params.yaml: models.cnn.epochs: ")

    changes.edit(repository, lambda values: values["models"]["cnn"].update(epochs=1))
    changes.edit(repository, lambda values: values["train"].update(batch_size=1401))
    with pytest.raises(InputError, match=r"params\.yaml: train\.batch_size: expected at most the 1400 training images"):
        read("workspace")


@pytest.mark.slow
@pytest.mark.fault("verdict: a side whose code cannot be run")
def test_code_that_does_not_run_is_one_line(repository: Path) -> None:
    """Code with a syntax error, another rule for params, or without the program that is asked is named."""
    shutil.copytree(ROOT / "pipeline", repository / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    describe, settings = (repository / "pipeline" / path for path in ("verdicts/describe.py", "training/settings.py"))
    content = {path: path.read_text() for path in (describe, settings)}
    describe.unlink()
    changes.commit(repository)
    describe.write_text(content[describe])
    changes.git(repository, "tag", "old")
    since = changes.commit(repository)

    with pytest.raises(InputError, match=r"not comparable: old has no pipeline/verdicts/describe\.py") as refused:
        read("old")
    assert refused.value.fix == f"compare with a commit from {since[:7]} on"

    settings.write_text(content[settings] + "\n)")
    changes.commit(repository)
    settings.write_text(content[settings].replace("class Model(Block):", "class Model(Block):\n    colour: int\n"))
    with pytest.raises(InputError, match=r"HEAD:params\.yaml: its code does not run \(SyntaxError: unmatched '\)'\)"):
        read("HEAD")
    with pytest.raises(InputError, match=r"params\.yaml: models\.mlp_adadelta\.colour: "):
        read_side(changes.commit(repository), training.prepared_data(Path("reports/data.json")), Path("work"))
