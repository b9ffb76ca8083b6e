"""What other seeds give for a model with the same settings: the prediction intervals in the study's report."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline import errors, files
from pipeline.analysis.verdicts import Interval
from pipeline.errors import InputError
from pipeline.params import Data
from pipeline.training.settings import Model, Training
from pipeline.trials import plan
from pipeline.trials.plan import Study

NONE = "no prediction interval"


def intervals(
    models: Mapping[str, Model], training: Training, data: Data, study: Path
) -> tuple[dict[str, dict[str, Interval]], str]:
    """Return the 95% prediction intervals of one more seed, by model and outcome, and why other models have none.

    They are those of reports/prediction.csv in the folder `study`, for models that are alike there.
    """
    table = study / "reports" / "prediction.csv"
    if not table.exists():
        return {}, f"{NONE}: there is no report of a study here"
    try:
        planned = plan.load_study(study / "params.yaml")
        if not planned.on(data.dataset):
            return {}, f"{NONE}: the study has nothing on {data.dataset}"
        of = {
            name: {row["outcome"]: Interval(float(row["low"]), float(row["high"])) for row in rows.to_dict("records")}
            for name, rows in files.read_csv(table).groupby("variant")
        }
    # A study that somebody is working on does not make a finished run fail.
    except InputError as error:
        return {}, f"{NONE}: {errors.reason(error)}"
    except (KeyError, ValueError) as error:
        return {}, f"{NONE}: {table} cannot be read ({error})"
    reason = f"{NONE}: the study has no model with these settings on {data.dataset}"
    by_model: dict[str, dict[str, Interval]] = {}
    for model, variant in alike(models, training, data, planned):
        if variant in of:
            by_model.setdefault(model, of[variant])
    return by_model, reason


def alike(models: Mapping[str, Model], training: Training, data: Data, planned: Study) -> Iterator[tuple[str, str]]:
    """Yield each model with each variant of a study that has the same settings.

    Batch size, precision, data set and training images are the same as well.
    """
    for name, variant in planned.on(data.dataset).items():
        usual = variant.varied is None and variant.pixels == "original"
        shared = (planned.train.batch_size, variant.precision) == (training.batch_size, training.precision)
        if usual and shared and variant.training_images == _images(data, planned):
            settings = variant.model_dump(include=set(Model.model_fields))
            yield from ((model, name) for model, block in models.items() if block.model_dump() == settings)


def _images(data: Data, planned: Study) -> str | None:
    """Return which training images of a study are those of a split; None if none are."""
    if data.validation == "test":
        return "all"
    split = planned.data.validation, planned.data.split_seed
    return "shared" if (data.validation, data.split_seed) == split else None
