"""An image of a data set, and the data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["folder", "list", "webdataset", "parquet"]


class Place(Protocol):
    """Where an image's bytes are; any process that reaches the file can read them."""

    def read(self) -> bytes:
        """The encoded picture. Raises ``BadInput`` where it cannot be read any more."""


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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
        classes: the data set's own names of its classes in its own order, which need not be that of
            the checkpoint; empty where it names none.
        duplicates: images with the bytes of an earlier one, which the reason names; also whether
            their labels differ.
        unreadable: files that belong to the data set and cannot be opened.
        mapping: how labels became the checkpoint's classes, in one line.
        ignored: how many files are no images by their names; hidden ones do not count.
    """

    label: str
    kind: Kind
    items: tuple[Item, ...]
    classes: tuple[str, ...] = ()
    duplicates: tuple[Skipped, ...] = ()
    unreadable: tuple[Skipped, ...] = ()
    mapping: str = ""
    ignored: int = 0
