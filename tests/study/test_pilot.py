"""The pilot beside the study: its verdicts, its numbers until the study is complete, and that no seed serves both."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.params import Params
from pipeline.study import pilot, report, results
from pipeline.study.pilot import Both
from pipeline.study.plan import Study
from pipeline.study.report import StudyReport
from pipeline.study.results import StudyResults
from tests.support import study_runs
from tests.support.study_pages import four, rows, section, sources

NETWORKS = ("mlp_rmsprop", "mlp_adadelta", "cnn")

OPEN = [Both("claim 6, any", "undecided", "supported"), Both("a minus b", "cannot tell", "no relevant difference")]
KEPT = Both("claim 1, any", "supported", "supported")
REVERSED = Both("b minus c", "better", "worse")


def results_of(study: Study, values: Params, missing: str = "", before: StudyResults | None = None) -> StudyResults:
    """Return the results of all planned replicates, of the variant `missing` all but the last."""
    lookups = study_runs.lookups(study)
    if missing:
        last = max(place for place, lookup in enumerate(lookups) if lookup[0].variant == missing)
        del lookups[last]
    return results.evaluate(study, values.overfitting, lookups, sources(study), before)


@pytest.fixture(scope="module")
def before(values: Params) -> StudyResults:
    """Return a pilot whose replicates differ from those of the study: its variants have three seeds."""
    return results_of(study_runs.study(**dict.fromkeys(study_runs.study().variants, 3)), values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a pilot with the seeds 0 to 9 of two variants."""
    folder = tmp_path_factory.mktemp("pilot")
    names = ("mlp_rmsprop", "mlp_adadelta")
    whole = study_runs.study(**dict.fromkeys(names, 10))
    statistics = whole.statistics.model_copy(update={"comparisons": (names[::-1],)})
    variants = {name: whole.variants[name] for name in names}
    study_runs.write_study(folder, whole.model_copy(update={"variants": variants, "statistics": statistics}))
    return folder


def page(found: StudyResults) -> StudyReport:
    """Return the report on these results."""
    return report.report(found)


@pytest.mark.usefixtures("no_drawing")
def test_the_page_has_the_verdicts_of_both(values: Params, before: StudyResults) -> None:
    """Each comparison and reading that both have is a row with the verdict of each, and those that held are counted."""
    found = results_of(four(), values, before=before)
    made = page(found)
    table = rows(made.markdown, "Verdicts of the pilot and of this study")[1:]

    assert {row[0].replace("`", "").lower() for row in table} == {
        name.replace("`", "").lower() for name in found.verdicts
    }
    for (_, pilots, now), (subject, verdict) in zip(table, found.verdicts.items(), strict=True):
        assert (pilots, now) == (f"*{before.verdicts[subject]}*", f"*{verdict}*")
    held = sum(row[1] == row[2] for row in table)
    assert f"Of {len(table)} verdicts of the pilot, {held} held" in section(made.markdown, "The pilot")
    assert "provisional" not in made.markdown


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        ([KEPT, KEPT], "Of 2 verdicts of the pilot, 2 held."),
        ([KEPT, *OPEN], "1 held; 2 were *cannot tell* or *undecided* and no longer are."),
        ([OPEN[0], REVERSED], "0 held; 1 was *cannot tell* or *undecided* and no longer is. B minus c: *better*"),
        ([KEPT, REVERSED], "1 held. B minus c: *better* became *worse*."),
    ],
)
def test_what_the_pilot_left_undecided_is_not_called_reversed(
    verdicts: list[Both], words: str, values: Params, before: StudyResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers to what the pilot could not tell are counted apart; a verdict that became another one is named."""
    monkeypatch.setattr(pilot, "both", lambda *_: verdicts)

    made = page(results_of(four(), values, before=before))

    assert words in section(made.markdown, "The pilot")
    assert ("became" in section(made.markdown, "The pilot")) == (REVERSED in verdicts)


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize("missing", ["cnn", "mlp_rmsprop_no_dropout"])
def test_until_all_replicates_exist_verdicts_are_provisional(
    values: Params, before: StudyResults, missing: str
) -> None:
    """With one replicate missing, the first section and that of the pilot say so."""
    made = page(results_of(four(), values, missing, before))

    assert "until all replicates exist, the verdicts are provisional" in section(made.markdown, "In short")
    assert "the verdicts of this study are provisional" in section(made.markdown, "The pilot")


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize("missing", [*NETWORKS, "mlp_rmsprop_no_dropout", ""])
def test_spread_and_predictions_change_once(values: Params, before: StudyResults, missing: str) -> None:
    """They are the pilot's as long as one of the original's networks misses a seed, and then the study's."""
    made = page(results_of(four(), values, missing, before))

    seeds = 3 if missing in NETWORKS else 4
    assert set(made.tables["spread"]["n"]) == set(made.tables["prediction"]["n"]) == {seeds}
    for title in ("Variation between seeds", "One more seed"):
        assert ("are the [pilot's]" in section(made.markdown, title)) == (seeds == 3)


def test_a_reading_about_variants_that_the_pilot_lacks_has_no_verdict_of_it(
    values: Params, before: StudyResults
) -> None:
    """The pilot had nothing on Fashion-MNIST: its verdicts have no reading of the last claim."""
    whole = study_runs.with_seeds(study_runs.whole(), **dict.fromkeys(study_runs.whole().variants, 3))
    found = results_of(whole, values, before=before)

    assert any(subject.startswith("claim 8") for subject in found.verdicts)
    assert not any(one.subject.startswith("claim 8") for one in pilot.both(before.verdicts, found.verdicts))


@pytest.mark.usefixtures("no_drawing")
def test_a_study_without_a_pilot_speaks_of_none(values: Params) -> None:
    """Another plan needs no pilot."""
    assert "ilot" not in page(results_of(four(), values, "cnn")).markdown


@pytest.mark.parametrize(("first", "shared"), [(9, True), (10, False), (1000, False)])
def test_a_seed_serves_only_one_of_them(folder: Path, first: int, shared: bool) -> None:
    """A study with a seed of the pilot, whose last one is 9, is refused in one line that says what to change."""
    study = study_runs.whole().model_copy(update={"first_seed": first})

    if not shared:
        pilot.read(folder, study)
        return
    with pytest.raises(InputError, match="has seeds 0 to 9, and the study has 9 to") as caught:
        pilot.read(folder, study)
    assert caught.value.path == folder / "params.yaml"
    assert "first_seed" in caught.value.fix


def test_the_pilot_is_read_from_its_own_folder(folder: Path, values: Params) -> None:
    """Plan, data and replicates are those of the folder, whatever the study plans now."""
    study = study_runs.whole().model_copy(update={"first_seed": 50})

    planned, summaries, lookups = pilot.read(folder, study)

    assert set(planned.variants) == {"mlp_rmsprop", "mlp_adadelta"}
    assert set(summaries) == {"mnist"}
    found = results.evaluate(
        planned, values.overfitting, lookups, dataclasses.replace(sources(planned), summaries=summaries)
    )
    assert {name: len(group.entries) for name, group in found.data.groups.items()} == dict.fromkeys(
        planned.variants, 10
    )
