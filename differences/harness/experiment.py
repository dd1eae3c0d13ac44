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
class Table:
    """Several figures of each of several things.

    Attributes:
        title: of the table, unique on its page.
        columns: what was measured, and first of all what the rows are.
        rows: what it was measured of -> as many figures, or words, as there are other columns.
    """

    title: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[Value | str, ...]]


@dataclass(frozen=True)
class Finding:
    """What one experiment found.

    Attributes:
        figures: what was measured -> the number, in the order of the page's table; at least one.
        claims: a sentence of the page -> whether the experiment supports it; at least one.
        draw: draws the plot, if there is one, on an empty figure of 8 by 4 inches.
        tables: figures that would make the page's first table too long.
    """

    figures: Mapping[str, Value]
    claims: Mapping[str, bool]
    draw: Callable[[Picture], None] | None = None
    tables: tuple[Table, ...] = ()

    def __or__(self, other: Finding) -> Finding:
        """Both findings as one, without plots."""
        return Finding(
            {**self.figures, **other.figures},
            {**self.claims, **other.claims},
            tables=(*self.tables, *other.tables),
        )

    @property
    def disproved(self) -> list[str]:
        """The claims that the experiment does not support."""
        return [claim for claim, holds in self.claims.items() if not holds]


def shown(value: Value | str) -> str:
    """A number as a page shows it: whole, or to three significant digits, with its unit."""
    if isinstance(value, str):
        return value
    number, unit = value if isinstance(value, tuple) else (value, "")
    whole = float(number).is_integer() and abs(number) < 1e15
    return f"{int(number):,} {unit}".rstrip() if whole else f"{number:.3g} {unit}".rstrip()
