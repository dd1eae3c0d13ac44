"""Figures held to limits."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.harness.tables import ABSENT, table


@dataclass(frozen=True)
class Target:
    """One figure and the range that it should be in.

    Attributes:
        name: what is measured.
        measured: the figure; ``None`` where it was not measured.
        at_most: the largest figure that meets the target.
        at_least: the smallest one; there is none unless given.
        unit: the figure's unit; empty for a ratio or a count.
        note: what else there is to say, such as why it was not measured.
    """

    name: str
    measured: float | None
    at_most: float
    at_least: float = -math.inf
    unit: str = ""
    note: str = ""

    @property
    def verdict(self) -> str:
        """``met``, ``missed`` or ``not measured``."""
        if self.measured is None:
            return "not measured"
        return "met" if self.at_least <= self.measured <= self.at_most else "missed"

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """The target's line of the table: name, figure, range, verdict."""
        figure = ABSENT if self.measured is None else f"{self.measured:.3f} {self.unit}".rstrip()
        least = "at most" if self.at_least == -math.inf else f"{self.at_least:.3f} to"
        verdict = "**missed**" if self.verdict == "missed" else self.verdict
        note = f" ({self.note})" if self.note else ""
        return self.name, figure, f"{least} {self.at_most:.3f} {self.unit}".rstrip(), verdict + note


def target_table(targets: Iterable[Target]) -> str:
    """A line for each target."""
    return table(("target", "measured", "allowed", "verdict"), (each.cells for each in targets))


def target_documents(targets: Iterable[Target]) -> list[dict[str, Any]]:
    """The same as JSON, in which infinity is null; the verdict is one of the fields."""

    def finite(value: Any) -> Any:
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return [
        {name: finite(value) for name, value in asdict(each).items()} | {"verdict": each.verdict}
        for each in targets
    ]
