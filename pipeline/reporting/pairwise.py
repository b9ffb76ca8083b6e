"""Pairwise comparisons of the models: whether their errors differ, and in which settings they do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.analysis import multitest, proportions
from pipeline.analysis.proportions import McNemar
from pipeline.reporting.inputs import ModelResult
from pipeline.training.settings import Model

ALPHA = 0.05


@dataclass(frozen=True)
class McNemarPair(McNemar):
    """The exact McNemar test of two models, and its p value adjusted by Holm's method."""

    first: str
    second: str
    adjusted: float

    @property
    def differs(self) -> bool:
        """Whether the adjusted p value is below 0.05."""
        return self.adjusted < ALPHA


@dataclass(frozen=True)
class SettingDifference:
    """One setting in which two models differ: its path in their blocks, and both values."""

    key: str
    first: Any
    second: Any


@dataclass(frozen=True)
class SettingsContrast:
    """All settings in which two models differ, and the dropout rates (by name) that they have in common."""

    first: str
    second: str
    differences: list[SettingDifference]
    shared_dropout: dict[str, float]


def mcnemar_pairs(results: Sequence[ModelResult]) -> list[McNemarPair]:
    """Compare each two models on the same test images; p values are adjusted for the number of pairs."""
    correct = {result.name: result.answers == result.labels for result in results}
    couples = list(combinations(correct, 2))
    tests = [proportions.mcnemar(correct[first], correct[second]) for first, second in couples]
    adjusted = multitest.holm([test.p_value for test in tests])
    return [
        McNemarPair(**vars(test), first=first, second=second, adjusted=p)
        for (first, second), test, p in zip(couples, tests, adjusted, strict=True)
    ]


def setting_contrasts(models: Mapping[str, Model]) -> list[SettingsContrast]:
    """Return the settings in which each two models differ."""
    return [_contrast(first, second, models[first], models[second]) for first, second in combinations(models, 2)]


def missed_by_all(results: Sequence[ModelResult]) -> NDArray[np.int64]:
    """Return the positions of the test images that every model gets wrong: of each class in turn the next.

    Those on which the models are the surest, by the mean of their highest probabilities, come first.
    """
    wrong = [result.answers != result.labels for result in results]
    sure = np.mean([result.probabilities.max(axis=1) for result in results], axis=0)
    missed = np.flatnonzero(np.logical_and.reduce(wrong))
    ranked = missed[np.argsort(-sure[missed], kind="stable")]
    turn = pd.Series(ranked).groupby(results[0].labels[ranked]).cumcount()
    return np.asarray(ranked[np.argsort(turn.to_numpy(), kind="stable")])


def _contrast(first: str, second: str, model: Model, other: Model) -> SettingsContrast:
    left, right = _settings(model), _settings(other)
    differences = [difference for key in left for difference in _differences(key, left[key], right[key])]
    shared = {k: v for k, v in left["network"].items() if "dropout" in k and right["network"].get(k) == v}
    return SettingsContrast(first, second, differences, shared)


def _settings(model: Model) -> dict[str, Any]:
    """Return all settings of a model; without a schedule its learning rate is constant."""
    settings = model.model_dump()
    augmentation = model.augmentation and model.augmentation.model_dump(exclude_defaults=True)
    return settings | {"schedule": settings["schedule"] or {"name": "constant"}, "augmentation": augmentation}


def _differences(key: str, one: Any, other: Any) -> list[SettingDifference]:
    """Descend into blocks of one kind only: the arguments of two different optimizers cannot be compared.

    Blocks without a name are all of one kind. Layers are compared one by one where there are as many.
    """
    if one == other:
        return []
    if key.endswith(".layers") and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [difference for number, pair in pairs for difference in _differences(f"{key}[{number}]", *pair)]
    if isinstance(one, dict) and isinstance(other, dict) and one.get("name") == other.get("name"):
        return [
            difference
            for name in {**one, **other}
            for difference in _differences(f"{key}.{name}", one.get(name), other.get(name))
        ]
    return [SettingDifference(key, one, other)]
