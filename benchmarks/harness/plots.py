"""What the plots of the benchmarks share: panels, a runtime's colour, the file."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vgg16_spec.files.atomic import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that stay apart for colour-blind eyes (Okabe and Ito).
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


def panels(titles: Iterable[str], height: float) -> tuple[Figure, list[Axes]]:
    """A figure with a panel a title, one below the other, each ``height`` inches high."""
    from matplotlib.figure import Figure

    named = list(titles)
    figure = Figure(figsize=(9, height * max(len(named), 1)), layout="constrained")
    found = list(figure.subplots(max(len(named), 1), 1, squeeze=False)[:, 0])
    for title, panel in zip(named, found, strict=False):
        panel.set_title(title, loc="left")
        panel.grid(axis="y", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, found


def colours(runtimes: Iterable[str]) -> dict[str, str]:
    """A runtime -> its colour, in the order in which they are first named."""
    return dict(zip(dict.fromkeys(runtimes), itertools.cycle(_COLOURS), strict=False))


def name_layers(panel: Axes) -> None:
    """Make room for the taps' names below a panel."""
    panel.tick_params(axis="x", rotation=60, labelsize=8)


def write(figure: Figure, path: Path) -> None:
    """As PNG, with the same bytes each time."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
