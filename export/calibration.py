"""Chooses the pictures from which int8 derives its scales: a bounded number, always the same."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from PIL import UnidentifiedImageError

from vgg16_spec.errors import BadInput, few
from vgg16_spec.images.preprocessing import PICTURE, opened_image

# VGG16 takes about a second for each of them; ranges hardly grow after the first hundred.
MOST: Final = 200
_EXPECTED: Final = "a folder of pictures"

Item = TypeVar("Item")


@dataclass(frozen=True)
class Calibration:
    """The pictures to use.

    Attributes:
        pictures: at most ``MOST`` files.
        found: how many there are.
        folders: the number of folders that they are in, such as the classes of a data set.
    """

    pictures: tuple[Path, ...]
    found: int
    folders: int


def choose(paths: Sequence[Path]) -> Calibration:
    """Choose among pictures and those in folders at any depth, such as one per class of a data set.

    Of more than ``MOST`` pictures, the same number comes from each folder, at equal distances in
    the order of their names. Files and folders whose names begin with a dot do not count.

    Raises:
        BadInput: for a path that does not exist, a folder without files, or a file that is
            not a picture.
    """
    folders = [[path for path in paths if path.is_file()]]
    for path in paths:
        if path.is_dir():
            inside = _files_in(path)
            if not inside:
                raise BadInput(path, "holds no file", _EXPECTED)
            folders += inside
        elif not path.is_file():
            raise BadInput(path, "is not a folder", _EXPECTED)
    folders = [files for files in folders if files]
    most_each = -(-MOST // max(len(folders), 1))
    pictures = _spread([file for files in folders for file in _spread(files, most_each)], MOST)
    _check_pictures(pictures)
    return Calibration(tuple(pictures), sum(map(len, folders)), len(folders))


def _files_in(folder: Path) -> list[list[Path]]:
    """The files of each folder under this one, sorted by name."""
    found = []
    for place, inside, names in os.walk(folder):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        shown = sorted(name for name in names if not name.startswith("."))
        files = [path for name in shown if (path := Path(place, name)).is_file()]
        found += [files] if files else []
    return found


def _spread(items: list[Item], most: int) -> list[Item]:
    """At most so many, at equal distances."""
    return items if len(items) <= most else [items[i * len(items) // most] for i in range(most)]


def _check_pictures(paths: Sequence[Path]) -> None:
    """Raise ``BadInput`` that names the files that no decoder recognises."""
    unknown = []
    for path in paths:
        try:
            with opened_image(path):
                pass
        except BadInput:
            raise
        except UnidentifiedImageError:
            unknown.append(path)
        except Exception as error:  # whatever a decoder raises on a damaged header
            raise BadInput(path, f"cannot be read ({error})", PICTURE) from error
    if not unknown:
        return
    others = few((path.name for path in unknown[1:]), 2)
    also = f", nor {others}" if others else ""
    raise BadInput(unknown[0], f"not a picture{also}", PICTURE)
