"""Verdicts as exit codes, text, Markdown and JSON."""

import json
from typing import Any

import numpy as np
import pytest

from pipeline.analysis.means import Estimate
from pipeline.analysis.sequential import SequentialEstimate
from pipeline.analysis.verdicts import Verdict
from pipeline.verdicts import answer, judgement
from pipeline.verdicts.answer import Answer, ModelAnswer
from pipeline.verdicts.judgement import Question, Scores, SideVerdict

QUESTION = Question("accuracy", 0.01)
MEANS = {
    Verdict.BETTER: 0.1,
    Verdict.WORSE: -0.1,
    Verdict.EQUIVALENT: 0.0,
    Verdict.BETTER_OPEN: 0.0101,
    Verdict.WORSE_OPEN: -0.0101,
}


def judged(verdict: Verdict) -> SideVerdict:
    """Return a judgement with this verdict."""
    error = 0.1 if verdict is Verdict.UNDECIDED else 0.001
    found = SideVerdict(
        QUESTION, (0.5,), (0.5,), SequentialEstimate(Estimate(MEANS.get(verdict, 0.0), error, 20)), 0.95
    )
    assert found.verdict is verdict
    return found


def of(*verdicts: Verdict, **others: Any) -> Answer:
    """Return an answer with a model for each verdict."""
    models = [ModelAnswer(str(n), ("a", "b"), {("a", "b"): judged(one)}) for n, one in enumerate(verdicts)]
    return Answer({"a": "a", "b": "b"}, QUESTION, models=tuple(models), **others)


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([], 2),
        ([Verdict.BETTER], 0),
        ([Verdict.BETTER_OPEN], 0),
        ([Verdict.EQUIVALENT], 0),
        ([Verdict.WORSE], 1),
        ([Verdict.WORSE_OPEN], 1),
        ([Verdict.UNDECIDED], 2),
        ([Verdict.BETTER, Verdict.UNDECIDED], 2),
        ([Verdict.UNDECIDED, Verdict.WORSE_OPEN, Verdict.BETTER], 1),
    ],
    ids=lambda value: "+".join(value) or "none" if isinstance(value, list) else "",
)
def test_the_worst_verdict_is_the_exit_code(verdicts: list[Verdict], code: int) -> None:
    """1 if any model is worse, by however much; else 2 if one cannot be told, or none was judged; else 0."""
    assert of(*verdicts, only_after={"b": ["new"]}).exit_code == code
    # A model that B no longer has may be the one that got worse.
    assert of(*verdicts, only_before={"b": ["gone"]}).exit_code == (code or 2)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_can_be_read(verdict: Verdict) -> None:
    """Text, Markdown and JSON have the verdict, the first two with a picture of the interval."""
    found = of(verdict)
    for text in (answer.as_text(found), answer.as_markdown(found), json.dumps(answer.as_object(found))):
        assert str(verdict) in text
    picture = answer.as_text(found).splitlines()[-2].strip()
    assert {*picture} <= {*"[]*:|-."}
    assert picture.replace("|", r"\|") in answer.as_markdown(found)


def test_the_picture_is_to_scale() -> None:
    """The ends, 0 and what matters stand where the numbers are, on one linear axis."""
    found = SideVerdict(QUESTION, (0.5,), (0.5,), SequentialEstimate(Estimate(0.02, 0.002, 20)), 0.95)
    marks = answer.as_text(
        Answer({"a": "a", "b": "b"}, QUESTION, models=(ModelAnswer("m", ("a", "b"), {("a", "b"): found}),))
    ).splitlines()[-2][2:]
    places = {mark: marks.index(mark) for mark in "[*]|"}
    values = {"[": found.interval.low, "*": 0.02, "]": found.interval.high, "|": 0.0}
    slope, offset = np.polyfit(list(values.values()), [places[mark] for mark in values], 1)
    assert all(abs(slope * value + offset - places[mark]) < 1 for mark, value in values.items())


def test_names_stay_within_their_cell() -> None:
    """A name with a bar or a new line makes no further cell or heading in Markdown, nor does a value a picture."""
    changes = {"b": {"a|b\n# c": (None, "d|<img>![e](f)")}}
    model = ModelAnswer("m", ("a", "b"), {("a", "b"): judged(Verdict.BETTER)}, changes)
    page = answer.as_markdown(Answer({"a": "a", "b": "b"}, QUESTION, models=(model,)))
    assert page.splitlines()[-1].startswith(r"| m | a\|b # c none -> d\|\<img>!\[e\](f) |")


def test_an_interval_of_too_few_seeds_is_none() -> None:
    """Infinite ends are words in text and null in JSON."""
    two = [Scores(np.array(values)) for values in ([0.5, 0.6], [0.5, 0.61])]
    found = judgement.judge(two[0], two[1], QUESTION, None)
    whole = Answer({"a": "a", "b": "b"}, QUESTION, models=(ModelAnswer("m", ("a", "b"), {("a", "b"): found}),))
    assert "too few seeds for an interval (2)" in answer.as_text(whole)
    (one,) = answer.as_object(whole)["models"][0]["comparisons"]
    assert (one["low"], one["high"]) == (None, None)
    json.dumps(answer.as_object(whole), allow_nan=False)
