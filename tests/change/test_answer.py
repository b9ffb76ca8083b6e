"""The exit code that follows from verdicts."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.analysis.verdicts import Interval, Verdict
from pipeline.change.answer import Answer
from pipeline.change.difference import Difference
from pipeline.change.judgement import ChangeVerdict

NOTHING: Any = None


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
    judged = tuple(ChangeVerdict((), (), 0.0, Interval(0.0, 0.0), 0.95, one) for one in verdicts)

    assert Answer(NOTHING, NOTHING, NOTHING, Difference((), (), ("new",)), judged).exit_code == code
    # A model that B no longer has may be the one that got worse.
    assert Answer(NOTHING, NOTHING, NOTHING, Difference((), ("gone",), ()), judged).exit_code == (code or 2)
