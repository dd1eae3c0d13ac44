"""What every drawing shares: colours, fonts, shapes, and files whose bytes are repeatable."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vgg16_spec.files.atomic import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.typing import CapStyleType

Point: TypeAlias = tuple[float, float]

PAPER: Final = "#ffffff"
INK: Final = "#1d2733"
QUIET: Final = "#566270"
RULE: Final = "#c9d0d8"
# By kind of layer; distinct in grey and for red-green colour blindness, too.
COLOURS: Final = {
    "input": "#aeb7c2",
    "convolution": "#3f7fc1",
    "pointwise": "#8fc6e0",
    "pooling": "#d9573f",
    "flatten": "#dfe4ea",
    "dense": "#e9ac3f",
    "softmax": "#7a5aa6",
}

# Layouts are measured with the first font, which comes with matplotlib and is the widest.
_FONT: Final = "DejaVu Sans"
_FONTS: Final = "'DejaVu Sans', Verdana, Helvetica, Arial, sans-serif"
_POINTS_PER_PIXEL: Final = 0.75  # 96 pixels an inch, 72 points
# Two pixels of the PNG for each pixel of the picture.
_PNG_DPI: Final = 192


def settings() -> Any:
    """Matplotlib's settings for drawing and writing a picture, for ``rc_context``."""
    return {
        "font.family": _FONT,
        "figure.dpi": 96,
        "svg.fonttype": "none",  # text that can be searched, selected and read aloud
        "svg.hashsalt": "vgg16",  # the same identifiers each time
        "path.simplify": False,
        "text.parse_math": False,
    }


def canvas(width: float, height: float) -> Figure:
    """An empty picture; its one pair of axes counts pixels from the lower left corner."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 96, height / 96), facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure


def write(figure: Figure, out: Path, title: str) -> None:
    """Write a picture as SVG or PNG, by the ending of ``out``, whole or not at all.

    Screen readers say ``title``. Neither a date nor a version is written. Raises ``BadInput`` if
    the file cannot be written.
    """
    with whole_file(out) as temporary:
        if out.suffix.lower() == ".svg":
            metadata = {"Title": title, "Date": None, "Creator": None}
            text = io.StringIO()
            figure.savefig(text, format="svg", metadata=metadata)
            drawn = text.getvalue().replace(f"'{_FONT}'", _FONTS)
            temporary.write_text(drawn, encoding="utf-8", newline="\n")
        else:
            _write_png(figure, temporary, title)


def _write_png(figure: Figure, path: Path, title: str) -> None:
    """A palette of 256 colours makes the file a third of the size of matplotlib's own."""
    from PIL import Image, PngImagePlugin

    pixels = io.BytesIO()
    figure.savefig(pixels, format="png", dpi=_PNG_DPI)
    few = Image.open(pixels).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    about = PngImagePlugin.PngInfo()
    about.add_text("Title", title)
    few.save(path, "PNG", optimize=True, pnginfo=about, dpi=(_PNG_DPI, _PNG_DPI))


def add_text(
    figure: Figure,
    at: Point,
    text: str,
    *,
    size: float = 10,
    colour: str = INK,
    bold: bool = False,
    align: str = "left",
) -> None:
    """Add text of ``size`` pixels; ``at`` is the left end, middle or right end of its baseline."""
    figure.axes[0].text(
        *at,
        text,
        fontsize=points(size),
        color=colour,
        fontweight="bold" if bold else "normal",
        ha=align,
        va="baseline",
    )


def add_rectangle(
    figure: Figure,
    corner: Point,
    size: Point,
    colour: str,
    *,
    edge: str = "none",
    zorder: float = 1,
    gid: str | None = None,
) -> None:
    """Add a rectangle; ``edge`` is the colour of its edge, 2 pixels wide."""
    from matplotlib.patches import Rectangle

    patch = Rectangle(
        corner,
        *size,
        facecolor=colour,
        edgecolor=edge,
        linewidth=points(2),
        zorder=zorder,
        gid=gid,
    )
    figure.axes[0].add_patch(patch)


def add_line(
    figure: Figure,
    xs: Sequence[float],
    ys: Sequence[float],
    colour: str,
    *,
    width: float = 1,
    cap: CapStyleType = "butt",
    gid: str | None = None,
) -> None:
    """Add a line of ``width`` pixels through points."""
    from matplotlib.lines import Line2D

    line = Line2D(xs, ys, color=colour, linewidth=points(width), solid_capstyle=cap, gid=gid)
    figure.axes[0].add_line(line)


def points(pixels: float) -> float:
    """A length in points, matplotlib's unit of fonts and lines."""
    return pixels * _POINTS_PER_PIXEL


def shade(colour: str, change: float) -> str:
    """A lighter colour, up to 1 for white, or a darker one, down to -1 for black."""
    red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    lightness += change * (1 - lightness if change > 0 else lightness)
    return "#" + "".join(
        f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(hue, lightness, saturation)
    )
