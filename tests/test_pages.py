"""Pages that follow from other committed files, and what has to agree, whatever models and data there are."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline import files
from pipeline.analysis.overfitting import OverfittingVerdict
from pipeline.trials import ledger
from tests.support import agreement, changes, forks, pages, readme, recomputed, small, study_ledger, study_runs
from tests.support.readme import Language

PAGE = "# A page\n\n<!-- {0} -->\nwhat was there\n<!-- /{0} -->\n\nThe end.\n"
SPREAD = "variant,allowed_drop,lowest\nmlp_rmsprop,0.0047,0.99\ncnn,0.0026,0.9881\n"
PREDICTION = "variant,outcome,n,low,high,original,within\n"


Call = Callable[..., tuple[int, str]]


def write_results(accuracies: dict[str, float], dataset: str = "mnist", images: int = 10_000) -> None:
    """Write results of models with these test accuracies."""
    scores = {
        name: {"test_accuracy": accuracy, "test_errors": round(images * (1 - accuracy)), "train_accuracy": 0.999}
        for name, accuracy in accuracies.items()
    }
    files.write_json(Path("reports/metrics.json"), scores)
    files.write_json(Path("reports/data.json"), {"dataset": dataset, "splits": {"test": {"count": images}}})
    rows = "".join(f"{name},1.256,slight\n" for name in accuracies)
    files.write_text(Path("reports/overfitting.csv"), f"model,rise,verdict\n{rows}")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with params, what the original printed, and results of two of its models."""
    small.copy(tmp_path, "params.yaml", "study/params.yaml", "study/claims.yaml", "study/dvc.yaml")
    small.copy(tmp_path, "data/report_history.csv")
    monkeypatch.chdir(tmp_path)
    write_results({"mlp_rmsprop": 0.98189, "cnn": 0.9912})


def test_the_table_has_a_column_for_each_model() -> None:
    """Its numbers are those of reports/ and of the original's last epoch, and the rule's window is that of params."""
    assert readme.results(Language.ENGLISH).splitlines() == [
        "| After the last epoch | `mlp_rmsprop` | `cnn` |",
        "|---|---:|---:|",
        "| Test accuracy | 98.19% | 99.12% |",
        "| Test accuracy of the original | 98.34% | 99.02% |",
        "| Test errors, of 10,000 | 181 | 88 |",
        "| Train accuracy, without dropout | 99.90% | 99.90% |",
        "| Rise: mean `val_loss` of the last 3 epochs, divided by the lowest such mean | 1.26 | 1.26 |",
        "| Verdict on overfitting | *slight* | *slight* |",
    ]
    assert readme.results(Language.JAPANESE).splitlines()[-1] == "| 過学習の判定 | わずか | わずか |"


@pytest.mark.parametrize(
    ("accuracies", "dataset", "row"),
    [
        ({"mine": 0.9, "cnn": 0.99}, "mnist", ["| Test accuracy of the original | \u2013 | 99.02% |"]),
        ({"mine": 0.9}, "mnist", []),
        ({"cnn": 0.9}, "fashion_mnist", []),
    ],
    ids=["another model", "only another model", "other data"],
)
def test_the_original_is_compared_where_it_has_such_a_model(
    accuracies: dict[str, float], dataset: str, row: list[str]
) -> None:
    """Its row is there if it printed an accuracy for a model on this data set."""
    write_results(accuracies, dataset, 500)

    table = readme.results(Language.ENGLISH).splitlines()

    assert [line for line in table if "original" in line] == row
    assert f"| Test errors, of 500 | {' | '.join(str(round(500 * (1 - a))) for a in accuracies.values())} |" in table


def test_a_model_of_too_few_epochs_has_no_rise() -> None:
    """Its cell has a dash, and each verdict has a word in Japanese."""
    files.write_text(
        Path("reports/overfitting.csv"), "model,rise,verdict\nmlp_rmsprop,,cannot be judged\ncnn,1,slight\n"
    )

    assert readme.results(Language.ENGLISH).splitlines()[-2].endswith("| \u2013 | 1.00 |")
    assert readme.JAPANESE_VERDICTS.keys() == set(OverfittingVerdict)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (["cnn,test_loss,5,0,1,0.5,True"] * 2, "**The reproduction worked**: 2 of 2 final scores"),
        # By chance one of two 95% intervals misses in 10% of cases, both in 0.25%.
        (["cnn,test_loss,5,0,1,0.5,True", "cnn,rise,5,0,1,2,False"], "**The reproduction worked**: 1 of 2 final"),
        (["cnn,rise,5,0,1,2,False"] * 2, "Of 2 final scores of the original, printed or"),
        (["cnn,test_loss,5,0,1,,"], ""),
        ([], ""),
        (None, ""),
    ],
    ids=["all", "most", "none", "not of the original", "empty", "no study"],
)
def test_the_originals_scores_are_counted(rows: list[str] | None, sentence: str) -> None:
    """The sentence counts those within the study's intervals; without such intervals there is none."""
    if rows is not None:
        files.write_text(Path("study/reports/prediction.csv"), PREDICTION + "".join(f"{row}\n" for row in rows))

    said = readme.predictions(Language.ENGLISH)

    assert said.startswith(sentence)
    assert bool(said) == bool(sentence)


@pytest.mark.parametrize("language", Language)
def test_only_the_marked_parts_are_written(language: Language) -> None:
    """What stands before, between and after them stays; a page without any, or with an empty one, has none."""
    page = "".join(PAGE.format(name) for name in readme.PARTS)

    written = readme.renewed(page, language)

    assert re.sub(r"(?<= -->\n)[^<]*(?=<!-- /)", "what was there\n", written) == page
    assert "<!-- predictions -->\n<!-- /predictions -->\n" in written
    assert readme.results(language) in written
    assert readme.renewed(written, language) == written
    assert readme.renewed("# No parts\n", language) == "# No parts\n"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a call of the command for the README alone, which gives its exit code and what it printed."""
    monkeypatch.setattr(pages, "WRITTEN", {"README.md": pages.WRITTEN["README.md"]})

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["pages", *words])
        return pages.main(), capsys.readouterr().out

    return run


def test_a_page_that_is_behind_is_named_and_written(call: Call) -> None:
    """The check writes nothing, names the page and the command, and ends with 1; after the command it passes."""
    page = PAGE.format("results")
    Path("README.md").write_text(page)

    assert call("--check") == (1, "README.md is behind: `make pages` renews it\n")
    assert Path("README.md").read_text() == page
    assert call() == (0, "README.md written\n")
    assert call("--check")[0] == 0
    assert call() == (0, "")


def only_one_of_ones_own(values: dict[str, Any]) -> None:
    """Leave one model, with a name and settings of its own."""
    values["models"] = {"mine": values["models"]["cnn"] | {"epochs": 2}}
    values["gate"] = {"mnist": {"default": {"test_accuracy": {"min": 0.9}}}}


@pytest.mark.parametrize(
    ("change", "dataset"),
    [
        (lambda values: values["train"].update(instructions="avx2"), "mnist"),
        (lambda values: values["models"].update(mlp_small=values["models"]["mlp_rmsprop"] | {"epochs": 7}), "mnist"),
        (lambda values: [values["models"].pop("cnn"), values["gate"]["mnist"]["models"].pop("cnn")], "mnist"),
        (lambda values: values["data"].update(validation=5000), "mnist"),
        (lambda values: values["data"].update(dataset="fashion_mnist"), "fashion_mnist"),
        (only_one_of_ones_own, "mnist"),
    ],
    ids=["other bits", "one more", "one less", "held-out images", "other data", "one of one's own"],
)
def test_after_a_change_the_pages_can_be_renewed(
    call: Call, change: Callable[[dict[str, Any]], object], dataset: str
) -> None:
    """With the results of other params, the check names the README, and passes once it is written."""
    files.write_text(Path("study/reports/spread.csv"), SPREAD)
    Path("README.md").write_text(PAGE.format("results"))
    call()
    changes.edit(Path(), change)
    write_results(dict.fromkeys(yaml.safe_load(Path("params.yaml").read_text())["models"], 0.97), dataset)

    assert call("--check") == (1, "README.md is behind: `make pages` renews it\n")
    assert call() == (0, "README.md written\n")
    assert call("--check")[0] == 0


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        (["gate", "mnist", "models", "cnn", "test_accuracy", "max_drop"], 0.002, ["cnn"]),
        (["gate", "mnist", "models", "cnn", "test_accuracy", "max_drop"], 0.01, []),
        (["gate", "mnist", "models", "cnn", "test_accuracy", "min"], 0.9882, ["cnn"]),
        (["models", "cnn", "epochs"], 13, []),
        (["data", "dataset"], "fashion_mnist", []),
    ],
    ids=["too small", "larger", "too high", "other settings", "other data"],
)
def test_a_bound_that_the_seed_alone_breaks_is_named(path: list[str], value: object, found: list[str]) -> None:
    """A max_drop or a min that one seed breaks is, for the models that the study has; one may allow more."""
    files.write_text(Path("study/reports/spread.csv"), SPREAD)
    *parents, key = path
    changes.edit(Path(), lambda values: values["data"].update(validation=5000))
    changes.edit(Path(), lambda values: reduce(getitem, parents, values).update({key: value}))

    faults = list(agreement.gate_faults())

    assert [re.findall(r"gate.mnist: (\w+).test_accuracy", fault)[0] for fault in faults] == found


def test_the_studys_report_follows_from_its_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are not as the ledger gives them are named, and no others; without a study there are none.

    So are single numbers that numpy and scipy do not find again.
    """
    assert list(agreement.report_faults()) == list(agreement.ledger_faults()) == list(recomputed.faults()) == []
    small.copy(Path(), "benchmarks/results.json")
    whole = study_runs.whole()
    of = study_runs.with_seeds(whole, **dict.fromkeys(whole.variants, 3)).model_copy(update={"first_seed": 10})
    study_runs.write_study(Path("study"), of)
    facts = {"commit": "c" * 40, "replicates": 9, "first_seed": 0, "last_seed": 9, "verdicts": {}}
    files.write_json(Path("study/pilot.yaml"), facts)
    Path("study/reports").mkdir()
    Path("study/data").rename("study/reports/data")
    monkeypatch.setenv("PYTHONPATH", str(small.ROOT))
    command = files.read_yaml(Path("study/dvc.yaml"))["stages"]["report"]["cmd"]
    forks.run(Path.cwd(), "bash", "-euc", command.replace("cd .. && ", ""))

    assert list(agreement.ledger_faults()) == list(agreement.report_faults()) == list(recomputed.faults()) == []
    for name, column in (("comparisons", "simultaneous_high"), ("prediction", "low"), ("claims", "high")):
        path = Path(f"study/reports/{name}.csv")
        written, table = path.read_bytes(), pd.read_csv(path)
        table.loc[table[column].first_valid_index(), column] += 1e-6
        table.to_csv(path, index=False)
        (fault,) = recomputed.faults()
        assert fault.startswith(f"{path}: ")
        path.write_bytes(written)

    with Path("study/reports/claims.md").open("a") as file:
        file.write("More.\n")
    Path("study/reports/figures/old.png").write_bytes(b"")
    (fault,) = agreement.report_faults()
    assert fault.endswith("(claims.md and figures/old.png)")

    content = json.loads(study_ledger.line(Path("study/runs"), "mlp_rmsprop", 10))
    del content["sha256"]
    content["ingredients"]["model"]["epochs"] = 7
    ledger.append(Path("study/runs"), content)
    study_ledger.damage(Path("study/runs"), "mlp_rmsprop", 11)
    damaged, foreign = agreement.ledger_faults()
    assert "mlp_rmsprop.jsonl, line 2: damaged" in damaged
    assert foreign.startswith("study/runs/mlp_rmsprop.jsonl: seed 10 was made with other params")


@pytest.mark.parametrize(
    ("first", "second", "low", "high", "count"),
    [
        ("mlp", "cnn", 0.001, 0.002, 1),
        ("cnn", "mlp", -0.002, -0.001, 1),
        ("mlp", "cnn", -0.001, 0.002, 0),
        ("mlp", "cnn", -0.002, -0.001, 0),
        ("cnn", "mlp", 0.001, 0.002, 0),
        ("mlp", "other", 0.001, 0.002, 0),
    ],
)
def test_a_pair_that_the_study_orders_the_other_way_is_named(
    first: str, second: str, low: float, high: float, count: int
) -> None:
    """The report's significant difference contradicts the study where the interval over seeds is on the other side."""
    sentence = "- `cnn` makes significantly fewer errors than `mlp`: of the 9 images ...\n"
    files.write_text(Path("reports/report.md"), sentence)
    columns = "first,second,simultaneous_low,simultaneous_high"
    files.write_text(Path("study/reports/comparisons.csv"), f"{columns}\n{first},{second},{low},{high}\n")

    assert len(list(agreement.pair_faults())) == count


def test_tuned_settings_are_those_of_the_best_candidate() -> None:
    """Other settings than those with the highest mean held-out accuracy are named, once all candidates exist."""
    assert list(agreement.tuning_faults()) == []
    whole = study_runs.whole()
    names = ("mlp_adadelta", "mlp_adadelta_no_dropout")
    one, other = (whole.variants[name].model_copy(update={"seeds": 2}) for name in names)
    scores: dict[str, list[float]] = {}
    for settings in (one, other):
        tuned = settings.model_copy(update={"first_seed": 50, "seeds": 1})
        variants = {**dict(zip(names, (one, other), strict=True)), "mlp_adadelta_tuned": tuned}
        statistics = whole.statistics.model_copy(update={"comparisons": (names,), "added": ()})
        data = whole.data.model_copy(update={"sets": ("mnist",)})
        of = whole.model_copy(update={"variants": variants, "statistics": statistics, "data": data})
        shutil.rmtree("study/runs", ignore_errors=True)
        study_runs.write_study(Path("study"), of)
        for name in names:
            table = pd.read_json(f"study/runs/{name}.jsonl", lines=True)
            scores[name] = [splits["validation"]["accuracy"] for splits in table["splits"]]
        best = one if np.mean(scores[names[0]]) > np.mean(scores[names[1]]) else other

        assert len(list(agreement.tuning_faults())) == (settings is not best)

        path = Path("study/runs/mlp_adadelta.jsonl")
        files.write_text(path, path.read_text().splitlines(keepends=True)[0])
        assert list(agreement.tuning_faults()) == []
