"""How long causes are looked for, and whether that was long enough."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

# Seconds for all causes of a report.
SECONDS: Final = 15.0


class OutOfTime(Exception):
    """The time for what is computed is over."""


@dataclass
class Search:
    """One search, of one report.

    Attributes:
        seconds: how long it may take.
        progress: is given the seconds so far, and those at most.
        was_cut: whether anything was left out for want of time.
    """

    seconds: float = SECONDS
    progress: Callable[[int, int | None], None] | None = None
    was_cut: bool = False
    _start: float = field(default_factory=time.monotonic, repr=False)
    _end: float = field(default=math.inf, init=False, repr=False)

    @property
    def left(self) -> float:
        """Seconds."""
        end = min(self._end, self._start + self.seconds)
        return max(0.0, end - time.monotonic())

    def tick(self) -> None:
        """Show the progress. Raises `OutOfTime` if no time is left."""
        if self.progress is not None:
            passed = min(time.monotonic() - self._start, self.seconds)
            self.progress(int(passed), math.ceil(self.seconds))
        if not self.left:
            self.was_cut = True
            raise OutOfTime

    @contextmanager
    def at_most(self, seconds: float) -> Iterator[None]:
        """Allow less time within; what is not done by then is left out."""
        before, self._end = self._end, min(self._end, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._end = before
