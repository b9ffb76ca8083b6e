"""The page on the claims: it follows from the ledger, is short, and reads the same in both formats."""

import base64
import dataclasses
import html
import re

import pytest

from pipeline.params import Params
from pipeline.reporting.render import RenderedReport
from pipeline.study import report, results
from pipeline.study.findings import ClaimVerdict
from pipeline.trials.ledger import Lookup
from tests.support import study_runs
from tests.support.study_pages import audited, four, report_on, rows, section, sources

pytestmark = pytest.mark.usefixtures("no_drawing")


def test_page_links_only_to_files_of_the_report(whole: RenderedReport) -> None:
    """Every figure and table that the page names is part of the report, and every one of these is on the page."""
    shown = re.findall(r"!\[[^]]+\]\(figures/([^)]+)\)", whole.markdown)
    linked = set(re.findall(r"\]\(([a-z]+)\.csv\)", whole.markdown))

    claims = ("losses", "dropout", "convergence", "longer", "permuted")
    assert sorted(shown) == sorted(f"{name}.png" for name in (*claims, "readings", "effects", "rises"))
    assert sorted(shown) == sorted(whole.figures)
    assert linked == set(whole.tables)


def test_page_is_short(whole: RenderedReport) -> None:
    """It has at most 12 tables, a claim's being one, and at most 3,500 words."""
    tables = re.findall(r"(?:^\|.*\n)+", whole.markdown, re.MULTILINE)
    words = [word for word in whole.markdown.split() if re.search(r"\w", word)]

    assert 7 < len(tables) <= 12
    assert 1000 < len(words) <= 3500


def test_page_is_well_formed_markdown(whole: RenderedReport) -> None:
    """Each table has as many cells in every row as in its head, headings stand alone, and no template is left over."""
    for block in re.findall(r"(?:^\|.*\n)+", whole.markdown, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1
    for line in whole.markdown.splitlines():
        if line.startswith("#"):
            assert f"\n\n{line}\n\n" in f"\n\n{whole.markdown}"
    assert not re.search(r"[{}]|None|\bnan\b|\bTrue\b|\binf\b", whole.markdown)


def test_html_page_needs_nothing_else_and_says_the_same(whole: RenderedReport) -> None:
    """It holds its figures and has no other address than the original's; its cells are those of the Markdown page."""
    addresses = re.findall(r'(?:src|href)="([^"]*)"', whole.html)
    outside = [one for one in addresses if not one.startswith(("#", "data:")) and not one.endswith(".csv")]
    embedded = [base64.b64decode(one.partition(",")[2]) for one in addresses if one.startswith("data:image/png")]
    anchors = {one[1:] for one in addresses if one.startswith("#")}

    assert set(outside) == {"https://github.com/psato/Keras-MNIST"}
    assert sorted(embedded) == sorted(whole.figures.values())
    assert anchors <= set(re.findall(r'id="([^"]*)"', whole.html))
    cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", whole.html, re.DOTALL)
    plain = [" ".join(html.unescape(re.sub(r"<[^>]+>", "", cell)).split()) for cell in cells]
    tables = re.findall(r"(?:^\|.*\n)+", whole.markdown, re.MULTILINE)
    lines = [line for block in tables for line in block.splitlines() if not line.startswith("|---")]
    # What is a coloured circle there is a colour here.
    signs = r"[`*]|[\N{LARGE RED CIRCLE}-\N{LARGE BROWN CIRCLE}\N{MEDIUM WHITE CIRCLE}] ?"
    assert plain == [
        re.sub(signs, "", cell).strip() for line in lines for cell in line[1:-1].replace("\xa0", " ").split(" | ")
    ]


def test_each_claim_has_its_answer_and_the_signs_of_its_readings(whole: RenderedReport) -> None:
    """One that was written for these verdicts; else each reading with its verdict, as the claim's own table has it."""
    table = rows(whole.markdown, "The claims")[1:]
    readings = audited(whole.markdown)

    assert [row[0].split(".")[0] for row in table] == list("1234567")
    answered = {"1", "2", "3", "7"}
    for claim, said, signs in table:
        own = [row for row in readings if row[0] == claim.split(".")[0]]
        assert len(re.findall(rf"\b{own[0][0]}[a-z]\b", signs)) == len(own)
        if own[0][0] in answered:
            assert "*" not in said
        else:
            verdicts = re.findall(r": (\*[a-z ]+\*)\.", said)
            assert verdicts == [row[-2] for row in own]
    mlp = next(row for row in readings if row[1].startswith("1a"))
    assert mlp[2].removeprefix("`mlp_rmsprop`: ") in table[0][1]


def test_only_readings_written_after_their_data_have_a_dagger(whole: RenderedReport) -> None:
    """Those of the claims file that say so, and the page explains the sign."""
    marked = [row[1].split("†")[0] for row in audited(whole.markdown) if re.match(r"\d[a-z]†", row[1])]

    assert marked == ["5a", "5b", "6a", "6b", "6d"]
    assert "A dagger (†) marks what was written after its data, or similar data, had been seen" in whole.markdown


def test_without_such_a_reading_no_dagger_is_explained(lookups: list[Lookup], values: Params) -> None:
    """A claims file that was written beforehand has a page without the sign."""
    found = sources(four())
    claims = found.claims[1]
    first = {1: claims.claims[1].model_copy(update={"readings": claims.claims[3].readings})}
    changed = claims.model_copy(update={"claims": first, "protocol": ""})
    plain = dataclasses.replace(found, claims=dict.fromkeys(found.claims, changed))

    page = report.report(results.evaluate(four(), study_runs.rules(values), lookups, plain)).markdown

    assert "†" not in page


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({"mlp_rmsprop", "cnn", "cnn_permuted"}, "12 replicates of these networks and of variants of them test "),
        ({"mlp_rmsprop", "mlp_adadelta", "cnn"}, "12 replicates of these networks test "),
        ({"cnn_permuted", "cnn_no_dropout"}, "8 replicates of variants of these networks test "),
    ],
)
def test_page_says_what_the_replicates_are_of(lookups: list[Lookup], values: Params, kept: set[str], said: str) -> None:
    """Variants are mentioned only if there are replicates of some, and so are the original's networks."""
    found = report_on(study_runs.lacking(lookups, lambda one: one.variant not in kept), values)

    assert f"Here {said}what it claims" in section(found.markdown, "In short")


def test_a_single_replicate_is_spoken_of_in_the_singular(lookups: list[Lookup], values: Params) -> None:
    """With one there are no verdicts, and no spread."""
    found = report_on([lookups[0], *study_runs.lacking(lookups[1:])], values)

    assert "Here 1 replicate of these networks tests what it claims" in section(found.markdown, "In short")
    assert "No network has the 3 seeds that this takes" in section(found.markdown, "One more seed")


def test_page_names_processors_and_libraries_of_the_replicates(lookups: list[Lookup], values: Params) -> None:
    """They are those in the records, with how many replicates each made, not those of the machine that reports."""
    one, entry, state = lookups[0]
    assert entry is not None
    ingredients = {**entry.record["ingredients"], "versions": {"keras": "9.9"}}
    record = {**entry.record, "processor": "Another one", "ingredients": ingredients}

    found = report_on([(one, dataclasses.replace(entry, record=record), state), *lookups[1:]], values)

    run = section(found.markdown, "What was run")
    assert "Replicates by processor: A processor, family 1, model 2 (51); Another one (1)." in run
    assert "keras 9.9 (1)." in run


def test_page_says_what_it_cannot_say(whole: RenderedReport) -> None:
    """Verdicts are conditional on split and test set, intervals are of means, and what is open is not equal."""
    said = section(whole.markdown, "Limits")

    assert "other seeds, not other test images, except where new images are named" in said
    assert "Intervals are of means over seeds, not ranges for single runs" in said
    assert "no evidence of no difference" in said
    assert "claims 5 and 6 where they follow from them" in said


def test_every_kind_of_verdict_is_explained(whole: RenderedReport) -> None:
    """The signs of all four stand below the claims."""
    short = section(whole.markdown, "In short")

    for verdict in ClaimVerdict:
        assert re.search(rf"\W {verdict}[.,]", short)
