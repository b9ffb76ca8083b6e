from __future__ import annotations

import subprocess
import sys
from itertools import product
from math import comb, sqrt

import numpy as np
import pytest
from scipy import stats

from pipeline.statistics import McNemar, holm, mcnemar, wilson


def wilson_by_formula(successes: int, n: int, confidence: float) -> tuple[float, float]:
    """Evaluate Wilson's formula as printed."""
    z = stats.norm.ppf((1 + confidence) / 2)
    p = successes / n
    centre = p + z**2 / (2 * n)
    half = z * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)


def two_sided_binomial(first: int, second: int) -> float:
    """Sum the chances of all outcomes of fair coins that are no likelier than the one seen."""
    n = first + second
    return sum(comb(n, k) for k in range(n + 1) if comb(n, k) <= comb(n, first)) / 2**n


def right_answers(both: int, only_first: int, only_second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two classifiers' right answers with these four counts."""
    counts = [both, only_first, only_second, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
@pytest.mark.parametrize(("successes", "n"), [(1, 2), (9834, 10000), (9902, 10000), (3, 17), (0, 5), (5, 5), (1, 1)])
def test_wilson_follows_the_formula(successes: int, n: int, confidence: float) -> None:
    """The interval is that of Wilson's formula, and scipy's."""
    interval = wilson(successes, n, confidence)

    assert interval == pytest.approx(wilson_by_formula(successes, n, confidence), abs=1e-12)
    assert interval == pytest.approx(stats.binomtest(successes, n).proportion_ci(confidence, "wilson"), abs=1e-12)


@pytest.mark.parametrize(
    ("errors", "interval"), [(166, (0.9807, 0.9857)), (169, (0.9804, 0.9854)), (98, (0.9881, 0.9920))]
)
def test_wilson_gives_the_reports_intervals(errors: int, interval: tuple[float, float]) -> None:
    """The accuracies that the report prints have the intervals from which the gate's floors are taken."""
    assert tuple(round(limit, 4) for limit in wilson(10000 - errors, 10000)) == interval


@pytest.mark.parametrize("n", [1, 7, 10, 10000])
def test_wilson_ends_are_exact(n: int) -> None:
    """Without a success the lower limit is 0 itself, without a failure the upper one is 1 itself."""
    assert wilson(0, n)[0] == 0
    assert wilson(n, n)[1] == 1
    assert 0 < wilson(0, n)[1] < 1
    assert 0 < wilson(n, n)[0] < 1


@pytest.mark.parametrize(
    "arguments", [(0, 0), (1, -1), (-1, 5), (6, 5), (1, 5, 0.0), (1, 5, 1.0), (1, 5, float("nan"))]
)
def test_wilson_refuses_impossible_counts(arguments: tuple[int, int]) -> None:
    """Counts that no experiment gives, and a confidence that is no probability, are a ValueError."""
    with pytest.raises(ValueError, match="expected"):
        wilson(*arguments)


@pytest.mark.parametrize(("only_first", "only_second"), list(product([0, 1, 2, 5, 30], repeat=2)))
def test_mcnemar_is_an_exact_binomial_test(only_first: int, only_second: int) -> None:
    """The p value is the two-sided binomial one of the discordant images, by enumeration and by scipy."""
    result = mcnemar(*right_answers(4, only_first, only_second, 3))

    expected = two_sided_binomial(only_first, only_second)
    assert result == McNemar(only_first, only_second, pytest.approx(expected, rel=1e-9))
    if only_first + only_second:
        assert expected == pytest.approx(stats.binomtest(only_first, only_first + only_second).pvalue)


def test_mcnemar_leaves_agreement_out() -> None:
    """Images that both get right or both get wrong change nothing."""
    assert mcnemar(*right_answers(0, 7, 2, 0)) == mcnemar(*right_answers(9000, 7, 2, 500))


def test_mcnemar_of_equal_answers_is_one() -> None:
    """Classifiers that never differ give p = 1, not 0/0."""
    same = np.array([True, False, True])

    assert mcnemar(same, same) == McNemar(0, 0, 1.0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.ones(3, bool), np.ones(4, bool)),
        (np.ones(0, bool), np.ones(0, bool)),
        (np.ones(3, int), np.ones(3, bool)),
        (np.ones((3, 1), bool), np.ones((3, 1), bool)),
    ],
)
def test_mcnemar_refuses_what_is_not_paired(first: np.ndarray, second: np.ndarray) -> None:
    """Unequal lengths, no images, numbers and tables are a ValueError."""
    with pytest.raises(ValueError, match="expected"):
        mcnemar(first, second)


def holm_by_definition(p_values: list[float]) -> list[float]:
    """Multiply by the number of p values not yet passed; never let the product fall or exceed 1."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, highest)
    return adjusted


def test_holm_follows_its_definition() -> None:
    """Adjusted p values are Holm's, in the order given, for random sets with ties and extremes."""
    random = np.random.default_rng(0)
    for size in range(1, 8):
        p_values = random.choice([0.0, 0.001, 0.02, 0.03, 0.03, 0.5, 1.0], size).tolist()

        assert holm(p_values) == pytest.approx(holm_by_definition(p_values))


def test_holm_of_nothing_is_nothing() -> None:
    """Without pairs there is nothing to adjust."""
    assert holm([]) == []


@pytest.mark.parametrize("p_value", [-0.1, 1.1, float("nan")])
def test_holm_refuses_what_is_no_p_value(p_value: float) -> None:
    """A number outside [0, 1] is a ValueError."""
    with pytest.raises(ValueError, match="p values within"):
        holm([0.5, p_value])


def test_the_import_is_light() -> None:
    """Importing the module does not import statsmodels or scipy."""
    code = "import sys, pipeline.statistics; sys.exit(bool({'statsmodels', 'scipy'} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
