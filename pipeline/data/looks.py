"""What pictures look like, and the size, the channels and the options that suit them."""

from collections import Counter
from typing import Any

import numpy as np

from pipeline.data import dataset
from pipeline.data.formats import pictures

# The side of images that have no common size which fits.
_SIDE = 32
# A picture whose grey levels differ by less, of 255, shows nothing.
_VISIBLE = 24


class Looks:
    """The sizes and modes of pictures, and what those that have transparent parts show on white and on black.

    All are to become images of `size`, (height, width), and `scale` is white, if these are stated.
    """

    def __init__(self, size: tuple[int, int] | None, scale: float | None) -> None:
        self._stated, self._scale = size, scale
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.modes: Counter[str] = Counter()
        self.vanishing: Counter[str] = Counter()
        self.transparent = 0

    def add(self, content: bytes) -> None:
        """Look at the picture in a file with this content; raise ValueError if it cannot be read."""
        with pictures.opened(content) as picture:
            picture.image.load()
            self.sizes[picture.image.size] += 1
            self.modes[picture.mode] += 1
            if pictures.is_transparent(picture.image):
                self.transparent += 1
                for colour in ("white", "black"):
                    grey = np.asarray(pictures.flattened(picture.image, "L", colour), np.int16)
                    self.vanishing[colour] += int(np.ptp(grey) < _VISIBLE)

    @property
    def are_grey(self) -> bool:
        """Whether no picture has colours."""
        return all(mode.partition(";")[0] in ("1", "L", "LA", "I") for mode in self.modes)

    @property
    def size(self) -> tuple[int, int]:
        """The height and the width that the images are to have."""
        (width, height), *others = self.sizes
        fits = not others and all(dataset.MIN_SIDE <= side <= dataset.MAX_SIDE for side in (width, height))
        return self._stated or ((height, width) if fits else (_SIDE, _SIDE))

    @property
    def image(self) -> dict[str, int]:
        """What a set's file says of the shape of every image."""
        return dict(zip(("height", "width"), self.size, strict=True)) | {"channels": 1 if self.are_grey else 3}

    @property
    def options(self) -> dict[str, Any]:
        """What it says of how pictures become such images."""
        exact = {"1", "L"} if self.are_grey else {"1", "L", "RGB", "P"}
        resize = {} if [*self.sizes] == [self.size[::-1]] else {"resize": "stretch"}
        scale = {} if self._scale is None else {"scale": self._scale}
        return scale | resize | {"convert": bool(self.transparent or self.modes.keys() - exact)}

    @property
    def notes(self) -> list[str]:
        """A sentence each on sizes, modes and transparent parts."""
        height, width = self.size
        sizes = ", ".join(f"{w}x{h} ({count})" for (w, h), count in self.sizes.most_common(3))
        more = f" and {len(self.sizes) - 3} more" if len(self.sizes) > 3 else ""
        advice = "" if [*self.sizes] == [(width, height)] or self._stated else " (SIZE=64 or SIZE=48x64 says otherwise)"
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
        return notes
