"""Pictures on a disk -> what data/sets/ says of them: classes, size, splits. What is unclear is asked back."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.data import dataset, image_set
from pipeline.data.formats import folder, pictures
from pipeline.errors import InputError
from pipeline.schema import Block, Name

# What splits, and columns or arrays of labels, are usually called.
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
}
LABEL_WORDS = ("label", "labels", "class", "category", "target", "y")
# The side of images that have no common size which fits.
_SIDE = 32
# A picture whose grey levels differ by less, of 255, shows nothing.
_VISIBLE = 24
# What may tell from the path of a picture which others belong to it: its name but for the last number in it, as of the
# frames of a film, or what its name begins with, as of the pictures of a patient.
_GROUPS = (r"([^/]*[^/\d])\d+\.\w+\Z", r"([^/_. -]+)[_. -][^/]*\.\w+\Z")


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


def label_column(columns: Sequence[str], path: Path, stated: Stated) -> str:
    """Return the column of the labels: the stated one, the only one, or the only one with a usual name."""
    usual = [column for column in columns if column.lower() in LABEL_WORDS]
    chosen = [stated.label] if stated.label else columns if len(columns) == 1 else usual
    if len(chosen) != 1 or chosen[0] not in columns:
        raise InputError(f"which column has the labels? {', '.join(columns[:10])}", path=path, fix="say LABEL=column")
    return chosen[0]


def natural(names: Iterable[str]) -> list[str]:
    """Return names in their order, numbers by their value."""
    return sorted(names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))


def held_out(splits: Collection[str], stated: Stated) -> dict[str, Any]:
    """Return what a set's file says of images that are held out: a share where none are there to test with, a group."""
    share: dict[str, Any] = {} if "test" in splits else {"share": 0.2, "seed": 0}
    kept = share | ({"group": stated.group} if stated.group else {})
    return {"held_out": kept} if kept else {}


def of_pictures(root: Path, paths: Sequence[Path], tables: Sequence[Path], stated: Stated) -> Survey:
    """Return what the pictures below `root` are, by their folders or by a table of their names and labels.

    Raises:
        InputError: None can be read, or they could be several data sets.
    """
    destinations = _by_table(root, paths, tables, stated) if tables else _by_folder(root, paths, stated)
    looks = _Looks()
    for path in sorted(destinations):
        try:
            looks.add(pictures.content_of(path))
        except (OSError, ValueError) as error:
            looks.damaged[path] = f"{path.relative_to(root).as_posix()}: {getattr(error, 'strerror', None) or error}"
    destinations = _readable(destinations, looks.damaged, root)
    targets = _targets(root, destinations)
    questions = [] if stated.group else _group_notes([*targets])
    splits = [split for split in image_set.SPLITS if any(at.split == split for at in destinations.values())]
    height, width = looks.size(stated)
    content = {
        "format": "folder",
        "image": {"height": height, "width": width, "channels": 1 if looks.are_grey else 3},
        "classes": natural({at.label for at in destinations.values()}),
        "options": {split: split for split in splits} | looks.options(stated),
        **held_out(splits, stated),
    }
    return Survey(content, targets, [*looks.notes(stated), *_bare(root, paths), *questions])


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


def _bare(root: Path, paths: Sequence[Path]) -> list[str]:
    """Return a sentence on the folders below the root that have no picture, if there are any."""
    filled = {parent for path in paths for parent in path.parents}
    bare = [path for path in folder.folders_below(root) if path not in filled and path.parent in filled]
    named = ", ".join(path.relative_to(root).as_posix() for path in bare[:10])
    return [f"folders without a picture: {named}{', ...' if len(bare) > 10 else ''}"] if bare else []


class _Looks:
    """The sizes and modes of pictures, and what those that have transparent parts show on white and on black."""

    def __init__(self) -> None:
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.modes: Counter[str] = Counter()
        self.vanishing: Counter[str] = Counter()
        self.transparent = 0
        self.damaged: dict[Path, str] = {}

    def add(self, content: bytes) -> None:
        """Look at the picture in a file with this content; raise ValueError if it cannot be read."""
        with pictures.opened(content) as picture:
            picture.image.load()
            self.sizes[picture.image.size] += 1
            self.modes[picture.mode] += 1
            if picture.image.has_transparency_data:
                self.transparent += 1
                for colour in ("white", "black"):
                    grey = np.asarray(pictures.flattened(picture.image, "L", colour), np.int16)
                    self.vanishing[colour] += int(np.ptp(grey) < _VISIBLE)

    @property
    def are_grey(self) -> bool:
        """Whether no picture has colours."""
        return all(mode.partition(";")[0] in ("1", "L", "LA", "I") for mode in self.modes)

    def size(self, stated: Stated) -> tuple[int, int]:
        """Return the height and the width that the images are to have."""
        (width, height), *others = self.sizes
        fits = not others and all(dataset.MIN_SIDE <= side <= dataset.MAX_SIDE for side in (width, height))
        return stated.size or ((height, width) if fits else (_SIDE, _SIDE))

    def options(self, stated: Stated) -> dict[str, Any]:
        """Return how pictures become images of that size."""
        exact = {"1", "L"} if self.are_grey else {"1", "L", "RGB", "P"}
        resize = {} if [*self.sizes] == [self.size(stated)[::-1]] else {"resize": "stretch"}
        return resize | {"convert": bool(self.transparent or self.modes.keys() - exact)}

    def notes(self, stated: Stated) -> list[str]:
        """Return a sentence each on sizes, modes, transparent parts and damaged files."""
        height, width = self.size(stated)
        sizes = ", ".join(f"{w}x{h} ({count})" for (w, h), count in self.sizes.most_common(3))
        more = f" and {len(self.sizes) - 3} more" if len(self.sizes) > 3 else ""
        advice = "" if [*self.sizes] == [(width, height)] or stated.size else " (SIZE=64 or SIZE=48x64 says otherwise)"
        modes = ", ".join(f"{mode} ({count})" for mode, count in self.modes.most_common())
        notes = [
            f"sizes: {sizes}{more}; all become {width}x{height}{advice}",
            f"modes: {modes}; all become {'grey' if self.are_grey else 'colour'}",
        ]
        if others := sum(count for (w, h), count in self.sizes.items() if w * height != h * width):
            notes.append(f"{others} of another aspect ratio are stretched; `resize: pad` or `crop` in options keeps it")
        if self.transparent:
            nothing = ", ".join(f"on {colour} {self.vanishing[colour]}" for colour in ("white", "black"))
            notes.append(
                f"{self.transparent} have transparent parts, which become white, or what `background` in options says; "
                f"of these would show nothing: {nothing}"
            )
        if self.damaged:
            more = "; ..." if len(self.damaged) > 20 else ""
            named = "; ".join([*self.damaged.values()][:20])
            notes.append(f"{len(self.damaged)} cannot be read and are not copied: {named}{more}")
        return notes


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


def _by_folder(root: Path, paths: Sequence[Path], stated: Stated) -> dict[Path, Destination]:
    """Return where each picture belongs, by the folders in which it is."""
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
    if len(varying) != 1:
        shown = "; ".join(f"{at + 1}: {', '.join(names[:3])}" for at, names in enumerate(levels))
        raise InputError(f"which level of folders has the classes? {shown}", path=root, fix="say LEVEL=1, for instance")
    destinations = {
        path: Destination("train" if split_at is None else SPLIT_WORDS[parts[split_at].lower()], parts[varying[0]])
        for path, parts in steps.items()
    }
    if all(at.split != "train" for at in destinations.values()):
        raise InputError("no pictures to train on, only those of other splits", path=root)
    return destinations


def _by_table(root: Path, paths: Sequence[Path], tables: Sequence[Path], stated: Stated) -> dict[Path, Destination]:
    """Return where each picture belongs, by a table of their names and labels."""
    if len(tables) > 1:
        raise InputError(f"which table has the labels? {', '.join(path.name for path in tables)}", path=root)
    table = pd.read_csv(tables[0], dtype=str, keep_default_na=False)
    known = {path.relative_to(root).as_posix(): path for path in paths}
    for key in ("name", "stem"):
        short = Counter(getattr(path, key) for path in paths)
        known |= {getattr(path, key): path for path in paths if short[getattr(path, key)] == 1}
    columns = [column for column in table if table[column].isin(known).mean() > 0.5]
    # A label may be the name of a picture, too, but it is rarely unique.
    columns = [column for column in columns if len(columns) == 1 or table[column].is_unique]
    if len(columns) != 1:
        raise InputError(f"expected one column with names of the pictures, found {len(columns)}", path=tables[0])
    names = table[columns[0]]
    label = label_column([column for column in table if column != columns[0]], tables[0], stated)
    absent = [name for name in names if name not in known]
    unnamed = set(paths) - {known[name] for name in names if name in known}
    if absent or unnamed:
        what = f"{len(absent)} rows without a picture ({', '.join(absent[:3])}), {len(unnamed)} pictures without a row"
        raise InputError(f"{what} ({', '.join(sorted(path.name for path in unnamed)[:3])})", path=tables[0])
    if names.duplicated().any():
        raise InputError(f"{names[names.duplicated()].iloc[0]} is there twice", path=tables[0])
    pairs = zip(names, table[label], strict=True)
    return {known[name]: Destination("train", re.sub(r"[/\\]", "-", text)) for name, text in pairs}


def _targets(root: Path, destinations: Mapping[Path, Destination]) -> dict[str, Path]:
    """Return where each picture goes, SPLIT/CLASS/NAME; its folders are part of the name where names are the same."""
    targets: dict[str, Path] = {}
    doubles = Counter((*at, path.name.lower()) for path, at in destinations.items())
    for path, at in destinations.items():
        is_single = doubles[(*at, path.name.lower())] == 1
        name = path.name if is_single else "-".join(path.relative_to(root).parts)
        targets[str(PurePosixPath(*at, name))] = path
    return targets
