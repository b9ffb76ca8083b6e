"""The tables of the study's report, against scipy, statsmodels and sums by hand."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from pipeline.analysis.verdicts import decide
from pipeline.params import Params
from pipeline.reporting.inputs import read_reported
from pipeline.reporting.render import RenderedReport
from pipeline.study import comparisons, report, results
from pipeline.trials.ledger import Lookup
from tests.support import study_runs
from tests.support.study_ledger import ROOT
from tests.support.study_pages import four, report_on, rows, sources
from tests.support.study_runs import accuracy, scores

pytestmark = pytest.mark.usefixtures("no_drawing")


def test_summary_is_that_of_the_replicates(lookups: list[Lookup], whole: RenderedReport) -> None:
    """Each variant's outcomes have mean, spread, t interval and extremes of the scores in the ledger."""
    table = whole.tables["summary"].set_index(["variant", "outcome"])

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


def test_comparisons_are_scipys_and_adjusted_for_all_that_are_listed(lookups: list[Lookup], values: Params) -> None:
    """Same network: the paired t test; otherwise Welch's. Holm's adjustment also counts pairs with too few seeds."""
    fewer = study_runs.lacking(lookups, lambda one: one.variant == "cnn_permuted" and one.seed > 1)
    table = report_on(fewer, values).tables["comparisons"]

    judged = table[table["p_value"].notna()]
    assert len(table) == len(four().statistics.comparisons) == 14
    assert len(judged) == 12
    for _, row in judged.iterrows():
        groups = scores(fewer, row["first"], accuracy), scores(fewer, row["second"], accuracy)
        paired = row["first"].split("_")[0] == row["second"].split("_")[0]
        assert row["method"] == ("paired t" if paired else "Welch's t")
        test = stats.ttest_rel(*groups) if paired else stats.ttest_ind(*groups, equal_var=False)
        assert (row["estimate"], row["p_value"]) == pytest.approx((groups[0].mean() - groups[1].mean(), test.pvalue))
        assert (row["low"], row["high"]) == pytest.approx(tuple(test.confidence_interval(0.95)))
        simultaneous = tuple(test.confidence_interval(1 - 0.05 / 14))
        assert (row["simultaneous_low"], row["simultaneous_high"]) == pytest.approx(simultaneous)
        assert row["verdict"] == decide(simultaneous, 0.001)
    running = 0.0
    for rank, index in enumerate(judged["p_value"].astype(float).sort_values().index):
        running = max(running, min(1.0, (14 - rank) * judged["p_value"][index]))
        assert judged["adjusted_p"][index] == pytest.approx(running)


def test_a_comparison_with_too_few_seeds_is_listed(lookups: list[Lookup], values: Params) -> None:
    """It cannot tell, and says with how many seeds; two seeds have a McNemar test each all the same."""
    fewer = [look for look in lookups if look[0].variant != "cnn_permuted" or look[0].seed < 2]

    found = report_on(fewer, values)

    table = found.tables["comparisons"].set_index(["first", "second"])
    assert table.loc[("cnn_permuted", "cnn"), "verdict"] == "cannot tell with 2 seeds"
    assert table.loc[("cnn_permuted", "mlp_adadelta_permuted"), "verdict"] == "cannot tell with 2 and 4 seeds"
    assert table.loc[("cnn_permuted", "cnn"), "mcnemar_seeds"] == 2
    lines = {row[0]: row for row in rows(found.markdown, "Differences in test accuracy, in points")}
    assert lines["`cnn_permuted` minus `cnn` (2, paired)"][2] == "*cannot tell with 2 seeds*"


def test_mcnemar_counts_are_those_of_the_binomial_sum(lookups: list[Lookup], whole: RenderedReport) -> None:
    """Of the seeds that both variants have, those count whose exact p value, summed by hand, is below the level."""
    wrong = {(e.variant, e.seed): set(e.errors["image"]) for _, e, _ in lookups if e is not None}

    table = whole.tables["comparisons"]

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


def test_convergence_counts_the_epochs(lookups: list[Lookup], whole: RenderedReport) -> None:
    """The first epoch at or above 98% is found by going through them; a variant that is never there has none."""
    table = whole.tables["convergence"].set_index(["variant", "column"])

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


def test_the_spread_is_each_models_own(lookups: list[Lookup], values: Params) -> None:
    """Three standard deviations of a difference, at scipy's upper 80% bound, are allowed; one in 1000 is lower."""
    models = ("mlp_rmsprop", "mlp_adadelta", "cnn")
    kept = [look for look in lookups if (look[0].variant, look[0].seed) != ("cnn", 3)]

    table = report_on(kept, values).tables["spread"].set_index("variant")

    assert list(table.index) == list(models)
    assert table["n"].tolist() == [4, 4, 3]
    for model in models:
        found = scores(kept, model, accuracy)
        upper = math.sqrt(found.var(ddof=1) * (len(found) - 1) / stats.chi2.ppf(0.2, len(found) - 1))
        row = table.loc[model]
        assert (row["sd"], row["upper"]) == pytest.approx((found.std(ddof=1), upper))
        assert row["allowed_drop"] == pytest.approx(3 * math.sqrt(2) * upper)
        half = stats.t.ppf(0.999, len(found) - 1) * found.std(ddof=1) * math.sqrt(1 + 1 / len(found))
        assert row["lowest"] == pytest.approx(found.mean() - half)


def test_predictions_are_of_one_more_seed(lookups: list[Lookup], whole: RenderedReport) -> None:
    """Each interval is the mean plus and minus t standard deviations of a new value; the original is as it printed."""
    table = whole.tables["prediction"].set_index(["variant", "outcome"])
    found = scores(lookups, "cnn", accuracy)
    half = stats.t.ppf(0.975, 3) * found.std(ddof=1) * math.sqrt(1 + 1 / 4)

    assert set(table.index.droplevel("outcome")) == set(four().variants)
    assert set(table["original"].dropna().index.droplevel("outcome")) == {"mlp_rmsprop", "mlp_adadelta", "cnn"}
    table = table[table["original"].notna()]
    row = table.loc[("cnn", "test_accuracy")]
    assert (row["low"], row["high"]) == pytest.approx((found.mean() - half, found.mean() + half))
    assert (row["n"], row["original"]) == (4, 0.9902)
    assert (
        table["within"].tolist()
        == ((table["low"] <= table["original"]) & (table["original"] <= table["high"])).tolist()
    )
    rises = table.xs("rise", level="outcome")
    assert (rises["low"].astype(float) > 0).all()
    losses = read_reported(ROOT / "data" / "report_history.csv")["mlp_rmsprop"]["val_loss"]
    assert rises.loc["mlp_rmsprop", "original"] == pytest.approx(losses[-3:].mean() / losses.rolling(3).mean().min())


def test_the_original_has_no_numbers_for_other_data(lookups: list[Lookup], values: Params) -> None:
    """With other test images than the original's there are intervals, and no number to compare with them."""
    splits = {**study_runs.SUMMARY["splits"], "test": {"count": 9_999}}
    other = dataclasses.replace(sources(four()), summaries={"mnist": {**study_runs.SUMMARY, "splits": splits}})

    found = report.report(results.evaluate(four(), study_runs.rules(values), lookups, other))

    assert found.tables["prediction"]["original"].isna().all()
    assert found.tables["prediction"]["low"].notna().all()
    assert "of the original's own" not in found.markdown


def test_what_else_is_known_of_a_comparison_has_columns(lookups: list[Lookup], whole: RenderedReport) -> None:
    """The test of ranks and the difference on the held-out images are scipy's; a wider error goes with new images."""
    table = whole.tables["comparisons"].set_index(["first", "second"])

    for pair, row in table.iterrows():
        groups = [scores(lookups, name, accuracy) for name in pair]
        held_out = [scores(lookups, name, lambda one: one.score("validation", "accuracy")).mean() for name in pair]
        paired = row["method"] == "paired t"
        oracle = stats.wilcoxon(np.round(np.subtract(*groups), 9)) if paired else stats.mannwhitneyu(*groups)
        assert row["rank_p"] == pytest.approx(oracle.pvalue)
        assert row["held_out"] == pytest.approx(held_out[0] - held_out[1])
        assert row["test_minus_held_out"] == pytest.approx(row["estimate"] - row["held_out"], abs=1e-9)
        for times, name in ((0.5, "verdict_half"), (2, "verdict_twice")):
            assert row[name] == decide((row["simultaneous_low"], row["simultaneous_high"]), times * 0.001)


def test_claims_are_written_with_all_their_numbers(whole: RenderedReport) -> None:
    """Each measurement of a reading is a row with its rule, estimate and interval, on the page and further ones."""
    table = whole.tables["claims"].set_index(["place", "role", "label"])
    logs = whole.tables["summary"].set_index(["variant", "outcome"]).loc[("cnn", "test_accuracy")]

    row = table.loc[("3c", "decides", "cnn")]
    assert (row["estimate"], row["low"], row["high"]) == pytest.approx((logs["mean"], logs["low"], logs["high"]))
    assert (row["form"], row["verdict"], row["post_hoc"]) == ("share", "not supported", False)
    assert row["rule"].startswith("supported if all three means are at or above 98.80%")
    assert table.loc[("6d", "decides", "mlp_adadelta minus mlp_rmsprop"), "confidence"] == pytest.approx(1 - 0.05 / 14)
    roles = whole.tables["claims"].groupby("place")["role"].agg(set)
    assert roles["2b"] == {"decides", "further"}
    assert roles["1a"] == {"decides"}


def test_mcnemar_of_equal_networks_is_one(lookups: list[Lookup]) -> None:
    """A network does not differ from itself."""
    entry = lookups[0][1]

    assert entry is not None
    assert comparisons.mcnemar_p(entry, entry) == 1
