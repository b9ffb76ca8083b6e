"""Anyone's scores, however they were made: a CSV with a row for each side and seed, or for each image of these too."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis import means
from pipeline.errors import InputError
from pipeline.verdicts.judgement import ImageSample, Scores

_COLUMNS = ("side", "seed", "score")
_IMAGE = "image"
# Of larger numbers there are no squares.
LARGEST = 1e100


def read(path: Path) -> tuple[dict[str, Scores], ImageSample | None]:
    """Return the scores of each side in the file at `path`, in the order of the file, and the images that they are of.

    Columns: `side` (any name), `seed` (any name; sides are paired by it) and `score` (a number). With a column `image`
    too, there is a row for each image, whose score is 1 for a correct answer and 0 for a wrong one.

    Raises:
        InputError: The file cannot be read, or a row is wrong: the message has its number.
    """
    rows = _rows(path)
    per_image = any(image for _, _, image in rows)
    sides = list(dict.fromkeys(side for side, _, _ in rows))
    seeds = list(dict.fromkeys(seed for side, seed, _ in rows if side == sides[0])) if sides else []
    images = list(dict.fromkeys(image for _, _, image in rows))
    if len(sides) < 2:
        raise InputError(f"expected two sides or more, found {', '.join(sides) or 'no row'}", path=path)
    for side in sides:
        wanted = ((side, seed, image) for seed in seeds for image in images)
        if lacking := next((key for key in wanted if key not in rows), None):
            what = f"side {side} has no seed {lacking[1]}" + f" with image {lacking[2]}" * per_image
            raise InputError(f"{what}, as another side has: sides are paired by seed", path=path)
        if extra := next((seed for one, seed, _ in rows if one == side and seed not in seeds), None):
            raise InputError(f"side {side} has seed {extra}, and {sides[0]} has not: paired by seed", path=path)
    if len(seeds) < 2:
        raise InputError("expected two seeds or more of each side: one shows no spread", path=path)
    tables = {
        side: np.array([[rows[side, seed, image] for image in images] for seed in seeds], np.float64) for side in sides
    }
    if not per_image:
        if not (step := resolution(np.stack([*tables.values()]))):
            what = f"every score is {tables[sides[0]][0, 0]:g}, so nothing shows in which steps they are measured"
            raise InputError(what, path=path, fix="give a row for each image, with a column `image`")
        return {side: Scores(table[:, 0], step=step) for side, table in tables.items()}, None
    answers = {side: Scores(table.mean(axis=1), table.astype(bool), 1 / len(images)) for side, table in tables.items()}
    return answers, ImageSample(len(images))


def resolution(values: NDArray[np.float64]) -> float:
    """Return the smallest difference of two values that is no rounding, or 0 if there is none.

    Shares of the same images are multiples of one image, so it is one image, or several.
    """
    gaps = np.diff(np.unique(values))
    return float(min(gaps[gaps > means.ROUNDING * np.abs(values).max()], default=0.0))


def _rows(path: Path) -> Mapping[tuple[str, str, str], float]:
    """Return the score of each side, seed and image, which is "" where the file has no such column."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", path=path) from None
    table = csv.DictReader(content.splitlines())
    names = [*_COLUMNS, _IMAGE] if _IMAGE in (table.fieldnames or []) else [*_COLUMNS]
    if missing := [name for name in names if name not in (table.fieldnames or [])]:
        raise InputError(f"expected the columns {', '.join(_COLUMNS)}, found no {missing[0]}", path=path)
    rows: dict[tuple[str, str, str], float] = {}
    try:
        for row in table:
            key = (row["side"], row["seed"], row.get(_IMAGE, ""))
            if None in (*key, row["score"]) or "" in (row["side"], row["seed"]) or None in row:
                raise ValueError(f"expected {len(names)} values")
            if key in rows:
                raise ValueError("the same side and seed" + " and image" * (_IMAGE in names) + " again")
            rows[key] = _score(row["score"], only_answers=_IMAGE in names)
    except (ValueError, csv.Error) as error:
        raise InputError(f"line {table.line_num}: {error}", path=path) from None
    return rows


def _score(text: str, *, only_answers: bool) -> float:
    try:
        score = float(text)
    except ValueError:
        score = float("nan")
    if not abs(score) <= LARGEST or (only_answers and score not in (0, 1)):
        expected = "1 or 0 for each image" if only_answers else f"a number below {LARGEST:g}"
        raise ValueError(f"score: expected {expected}, found {text!r}")
    return score
