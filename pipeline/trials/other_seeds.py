"""What other seeds give for a model with the same settings: the prediction intervals in the study's report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline import files
from pipeline.analysis.verdicts import Interval
from pipeline.errors import InputError
from pipeline.training.settings import Model, Training
from pipeline.trials import plan
from pipeline.trials.plan import Study

NONE = "no prediction interval"


def intervals(
    models: Mapping[str, Model], training: Training, dataset: str, study: Path
) -> tuple[dict[str, dict[str, Interval]], str]:
    """Return the 95% prediction intervals of one more seed, by model and outcome, and why other models have none.

    They are those of reports/prediction.csv in the folder `study`, for models that are alike there.
    """
    table = study / "reports" / "prediction.csv"
    if not table.exists():
        return {}, f"{NONE}: there is no report of a study here"
    try:
        planned = plan.load_study(study / "params.yaml")
        if not planned.on(dataset):
            return {}, f"{NONE}: the study has nothing on {dataset}"
        of = {
            name: {row["outcome"]: Interval(float(row["low"]), float(row["high"])) for row in rows.to_dict("records")}
            for name, rows in files.read_csv(table).groupby("variant")
        }
    # A study that somebody is working on does not make a finished run fail.
    except InputError as error:
        return {}, f"{NONE}: {' '.join(str(error).split())}"
    except (KeyError, ValueError) as error:
        return {}, f"{NONE}: {table} cannot be read ({error})"
    reason = f"{NONE}: the study has no model with these settings on {dataset}"
    return {name: of[name] for name in alike(models, training, dataset, planned) if name in of}, reason


def alike(models: Mapping[str, Model], training: Training, dataset: str, planned: Study) -> Iterator[str]:
    """Yield each model that a study has under its name with the same settings, batch size, precision and data set."""
    fields = set(Model.model_fields)
    for name, variant in planned.on(dataset).items():
        shared = (planned.train.batch_size, variant.precision) == (training.batch_size, training.precision)
        if shared and name in models and variant.model_dump(include=fields) == models[name].model_dump(include=fields):
            yield name
