"""Data sets of small pictures, cut from the project's photographs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from random import Random

from PIL import Image

from vgg16_parity.evaluate.datasets.items import Dataset, Item
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import read_image


@dataclass(frozen=True)
class InMemory:
    """The place of an image whose bytes are here."""

    content: bytes

    def read(self) -> bytes:
        return self.content


def jpegs(count: int, sides: tuple[int, int] = (60, 110), seed: int = 16) -> list[bytes]:
    """JPEGs of different crops of the photographs, each with sides in a range of pixels."""
    photographs = [read_image(each.path) for each in PHOTOGRAPHS]
    chosen, found = Random(seed), []
    for _ in range(count):
        photograph = chosen.choice(photographs)
        width, height = chosen.randint(*sides), chosen.randint(*sides)
        left = chosen.randint(0, photograph.width - width)
        top = chosen.randint(0, photograph.height - height)
        found.append(encoded(photograph.crop((left, top, left + width, top + height)), "JPEG"))
    return found


def encoded(picture: Image.Image, form: str) -> bytes:
    """A picture as a file of a format."""
    file = BytesIO()
    picture.save(file, form)
    return file.getvalue()


def items(contents: Iterable[bytes]) -> list[Item]:
    """An image of a data set for each file."""
    return [
        Item(f"{index}.jpg", index % 10, sha256(content).hexdigest(), InMemory(content))
        for index, content in enumerate(contents)
    ]


def dataset(contents: Sequence[bytes]) -> Dataset:
    """A data set of files."""
    return Dataset("pictures", "folder", tuple(items(contents)))
