"""The colours of runs in MLflow's charts: one for all runs of a model, as in our figures, and for no other model.

MLflow derives a run's colour from its random id, so that two models may get the same, unless a tag gives it one.
"""

from __future__ import annotations

import colorsys
from collections.abc import Collection

from pipeline.reporting import colours
from pipeline.tracking.client import mlflow

# The tag that MLflow's pages read, and write where somebody chooses another colour there.
COLOUR = "mlflow.runColor"
_HUES, _LIGHTNESSES, _SATURATION = 60, (0.35, 0.45, 0.55, 0.65), 0.65


def of(experiment: str, key: str, name: str) -> str:
    """Return the colour, as #rrggbb, of the runs whose tag `key` is `name`: that of the latest of them, or a new one.

    A new one is the colour of that name in our figures, unless runs of the experiment with another name have it.
    """
    search = mlflow.MlflowClient().search_runs
    of_name = f"tags.`{key}` = '{name}' and tags.`{COLOUR}` LIKE '#%'"
    if latest := search([experiment], of_name, max_results=1):
        return str(latest[0].data.tags[COLOUR])
    others = search([experiment], f"tags.`{COLOUR}` LIKE '#%'")
    return free(name, {run.data.tags[COLOUR] for run in others})


def free(name: str, taken: Collection[str]) -> str:
    """Return the first colour of our figures that is not `taken`, from `name`'s own on; else the least similar one."""
    own = colours.PALETTE.index(colours.of_models([name])[name].colour)
    used = {colour.lower() for colour in taken}
    for colour in (*colours.PALETTE[own:], *colours.PALETTE[:own]):
        if colour.lower() not in used:
            return colour
    known = [_channels(colour) for colour in used]
    return max(_more(), key=lambda colour: min(_distance(_channels(colour), other) for other in known))


def _more() -> list[str]:
    return [
        "#" + "".join(f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(hue / _HUES, lightness, _SATURATION))
        for lightness in _LIGHTNESSES
        for hue in range(_HUES)
    ]


def _channels(colour: str) -> tuple[int, ...]:
    digits = colour.removeprefix("#")
    try:
        return tuple(int(digits[first : first + 2], 16) for first in (0, 2, 4))
    except ValueError:
        # Whatever somebody wrote there by hand.
        return (0, 0, 0)


def _distance(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    return sum((one - other) ** 2 for one, other in zip(first, second, strict=True))
