"""From an image of a data set to the network's pixels, or to the reason why there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from threading import Condition
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from vgg16_parity.evaluate.datasets.items import Item, Skipped
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import PICTURE, opened_image, pixels, read_image
from vgg16_spec.images.recipes import Recipe
from vgg16_spec.images.views import Views, resized_to_scales
from vgg16_spec.text import one_line

Pixels = NDArray[np.uint8]
Made = TypeVar("Made")

# So many pixels of large pictures are decoded at once, on however many threads: some formats take
# 18 bytes for each.
_MOST_AT_ONCE: Final = 64_000_000


def prepared(item: Item, recipe: Recipe, size: int, room: Room) -> Pixels | Skipped:
    """An image's pixels (size, size, 3), RGB, by a recipe; one that is no picture is skipped.

    Args:
        item: the image.
        recipe: how it is resized and cropped.
        size: the side of the network's input in pixels.
        room: shared by the threads that do this.

    Raises ``BadInput`` where the bytes cannot be read any more, or are not those of the item.
    """
    return _made(
        item, lambda image: np.asarray(pixels(image, recipe, size=size)[0], np.uint8), room
    )


def prepared_for_views(
    item: Item, recipe: Recipe, views: Views, room: Room
) -> tuple[Pixels, ...] | Skipped:
    """The whole image at each scale, (H, W, 3), from which its views are made; or as `prepared`.

    One that is so long that a view would not fit in memory is skipped too.
    """
    return _made(item, lambda image: tuple(resized_to_scales(image, recipe, views)), room)


def _made(item: Item, make: Callable[[Image], Made], room: Room) -> Made | Skipped:
    content = item.place.read()
    if sha256(content).hexdigest() != item.sha256:
        problem = "has changed since the data set was opened"
        raise BadInput(item.name, problem, "a data set that stays as it is meanwhile")
    try:
        with room.taken(_claimed_pixels(content)):
            return make(read_image(content))
    except BadInput as error:
        expected = "" if error.expected == PICTURE else f"; expected {error.expected}"
        return Skipped(item.name, one_line(error.problem + expected))


def _claimed_pixels(content: bytes) -> int:
    """How many pixels a picture says it has; zero for what is no picture."""
    try:
        with opened_image(content) as image:
            return image.width * image.height
    except BadInput:
        raise
    except Exception:  # `read_image` says what is wrong with it
        return 0


class Room:
    """Lets threads decode as many pictures at once as memory has room for: any small ones."""

    def __init__(self, most: int = _MOST_AT_ONCE) -> None:
        self._left = self._most = most
        self._changed = Condition()

    @contextmanager
    def taken(self, count: int) -> Iterator[None]:
        """Wait for room for so many pixels; a picture of more than there is has it alone."""
        wanted = min(count, self._most)
        with self._changed:
            self._changed.wait_for(lambda: wanted <= self._left)
            self._left -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._left += wanted
                self._changed.notify_all()
