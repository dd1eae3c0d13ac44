"""The photographs that ship with the project: what ``vgg16 parity`` runs on when told nothing.

The README beside them states what they show, who took them, their origin and their licence. One is
a PNG, one a JPEG.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple


class Photograph(NamedTuple):
    """One photograph: its file's name in this folder, and that file's sha256 in hexadecimal."""

    file: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return Path(__file__).with_name(self.file)


PHOTOGRAPHS: Final = (
    Photograph("chelsea.png", "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"),
    Photograph("rocket.jpg", "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"),
)
