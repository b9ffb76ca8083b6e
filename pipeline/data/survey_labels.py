"""A table of the names of pictures and their labels -> where each belongs. What is unclear is asked back."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

from pipeline.data.formats import csv as csv_format
from pipeline.data.formats import folder
from pipeline.data.formats.checks import Place
from pipeline.data.survey import Destination, Stated, header_of, label_column, names_splits, split_word
from pipeline.errors import InputError

# Characters of a table of labels: of a million rows, some sixty in each.
_LENGTH = 2**26


def by_table(root: Path, paths: Sequence[Path], tables: Sequence[Path], stated: Stated) -> dict[Path, Destination]:
    """Return where each picture belongs, by a table of their names and labels, perhaps of splits and groups, too.

    Raises:
        InputError: It does not name each picture once, or its columns could be several things.
    """
    if len(tables) > 1:
        what = f"which table has the labels? {', '.join(path.name for path in tables)}"
        raise InputError(what, path=root, fix="leave one, in which a column with train, test and val may say the split")
    table = _read(Place(tables[0]))
    names, named = _named(table, root, paths, tables[0])
    others = [column for column in table if column not in (names, stated.group)]
    splits = [column for column in others if column != stated.label and names_splits(Counter(table[column]))]
    if {*splits} == {*others}:
        splits = []
    label = label_column([column for column in others if column not in splits], tables[0], stated)
    if len(splits) > 1:
        raise InputError(f"which column has the splits? {', '.join(splits)}", path=tables[0], fix="leave one of them")
    words = table[splits[0]] if splits else _splits_in_paths(root, named)
    if unknown := [word for word in words if split_word(word) is None]:
        raise InputError(f"column {splits[0]!r}: expected train, test or val, found {unknown[0]!r}", path=tables[0])
    labels = _as_folders(dict.fromkeys(table[label]), tables[0])
    groups = [""] * len(named)
    if stated.group in table:
        # Quoted, values that differ stay different, and none has a sign that ends it or a folder's.
        groups = [f"group-{quote(value, safe='')}=" for value in table[stated.group]]
    return {
        path: Destination(str(split_word(word)), labels[text], group)
        for path, word, text, group in zip(named, words, table[label], groups, strict=True)
    }


def _splits_in_paths(root: Path, paths: Iterable[Path]) -> list[str]:
    """Return the split of each picture by the folder that it is in; to train on, unless all are in such folders."""
    named = [[step for step in path.relative_to(root).parts[:-1] if split_word(step)] for path in paths]
    return [steps[0] for steps in named] if all(named) else ["train"] * len(named)


def _read(place: Place) -> dict[str, list[str]]:
    """Return the cells of each column of a table."""
    with csv_format.opened(place) as text:
        header, rows = header_of(text, place), list[list[str]]()
        for cells in csv.reader(_lines(text, place), strict=True):
            if cells and len(cells) != len(header):
                where = f"row {len(rows)}, counted from 0"
                raise place.fault(f"{where}: expected {len(header)} cells, found {len(cells)}")
            rows += [cells] if cells else []
    return {name: cells for name, *cells in zip(header, *rows, strict=True)}


def _lines(text: TextIO, place: Place) -> Iterator[str]:
    left = _LENGTH
    while line := csv_format.line_of(text, place, "a row"):
        if (left := left - len(line)) < 0:
            fix = "leave out the columns that are neither names of pictures nor their labels, splits or groups"
            raise place.fault(f"expected at most {_LENGTH} characters, found more", fix)
        yield line


def _named(
    table: Mapping[str, Sequence[str]], root: Path, paths: Sequence[Path], place: Path
) -> tuple[str, list[Path]]:
    """Return which column names the pictures, and that of each row; raise InputError unless all are there once."""
    known = {path.relative_to(root).as_posix(): path for path in paths}
    for key in ("name", "stem"):
        short = Counter(getattr(path, key) for path in paths)
        known |= {getattr(path, key): path for path in paths if short[getattr(path, key)] == 1}
    columns = [column for column, cells in table.items() if sum(cell in known for cell in cells) > len(cells) / 2]
    # A label may be the name of a picture, too, but it is rarely unique.
    columns = [column for column in columns if len(columns) == 1 or len({*table[column]}) == len(table[column])]
    if len(columns) != 1:
        what = f"expected one column with names of the pictures, found {len(columns)} of {', '.join(table)[:200]}"
        raise InputError(what, path=place, fix="move the table away if the folders are the classes")
    names = table[columns[0]]
    absent = [name for name in names if name not in known]
    unnamed = set(paths) - {known[name] for name in names if name in known}
    if absent or unnamed:
        what = f"{len(absent)} rows without a picture ({', '.join(absent[:3])}), {len(unnamed)} pictures without a row"
        raise InputError(f"{what} ({', '.join(sorted(path.name for path in unnamed)[:3])})", path=place)
    named = [known[name] for name in names]
    for path, count in Counter(named).items():
        if count > 1:
            raise InputError(f"{path.relative_to(root).as_posix()} is there twice", path=place)
    return columns[0], named


def _as_folders(labels: Iterable[str], path: Path) -> dict[str, str]:
    """Return what the folder of each label is called; raise InputError if two have one, or it would not be read."""
    known: dict[str, str] = {}
    for label in labels:
        name = re.sub(r"[/\\]", "-", label)
        if folder.of_system(name):
            raise InputError(f"label {label!r}: a folder of this name is left out", path=path, fix="rename it")
        if (other := known.setdefault(name, label)) != label:
            raise InputError(
                f"labels {other!r} and {label!r} would be one class, {name!r}", path=path, fix="rename one"
            )
    return {label: name for name, label in known.items()}
