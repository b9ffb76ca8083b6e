"""Colours: a model's own, in every figure."""

from itertools import permutations
from pathlib import Path

import pandas as pd
import pytest

from pipeline import params
from pipeline.reporting import colours
from pipeline.reporting.plots import classification, curves, effects
from pipeline.study import claims
from pipeline.trials import plan
from tests.reporting.test_plots import ENDS, bins, history
from tests.support import study_runs
from tests.support.frozen import FROZEN

ROOT = Path(__file__).parents[2]
MODELS = ("mlp_rmsprop", "mlp_adadelta", "cnn")


def test_a_models_colour_is_its_names() -> None:
    """The project's models keep their colours in every order, alone, and with another model among them."""
    alone = {name: colours.of_models([name])[name] for name in MODELS}

    assert len({look.colour for look in alone.values()}) == len(MODELS)
    for names in permutations([*MODELS, "extra"]):
        looks = colours.of_models(names)
        assert {name: looks[name] for name in MODELS} == alone


def test_a_later_model_takes_no_colour_from_an_earlier_one() -> None:
    """Whatever models are added behind, those before keep their looks."""
    names = [f"model{i}" for i in range(40)]

    whole = colours.of_models(names)
    assert all(colours.of_models(names[:n]) == {name: whole[name] for name in names[:n]} for n in range(40))


@pytest.mark.parametrize("count", [2, 7, 28])
def test_looks_differ(count: int) -> None:
    """Up to seven models differ in colour, up to 28 in colour or line, and none has the tone of a split."""
    looks = list(colours.of_models(f"model{i}" for i in range(count)).values())

    assert len(set(looks)) == count
    assert len({look.colour for look in looks}) == min(count, 7)
    splits = {colours.TRAINING.colour, colours.VALIDATION.colour, colours.ORIGINAL.colour}
    assert not splits & {look.colour for look in looks}


def test_a_model_has_one_colour_in_the_report_and_in_the_study() -> None:
    """The models of params.yaml have the same colours among themselves and in each figure of the study."""
    values = params.load(FROZEN / "params.yaml")
    models, study = values.models, plan.load_study(FROZEN / "study" / "params.yaml")
    asked = claims.load(FROZEN / "study" / "claims.yaml", study, study_runs.rules(values))
    shown = [one.figure for one in asked.claims.values() if one.figure is not None]

    report = colours.of_models(models)
    for figure in shown:
        looks = colours.of_models(figure.pairs if isinstance(figure, claims.Change) else figure.variants)
        assert {name: looks[name] for name in looks.keys() & report} == {
            name: report[name] for name in looks.keys() & report
        }
    assert len(shown) == 6


def test_every_figure_uses_the_models_colours() -> None:
    """In each figure that shows models, a model's marks have its colour, and another first model changes none."""
    for names in (("first", "second"), ("extra", "first", "second")):
        own = {name: look.colour for name, look in colours.of_models(names).items()}
        chart = curves.comparison({name: history(0) for name in names}).axes[0]
        assert {line.get_label(): line.get_color() for line in chart.get_lines()} == own
        upper = classification.reliability({name: bins(0) for name in names}).axes[::2]
        assert {axes.get_title(loc="left"): axes.get_lines()[-1].get_color() for axes in upper} == own
    slopes = effects.changes(ENDS, ("before", "after"), "accuracy").axes[0].get_lines()
    assert {line.get_color() for line in slopes} == {colours.of_models(ENDS)[name].colour for name in ENDS}


def test_splits_have_the_same_tones_for_every_model() -> None:
    """Training is grey and validation black in the curves of each model."""
    table: pd.DataFrame = history(0)

    for name in MODELS:
        for axes in curves.training(table, None, name).axes:
            assert [line.get_color() for line in axes.get_lines()] == [
                colours.TRAINING.colour,
                colours.VALIDATION.colour,
            ]
