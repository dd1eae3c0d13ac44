"""The chart of accuracies with their intervals that an evaluation's page draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from vgg16_parity.evaluate.records import RuntimeAccuracy, Share

_TICKS = 4


class Bar(NamedTuple):
    """A runtime's share: where it and the ends of its interval lie on the axis, 0 to 1."""

    runtime: str
    share: Share
    value: float
    low: float
    high: float


class Panel(NamedTuple):
    """One kind of accuracy, of all runtimes, on an axis that ends where the intervals do."""

    title: str
    bars: tuple[Bar, ...]
    ticks: dict[str, float]  # label -> position, 0 to 1


def panels(runtimes: Sequence[RuntimeAccuracy]) -> list[Panel]:
    """Top-1 and top-5 of the runtimes that have them."""
    kinds = {
        "Top-1": [(each.name, each.top1) for each in runtimes],
        "Top-5": [(each.name, each.top5) for each in runtimes],
    }
    known = {
        title: [(name, share) for name, share in shares if share is not None]
        for title, shares in kinds.items()
    }
    return [_panel(title, shares) for title, shares in known.items() if shares]


def _panel(title: str, shares: Sequence[tuple[str, Share]]) -> Panel:
    low = 100 * min(share.low for _, share in shares)
    high = 100 * max(share.high for _, share in shares)
    step = _step(high - low)
    start, end = step * math.floor(low / step), step * math.ceil(high / step)

    def position(percent: float) -> float:
        return (percent - start) / (end - start)

    bars = [
        Bar(name, share, *(position(100 * x) for x in (share.value, share.low, share.high)))
        for name, share in shares
    ]
    decimals = max(0, -math.floor(math.log10(step)))
    marks = [start + step * count for count in range(round((end - start) / step) + 1)]
    return Panel(title, tuple(bars), {f"{each:.{decimals}f} %": position(each) for each in marks})


def _step(width: float) -> float:
    """A step of 1, 2 or 5 times a power of ten, of which a width has about four."""
    rough = max(width, 1e-3) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * times for times in (1, 2, 5, 10) if power * times >= rough)
