"""The page on the claims: it follows from the ledger, reads the same in both formats, and repeats no number."""

from __future__ import annotations

import base64
import dataclasses
import html
import re
from collections import Counter

import pytest

from pipeline.params import Params
from pipeline.study.report import StudyReport
from pipeline.trials.ledger import EntryState, Lookup
from tests.support.study_pages import audited, report_on, section


def test_page_links_only_to_files_of_the_report(whole: StudyReport) -> None:
    """Every figure and table that the page names is part of the report, and every figure is on the page."""
    shown = re.findall(r"!\[[^]]+\]\(figures/([^)]+)\)", whole.markdown)
    linked = set(re.findall(r"\]\(([a-z]+)\.csv\)", whole.markdown))

    assert sorted(shown) == sorted(whole.figures)
    assert len(shown) == 5
    assert linked == set(whole.tables)


def test_page_is_well_formed_markdown(whole: StudyReport) -> None:
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
    found = report_on(
        [look if look[0].variant in kept else (look[0], None, EntryState.MISSING) for look in lookups], values
    )

    assert f"Here {said}" in section(found.markdown, "In short")


@pytest.mark.usefixtures("no_drawing")
def test_a_single_replicate_has_no_several_seeds(lookups: list[Lookup], values: Params) -> None:
    """The page speaks of it in the singular."""
    one, *others = lookups

    found = report_on([one, *((look[0], None, EntryState.MISSING) for look in others)], values)

    assert "Here 1 replicate of these networks tests what it claims" in section(found.markdown, "In short")


def test_conclusion_comes_first_and_follows_from_the_audit(whole: StudyReport) -> None:
    """Each of the seven claims about MNIST is there with its verdicts, which the audit repeats for each reading."""
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
def test_page_names_processors_and_libraries_of_the_replicates(lookups: list[Lookup], values: Params) -> None:
    """They are those in the records, with how many replicates each made, not those of the machine that reports."""
    one, entry, state = lookups[0]
    assert entry is not None
    ingredients = {**entry.record["ingredients"], "versions": {"keras": "9.9"}}
    record = {**entry.record, "processor": "Another one", "ingredients": ingredients}

    found = report_on([(one, dataclasses.replace(entry, record=record), state), *lookups[1:]], values)

    run = section(found.markdown, "What was run")
    assert "Processors: 1: A processor, family 1, model 2 (51 replicates); 2: Another one (1 replicate)." in run
    assert "keras 9.9 (1 replicate)." in run


def test_page_says_what_it_cannot_say(whole: StudyReport) -> None:
    """Verdicts are conditional on split and test set, intervals are of means over seeds, and few seeds are named."""
    said = section(whole.markdown, "Limits")

    assert "conditional on these splits and these test sets" in said
    assert "95% t interval of a mean over seeds" in said
    assert "not evidence of no difference" in said
