"""The photographs that ship with the project: what ``vgg16 parity`` runs on when told nothing.

Both come unchanged from scikit-image's ``skimage.data``, whose documentation states their origin
and licence. One is a PNG, one a JPEG.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True)
class Photograph:
    """One photograph and where it comes from.

    Attributes:
        file: its name in this folder.
        title: what it shows.
        author: who took it.
        licence: under which it may be used.
        source: where it was taken from.
        sha256: the file's digest in hexadecimal.
    """

    file: str
    title: str
    author: str
    licence: str
    source: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return Path(__file__).with_name(self.file)


PHOTOGRAPHS: Final = (
    Photograph(
        file="chelsea.png",
        title="Chelsea the cat",
        author="Stefan van der Walt",
        licence="CC0-1.0",
        source="scikit-image, skimage.data.chelsea",
        sha256="596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    Photograph(
        file="rocket.jpg",
        title="Falcon 9 lifting off with DSCOVR from Cape Canaveral, February 2015",
        author="SpaceX",
        licence="public domain",
        source="scikit-image, skimage.data.rocket",
        sha256="c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    ),
)
