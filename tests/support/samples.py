"""Made scores of seeds, for the tests of what is said about them."""

import numpy as np

# Sizes of two groups.
SIZES = [(2, 2), (3, 3), (2, 5), (6, 4), (10, 5), (7, 7)]


def groups(n_first: int, n_second: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return two random groups of accuracies with different means and spreads."""
    random = np.random.default_rng(seed)
    return random.normal(0.983, 0.001, n_first), random.normal(0.982, 0.003, n_second)


def grid(n_first: int, n_second: int, seed: int) -> tuple[list[int], list[int]]:
    """Return two random groups of counts of correct answers, of few different values, so that statistics often tie."""
    random = np.random.default_rng(seed)
    return random.integers(9800, 9806, n_first).tolist(), random.integers(9800, 9805, n_second).tolist()
