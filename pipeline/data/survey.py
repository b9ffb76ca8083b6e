"""Pictures on a disk -> what data/sets/ says of them: classes, size, splits. What is unclear is asked back."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TextIO

from pipeline.data import image_set
from pipeline.data.formats import csv, folder, pictures
from pipeline.data.formats.checks import Place
from pipeline.data.looks import Looks
from pipeline.errors import InputError
from pipeline.schema import Block, Name

# What splits, and columns or arrays of labels, are usually called.
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
}
LABEL_WORDS = ("label", "labels", "class", "category", "target", "y")
# What may tell from the path of a picture which others belong to it: its name but for the last number in it, as of the
# frames of a film, or what its name begins with, as of the pictures of a patient.
_GROUPS = (r"([^/]*[^/\d])\d+\.\w+\Z", r"([^/_. -]+)[_. -][^/]*\.\w+\Z")
# What finds a picture's group in the name of its copy, where a column of the labels' table says it.
_COLUMN = r"/group-([^/=]*)=[^/]*\Z"


class Named(Block):
    """The name of a data set that is to be."""

    name: Name


@dataclass(frozen=True)
class Stated:
    """What the user has stated, where files could be either: `size` is (height, width), `scale` becomes 255."""

    size: tuple[int, int] | None = None
    scale: float | None = None
    label: str | None = None
    level: int | None = None
    group: str | None = None


@dataclass
class Survey:
    """What the set's file says, which file becomes each of the set's, and what to know of them."""

    content: dict[str, Any]
    copies: dict[str, Path]
    notes: list[str] = field(default_factory=list)


class Destination(NamedTuple):
    """Where a picture belongs."""

    split: str
    label: str
    group: str = ""
    """What the name of its copy begins with, to say what it belongs to."""


def label_column(columns: Sequence[str], path: Path, stated: Stated) -> str:
    """Return the column of the labels: the stated one, the only one, or the only one with a usual name."""
    usual = [column for column in columns if column.lower() in LABEL_WORDS]
    chosen = [stated.label] if stated.label else columns if len(columns) == 1 else usual
    if len(chosen) != 1 or chosen[0] not in columns:
        raise InputError(f"which column has the labels? {', '.join(columns[:10])}", path=path, fix="say LABEL=column")
    return chosen[0]


def header_of(text: TextIO, place: Place) -> list[str]:
    """Return the names of the columns of a table; raise InputError if they are not names, or not apart."""
    header = csv.header_of(text, place)
    if len(header) == 1 and (marks := {*";\t"} & {*header[0]}):
        raise place.fault(f"expected commas between columns, found {min(marks)!r}", "save it with commas")
    if all(map(csv.is_number, header)):
        what = "expected names of columns in the first line, found " + (", ".join(header[:3]) or "nothing")
        raise place.fault(what, "write names, such as label,pixel0,pixel1")
    if "" in header:
        raise place.fault("a column without a name", "to_csv(index=False) leaves out pandas' index")
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise place.fault(f"more than one column {twice[0]!r}", "rename one of them")
    return header


def split_word(cell: object) -> str | None:
    """Return the split that a cell names, None if it names none."""
    return SPLIT_WORDS.get(str(cell).strip().lower())


def names_splits(cells: Counter[Any]) -> bool:
    """Return whether most of the cells of a column, of which each is there so often, are names of splits."""
    return sum(count for cell, count in cells.items() if split_word(cell)) > cells.total() / 2


def natural(names: Iterable[str]) -> list[str]:
    """Return names in their order, numbers by their value."""
    return sorted(names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))


def held_out(splits: Collection[str], stated: Stated) -> dict[str, Any]:
    """Return what a set's file says of images that are held out: a share where none are there to test with, a group."""
    share: dict[str, Any] = {} if "test" in splits else {"share": 0.2, "seed": 0}
    kept = share | ({"group": stated.group} if stated.group else {})
    return {"held_out": kept} if kept else {}


def of_pictures(root: Path, destinations: Mapping[Path, Destination], stated: Stated) -> Survey:
    """Return what the pictures below `root` are, each of which belongs somewhere.

    Raises:
        InputError: None can be read, or they could be several data sets.
    """
    if all(at.split != "train" for at in destinations.values()):
        raise InputError("no pictures to train on, only those of other splits", path=root)
    if any(at.group for at in destinations.values()):
        stated = replace(stated, group=_COLUMN)
    looks, damaged = Looks(stated.size, stated.scale), dict[Path, str]()
    for path in sorted(destinations):
        try:
            looks.add(pictures.content_of(path))
        except (OSError, ValueError) as error:
            damaged[path] = f"{path.relative_to(root).as_posix()}: {getattr(error, 'strerror', None) or error}"
    readable = _readable(destinations, damaged, root)
    targets = _targets(root, readable)
    questions = [] if stated.group else _group_notes([*targets])
    splits = [split for split in image_set.SPLITS if any(at.split == split for at in readable.values())]
    content = {
        "format": "folder",
        "image": looks.image,
        "classes": natural({at.label for at in readable.values()}),
        "options": {split: split for split in splits} | looks.options,
        **held_out(splits, stated),
    }
    return Survey(content, targets, [*looks.notes, *_listed(damaged), *_bare(root, destinations), *questions])


def _readable(
    destinations: Mapping[Path, Destination], damaged: Mapping[Path, str], root: Path
) -> dict[Path, Destination]:
    """Return where the others than the damaged belong; raise InputError if none is left of a class, or of a split."""
    kept = {path: at for path, at in destinations.items() if path not in damaged}
    left = {name for at in kept.values() for name in (at.split, at.label)}
    for path, why in damaged.items():
        for name in {destinations[path].split, destinations[path].label} - left:
            raise InputError(f"no picture of {name!r} can be read, such as {why}", path=root, fix="mend or remove them")
    return kept


def _listed(damaged: Mapping[Path, str]) -> list[str]:
    """Return a sentence on the files that cannot be read, if there are any."""
    named = "; ".join([*damaged.values()][:20]) + ("; ..." if len(damaged) > 20 else "")
    return [f"{len(damaged)} cannot be read and are not copied: {named}"] if damaged else []


def _bare(root: Path, paths: Iterable[Path]) -> list[str]:
    """Return a sentence on the folders below the root that have no picture, if there are any."""
    filled = {parent for path in paths for parent in path.parents}
    bare = [path for path in folder.folders_below(root) if path not in filled and path.parent in filled]
    named = ", ".join(path.relative_to(root).as_posix() for path in bare[:10])
    return [f"folders without a picture: {named}{', ...' if len(bare) > 10 else ''}"] if bare else []


def _group_notes(names: Sequence[str]) -> list[str]:
    """Return what the names of files show of pictures that belong together, SPLIT/CLASS/NAME; nothing if they do not.

    It is shown where most pictures have others of their group, and all classes are in several groups.
    """
    for expression in _GROUPS:
        groups, labels = defaultdict[str, list[str]](list), defaultdict[str, set[str]](set)
        for name in names:
            match = re.search(expression, name)
            group = match[1] if match else name
            groups[group].append(name)
            labels[name.split("/")[1]].add(group)
        if len(groups) <= len(names) / 2 and all(len(within) > 1 for within in labels.values()):
            largest = max(groups, key=lambda group: len(groups[group]))
            members = sorted(groups[largest])
            return [
                f"do pictures such as {members[0]} and {members[-1]} belong together? GROUP='{expression}' keeps each"
                f" of {len(groups)} such groups on one side of a split"
            ]
    return []


def by_folder(root: Path, paths: Sequence[Path], stated: Stated) -> dict[Path, Destination]:
    """Return where each picture belongs, by the folders in which it is; raise InputError if they could be several."""
    steps = {path: path.relative_to(root).parts[:-1] for path in paths}
    depths = {len(parts) for parts in steps.values()}
    if depths == {0}:
        raise InputError("expected a folder for each class, or a CSV with names and labels", path=root)
    if len(depths) > 1:
        odd = min(steps, key=lambda path: len(steps[path]))
        what = f"pictures are {min(depths)} to {max(depths)} folders deep, such as {odd.relative_to(root).as_posix()}"
        raise InputError(what, path=root, fix="move them to one depth, or name a folder further down with FROM")
    levels = [sorted({parts[level] for parts in steps.values()}) for level in range(depths.pop())]
    split_at = next((at for at, names in enumerate(levels) if all(name.lower() in SPLIT_WORDS for name in names)), None)
    varying = [at for at, names in enumerate(levels) if at != split_at and len(names) > 1]
    if stated.level is not None:
        varying = [stated.level - 1] if 0 < stated.level <= len(levels) else []
    if not varying and stated.level is None:
        only = "/".join(names[0] for names in levels)
        raise InputError(f"expected folders of two classes or more, found only {only}", path=root)
    if len(varying) != 1:
        shown = "; ".join(f"{at + 1}: {', '.join(names[:3])}" for at, names in enumerate(levels))
        raise InputError(f"which level of folders has the classes? {shown}", path=root, fix="say LEVEL=1, for instance")
    return {
        path: Destination("train" if split_at is None else SPLIT_WORDS[parts[split_at].lower()], parts[varying[0]])
        for path, parts in steps.items()
    }


def _targets(root: Path, destinations: Mapping[Path, Destination]) -> dict[str, Path]:
    """Return where each picture goes, SPLIT/CLASS/NAME; its folders are part of the name where names are the same."""
    targets: dict[str, Path] = {}
    doubles = Counter((at, path.name.lower()) for path, at in destinations.items())
    for path, at in destinations.items():
        is_single = doubles[(at, path.name.lower())] == 1
        name = path.name if is_single else "-".join(path.relative_to(root).parts)
        target = str(PurePosixPath(at.split, at.label, at.group + name))
        if (other := targets.setdefault(target, path)) != path:
            both = f"{other.relative_to(root).as_posix()} and {path.relative_to(root).as_posix()}"
            raise InputError(f"{both} would both be called {target}", path=root, fix="rename one of them")
    return targets
