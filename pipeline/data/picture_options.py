"""How a data set's file says that pictures of any size and mode become its images."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from pipeline import schema
from pipeline.schema import Block


def _resize(value: Any) -> Any:
    # What a file said before there were several ways.
    return ("stretch" if value else None) if isinstance(value, bool) else value


def _colour(value: str) -> str:
    # Imported here: MNIST needs no Pillow.
    from PIL import ImageColor

    try:
        opaque = len(ImageColor.getrgb(value)) == 3
    except ValueError:
        opaque = False
    if not opaque:
        text = "expected the name of a colour, or #rrggbb, found {value}"
        raise PydanticCustomError("colour", text, {"value": schema.shown(value)})
    return value


class PictureOptions(Block):
    """How pictures become images of the data set."""

    resize: Annotated[Literal["stretch", "pad", "crop"] | None, BeforeValidator(_resize)] = None
    """How a picture of another size is fitted: stretched, whole on the background, or cut; left out: it is a fault."""
    convert: bool = False
    """Whether other modes become grey or colour, 16 bits become 8 and transparency background; else it is a fault."""
    background: Annotated[str, AfterValidator(_colour)] = "white"
    """The colour behind what is transparent, and around what is padded: a name, or `#rrggbb`."""

    @property
    def of_any(self) -> PictureOptions:
        """The options for a picture that need not fit: whatever is a fault here is stretched or converted."""
        return self.model_copy(update={"resize": self.resize or "stretch", "convert": True})
