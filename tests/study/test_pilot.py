"""The pilot: its verdicts next to those of the study, and that no seed serves both."""

from pathlib import Path

import pytest
import yaml

from pipeline.errors import InputError
from pipeline.params import Params
from pipeline.reporting.render import RenderedReport
from pipeline.study import pilot, report, results
from pipeline.study.pilot import Both, Pilot
from tests.support import study_runs
from tests.support.study_pages import four, section, sources

pytestmark = pytest.mark.usefixtures("no_drawing")
OPEN = [Both("claim 6, any", "undecided", "supported"), Both("a minus b", "cannot tell", "no relevant difference")]
KEPT = Both("claim 1, any", "supported", "supported")
REVERSED = Both("b minus c", "better", "worse")
VERDICTS = {
    "`cnn` minus `mlp_rmsprop`": "cannot tell",
    "claim 1, by the rise of `val_loss`": "supported",
    "a reading that is asked no more": "supported",
}


def facts(**changes: object) -> dict[str, object]:
    """Return the content of a file about a pilot."""
    return {"commit": "c" * 40, "replicates": 105, "first_seed": 0, "last_seed": 9, "verdicts": VERDICTS} | changes


def page(values: Params, before: Pilot | None, missing: str = "") -> RenderedReport:
    """Return the report on a study that came after a pilot; of the variant `missing`, the last replicate is missing."""
    lookups = study_runs.lookups(four())
    if missing:
        del lookups[max(place for place, lookup in enumerate(lookups) if lookup[0].variant == missing)]
    return report.report(results.evaluate(four(), study_runs.rules(values), lookups, sources(four()), before))


def test_the_table_has_the_verdicts_of_both(values: Params) -> None:
    """A comparison or reading that both have is a row with the verdict of each; the page names commit and number."""
    made = page(values, Pilot.model_validate(facts()))
    text = section(made.markdown, "What was run")

    table = made.tables["pilot"]
    assert [tuple(row) for row in table[["subject", "pilot", "now"]].to_numpy()] == [
        ("cnn minus mlp_rmsprop", "cannot tell", "better"),
        ("claim 1, by the rise of val_loss", "supported", "supported"),
    ]
    assert "a pilot of 105 replicates with other seeds (commit `ccccccc`)" in text
    assert "Of 2 verdicts in both studies 1 is the same, and 1 other was undecided in the pilot: [pilot.csv]" in text
    assert "became" not in text


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        ([KEPT, KEPT], "Of 2 verdicts in both studies 2 are the same: [pilot.csv](pilot.csv)."),
        (
            [KEPT, *OPEN],
            "Of 3 verdicts in both studies 1 is the same, and 2 others were undecided in the pilot: ",
        ),
        (
            [OPEN[0], REVERSED],
            "the same, and 1 other was undecided in the pilot: [pilot.csv](pilot.csv). B minus c: *better* became",
        ),
    ],
)
def test_what_the_pilot_left_undecided_is_not_called_reversed(
    verdicts: list[Both], words: str, values: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers to what the pilot could not tell contradict nothing; a verdict that became another one is named."""
    monkeypatch.setattr(Pilot, "both", lambda *_: verdicts)

    text = section(page(values, Pilot.model_validate(facts())).markdown, "What was run")

    assert words in text
    assert ("became" in text) == (REVERSED in verdicts)


@pytest.mark.parametrize("missing", ["cnn", "mlp_rmsprop_no_dropout"])
def test_until_all_replicates_exist_verdicts_are_provisional(values: Params, missing: str) -> None:
    """With one replicate missing, the first section says so; a study without a pilot says that there was none."""
    made = page(values, None, missing)

    assert "until all replicates exist, the verdicts are provisional" in section(made.markdown, "In short")
    assert "There was no pilot: [pilot.csv](pilot.csv) is empty." in made.markdown
    assert made.tables["pilot"].empty


@pytest.mark.parametrize(("first", "shared"), [(9, True), (10, False), (1000, False)])
def test_a_seed_serves_only_one_of_them(tmp_path: Path, first: int, shared: bool) -> None:
    """A study with a seed of the pilot is refused in one line that says what to change."""
    path = tmp_path / "pilot.yaml"
    path.write_text(yaml.safe_dump(facts()))
    study = four().model_copy(update={"first_seed": first})

    if not shared:
        assert pilot.read(path, study).verdicts == VERDICTS
        return
    with pytest.raises(InputError, match="has seeds 0 to 9, and mlp_rmsprop has 9 to") as caught:
        pilot.read(path, study)
    assert caught.value.path == path
    assert "first_seed" in caught.value.fix


def test_a_fault_in_its_file_is_one_line(tmp_path: Path) -> None:
    """A key that is missing or of another type is named."""
    path = tmp_path / "pilot.yaml"
    path.write_text(yaml.safe_dump(facts(replicates=-1)))

    with pytest.raises(InputError, match="replicates: expected greater than 0") as caught:
        pilot.read(path, four())
    assert caught.value.path == path
