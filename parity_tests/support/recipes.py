"""A recipe that no file of anyone's has: no number is a default, and none is another's."""

from __future__ import annotations

from typing import Final

from vgg16_spec.images.recipes import Recipe

OWN: Final = Recipe(
    name="own",
    resize=96,
    crop=80,
    resample="LANCZOS",
    channels="BGR",
    scale=64.0,
    mean=(0.5, 1.25, 1 / 3),
    std=(2.0, 4.0, 0.7),
)
