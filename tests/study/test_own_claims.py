"""Claims of one's own about a plan of one's own on another data set: the README's example, from files to the page."""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats

from pipeline.errors import InputError
from pipeline.study import report
from pipeline.trials import plan
from tests.support import study_runs
from tests.support.frozen import FROZEN
from tests.support.study_ledger import ROOT
from tests.support.study_pages import audited, rows, section
from tests.support.study_runs import MADE, Made

Run = Callable[..., str]
SUMMARY = {**study_runs.SUMMARY, "dataset": "kmnist", "title": "Kuzushiji-MNIST", "sha256": "a" * 64}
CLAIMS = next(one for one in re.findall(r"```yaml\n(.*?)```", (ROOT / "study" / "README.md").read_text(), re.DOTALL))
MEANS: dict[str, Made] = {
    "kmnist_mlp": dataclasses.replace(MADE["fashion_mlp_adadelta"], test=0.90),
    "kmnist_cnn": dataclasses.replace(MADE["fashion_cnn"], test=0.96),
    "kmnist_cnn_permuted": dataclasses.replace(MADE["fashion_cnn"], test=0.93),
}


def planned() -> dict[str, Any]:
    """Return a plan of three of the project's networks on Kuzushiji-MNIST, with five seeds each."""
    values = yaml.safe_load((FROZEN / "study" / "params.yaml").read_text())
    variants = values["variants"]
    chosen = {"kmnist_mlp": "mlp_adadelta", "kmnist_cnn": "cnn", "kmnist_cnn_permuted": "cnn_permuted"}
    values["variants"] = {name: {**variants[old], "dataset": "kmnist", "seeds": 5} for name, old in chosen.items()}
    values["data"]["sets"] = ["kmnist"]
    values["statistics"]["comparisons"] = [["kmnist_cnn", "kmnist_mlp"], ["kmnist_cnn_permuted", "kmnist_cnn"]]
    return values


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that writes the page on claims, by default the README's, from a ledger on disk."""
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(planned(), sort_keys=False))
    values = yaml.safe_load((FROZEN / "params.yaml").read_text())
    values["verdict"]["kmnist"] = {"accuracy": 0.001}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    (tmp_path / "data").mkdir()
    for name, content in (
        ("data/kmnist", SUMMARY),
        ("reproduced", {"dataset": "mnist"}),
        ("metrics", study_runs.REPRODUCED),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    for one in plan.replicates(plan.load_study(tmp_path / "plan.yaml"), {"kmnist": SUMMARY["sha256"]}):
        study_runs.write(tmp_path / "runs", study_runs.entry(one, MEANS[one.variant]))
    monkeypatch.chdir(ROOT)

    def run(claims: str = CLAIMS) -> str:
        (tmp_path / "claims.yaml").write_text(claims)
        options: dict[str, Any] = {"params": tmp_path / "params.yaml"}
        options |= {
            "study": "plan.yaml",
            "claims": "claims.yaml",
            "summaries": "data",
            "runs": "runs",
            "output": "page",
        }
        options |= {"metrics": "metrics.json", "reproduced": "reproduced.json"}
        monkeypatch.setattr("sys.argv", ["report", *(f"--{name}={tmp_path / one}" for name, one in options.items())])
        assert report.main() == 0
        return (tmp_path / "page" / "claims.md").read_text()

    return run


def errors(variant: str) -> np.ndarray:
    """Return a variant's test errors by seed."""
    study = plan.Study.model_validate(planned() | {"data": planned()["data"] | {"sets": ("kmnist",)}}, strict=False)
    ones = [one for one in plan.replicates(study, {"kmnist": SUMMARY["sha256"]}) if one.variant == variant]
    return np.array([len(study_runs.entry(one, MEANS[variant]).errors) / 10_000 for one in ones])


def test_the_readmes_claims_are_judged(run: Run) -> None:
    """Each reading has its verdict and the interval of scipy's Welch test; nothing else is said to be claimed."""
    page = run()

    by_ratio, by_pair = audited(page)
    assert [by_ratio[-2], by_pair[-2]] == ["*supported*", "*not supported*"]
    logs = [np.log(errors(name)) for name in ("kmnist_cnn", "kmnist_mlp")]
    low, high = np.exp(stats.ttest_ind(*logs, equal_var=False).confidence_interval())
    assert f"{np.exp(logs[0].mean() - logs[1].mean()):.3f} ({low:.3f} to {high:.3f})" in by_ratio[2]
    assert by_pair[2].startswith("`kmnist_cnn_permuted` minus `kmnist_cnn`: \u22123.0")
    short = section(page, "In short")
    assert short.startswith("A note of mine makes two claims about Kuzushiji-MNIST. Here 15 replicates of the variants")
    assert [row[1] for row in rows(page, "The claims")[1:]] == [
        "By test error: *supported*.",
        "By the planned comparison: *not supported*.",
    ]


def test_the_page_has_only_what_concerns_them(run: Run, tmp_path: Path) -> None:
    """It speaks of no claim, network or data set of the original, and the tables of what there is not are empty."""
    page = run()

    assert page.startswith("# What becomes of my two claims\n")
    for foreign in ("original", "mlp_rmsprop", " MNIST", "Fashion", "RMSprop", "None", "nan"):
        assert foreign not in page, foreign
    assert "One more seed" not in page
    assert "There was no pilot" in page
    written = {path.stem: path.read_text() for path in (tmp_path / "page").glob("*.csv")}
    assert written.keys() >= {*re.findall(r"\]\(([a-z]+)\.csv\)", page)}
    assert '\n"claim 2, by the planned comparison",not supported,' in written["power"]
    for name in ("spread", "pilot", "convergence"):
        assert len(written[name].splitlines()) == 1


def test_other_bounds_are_other_verdicts(run: Run) -> None:
    """The verdict follows the bounds; where they leave a gap that the interval is in, it is undecided."""
    stricter = CLAIMS.replace("all < 0.5", "all < 0.2").replace("all > 0.5", "all > 0.2")

    assert audited(run(stricter))[0][-2] == "*not supported*"
    assert audited(run(CLAIMS.replace("all < 0.5", "all < 0.2")))[0][-2] == "*undecided*"


def test_an_empty_ledger_has_a_whole_page(run: Run, tmp_path: Path) -> None:
    """Nothing is decided, no figure is drawn, and an answer that names a result is not given before there is one."""
    shutil.rmtree(tmp_path / "runs")
    answered = CLAIMS.replace(
        "    readings:\n", "    answer: {verdicts: [undecided], text: 'It is open: {a1}.'}\n    readings:\n"
    )

    page = run(answered)

    assert [row[-2] for row in audited(page)] == ["*undecided*"] * 2
    assert "On Kuzushiji-MNIST nothing has been run yet: none of the 15 planned replicates exists." in page
    assert "It is open" not in page
    assert not re.search(r"[{}]|None|nan|!\[", page)
    assert {path.stem for path in (tmp_path / "page").glob("*.csv")} >= {*re.findall(r"\]\(([a-z]+)\.csv\)", page)}


def test_an_answer_and_each_kind_of_figure_are_shown(run: Run, tmp_path: Path) -> None:
    """The sentence has the reading's result and settings; a picture is drawn also of what no side of a bound has."""
    more = CLAIMS.replace(
        "    claim: The CNN makes less than half of the MLP's errors.\n",
        """    claim: The CNN makes less than half of the MLP's errors.
    answer: {verdicts: [supported], text: "It does: {a1} of them, with {kmnist_cnn.epochs} epochs."}
    figure: {name: curves, alt: Losses, caption: By epoch., measure: loss, variants: [kmnist_mlp], columns: {it: loss}}
""",
    ).replace(
        "    claim: Shuffled pixels cost the CNN nothing.\n",
        """    claim: Shuffled pixels cost the CNN nothing.
    figure:
      {name: shuffled, alt: Errors, caption: By seed., outcome: test_error, axis: error, ends: [before, after],
       pairs: {kmnist_cnn: kmnist_cnn_permuted}}
""",
    )
    more = more.replace("{no relevant difference: supported, worse: not supported}", "{worse: undecided}")
    more += """
  3:
    claim: The MLP learns all.
    datasets: [kmnist]
    readings:
      - {reading: by training accuracy, measure: it, rule: it, outcome: train_accuracy, show: share,
         contrasts: {it: {kmnist_mlp: 1}}, supported: all >= 0.99, not_supported: all < 0.99}
    figure:
      {name: learned, alt: Accuracies, caption: By seed., axis: accuracy, variants: [kmnist_mlp, kmnist_cnn],
       outcomes: {training: train_accuracy, test: test_accuracy}, bound: 0.99}
"""

    page = run(more)

    (said, other, _) = (row[1] for row in rows(page, "The claims")[1:])
    assert said == f"It does: {audited(page)[0][2].partition(': ')[2]} of them, with 12 epochs."
    assert other == "By the planned comparison: *undecided*."
    pictures = {path.stem for path in (tmp_path / "page" / "figures").iterdir()}
    assert pictures == {"curves", "shuffled", "learned", "readings", "effects", "rises"}
    assert all(f"(figures/{name}.png)" in page for name in pictures)


def test_the_smallest_difference_is_the_one_that_verdicts_on_changes_take(run: Run, tmp_path: Path) -> None:
    """It is that of params.yaml for the claims' data set; a study on data without one is refused with what to add."""
    path = tmp_path / "params.yaml"
    values = yaml.safe_load(path.read_text())

    path.write_text(yaml.safe_dump(values | {"verdict": {"kmnist": {"accuracy": 0.1}}}))
    assert audited(run())[1][-2] == "*supported*"

    path.write_text(yaml.safe_dump(values | {"verdict": {"mnist": {"accuracy": 0.1}}}))
    with pytest.raises(InputError) as caught:
        run()
    assert str(caught.value).startswith(f"{path}: verdict.kmnist.accuracy is not set, so nothing says which difference")
