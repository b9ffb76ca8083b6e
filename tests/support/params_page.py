"""docs/params.md, written from the blocks of pydantic.

Types, bounds and defaults are those of the blocks' JSON schema; a key's sentence is the docstring below it in the code,
and that of a kind is its class's.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipeline import bounds, smallest_effect
from pipeline.data import sets
from pipeline.data.image_set import ImageSet
from pipeline.params import Params
from pipeline.schema import Block

ROOT = Path(__file__).parents[2]

INTRO = """# Params

Every key of `params.yaml` and of the files in `data/sets/`, as the code reads them. A key that is unknown or missing,
and a value of another type or out of its bounds, is an error of one line that names the key. A name has at most 64
letters, digits, `_` and `-`, and begins with a letter. `make pages` writes this page.

## A whole example

A small residual network for CIFAR-10, as a `params.yaml` of its own: images in colour, batch normalization,
augmentation, a cosine schedule, and of all epochs the one with the lowest loss on 5,000 held-out images.

```yaml
{example}```
"""
EXAMPLE = """\
data:
  dataset: cifar10
  validation: 5000
  split_seed: 0
train:
  seed: 0
  batch_size: 128
  precision: float32
  threads: 2
models:
  resnet:
    network:
      name: sequential
      layers:
      - {name: conv2d, filters: 16, kernel: 3, stride: 1, padding: same}
      - {name: batch_norm, momentum: 0.9, epsilon: 0.001}
      - {name: relu}
      - name: residual
        layers:
        - {name: conv2d, filters: 16, kernel: 3, stride: 1, padding: same}
        - {name: batch_norm, momentum: 0.9, epsilon: 0.001}
        - {name: relu}
        - {name: conv2d, filters: 16, kernel: 3, stride: 1, padding: same}
        - {name: batch_norm, momentum: 0.9, epsilon: 0.001}
      - {name: relu}
      - name: residual      # half as large, twice the channels: a 1x1 convolution does the same to what is added
        layers:
        - {name: depthwise_conv2d, kernel: 3, stride: 2, padding: same}
        - {name: conv2d, filters: 32, kernel: 1, stride: 1, padding: same}
        - {name: batch_norm, momentum: 0.9, epsilon: 0.001}
      - {name: relu}
      - {name: global_average_pool}
      - {name: dropout, rate: 0.1}
    optimizer: {name: adamw, learning_rate: 0.003, beta_1: 0.9, beta_2: 0.999, epsilon: 1.0e-7, weight_decay: 0.01}
    loss: {name: crossentropy, clip: 1.0e-7}
    epochs: 30
    augmentation: {shift: 4, flip: true}
    schedule: {name: cosine}
    keep: best_val_loss
overfitting: {window: 3, onset: 1.1, slight: 1.05, strong: 1.25, tolerance: 0.002}
gate:
  cifar10:
    default:
      test_accuracy: {min: 0.7, max_drop: 0.01}
verdict:
  cifar10: {accuracy: 0.005}
"""
# What stands for the keys of a mapping that the user names.
_NAMES = {"models": "MODEL", "gate": "DATASET", "verdict": "DATASET", "default": "METRIC", "files": "KEY"}
# Blocks that stand at several places.
_TITLES = {"File": "file", "NpzArray": "array", "Bounds": "bounds"}
_SIGNS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
_TYPES = {"integer": "integer", "number": "number", "boolean": "`true` or `false`", "string": "text", "null": "`null`"}


def page() -> str:
    """Return the page."""
    blocks = _Blocks()
    parts = [INTRO.format(example=EXAMPLE), "## `params.yaml`", *blocks.block(Params, properties(Params), "")]
    common = properties(ImageSet)
    parts += ["## `data/sets/NAME.yaml`", "### Keys of every format", *blocks.block(ImageSet, common, "")]
    for name, format_ in sets.FORMATS.items():
        own = {key: value for key, value in properties(format_).items() if value != common.get(key)}
        parts += [f"### Format `{name}`", *blocks.block(format_, own, f"{name}: ")]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def properties(block: type[Block]) -> dict[str, Any]:
    """Return the JSON schema of each key of a block; of params.yaml, also of the sections that other modules read."""
    schema = block.model_json_schema()
    # A block that contains others of its kind is among its own definitions.
    keys: dict[str, Any] = (schema if "properties" in schema else schema["$defs"][block.__name__])["properties"]
    if block is Params:
        keys = {**keys, **properties(bounds._Section), **properties(smallest_effect._EffectsSection)}
    return keys


class _Blocks:
    """Sections of the page, one for each block, in the order in which they are first referred to."""

    def __init__(self) -> None:
        self._classes = {
            block.__name__: block for block in _subclasses(Block) if block.__module__.startswith("pipeline.")
        }
        self._headings: dict[str, str] = {}
        # What is a member of a union.
        self._kinds: set[str] = set()

    def block(self, block: type[Block], keys: Mapping[str, Any], path: str) -> Iterator[str]:
        """Yield what a block is, the table of these `keys` of it, and the sections of blocks within that are new."""
        within: list[tuple[str, list[str]]] = []
        for key, schema in keys.items():
            names = _references(schema)
            here = f"{path}{_steps(key, schema)}"
            if new := [name for name in names if name not in self._headings]:
                self._headings |= {name: _TITLES.get(name, here) for name in new}
                within.append((here, new))
            if len(names) > 1:
                self._kinds |= {*new}
                self._headings |= {name: _label(self._classes[name]) for name in new}
        yield " ".join((inspect.getdoc(block) or "").split())
        if keys:
            yield self._table(block, keys)
        for here, new in within:
            if self._kinds & {*new}:
                yield f"### `{here}`"
            for name in new:
                yield f"{'####' if name in self._kinds else '###'} `{self._headings[name]}`"
                yield from self.block(self._classes[name], properties(self._classes[name]), f"{here}.")

    def _table(self, block: type[Block], keys: Mapping[str, Any]) -> str:
        sentences = _sentences(block)
        rows = ["| Key | Value | Default | Meaning |", "|---|---|---|---|"]
        for key, schema in keys.items():
            field = block.model_fields[key]
            default = "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))
            sentence = "The kind." if "const" in schema else sentences[key]
            rows.append(f"| `{key}` | {self._words(schema)} | {default} | {sentence} |")
        return "\n".join(rows)

    def _words(self, schema: Mapping[str, Any]) -> str:
        """Return in words which values a JSON schema admits."""
        if "$ref" in schema:
            heading = self._headings[name := _name(schema["$ref"])]
            anchor = re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-")
            return f"[{heading if name in self._kinds else 'block'}](#{anchor})"
        if some := schema.get("anyOf") or schema.get("oneOf"):
            return " or ".join(map(self._words, some))
        if "const" in schema or "enum" in schema:
            return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
        if schema["type"] == "array":
            least = ", one or more" if {"minLength", "minItems"} & schema.keys() else ""
            return f"list{least}: {self._words(schema['items'])}"
        if schema["type"] == "object":
            keys = self._words(schema["propertyNames"]) if "propertyNames" in schema else "name"
            return f"{keys}: {self._words(schema['additionalProperties'])}"
        # The largest number of 32 bits is no bound that anybody has in mind.
        told = {bound: value for bound, value in schema.items() if value != 2**31}
        signs = ", ".join(f"{sign} {told[bound]}" for bound, sign in _SIGNS.items() if bound in told)
        pattern = f" matching `{schema['pattern']}`" if "pattern" in schema else ""
        return f"{_TYPES[schema['type']]}{pattern} {signs}".strip()


def _subclasses(block: type[Block]) -> Iterator[type[Block]]:
    for subclass in block.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _references(schema: Any) -> list[str]:
    """Return the names of the blocks that a JSON schema refers to."""
    if isinstance(schema, list):
        return [name for item in schema for name in _references(item)]
    if not isinstance(schema, Mapping):
        return []
    inner = [name for key, item in schema.items() if key != "discriminator" for name in _references(item)]
    return [_name(schema["$ref"]), *inner] if "$ref" in schema else inner


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def _steps(key: str, schema: Mapping[str, Any]) -> str:
    """Return a key with what follows it in the path of a block: the names in a mapping, the place in a list."""
    while schema.get("type") in ("array", "object"):
        is_list = schema["type"] == "array"
        key += "[]" if is_list else f".{_NAMES.get(key.rpartition('.')[2], 'METRIC')}"
        schema = schema["items" if is_list else "additionalProperties"]
    return key


def _label(block: type[Block]) -> str:
    """Return what names a member of a union: its value of the key that says the kind, or the key that only it has."""
    keys = properties(block)
    return str(next((schema["const"] for schema in keys.values() if "const" in schema), next(iter(keys))))


def _shown(default: Any) -> str:
    if default is None or isinstance(default, Block | Mapping):
        return "left out"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _sentences(block: type[Block]) -> dict[str, str]:
    """Return the docstring below each field of a block in the code, those of its bases included."""
    sentences: dict[str, str] = {}
    for ancestor in reversed(block.__mro__):
        if issubclass(ancestor, Block):
            tree = ast.parse(textwrap.dedent(inspect.getsource(ancestor)))
            (body,) = [node.body for node in tree.body if isinstance(node, ast.ClassDef)]
            for field, after in pairwise(body):
                if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
                    sentences[ast.unparse(field.target)] = ast.literal_eval(after.value)
    return sentences
