"""The study's report: its page, tables and figures follow from the ledger alone."""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pipeline import params
from pipeline.errors import InputError
from pipeline.params import Params
from pipeline.reporting.plots import curves, effects, style
from pipeline.study import comparisons, groups, ledger, report
from pipeline.study.ledger import Entry, EntryState, Lookup
from pipeline.study.plan import Replicate, Study
from pipeline.study.report import StudyReport
from tests.support import study_runs

ROOT = Path(__file__).parents[2]
UNDECIDED = 14


def four() -> Study:
    """Return the project's study with four seeds for each variant."""
    return study_runs.study(**dict.fromkeys(study_runs.study().variants, 4))


@pytest.fixture(scope="module")
def lookups() -> list[Lookup]:
    """Return all planned replicates."""
    return study_runs.lookups(four())


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the drawing in tests of text and numbers."""
    for module, name in ((curves, "bands"), (effects, "intervals"), (effects, "changes"), (style, "png")):
        monkeypatch.setattr(module, name, lambda *_, **__: b"")


def made(lookups: list[Lookup], values: Params, study: Study | None = None) -> StudyReport:
    """Return the report on these replicates."""
    inputs = study_runs.SUMMARY, study_runs.REPRODUCED, study_runs.BENCHMARKS
    return report.report(study or four(), values.overfitting, lookups, *inputs)


def section(markdown: str, title: str) -> str:
    """Return the part of the page below a heading, as one line."""
    return " ".join(markdown.split(f"## {title}\n")[1].split("\n## ")[0].split())


def audited(markdown: str) -> list[list[str]]:
    """Return the rows of the audit: claim, reading, measure, result, seeds and verdict."""
    claims = range(1, 8)
    return [[str(claim), *row] for claim in claims for row in rows(markdown, f"Readings of claim {claim}")[1:]]


def rows(markdown: str, caption: str) -> list[list[str]]:
    """Return the cells of a table of the page, head first."""
    lines = markdown.split(f"**{caption}**\n\n")[1].split("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines]
    return [cells[0], *cells[2:]]


def scores(lookups: list[Lookup], variant: str, of: Callable[[Entry], float]) -> np.ndarray:
    """Return a score of a variant's replicates by seed."""
    return np.array([of(entry) for _, entry, _ in lookups if entry is not None and entry.variant == variant])


def accuracy(entry: Entry) -> float:
    """Return its test accuracy, from the misclassified images."""
    return 1 - len(entry.errors) / 10_000


@pytest.fixture(scope="module")
def whole(lookups: list[Lookup]) -> StudyReport:
    """Return the report on all replicates, figures and all."""
    return made(lookups, params.load(ROOT / "params.yaml"))


def test_page_links_to_what_is_there(whole: StudyReport) -> None:
    """Every figure and table that the page names is part of the report, and every figure is on the page."""
    shown = re.findall(r"!\[[^]]+\]\(figures/([^)]+)\)", whole.markdown)
    linked = set(re.findall(r"\]\(([a-z]+)\.csv\)", whole.markdown))

    assert sorted(shown) == sorted(whole.figures)
    assert len(shown) == 5
    assert linked == set(whole.tables)


def test_page_is_whole_markdown(whole: StudyReport) -> None:
    """Each table has as many cells in every row as in its head, headings stand alone, and no template is left over."""
    for block in re.findall(r"(?:^\|.*\n)+", whole.markdown, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1
    for line in whole.markdown.splitlines():
        if line.startswith("#"):
            assert f"\n\n{line}\n\n" in f"\n\n{whole.markdown}"
    assert not re.search(r"[{}]|None|nan|\bTrue\b", whole.markdown)


def test_no_number_stands_more_than_twice(whole: StudyReport) -> None:
    """Each estimate with an interval is with its claim, and at most once more in the table of its subject."""
    intervals = re.findall(r"[+\u2212]?\d[\d.]*%? to [+\u2212]?\d[\d.]*%?(?: at \d[\d.]*%)?", whole.markdown)

    wide = [text for text in intervals if len(set(text.split(" at ")[0].split(" to "))) == 2]
    often = {text: count for text, count in Counter(wide).items() if count > 2}

    assert len(set(wide)) > 80
    assert often == {}


def test_html_page_needs_nothing_else_and_says_the_same(whole: StudyReport) -> None:
    """It holds its figures and has no other address than the original's; its cells are those of the Markdown page."""
    addresses = re.findall(r'(?:src|href)="([^"]*)"', whole.html)
    outside = [one for one in addresses if not one.startswith(("#", "data:"))]
    embedded = [base64.b64decode(one.partition(",")[2]) for one in addresses if one.startswith("data:image/png")]
    anchors = {one[1:] for one in addresses if one.startswith("#")}

    assert set(outside) == {"https://github.com/psato/Keras-MNIST"}
    assert sorted(embedded) == sorted(whole.figures.values())
    assert anchors <= set(re.findall(r'id="([^"]*)"', whole.html))
    cells = re.findall(r"<t[hd](?: scope=\"\w+\")?>(.*?)</t[hd]>", whole.html)
    plain = [html.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in cells]
    tables = re.findall(r"(?:^\|.*\n)+", whole.markdown, re.MULTILINE)
    lines = [line for block in tables for line in block.splitlines() if not line.startswith("|---")]
    assert plain == [re.sub(r"[`*]", "", cell.strip()) for line in lines for cell in line[1:-1].split(" | ")]


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (
            {"mlp_rmsprop", "cnn", "cnn_permuted"},
            "12 replicates of these networks and of variants of them, with ",
        ),
        ({"mlp_rmsprop", "mlp_adadelta", "cnn"}, "12 replicates of these networks, with several seeds "),
        (
            {"cnn_permuted", "cnn_no_dropout"},
            "8 replicates of variants of these networks, with several ",
        ),
    ],
)
def test_page_says_what_the_replicates_are_of(lookups: list[Lookup], values: Params, kept: set[str], said: str) -> None:
    """Variants are mentioned only if there are replicates of some, and so are the original's networks."""
    found = made([look if look[0].variant in kept else (look[0], None, EntryState.MISSING) for look in lookups], values)

    assert f"Here {said}" in section(found.markdown, "In short")


@pytest.mark.usefixtures("no_drawing")
def test_a_single_replicate_has_no_several_seeds(lookups: list[Lookup], values: Params) -> None:
    """The page speaks of it in the singular."""
    one, *others = lookups

    found = made([one, *((look[0], None, EntryState.MISSING) for look in others)], values)

    assert "Here 1 replicate of these networks tests what it claims" in section(found.markdown, "In short")


def test_conclusion_comes_first_and_follows_from_the_audit(whole: StudyReport) -> None:
    """Each of the seven claims is there with its verdicts, which the audit repeats for each reading."""
    short = whole.markdown.split("## The audit")[0]
    table = audited(whole.markdown)

    assert "Of 15 readings of its 7 claims, " in short
    for claim in range(1, 8):
        (line,) = [line for line in short.splitlines() if line.startswith(f"- Claim {claim}, ")]
        verdicts = {row[-1] for row in table if row[0] == str(claim)}
        assert verdicts
        assert set(re.findall(r"\*[a-z ]+\*(?=[.,]| \()", line)) >= verdicts
    for verdict in ("supported", "not supported", "confounded in the original"):
        count = sum(row[-1] == f"*{verdict}*" for row in table)
        assert re.search(rf"\b{count} (is|are) \*{verdict}\*", short)


@pytest.mark.usefixtures("no_drawing")
def test_summary_is_that_of_the_replicates(lookups: list[Lookup], values: Params) -> None:
    """Each variant's outcomes have mean, spread, t interval and extremes of the scores in the ledger."""
    table = made(lookups, values).tables["summary"].set_index(["variant", "outcome"])

    for variant in ("mlp_rmsprop", "cnn"):
        expected = {
            "test_accuracy": scores(lookups, variant, accuracy),
            "running_accuracy": scores(lookups, variant, lambda entry: entry.history["accuracy"].iloc[-1]),
            "generalization_gap": scores(
                lookups, variant, lambda e: e.score("train", "accuracy") - e.score("test", "accuracy")
            ),
        }
        for outcome, found in expected.items():
            row = table.loc[(variant, outcome)]
            numbers = (found.mean(), found.std(ddof=1), found.min(), found.max())
            assert tuple(row[["mean", "sd", "smallest", "largest"]]) == pytest.approx(numbers)
            interval = stats.t.interval(0.95, 3, found.mean(), stats.sem(found))
            assert tuple(row[["low", "high"]]) == pytest.approx(interval)
            assert tuple(row[["n_planned", "n_used", "n_stale"]]) == (4, 4, 0)


@pytest.mark.usefixtures("no_drawing")
def test_comparisons_are_scipys_and_adjusted_for_all_that_are_listed(lookups: list[Lookup], values: Params) -> None:
    """Same network: the paired t test; else Welch's. Holm's factor counts the pairs that lack seeds too."""
    fewer = [
        (one, None, EntryState.MISSING) if one.variant == "cnn_permuted" and one.seed > 1 else (one, entry, state)
        for one, entry, state in lookups
    ]
    table = made(fewer, values).tables["comparisons"]

    judged = table[table["p_value"].notna()]
    assert len(table) == len(four().statistics.comparisons) == 14
    assert len(judged) == 12
    for _, row in judged.iterrows():
        groups = scores(fewer, row["first"], accuracy), scores(fewer, row["second"], accuracy)
        paired = row["first"].split("_")[0] == row["second"].split("_")[0]
        assert row["method"] == ("paired t" if paired else "Welch's t")
        test = stats.ttest_rel(*groups) if paired else stats.ttest_ind(*groups, equal_var=False)
        assert (row["estimate"], row["p_value"]) == pytest.approx((groups[0].mean() - groups[1].mean(), test.pvalue))
        assert (row["low"], row["high"]) == pytest.approx(tuple(test.confidence_interval(row["confidence"])))
        assert (row["narrow_low"], row["narrow_high"]) == pytest.approx(tuple(test.confidence_interval(0.9)))
    running = 0.0
    for rank, index in enumerate(judged["p_value"].astype(float).sort_values().index):
        running = max(running, min(1.0, (14 - rank) * judged["p_value"][index]))
        assert judged["adjusted_p"][index] == pytest.approx(running)


@pytest.mark.usefixtures("no_drawing")
def test_a_comparison_that_lacks_seeds_is_listed(lookups: list[Lookup], values: Params) -> None:
    """It cannot tell, and says with how many seeds; two seeds have a McNemar test each all the same."""
    fewer = [look for look in lookups if look[0].variant != "cnn_permuted" or look[0].seed < 2]

    found = made(fewer, values)

    table = found.tables["comparisons"].set_index(["first", "second"])
    assert table.loc[("cnn_permuted", "cnn"), "verdict"] == "cannot tell with 2 seeds"
    assert table.loc[("cnn_permuted", "mlp_adadelta_permuted"), "verdict"] == "cannot tell with 2 and 4 seeds"
    assert table.loc[("cnn_permuted", "cnn"), "mcnemar_seeds"] == 2
    lines = {row[0]: row for row in rows(found.markdown, "Differences in test accuracy")}
    assert lines["`cnn_permuted` minus `cnn`"][-1] == "*cannot tell with 2 seeds*"


@pytest.mark.usefixtures("no_drawing")
def test_mcnemar_counts_are_those_of_the_binomial_sum(lookups: list[Lookup], values: Params) -> None:
    """Of the seeds that both variants have, those count whose exact p value, summed by hand, is below the level."""
    wrong = {(e.variant, e.seed): set(e.errors["image"]) for _, e, _ in lookups if e is not None}

    table = made(lookups, values).tables["comparisons"]

    counts = set()
    for _, row in table.iterrows():
        significant = 0
        for seed in range(4):
            first, second = wrong[row["first"], seed], wrong[row["second"], seed]
            fewer, more = sorted((len(first - second), len(second - first)))
            p = min(1.0, 2 * sum(math.comb(fewer + more, k) for k in range(fewer + 1)) / 2 ** (fewer + more))
            significant += p < 0.05
        assert (row["mcnemar_significant"], row["mcnemar_seeds"]) == (significant, 4)
        counts.add(significant)
    assert {0, 4} <= counts


@pytest.mark.usefixtures("no_drawing")
def test_factorial_is_the_arithmetic_of_the_cells(lookups: list[Lookup], values: Params) -> None:
    """Main effects, simple effects and interaction are contrasts of the four cells, each with its t interval."""
    names = ("mlp_rmsprop_no_dropout", "mlp_rmsprop", "mlp_adadelta_no_dropout", "mlp_adadelta")
    plain_r, r, plain_a, a = (scores(lookups, name, accuracy) for name in names)
    expected = {
        "dropout": (r + a - plain_r - plain_a) / 2,
        "dropout with RMSprop": r - plain_r,
        "dropout with Adadelta": a - plain_a,
        "Adadelta instead of RMSprop": (plain_a + a - plain_r - r) / 2,
        "interaction": (a - plain_a) - (r - plain_r),
    }

    table = made(lookups, values).tables["factorial"].set_index(["outcome", "effect"])

    assert len(table) == 4 * 5
    for effect, contrast in expected.items():
        row = table.loc[("test_accuracy", effect)]
        test = stats.ttest_1samp(contrast, 0)
        assert (row["estimate"], row["p_value"], row["n"]) == pytest.approx((contrast.mean(), test.pvalue, 4))
        assert (row["low"], row["high"]) == pytest.approx(tuple(test.confidence_interval()))


@pytest.mark.usefixtures("no_drawing")
def test_convergence_counts_the_epochs(lookups: list[Lookup], values: Params) -> None:
    """The first epoch at or above 98% is found by going through them; a variant that is never there has none."""
    table = made(lookups, values).tables["convergence"].set_index(["variant", "column"])

    for variant in ("mlp_rmsprop", "cnn"):
        first = scores(lookups, variant, lambda e: 1 + [x >= 0.98 for x in e.history["val_accuracy"]].index(True))
        row = table.loc[(variant, "val_accuracy")]
        assert tuple(row[["n", "reached", "median", "smallest", "largest"]]) == (
            *(4, 4),
            *(np.median(first), first.min(), first.max()),
        )
        assert row["median_seconds"] == pytest.approx({"mlp_rmsprop": 3, "cnn": 40}[variant] * np.median(first))
    never = table.loc[("mlp_adadelta_keras3", "val_accuracy")]
    assert never["reached"] == 0
    assert never[["median", "smallest", "largest", "median_seconds"]].isna().all()


@pytest.mark.usefixtures("no_drawing")
def test_the_spread_is_that_of_one_way_analysis_of_variance(lookups: list[Lookup], values: Params) -> None:
    """The pooled spread is the root of the mean square within groups, on as many degrees of freedom, of statsmodels.

    Three of the standard deviations of a difference are what the gate may allow.
    """
    import pandas as pd
    from statsmodels.formula.api import ols

    models = ("mlp_rmsprop", "mlp_adadelta", "cnn")
    kept = [look for look in lookups if (look[0].variant, look[0].seed) != ("cnn", 3)]

    table = made(kept, values).tables["spread"].set_index("variant")

    by_model = {model: scores(kept, model, accuracy) for model in models}
    long = pd.DataFrame([(model, value) for model, found in by_model.items() for value in found], columns=["m", "y"])
    fitted = ols("y ~ m", long).fit()
    assert list(table.index) == [*models, "pooled"]
    assert table["n"].tolist() == [4, 4, 3, 11]
    assert table.loc["pooled", "degrees_of_freedom"] == fitted.df_resid == 8
    assert table.loc["pooled", "sd"] == pytest.approx(math.sqrt(fitted.mse_resid))
    assert table["sd"][:3].tolist() == pytest.approx([found.std(ddof=1) for found in by_model.values()])
    assert table["allowed_drop"].tolist() == pytest.approx((3 * np.sqrt(2 * table["sd"].astype(float) ** 2)).tolist())


def test_stale_replicates_are_used_and_counted(lookups: list[Lookup], values: Params) -> None:
    """Those made by other code change no number, and the page and the table say how many they are."""
    aged = [
        (one, entry, EntryState.STALE if one.variant == "cnn" and one.seed < 3 else state)
        for one, entry, state in lookups
    ]

    fresh, found = made(lookups, values), made(aged, values)

    assert found.tables["comparisons"].equals(fresh.tables["comparisons"])
    assert "3 replicates were made with different code than the current one" in section(found.markdown, "In short")
    assert "different code" not in section(fresh.markdown, "In short")
    summary = found.tables["summary"].groupby("variant")["n_stale"].max()
    assert summary["cnn"] == 3
    assert summary.sum() == 3
    lines = {row[0]: row[1:4] for row in rows(found.markdown, "Replicates and their scores after the last epoch")}
    assert lines["`cnn`"] == ["4", "4", "3"]


@pytest.mark.usefixtures("no_drawing")
def test_installed_versions_change_nothing(lookups: list[Lookup], values: Params) -> None:
    """Replicates of other library versions than are installed here give the same page."""
    elsewhere = [(one, entry, EntryState.OTHER_VERSIONS) for one, entry, _ in lookups]

    assert made(elsewhere, values).markdown == made(lookups, values).markdown


@pytest.mark.usefixtures("no_drawing")
def test_replicates_of_another_experiment_are_not_used(lookups: list[Lookup], values: Params) -> None:
    """They are counted, and what needs them is decided without them."""
    foreign = [
        (one, entry, EntryState.FOREIGN if one.variant == "cnn_24_epochs" else state) for one, entry, state in lookups
    ]

    found = made(foreign, values)

    short = section(found.markdown, "In short")
    assert "4 replicates of another experiment are not used." in short
    assert "48 of 52 planned replicates exist; incomplete are `cnn_24_epochs` 0 of 4." in short
    assert "Too few seeds: `cnn_24_epochs` 0, `cnn` 0" in section(found.markdown, "The audit")


def test_an_empty_ledger_decides_nothing(lookups: list[Lookup], values: Params) -> None:
    """All is undecided but what the design decides; there are no figures, and the tables are there without numbers."""
    found = made([(one, None, EntryState.MISSING) for one, _, _ in lookups], values)

    verdicts = [row[-1] for row in audited(found.markdown)]
    assert verdicts.count("*undecided*") == UNDECIDED
    assert verdicts.count("*confounded in the original*") == 1
    assert "0 of 52 planned replicates exist" in found.markdown
    assert not found.figures
    assert len(found.tables["comparisons"]) == 14
    assert found.tables["summary"]["mean"].isna().all()
    assert found.tables["factorial"].empty
    assert not re.search(r"None|nan", found.markdown)


@pytest.mark.usefixtures("no_drawing")
def test_a_study_without_a_variant_has_a_report(lookups: list[Lookup], values: Params) -> None:
    """Without the CNN in its params, what needs it is undecided, and the page does not break."""
    study = four()
    kept = {name: block for name, block in study.variants.items() if name != "cnn"}
    statistics = study.statistics.model_copy(
        update={"comparisons": tuple(pair for pair in study.statistics.comparisons if "cnn" not in pair)}
    )
    smaller = study.model_copy(update={"variants": kept, "statistics": statistics})

    found = made([look for look in lookups if look[0].variant != "cnn"], values, smaller)

    verdicts = {tuple(row[:2]): row[-1] for row in audited(found.markdown)}
    assert verdicts["3", "By test accuracy"] == "*undecided*"
    assert verdicts["1", "By the rise of `val_loss`"] == "*supported*"
    assert "`cnn`" not in set(found.tables["summary"]["variant"])


@pytest.mark.usefixtures("no_drawing")
def test_page_names_processors_and_libraries_of_the_replicates(lookups: list[Lookup], values: Params) -> None:
    """They are those in the records, with how many replicates each made, not those of the machine that reports."""
    one, entry, state = lookups[0]
    assert entry is not None
    ingredients = {**entry.record["ingredients"], "versions": {"keras": "9.9"}}
    record = {**entry.record, "processor": "Another one", "ingredients": ingredients}

    found = made([(one, dataclasses.replace(entry, record=record), state), *lookups[1:]], values)

    run = section(found.markdown, "What was run")
    assert "Processors: A processor, family 1, model 2 (51 replicates); Another one (1 replicate)." in run
    assert "keras 9.9 (1 replicate)." in run


@pytest.mark.usefixtures("no_drawing")
def test_page_says_what_it_cannot_say(lookups: list[Lookup], values: Params) -> None:
    """Verdicts are conditional on split and test set, intervals are of means over seeds, and few seeds are named."""
    said = section(made(lookups, values).markdown, "Limits")

    assert "conditional on this split and this test set" in said
    assert "95% t interval of a mean over seeds" in said
    assert "not evidence of no difference" in said


def test_a_history_that_cannot_be_analysed_is_named(lookups: list[Lookup], values: Params) -> None:
    """The error says which replicate it is."""
    one, entry, state = lookups[0]
    assert entry is not None
    broken = dataclasses.replace(entry, history=entry.history.drop(columns="val_loss"))

    with pytest.raises(InputError, match="mlp_rmsprop, seed 0: history: no column val_loss"):
        groups.gather(four(), values.overfitting, [(one, broken, state)])


def test_mcnemar_of_equal_networks_is_one(lookups: list[Lookup]) -> None:
    """A network is not told apart from itself."""
    entry = lookups[0][1]

    assert entry is not None
    assert comparisons.mcnemar_p(entry, entry) == 1


def test_import_is_light() -> None:
    """Importing the report brings in neither TensorFlow nor MLflow nor Dask."""
    code = "import sys, pipeline.study.report; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert not {"tensorflow", "keras", "mlflow", "distributed", "matplotlib.pyplot"} & set(done.stdout.split())


class Folder:
    """The files that the stage reads, in a folder, with a ledger of some variants."""

    def __init__(self, path: Path, replicates: list[Replicate]) -> None:
        self.path = path
        for one in replicates:
            study_runs.write(path / "runs", study_runs.entry(one))
        for name, content in (
            ("summary", study_runs.SUMMARY),
            ("metrics", study_runs.REPRODUCED),
            ("benchmarks", study_runs.BENCHMARKS),
        ):
            (path / f"{name}.json").write_text(json.dumps(content))

    def report(self, monkeypatch: pytest.MonkeyPatch, output: str) -> dict[str, bytes]:
        """Run the stage and return what it wrote."""
        inputs = {name: self.path / f"{name}.json" for name in ("summary", "metrics", "benchmarks")}
        options: dict[str, Any] = {
            **inputs,
            **{"study": ROOT / "study" / "params.yaml", "params": ROOT / "params.yaml"},
            **{"runs": self.path / "runs", "output": self.path / output},
        }
        monkeypatch.setattr("sys.argv", ["report", *(f"--{name}={path}" for name, path in options.items())])
        assert report.main() == 0
        folder = self.path / output
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_stage_writes_the_same_bytes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a ledger on disk, the stage writes page, tables and figures, twice the same, and removes old figures."""
    names = ("mlp_rmsprop", "mlp_rmsprop_no_dropout")
    some = [one for one in study_runs.replicates(study_runs.study()) if one.variant in names and one.seed < 3]
    folder = Folder(tmp_path, some)
    (tmp_path / "second" / "figures").mkdir(parents=True)
    (tmp_path / "second" / "figures" / "old.png").write_bytes(b"")

    first, second = folder.report(monkeypatch, "first"), folder.report(monkeypatch, "second")

    assert first == second
    tables = {f"{name}.csv" for name in ("summary", "comparisons", "factorial", "convergence", "spread")}
    figures = {f"figures/{name}.png" for name in ("convergence", "dropout", "effects", "variants")}
    assert set(first) == {"claims.md", "claims.html", *tables, *figures}
    assert b"6 of 105 planned replicates exist" in first["claims.md"]
    assert "claims.html: 7 claims" in capsys.readouterr().out


def test_stage_tells_stale_and_damaged_replicates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One made by other code is used and counted, one of other data is not used, a damaged one is missing and said."""
    one, two, three, four = [one for one in study_runs.replicates(study_runs.study()) if one.variant == "cnn"][:4]
    folder = Folder(tmp_path, [one, four])
    study_runs.write(tmp_path / "runs", study_runs.entry(two, code="0"))
    study_runs.write(tmp_path / "runs", study_runs.entry(three, data="0"))
    (tmp_path / "runs" / "cnn" / "3" / ledger.HISTORY).write_text("")

    page = folder.report(monkeypatch, "out")["claims.md"].decode()

    lines = {row[0]: row[1:4] for row in rows(page, "Replicates and their scores after the last epoch")}
    assert lines["`cnn`"] == ["5", "2", "1"]
    assert "1 replicate was made with different code" in section(page, "In short")
    assert "1 replicate of another experiment is not used." in section(page, "In short")
    assert "damaged" in capsys.readouterr().err
