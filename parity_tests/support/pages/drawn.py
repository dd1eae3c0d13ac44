"""What is on a picture of the project's, measured as matplotlib draws it."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.transforms import Bbox

from vgg16_parity.drawing import table, volumes

DRAWN = {"volumes": volumes.volumes, "table": table.table}


def polygons(figure: Figure) -> dict[str, Bbox]:
    """The drawn faces by identifier, as boxes in pixels of the picture."""
    found = [patch for patch in figure.axes[0].patches if isinstance(patch, Polygon)]
    return {str(patch.get_gid()): box(patch) for patch in found}


def box(patch: Polygon) -> Bbox:
    corners = patch.get_xy()
    return Bbox([corners.min(axis=0), corners.max(axis=0)])


def texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every text with the room that it takes, in pixels of the picture."""
    to_data = figure.axes[0].transData.inverted()
    return [
        (text.get_text(), text.get_window_extent().transformed(to_data))
        for text in figure.axes[0].texts
    ]
