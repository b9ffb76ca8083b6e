"""Blocks of a YAML file as strict, frozen objects, and one line for everything in the file that breaks a rule."""

import difflib
import re
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from pipeline.errors import InputError

# A dot is a level of params.yaml to DVC, `dvc exp run -S` takes no key that begins with a digit or has another
# character, MLflow's registry takes no slash and no colon, and a leading hyphen would be an option of a command.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
# Devices on Windows, whatever the ending of the file.
_RESERVED = re.compile(r"con|prn|aux|nul|(com|lpt)\d", re.IGNORECASE)


class Block(BaseModel):
    """A mapping of a YAML file: every key known and given, every value of its exact type, nothing changeable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        for key in value if isinstance(value, Mapping) else ():
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(cls.model_fields)}"
                raise PydanticCustomError("unknown_key", "unknown key {key}; {hint}", {"key": shown(key), "hint": hint})
        return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        rule = "expected a name of at most 64 letters, digits, _ and -, beginning with a letter, found {value}"
        raise PydanticCustomError("name", rule, {"value": shown(value)})
    if _RESERVED.fullmatch(value):
        raise PydanticCustomError("name", "{value} is a reserved file name on Windows", {"value": shown(value)})
    return value


def _path(value: str) -> str:
    if not value or "\0" in value:
        raise PydanticCustomError("path", "expected a path, found {value}", {"value": shown(value)})
    return value


def as_tuple(value: Any) -> Any:
    """Return a list as a tuple, so that nothing can be appended to it; anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


def number(value: Any) -> Any:
    """Return `value`, which is to be one of some numbers; `true` and 1.0 are equal to 1, but are no whole numbers.

    Raises:
        PydanticCustomError: It is one of those.
    """
    if isinstance(value, bool | float):
        raise PydanticCustomError("number", "expected a whole number, found {value}", {"value": shown(value)})
    return value


def once(items: Sequence[str], kind: str) -> None:
    """Check that no item, one `kind` of thing, is in a list twice.

    Raises:
        PydanticCustomError: One is.
    """
    for position, item in enumerate(items):
        if item in items[:position]:
            text = "expected each {kind} once, found {item} twice"
            raise PydanticCustomError("once", text, {"kind": kind, "item": shown(item)})


def distinct(names: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `names` if they stay different where upper and lower case are the same, as in file names on macOS.

    Raises:
        PydanticCustomError: Two of them are the same there.
    """
    known: dict[str, str] = {}
    for name in names:
        if (other := known.setdefault(name.lower(), name)) != name:
            text = "{first} and {second} differ only in case: their files are the same on some systems"
            raise PydanticCustomError("same_name", text, {"first": other, "second": name})
    return names


# What becomes a file's name, a key for `dvc exp run -S`, a DVC stage and a name in MLflow.
Name = Annotated[str, AfterValidator(_name)]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
PlainPath = Annotated[str, AfterValidator(_path)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[int, Field(gt=0, lt=2**31)]
Positives = Annotated[tuple[Positive, ...], BeforeValidator(as_tuple), Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Epsilon = Annotated[float, Field(gt=0, le=1)]

B = TypeVar("B", bound=Block)


def validate(block: type[B], value: Any, path: Path | None = None, key: str = "", context: Any = None) -> B:
    """Return `value`, which stands in the file at `path` below `key`, as a `block`; `context` is for its validators.

    Raises:
        InputError: `value` breaks a rule of the block; one line per fault, each with the path and the key.
    """
    try:
        return block.model_validate(value, context=context)
    except ValidationError as error:
        lines = [_describe(fault, value, key) for fault in error.errors()]
        raise InputError(f"\n{path}: ".join(lines) if path else "\n".join(lines), path=path) from None


def check_shape(kind: Any, value: Any, path: Path, what: str) -> None:
    """Check that `value`, what is read of the file at `path`, has the type `kind`, as `what` has; there may be more.

    Raises:
        InputError: It has not; one line with the first key that differs.
    """
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        what = f"not {what}: {place} is missing or of another kind"
        raise InputError(what, path=path, fix="restore it, or have it written again") from None


def _describe(fault: ErrorDetails, value: Any, key: str) -> str:
    keys = _keys(fault["loc"], value, fault["type"])
    path = ".".join(filter(None, [key, *keys, fault.get("ctx", {}).get("below")]))
    text = _text(fault)
    return f"{path}: {text}" if path else text


def _text(fault: ErrorDetails) -> str:
    value, context = fault.get("input"), fault.get("ctx", {})
    match fault["type"]:
        case "missing":
            return "missing"
        case "tuple_type":
            return f"expected a list, found {shown(value)}"
        case "string_pattern_mismatch":
            return f"expected a text matching {context['pattern']}, found {shown(value)}"
        case "union_tag_invalid":
            # The key that says which member it is, or the function that finds it, whose tags are in brackets.
            key, tag = context["discriminator"].strip("'()"), context["tag"]
            expected = context["expected_tags"].replace("<", "").replace(">", "")
            return f"expected {expected} for {key}, found {shown(tag if key == 'name' else tag[1:-1])}"
        case "union_tag_not_found":
            return "missing name"
        case "too_short":
            return f"expected one item or more, found {shown(value)}"
        case "model_type" | "model_attributes_type" | "mapping_type" | "dict_type":
            return f"expected a mapping, found {shown(value)}"
    text = fault["msg"]
    if text.startswith("Input should be "):
        return f"expected {text.removeprefix('Input should be ')}, found {shown(value)}"
    return text


def _keys(location: tuple[int | str, ...], value: Any, fault: str) -> list[str]:
    """Return the keys in an error's location, without the tags of union members: these are not in the file."""
    keys: list[str] = []
    for position, key in enumerate(location):
        last = position == len(location) - 1
        if isinstance(value, Mapping) and (key in value or (last and fault == "missing")):
            # With an unknown key, a block may have a key like its own tag, which is the last then.
            if last and fault == "unknown_key" and value.get("name") == key:
                break
            keys.append(str(key) if re.fullmatch(r"\w[\w-]{0,63}", str(key), re.ASCII) else shown(key))
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int):
            keys[-1:] = [f"{''.join(keys[-1:])}[{key}]"]
            value = value[key]
    return keys


def shown(value: Any) -> str:
    """Return a short text for `value`; `repr` would write out in full what aliases in YAML repeat a billion times."""
    brief = reprlib.Repr()
    brief.maxlevel, brief.maxstring, brief.maxother = 3, 80, 80
    try:
        return brief.repr(value)[:80]
    except ValueError:
        # Hexadecimal, YAML may have a number of any length.
        return "a number of thousands of digits"
