"""Two data sets: claim 8, the difference of CNN and MLP on a harder problem, and the page on both."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pipeline.params import Params
from pipeline.reporting.render import RenderedReport
from pipeline.study import audit, contrasts, groups, results
from pipeline.study.contrasts import Evidence
from pipeline.study.findings import ClaimRow, ClaimVerdict
from pipeline.study.groups import StudyData
from pipeline.trials.ledger import EntryState, Lookup
from pipeline.trials.plan import Study
from tests.support import study_pages, study_runs
from tests.support.study_pages import report_on, section
from tests.support.study_runs import MADE, Made

YES, NO, OPEN = ClaimVerdict.SUPPORTED, ClaimVerdict.NOT_SUPPORTED, ClaimVerdict.UNDECIDED
SHOWS, POINTS, RATIO = range(3)
# The CNN has fewer errors than the MLPs, by more points than on MNIST, and by a smaller share of theirs.
USUAL = (YES, YES, NO)


def six() -> Study:
    """Return the project's study on both data sets with six seeds for each variant, five for the CNN on MNIST."""
    found = study_runs.whole()
    return study_runs.with_seeds(found, **{**dict.fromkeys(found.variants, 6), "cnn": 5})


@pytest.fixture(scope="module")
def lookups() -> list[Lookup]:
    """Return all replicates of that study."""
    return study_runs.lookups(six())


def gathered(lookups: list[Lookup], values: Params) -> StudyData:
    """Return the results of the study on both data sets."""
    return groups.gather(six(), study_runs.rules(values), lookups)


def rows(data: StudyData) -> list[ClaimRow]:
    """Return the rows of the audit for claim 8."""
    pairs = [pair for one in results.by_set(data, study_runs.SUMMARIES).values() for pair in one.pairs]
    found = audit.audit({1: study_runs.claims(data.study)}, Evidence(data, pairs, {}, {}))
    return [row for row in found if row.claim == 8]


def verdicts(rows: list[ClaimRow]) -> tuple[ClaimVerdict, ...]:
    """Return the verdict under each reading."""
    return tuple(row.finding.verdict for row in rows)


def wrong(lookups: list[Lookup], variant: str) -> np.ndarray:
    """Return a variant's share of misclassified test images by seed, from the lists of these."""
    return study_runs.scores(lookups, variant, lambda entry: len(entry.errors) / 10_000)


def test_readings_that_disagree_are_shown_as_such(lookups: list[Lookup], values: Params) -> None:
    """A gain in points that is a loss as a ratio gives opposite verdicts, which a remark says."""
    found = rows(gathered(lookups, values))

    assert verdicts(found) == USUAL
    assert "The readings disagree" in found[-1].finding.remark


@pytest.mark.parametrize(
    ("made", "found"),
    [
        ({"fashion_cnn": dataclasses.replace(MADE["fashion_cnn"], test=0.96)}, (YES, YES, YES)),
        ({"fashion_cnn": dataclasses.replace(MADE["fashion_cnn"], test=0.87)}, (NO, NO, NO)),
        (
            {
                "fashion_cnn": dataclasses.replace(MADE["fashion_cnn"], test=0.8985, spread=1e-4),
                "fashion_mlp_rmsprop": dataclasses.replace(MADE["fashion_mlp_rmsprop"], test=0.895),
            },
            (YES, NO, NO),
        ),
        ({"fashion_mlp_rmsprop": dataclasses.replace(MADE["fashion_mlp_rmsprop"], test=0.94)}, (OPEN, OPEN, NO)),
        ({"fashion_cnn": dataclasses.replace(MADE["fashion_cnn"], test=0.9905)}, (YES, OPEN, OPEN)),
    ],
    ids=["ratio too", "CNN worse", "less than on MNIST", "MLPs disagree", "not harder"],
)
def test_other_measurements_flip_the_verdicts(
    made: Mapping[str, Made], found: tuple[ClaimVerdict, ...], lookups: list[Lookup], values: Params
) -> None:
    """The verdicts follow the numbers; without a problem that is harder for all networks, no change is judged."""
    assert verdicts(rows(gathered(study_runs.changed(lookups, made), values))) == found


def test_changes_are_welch_intervals_of_changes_within_seeds(lookups: list[Lookup], values: Params) -> None:
    """Each network's change is taken over the seeds that it has on both problems; the two are compared by Welch."""
    found = rows(gathered(lookups, values))

    for place, mlp in enumerate(("mlp_rmsprop", "mlp_adadelta")):
        for reading, to, back in ((POINTS, np.asarray, np.asarray), (RATIO, np.log, np.exp)):
            changes = [
                to(wrong(lookups, f"fashion_{name}")[: len(wrong(lookups, name))]) - to(wrong(lookups, name))
                for name in ("cnn", mlp)
            ]
            assert [len(change) for change in changes] == [5, 6]
            interval = stats.ttest_ind(*changes, equal_var=False).confidence_interval()
            number = found[reading].finding.measurements[place]
            assert number.estimate == pytest.approx(float(back(changes[0].mean() - changes[1].mean())))
            assert number.interval == pytest.approx(tuple(back(np.array([interval.low, interval.high]))))


def test_ratios_are_those_of_geometric_means(lookups: list[Lookup], values: Params) -> None:
    """The ratio on each problem is that of the geometric means of the errors, and the change is their ratio."""
    finding = rows(gathered([one for one in lookups if one[0].seed < 5], values))[RATIO].finding

    ratios = {number.label: number.estimate for number in finding.further}
    for first, second in (("fashion_cnn", "fashion_mlp_rmsprop"), ("cnn", "mlp_rmsprop")):
        some = [stats.gmean(wrong(lookups, name)[:5]) for name in (first, second)]
        assert ratios[f"`{first}` over `{second}`"] == pytest.approx(some[0] / some[1])
    change = ratios["`fashion_cnn` over `fashion_mlp_rmsprop`"] / ratios["`cnn` over `mlp_rmsprop`"]
    assert finding.measurements[0].estimate == pytest.approx(change)


def test_the_interval_agrees_with_a_bootstrap(values: Params) -> None:
    """With twenty seeds, resampling the seeds of each network gives an interval of about the same ends."""
    of = study_runs.with_seeds(study_runs.whole(), **dict.fromkeys(six().variants, 20))
    names = {"cnn", "mlp_rmsprop", "fashion_cnn", "fashion_mlp_rmsprop"}
    some = [one for one in study_runs.replicates(of) if one.variant in names]
    many: list[Lookup] = [(one, study_runs.entry(one), EntryState.CURRENT) for one in some]
    evidence = Evidence(groups.gather(of, study_runs.rules(values), many), (), {}, {})
    change: Any = study_runs.claims(of).claims[8].readings[POINTS]
    (found,) = contrasts.measure(evidence, change, dict([*change.contrasts.items()][:1]))
    draw = np.random.default_rng(0)
    cnn, mlp = (wrong(many, f"fashion_{name}") - wrong(many, name) for name in ("cnn", "mlp_rmsprop"))

    means = [(sample[draw.integers(0, 20, (10_000, 20))]).mean(axis=1) for sample in (cnn, mlp)]

    low, high = np.quantile(means[0] - means[1], (0.025, 0.975))
    width = high - low
    assert found.interval == pytest.approx((low, high), abs=0.15 * width)


def test_a_network_without_errors_has_no_ratio(lookups: list[Lookup], values: Params) -> None:
    """The ratio is undecided then, with the reason, and the differences are judged all the same."""
    perfect = gathered(lookups, values)
    entries = dict(perfect.groups["cnn"].entries)
    record = entries[0].record
    splits = record["splits"] | {"test": record["splits"]["test"] | {"accuracy": 1.0}}
    entries[0] = dataclasses.replace(entries[0], record={**record, "splits": splits})
    changed = {**perfect.groups, "cnn": dataclasses.replace(perfect.groups["cnn"], entries=entries)}

    found = rows(dataclasses.replace(perfect, groups=changed))

    assert verdicts(found) == (YES, YES, OPEN)
    assert "no ratio" in found[RATIO].finding.remark


@pytest.mark.parametrize("variant", ["fashion_cnn", "fashion_mlp_rmsprop", "fashion_mlp_adadelta", "cnn"])
def test_too_few_seeds_leave_it_undecided(variant: str, lookups: list[Lookup], values: Params) -> None:
    """With two seeds of a network on one problem, what needs them is undecided, and the remark names it."""
    fewer = study_runs.lacking(lookups, lambda one: one.variant == variant and one.seed >= 2)

    found = rows(gathered(fewer, values))

    assert verdicts(found) == ((YES if variant == "cnn" else OPEN), OPEN, OPEN)
    assert f"`{variant}` 2" in found[POINTS].finding.remark


@pytest.mark.usefixtures("no_drawing")
def test_what_was_not_run_is_said_plainly(lookups: list[Lookup], values: Params) -> None:
    """Without a replicate on Fashion-MNIST, the page says so in short and with the readings that need one."""
    only = study_runs.lacking(lookups, lambda one: one.variant.startswith("fashion"))

    page = report_on(only, values, six()).markdown

    short = section(page, "In short")
    assert "On Fashion-MNIST nothing has been run yet: none of the 30 planned replicates exists." in short
    assert page.count("Too few seeds: `fashion_mlp_rmsprop` 0, `fashion_mlp_adadelta` 0, `fashion_cnn` 0,") == 1
    assert page.count("Too few seeds: `fashion_") == 3


@pytest.fixture(scope="module")
def both(lookups: list[Lookup], values: Params) -> RenderedReport:
    """Return the report on all replicates on both data sets, without drawing."""
    with pytest.MonkeyPatch.context() as patch:
        study_pages.skip_drawing(patch)
        return report_on(lookups, values, six())


@pytest.mark.usefixtures("no_drawing")
def test_the_originals_claims_are_judged_on_mnist_alone(lookups: list[Lookup], values: Params) -> None:
    """Replicates on another data set change no row of claims 1 to 7, no adjusted p value and no pooled spread."""
    of = study_runs.with_seeds(study_runs.project(), **{**dict.fromkeys(study_runs.project().variants, 6), "cnn": 5})
    alone = report_on([one for one in lookups if one[0].variant in of.variants], values, of)

    whole = report_on(lookups, values, six())

    audits = [[row for row in study_pages.audited(page.markdown) if row[0] != "8"] for page in (alone, whole)]
    assert audits[0] == audits[1]
    assert len(audits[0]) == 20
    ours = whole.tables["comparisons"].iloc[: len(of.statistics.comparisons)]
    assert ours.equals(alone.tables["comparisons"])
    for name in ("spread", "convergence"):
        assert whole.tables[name].equals(alone.tables[name])
    predicted = whole.tables["prediction"]
    mine = predicted[predicted["variant"].isin([*of.variants])].reset_index(drop=True)
    assert mine.equals(alone.tables["prediction"])


def test_each_data_set_is_a_family_of_comparisons(lookups: list[Lookup], values: Params) -> None:
    """Holm's adjustment on Fashion-MNIST counts the six comparisons there, step by step."""
    summaries = study_runs.SUMMARIES
    pairs = results.by_set(gathered(lookups, values), summaries)["fashion_mnist"].pairs

    judged = [pair.judged.judgement for pair in pairs if pair.judged is not None]

    assert len(judged) == len(pairs) == 6
    running = 0.0
    for rank, one in enumerate(sorted(judged, key=lambda one: one.comparison.p_value)):
        running = max(running, min(1.0, (6 - rank) * one.comparison.p_value))
        assert one.adjusted_p == pytest.approx(running)


def test_the_page_on_both_data_sets_is_whole(both: RenderedReport) -> None:
    """It is as short, its figures are all shown, and the tables name the data set of each row or have all variants."""
    assert {"harder.png", "rises-fashion_mnist.png", "effects-fashion_mnist.png"} < set(both.figures)
    for name in both.figures:
        assert f"(figures/{name})" in both.markdown
    assert len(re.findall(r"^\|---", both.markdown, re.MULTILINE)) <= 12
    assert len(re.findall(r"\S*\w\S*", both.markdown)) <= 3500
    fashion = {name for name in six().variants if name.startswith("fashion")}
    table = both.tables["summary"]
    assert set(table["variant"][table["dataset"] == "fashion_mnist"]) == fashion
    assert fashion < set(both.tables["noise"]["variant"])
    assert len(both.tables["comparisons"]) == 20
    families = section(both.markdown, "Pairwise comparisons")
    assert "14 on MNIST (0.10 points matter) and 6 on Fashion-MNIST (0.10 points matter)" in families
