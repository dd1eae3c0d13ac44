"""An image of a data set, and the data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["folder", "list", "webdataset", "parquet"]


class Place(Protocol):
    """Where an image's bytes are; any process that reaches the file can read them."""

    def read(self) -> bytes:
        """The encoded picture. Raises ``BadInput`` where it cannot be read any more."""


@dataclass(frozen=True)
class Item:
    """One image.

    Attributes:
        name: unique in the data set: the path below its folder, or that of a file and what it is
            called or numbered inside.
        label: the index of its class; None where the data set says none.
        sha256: of the encoded picture, in hexadecimal digits.
        place: where it is.
    """

    name: str
    label: int | None
    sha256: str
    place: Place


@dataclass(frozen=True)
class Skipped:
    """An image that is not evaluated.

    Attributes:
        name: as an item's.
        reason: why, in one line.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """Images, each of them once.

    Attributes:
        label: what the user called it.
        kind: how it is kept.
        items: in a fixed order, the bytes of each different.
        classes: the names of the classes in the data set by index; empty where it names none.
        duplicates: images with the bytes of an earlier one, which the reason names; also whether
            their labels differ.
        unreadable: files that belong to the data set and cannot be opened.
        mapping: how labels became the checkpoint's classes, in one line.
    """

    label: str
    kind: Kind
    items: tuple[Item, ...]
    classes: tuple[str, ...] = ()
    duplicates: tuple[Skipped, ...] = ()
    unreadable: tuple[Skipped, ...] = ()
    mapping: str = ""
