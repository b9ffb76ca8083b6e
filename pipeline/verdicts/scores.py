"""Anyone's scores, however they were made: a CSV with a row for each side and seed, or for each image of these too."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import files
from pipeline.analysis import means
from pipeline.errors import InputError
from pipeline.verdicts.judgement import FEWEST_IMAGES, ImageSample, Scores

_COLUMNS = ("side", "seed", "score")
_IMAGE = "image"
# The metrics that are means over images.
_ANSWERS, _LOSSES = "accuracy", "loss"
# Of larger numbers there are no squares.
LARGEST = 1e100
_MAX_BYTES = 100_000_000

# The score of each side, seed and image, which is "" where the file has no such column.
_Rows = Mapping[tuple[str, str, str], float]


def read(path: Path, metric: str) -> tuple[dict[str, Scores], ImageSample | None]:
    """Return the scores of each side in the file at `path`, in the order of the file, and the images that they are of.

    Columns: `side` (any name), `seed` (any name; sides are paired by it) and `score` (a number). With a column `image`
    too, there is a row for each image, and the metric is the mean over these: of accuracy, a score is 1 for a correct
    answer and 0 for a wrong one; of loss, it is any number.

    Raises:
        InputError: The file cannot be read, does not fit the metric, or a row is wrong: the message has its number.
    """
    rows = _rows(path, metric)
    sides, seeds, images = ([*dict.fromkeys(names)] for names in zip(*rows, strict=True)) if rows else ([], [], [])
    try:
        _check_paired(rows, sides, seeds, images)
        values = np.array([[[rows[side, seed, image] for image in images] for seed in seeds] for side in sides])
        step = _step(values, metric) / len(images)
    except ValueError as error:
        raise InputError(str(error), path=path) from None
    by_image, tables = images != [""], zip(sides, values, strict=True)
    scores = {side: Scores(table.mean(axis=1), table if by_image else None, step) for side, table in tables}
    return scores, ImageSample(len(images)) if by_image else None


def _check_paired(rows: _Rows, sides: Sequence[str], seeds: Sequence[str], images: Sequence[str]) -> None:
    """Check that there is enough to compare, and that all sides have the same seeds and images.

    Raises:
        ValueError: They have not.
    """
    if len(sides) < 2:
        raise ValueError(f"expected two sides or more, found {', '.join(sides) or 'no row'}")
    keys = ((side, seed, image) for side in sides for seed in seeds for image in images)
    if missing := next((key for key in keys if key not in rows), None):
        side, seed, image = missing
        what = f"seed {seed} with image {image}" if image else f"seed {seed}"
        raise ValueError(f"side {side} has no {what}, as another has: sides are paired by seed and image")
    if len(seeds) < 2:
        raise ValueError("expected two seeds or more of each side: one shows no spread")
    if images != [""] and len(images) < FEWEST_IMAGES:
        raise ValueError(f"expected {FEWEST_IMAGES} images or more, found {len(images)}: too few to judge by")


def _step(values: NDArray[np.float64], metric: str) -> float:
    """Return the steps in which scores are measured, of (sides, seeds, images), where there is one image without any.

    Raises:
        ValueError: They may be anything, as all scores are equal; or losses of images are answers.
    """
    if values.shape[2] > 1 and metric == _ANSWERS:
        return 1.0
    if values.shape[2] > 1 and np.isin(values, (0, 1)).all():
        raise ValueError(f"every loss is 0 or 1: for answers use `--metric {_ANSWERS}`, with 1 for a correct one")
    if step := resolution(values):
        return step
    raise ValueError(
        f"every score is {values.flat[0]:g}, so nothing shows in which steps they are measured; for accuracies, give a "
        f"row for each image, with a column `{_IMAGE}`"
    )


def resolution(values: NDArray[np.float64]) -> float:
    """Return the smallest difference of two values that is no rounding, or 0 if there is none.

    Shares of the same images are multiples of one image, so it is one image, or several.
    """
    gaps = np.diff(np.unique(values))
    return float(min(gaps[gaps > means.ROUNDING * np.abs(values).max()], default=0.0))


def _rows(path: Path, metric: str) -> _Rows:
    try:
        content = files.read_bytes(path, _MAX_BYTES, created=False).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"cannot be read ({error})", path=path) from None
    table = csv.DictReader(io.StringIO(content, newline=""), strict=True, skipinitialspace=True)
    rows: dict[tuple[str, str, str], float] = {}
    try:
        names = [*_COLUMNS, _IMAGE] if _IMAGE in (found := [*(table.fieldnames or [])]) else [*_COLUMNS]
        if any(found.count(name) != 1 for name in names):
            raise ValueError(f"expected the columns {','.join(names)}, found {','.join(found)[:100] or 'none'}")
        if _IMAGE in names and metric not in (_ANSWERS, _LOSSES):
            what = f"--metric: {metric} is not a mean over images; {_ANSWERS} and {_LOSSES} are"
            raise InputError(what, fix=f"leave out the column `{_IMAGE}`, with a row for each seed")
        for row in table:
            if None in row or any(row[name] in (None, "") for name in names):
                raise ValueError(f"expected {len(found)} values, none of them empty")
            if (key := (row["side"], row["seed"], row.get(_IMAGE, ""))) in rows:
                raise ValueError("the same side and seed" + " and image" * (_IMAGE in names) + " again")
            rows[key] = _score(row["score"], only_answers=_IMAGE in names and metric == _ANSWERS)
    except (ValueError, csv.Error) as error:
        raise InputError(f"line {max(table.reader.line_num, 1)}: {error}", path=path) from None
    return rows


def _score(text: str, *, only_answers: bool) -> float:
    try:
        score = float(text)
    except ValueError:
        score = float("nan")
    if only_answers and score not in (0, 1):
        raise ValueError(f"score: expected 1 for a correct answer or 0 for a wrong one, found {text!r}")
    if not abs(score) <= LARGEST:
        raise ValueError(f"score: expected a number below {LARGEST:g}, found {text!r}")
    return score
