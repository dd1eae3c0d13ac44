"""The pictures that both sides compute, as files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from vgg16_parity.evaluate.datasets.items import Dataset, Item
from vgg16_spec.files.digest import digest
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import read_image

_SIZE: Final = (500, 375)
_SIDES: Final = (200, 300)


@dataclass(frozen=True)
class File:
    """The place of an image that is a file."""

    path: Path

    def read(self) -> bytes:
        """Its bytes."""
        return self.path.read_bytes()


def write_pictures(folder: Path, count: int) -> None:
    """Write different crops of the photographs as ``folder/0/*.jpg``."""
    photographs, chosen = [read_image(e.path) for e in PHOTOGRAPHS], np.random.default_rng(0)
    (folder / "0").mkdir(parents=True)
    for index in range(count):
        photograph = photographs[index % len(photographs)]
        width, height = chosen.integers(*_SIDES, 2)
        left = chosen.integers(photograph.width - width)
        top = chosen.integers(photograph.height - height)
        crop = photograph.crop((left, top, left + width, top + height))
        crop.resize(_SIZE, Image.Resampling.BICUBIC).save(folder / "0" / f"{index:06}.jpg")


def files(folder: Path) -> list[Path]:
    """Them, in order."""
    return sorted((folder / "0").iterdir())


def dataset(folder: Path) -> Dataset:
    """Them as a data set."""
    return Dataset("pictures", "folder", tuple(_items(folder)))


def _items(folder: Path) -> Iterator[Item]:
    for path in files(folder):
        yield Item(path.name, None, digest(path), File(path))
