"""What an experiment finds: figures, and the claims that they support."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

# A number, or a number and what it counts or is relative to.
Value = float | tuple[float, str]
Figures = dict[str, Value]
Claims = dict[str, bool]


@dataclass(frozen=True)
class Finding:
    """What one experiment found.

    Attributes:
        figures: what was measured -> the number, in the order of the page's table; at least one.
        claims: a sentence of the page -> whether the experiment supports it; at least one.
        draw: draws the plot, if there is one, on an empty figure of 8 by 4 inches.
    """

    figures: Mapping[str, Value]
    claims: Mapping[str, bool]
    draw: Callable[[Picture], None] | None = None

    def __or__(self, other: Finding) -> Finding:
        """Both findings as one, without plots."""
        return Finding({**self.figures, **other.figures}, {**self.claims, **other.claims})

    @property
    def disproved(self) -> list[str]:
        """The claims that the experiment does not support."""
        return [claim for claim, holds in self.claims.items() if not holds]


def shown(value: Value) -> str:
    """A number as a page shows it: whole, or to three significant digits, with its unit."""
    number, unit = value if isinstance(value, tuple) else (value, "")
    whole = float(number).is_integer() and abs(number) < 1e15
    return f"{int(number):,} {unit}".rstrip() if whole else f"{number:.3g} {unit}".rstrip()
