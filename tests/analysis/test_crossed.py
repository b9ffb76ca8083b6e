"""The standard error over seeds and images, against the analysis of variance and simulated studies."""

from math import sqrt

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from pipeline.analysis import crossed
from pipeline.analysis.means import Estimate, compare


def over_seeds_and_images(first: np.ndarray, second: np.ndarray, *, paired: bool) -> Estimate:
    """Return the difference in accuracy of two tables of correct answers with its standard error."""
    over_seeds = compare(first.mean(axis=1), second.mean(axis=1), paired=paired)
    return crossed.over_seeds_and_images(over_seeds, crossed.image_error(first, second, paired=paired))


def answers(random: np.random.Generator, seeds: int, images: int, shift: float = 0.0) -> np.ndarray:
    """Return correct answers that depend on the image, on the seed and on chance."""
    image, seed = random.normal(0, 1, images), random.normal(shift, 0.3, (seeds, 1))
    return np.asarray(image + seed + random.normal(0, 1, (seeds, images)) > -1)


def test_the_variance_is_that_of_the_mean_squares() -> None:
    """For pairs it is (MS seeds + MS images - MS residual) / cells, with statsmodels' mean squares."""
    random = np.random.default_rng(3)
    first, second = answers(random, 5, 12), answers(random, 5, 12)
    cells = [(s, i, float(first[s, i]) - second[s, i]) for s in range(5) for i in range(12)]
    table = anova_lm(ols("y ~ C(s) + C(i)", pd.DataFrame(cells, columns=["s", "i", "y"])).fit())
    squares = table["mean_sq"]
    images = max(squares["C(i)"] - squares["Residual"], 0)

    found = over_seeds_and_images(first, second, paired=True)

    assert found.estimate == pytest.approx(first.mean() - second.mean())
    assert found.standard_error == pytest.approx(sqrt((squares["C(s)"] + images) / 60))


@pytest.mark.parametrize("paired", [True, False])
def test_it_is_the_spread_of_studies_with_other_seeds_and_images(paired: bool) -> None:
    """Of many studies, each with its own seeds and images, the differences vary as the standard errors say."""
    random, studies = np.random.default_rng(0), 400
    found = []
    for _ in range(studies):
        hard, other = random.normal(0, 1, 200), random.normal(0, 0.7, 200)
        luck = random.normal(0, 0.2, (4, 1))
        first = hard + luck + random.normal(0, 0.5, (4, 200)) > -1
        theirs = luck if paired else random.normal(0, 0.2, (6, 1))
        second = hard + other + theirs + random.normal(0, 0.5, (len(theirs), 200)) > -1
        found.append(over_seeds_and_images(first, second, paired=paired))

    observed = np.var([one.estimate for one in found])
    stated = np.mean([one.standard_error**2 for one in found])
    assert stated == pytest.approx(observed, rel=0.2)


@pytest.mark.parametrize("paired", [True, False])
def test_it_is_never_surer_than_over_seeds_alone(paired: bool) -> None:
    """Estimate and degrees of freedom are those over seeds, and the standard error is theirs or more."""
    for seed in range(5):
        random = np.random.default_rng(seed)
        first, second = answers(random, 4, 30, 0.2), answers(random, 4, 30)
        alone = compare(first.mean(axis=1), second.mean(axis=1), paired=paired)

        found = over_seeds_and_images(first, second, paired=paired)

        assert (found.estimate, found.degrees_of_freedom) == (alone.estimate, alone.degrees_of_freedom)
        assert found.standard_error >= alone.standard_error


@pytest.mark.parametrize(
    ("first", "second"), [((3, 5), (3, 6)), ((3, 1), (3, 1)), ((3,), (3,)), ((1, 5), (1, 5)), ((3, 5), (4, 5))]
)
def test_other_tables_are_rejected(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    """Other images, a single image or seed, and pairs of unequal numbers of seeds are a ValueError."""
    with pytest.raises(ValueError, match="expected"):
        crossed.image_error(np.ones(first, bool), np.ones(second, bool), paired=True)
