"""A data set cut into shards, each with a key that its files are named by.

The key is a digest of all that a shard's pixels depend on. So a file that is there is right, and
what changes (an image, the recipe, the decoder) makes for files of other names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Final

import PIL

from vgg16_parity.evaluate.datasets.items import Item
from vgg16_spec.images.preprocessing import most_pixels
from vgg16_spec.images.recipes import Recipe
from vgg16_spec.images.views import MOST_PIXELS, Views

# Images of a shard. Its pixels take 10 MB for VGG16.
SHARD: Final = 64
# With views a shard is smaller: its pixels take about 30 MB, those of a picture of 3:2.
_VIEWED_PIXELS: Final = 10_000_000
# Another number where this code makes other pixels or other logits of the same images.
VERSION: Final = 1


@dataclass(frozen=True)
class Shard:
    """Consecutive images of a data set.

    Attributes:
        index: its place among the shards.
        items: its images.
        key: a digest of what its pixels depend on.
    """

    index: int
    items: tuple[Item, ...]
    key: str

    @property
    def name(self) -> str:
        """What its files are called, without a suffix."""
        return file_name(self.index, self.key)


def cut(
    items: Sequence[Item], recipe: Recipe, size: int, views: Views | None = None
) -> tuple[Shard, ...]:
    """The shards of a data set's images, prepared by a recipe for a network's input size.

    With views, their pixels are the whole pictures at each scale: other views of the same scales
    are of the same pixels.
    """
    how: list[Any] = [VERSION, recipe_facts(recipe), size, most_pixels(), PIL.__version__]
    count = SHARD
    if views is not None:
        how += [views.scales, MOST_PIXELS]
        of_each = sum(scale * scale * 3 // 2 for scale in views.scales)
        count = min(SHARD, max(1, _VIEWED_PIXELS // of_each))
    shards = []
    for index, start in enumerate(range(0, len(items), count)):
        part = tuple(items[start : start + count])
        shards.append(Shard(index, part, key(how, [item.sha256 for item in part])))
    return tuple(shards)


def file_name(index: int, digest: str) -> str:
    """``000012-<key>``: in the order of the data set."""
    return f"{index:06}-{digest}"


def key(*facts: Any) -> str:
    """A digest of facts that JSON can hold, short enough for a file's name."""
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def recipe_facts(recipe: Recipe) -> dict[str, Any]:
    """What a recipe does, whatever it is called."""
    facts = asdict(recipe)
    del facts["name"]
    return facts
