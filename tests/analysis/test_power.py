"""How many seeds decide, against statsmodels' power functions and simulated studies."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower, TTestPower

from pipeline.analysis import power
from pipeline.analysis.power import Assumed, Decision
from pipeline.analysis.prediction import sd_upper_bound
from pipeline.analysis.verdicts import Verdict, decide

D = 0.001


def paired(effect: float, sd: float = 0.0015) -> Assumed:
    """Return an effect whose differences within seeds have this standard deviation."""
    return Assumed(effect, (sd,), (9,))


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.997])
@pytest.mark.parametrize("n", [3, 5, 20, 100])
@pytest.mark.parametrize("effect", [-0.002, 0.0005, 0.003])
def test_the_power_to_be_above_a_bound_is_statsmodels(effect: float, n: int, confidence: float) -> None:
    """An interval above a bound is the one-sided t test at half the level, of one sample and of two."""
    alpha, size = (1 - confidence) / 2, (effect - 0.0001) / 0.0015
    one = TTestPower().power(size, n, alpha, alternative="larger")
    two = TTestIndPower().power(size, n, alpha, alternative="larger")

    assert power.probability_above(paired(effect), n, 0.0001, confidence) == pytest.approx(one, abs=0.002)
    welch = Assumed(effect, (0.0015, 0.0015), (9, 9))
    assert power.probability_above(welch, n, 0.0001, confidence) == pytest.approx(two, abs=0.002)


@pytest.mark.parametrize("sds", [(0.0015,), (0.0012, 0.0004)], ids=["paired", "welch"])
@pytest.mark.parametrize("n", [4, 15, 60])
@pytest.mark.parametrize("effect", [0.0, 0.0006, -0.0025])
def test_the_probabilities_are_those_of_simulated_studies(effect: float, n: int, sds: tuple[float, ...]) -> None:
    """Of many simulated studies, each verdict has the computed share."""
    random, studies = np.random.default_rng(0), 4000
    samples = [random.normal(0, sd, (studies, n)) for sd in sds]
    estimates = effect + samples[0].mean(axis=1) - sum(other.mean(axis=1) for other in samples[1:])
    squares = [sample.var(axis=1, ddof=1) / n for sample in samples]
    freedom = sum(squares) ** 2 / sum(square**2 / (n - 1) for square in squares)
    half = stats.t.isf(0.025, freedom) * np.sqrt(sum(squares))
    counts = Counter(decide((e - h, e + h), D) for e, h in zip(estimates, half, strict=True))

    found = power.verdict_probabilities(Assumed(effect, sds, (9,) * len(sds)), n, D)

    assert sum(found.values()) == pytest.approx(1)
    for verdict in Verdict:
        assert found[verdict] == pytest.approx(counts[verdict] / studies, abs=0.025)


def test_without_spread_the_verdict_is_certain() -> None:
    """A difference without any spread has the verdict of its value."""
    assert power.verdict_probabilities(paired(0.0005, 0.0), 5, D)[Verdict.EQUIVALENT] == 1
    assert power.verdict_probabilities(paired(0.003, 0.0), 5, D)[Verdict.BETTER] == 1
    assert power.probability_above(paired(0.003, 0.0), 5, D) == 1
    assert power.probability_above(paired(0.003, 0.0), 5, 0.004) == 0


@pytest.mark.parametrize("wanted", [0.8, 0.9])
def test_seeds_beyond_a_bound_are_statsmodels(wanted: float) -> None:
    """The least number of seeds is statsmodels' sample size, rounded up."""
    expected = TTestPower().solve_power(0.5, None, 0.025, wanted, "larger")

    found = Decision(((power.above(paired(0.00075), 0.0),),)).seeds(wanted)

    assert found == np.ceil(expected)


def seeds_to_decide(assumed: Assumed, level: float = 0.8, **options: Any) -> int | None:
    """Return the number of seeds that leads to a verdict on a difference with this probability."""
    return power.Decision(((power.verdict_among(assumed, D, **options),),)).seeds(level)


@pytest.mark.parametrize("effect", [0.0, 0.0004, 0.0008, 0.0015, -0.003])
def test_seeds_to_decide_are_the_least(effect: float) -> None:
    """With that number of seeds the probability of a decision reaches the power, and with one fewer it does not."""
    n = seeds_to_decide(paired(effect))
    assert n is not None

    undecided = [power.verdict_probabilities(paired(effect), k, D)[Verdict.UNDECIDED] for k in (n, n - 1)]

    assert undecided[0] <= 0.2 < undecided[1]


def test_more_power_a_larger_spread_and_a_higher_confidence_take_more_seeds() -> None:
    """Each of them raises the number of seeds."""
    usual = seeds_to_decide(paired(0.0004))
    assert usual is not None
    more = (
        seeds_to_decide(paired(0.0004), 0.9),
        seeds_to_decide(paired(0.0004).at_upper_bound()),
        seeds_to_decide(paired(0.0004), confidence=0.99),
        seeds_to_decide(paired(0.0004), accepted={Verdict.EQUIVALENT}),
    )

    assert all(n is not None and n > usual for n in more)


def test_half_the_smallest_effect_is_the_hardest_to_decide() -> None:
    """With the seeds that decide half the smallest effect, every other difference is decided about as surely."""
    n = seeds_to_decide(paired(D / 2))
    assert n is not None

    for effect in np.linspace(-3 * D, 3 * D, 61):
        decided = 1 - power.verdict_probabilities(paired(effect), n, D)[Verdict.UNDECIDED]
        assert decided >= 0.79


def test_what_no_number_of_seeds_decides_has_none() -> None:
    """A difference at the smallest effect never becomes *better*, and an effect on a bound is never beyond it."""
    assert seeds_to_decide(paired(D), accepted={Verdict.BETTER}) is None
    assert Decision(((power.above(paired(D), D),),)).seeds(0.8) is None


def test_the_upper_bound_is_that_of_each_spread() -> None:
    """Each standard deviation is replaced by its own bound."""
    found = Assumed(0.1, (0.2, 0.3), (4, 9)).at_upper_bound(0.9)

    assert found.sds == (sd_upper_bound(0.2, 4, 0.9), sd_upper_bound(0.3, 9, 0.9))
    assert found.effect == 0.1


def test_impossible_plans_are_rejected() -> None:
    """A single seed, and a confidence, a power or an effect that cannot be, are a ValueError."""
    for wrong in (
        lambda: power.verdict_probabilities(paired(0.0), 1, D),
        lambda: power.verdict_probabilities(paired(0.0), 5, 0.0),
        lambda: power.probability_above(paired(0.0), 5, 0.0, 1.0),
        lambda: seeds_to_decide(paired(0.0), 1.0),
    ):
        with pytest.raises(ValueError, match="expected"):
            wrong()


def test_what_is_observed_is_assumed() -> None:
    """Standard deviations and degrees of freedom are those of the samples, and the effect is the sum of their means."""
    random = np.random.default_rng(0)
    first, second = random.normal(3, 1, 5), random.normal(2, 2, 9)

    one, two = Assumed.observed(first), Assumed.observed(first, -second)

    assert (one.effect, *one.sds) == pytest.approx((first.mean(), first.std(ddof=1)))
    assert (two.effect, *two.sds) == pytest.approx(
        (first.mean() - second.mean(), first.std(ddof=1), second.std(ddof=1))
    )
    assert (one.degrees_of_freedom, two.degrees_of_freedom) == ((4,), (4, 8))
    with pytest.raises(ValueError, match="at least 2"):
        Assumed.observed([1.0])


def test_a_decision_never_promises_more_than_simulated_studies_show() -> None:
    """Two leads of one sample over two others: both above 0 at least as often as computed, and not much more often."""
    random, studies, n = np.random.default_rng(0), 4000, 12
    samples = [random.normal(mean, 0.0015, (studies, n)) for mean in (0.002, 0.0, 0.0004)]
    both = np.ones(studies, bool)
    for other in samples[1:]:
        both &= stats.ttest_ind(samples[0], other, axis=1, equal_var=False, alternative="greater").pvalue < 0.025
    parts = tuple(power.above(Assumed(effect, (0.0015, 0.0015), (9, 9)), 0.0) for effect in (0.002, 0.0016))

    promised = power.Decision((parts,)).probability(n)

    assert promised <= both.mean() + 0.02
    assert both.mean() - promised < 0.1


def test_the_most_probable_way_decides() -> None:
    """A decision is as probable as its most probable way, and an interval below a bound mirrors one above it."""
    up, down = power.above(paired(-0.002), 0.0), power.below(paired(-0.002), 0.0)
    mirrored = power.above(paired(0.002), 0.0)

    found = power.Decision(((up,), (down,)))

    assert found.probability(8) == down.probability(down.assumed, 8) == mirrored.probability(mirrored.assumed, 8)
    usual, upper = found.seeds(0.8), found.at_upper_bound().seeds(0.8)
    assert usual is not None
    assert upper is not None
    assert upper > usual
