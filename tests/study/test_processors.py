"""The processor as a factor: differences between the processors that made a variant's replicates."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from pipeline.params import Params
from pipeline.study import groups, processors
from pipeline.study.groups import StudyData
from pipeline.trials.ledger import Lookup
from tests.support import study_runs
from tests.support.study_pages import report_on, section

FIRST, OTHER = "A (family 1, model 2)", "B (family 1, model 3)"
STUDY = study_runs.study(**{**dict.fromkeys(study_runs.study().variants, 4), "mlp_rmsprop": 9})


def made_by(lookups: list[Lookup], others: dict[str, tuple[int, ...]]) -> list[Lookup]:
    """Return the replicates, made by OTHER where `others` has their seed, and else by FIRST."""
    return [
        (one, dataclasses.replace(entry, record={**entry.record, "processor": name}), state)
        for one, entry, state in lookups
        if entry is not None
        for name in (OTHER if one.seed in others.get(one.variant, ()) else FIRST,)
    ]


def gathered(values: Params, others: dict[str, tuple[int, ...]]) -> StudyData:
    """Return the study with replicates from two processors."""
    return groups.gather(STUDY, study_runs.rules(values), made_by(study_runs.lookups(STUDY), others))


def test_the_difference_is_welchs(values: Params) -> None:
    """Estimate and interval are those of scipy for the test accuracies by processor."""
    data = gathered(values, {"mlp_rmsprop": (0, 4, 5)})

    (found,) = processors.effects(data)

    accuracies = [study_runs.accuracy(entry) for entry in data.groups["mlp_rmsprop"].entries.values()]
    other, first = np.take(accuracies, (0, 4, 5)), np.delete(accuracies, (0, 4, 5))
    oracle = stats.ttest_ind(first, other, equal_var=False)
    expected = {"variant": "mlp_rmsprop", "processor": FIRST, "n": 6, "other": OTHER, "n_other": 3}
    assert {key: found[key] for key in expected} == expected
    assert found["difference"] == pytest.approx(first.mean() - other.mean())
    assert (found["low"], found["high"]) == pytest.approx(tuple(oracle.confidence_interval()))


@pytest.mark.parametrize("seeds", [(), (0, 1), tuple(range(9))])
def test_too_few_seeds_on_a_processor_say_nothing(values: Params, seeds: tuple[int, ...]) -> None:
    """Two seeds on one of the processors, or all of them, have no difference to show."""
    assert processors.effects(gathered(values, {"mlp_rmsprop": seeds})) == []


def test_pairs_of_two_processors_are_counted(values: Params) -> None:
    """Of all pairs with one seed in the paired comparisons, those with two processors count, by brute force."""
    others = {"mlp_rmsprop": (0, 1, 8), "mlp_rmsprop_no_dropout": (1, 2)}
    data = gathered(values, others)

    paired = [
        ("mlp_adadelta", "mlp_rmsprop"),
        ("mlp_rmsprop", "mlp_rmsprop_no_dropout"),
        ("mlp_adadelta", "mlp_adadelta_no_dropout"),
        ("cnn", "cnn_no_dropout"),
        ("cnn_24_epochs", "cnn"),
        ("mlp_adadelta_permuted", "mlp_adadelta"),
        ("cnn_permuted", "cnn"),
        ("mlp_rmsprop_keras3", "mlp_rmsprop"),
        ("mlp_adadelta_keras3", "mlp_adadelta"),
        ("mlp_rmsprop_unclipped", "mlp_rmsprop"),
        ("mlp_rmsprop_bfloat16", "mlp_rmsprop"),
    ]
    two = sum(
        (seed in others.get(one, ())) != (seed in others.get(two, ())) for one, two in paired for seed in range(4)
    )
    assert processors.mixed(data) == (two, 4 * len(paired))


def test_comparisons_across_processors_are_found(values: Params) -> None:
    """They are those whose variants share no processor; one replicate on the same one is enough to share it."""
    everything = {"cnn": (0, 1, 2, 3)}
    across = [pair for pair in STUDY.statistics.comparisons if "cnn" in pair]

    assert processors.apart(gathered(values, {})) == []
    assert processors.apart(gathered(values, everything)) == across
    shared = processors.apart(gathered(values, {**everything, "mlp_rmsprop": (8,)}))
    assert shared == [pair for pair in across if "mlp_rmsprop" not in pair]


@pytest.mark.usefixtures("no_drawing")
def test_the_report_has_what_differs_between_processors(values: Params) -> None:
    """With one processor there is nothing to compare; with two there is a row, and the page counts mixed pairs."""
    lookups = study_runs.lookups(STUDY)
    alone = report_on(made_by(lookups, {}), values, STUDY)
    both = report_on(made_by(lookups, {"mlp_rmsprop": (0, 4, 5)}), values, STUDY)
    across = report_on(made_by(lookups, {"cnn": (0, 1, 2, 3)}), values, STUDY)

    assert alone.tables["processors"].empty
    (row,) = both.tables["processors"].to_dict("records")
    assert [row[name] for name in ("variant", "processor", "n", "other", "n_other")] == [
        *("mlp_rmsprop", FIRST, 6, OTHER, 3),
    ]
    run = section(both.markdown, "What was run")
    # Of the other variants, with four seeds each, five are paired with it.
    assert "Of 44 pairs in paired comparisons 5 are of two processors." in run
    assert f"{FIRST} (54); {OTHER} (3)." in run
    assert "no processor made replicates of both variants" not in run
    assert "`cnn` and `mlp_rmsprop`" in section(across.markdown, "What was run")
