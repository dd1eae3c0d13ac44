"""What an experiment finds: figures, and the claims that they bear out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


@dataclass(frozen=True)
class Figure:
    """One number that was measured.

    Attributes:
        name: what was measured, in words.
        value: the number; a whole one is shown as it is.
        unit: what it counts or is relative to; empty where the name says it.
    """

    name: str
    value: float
    unit: str = ""

    @property
    def text(self) -> str:
        """The number as a page shows it: three digits, where it is no whole number."""
        whole = float(self.value).is_integer() and abs(self.value) < 1e15
        number = f"{int(self.value):,}" if whole else f"{self.value:.3g}"
        return f"{number} {self.unit}".rstrip()


@dataclass(frozen=True)
class Claim:
    """One sentence of a page, and whether the experiment bore it out."""

    sentence: str
    holds: bool


@dataclass(frozen=True)
class Finding:
    """What one experiment found.

    Attributes:
        figures: in the order of the page's table; at least one.
        claims: what the page says follows; at least one.
        draw: draws the plot, where looking is better, on an empty figure of 8 by 4 inches.
    """

    figures: tuple[Figure, ...]
    claims: tuple[Claim, ...]
    draw: Callable[[Picture], None] | None = None
