"""What every drawing shares: colours, fonts, an empty picture, and files with repeatable bytes."""

from __future__ import annotations

import colorsys
import io
from pathlib import Path
from typing import Any, Final, TypeAlias

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin

from vgg16_spec.files.atomic import whole_file

Point: TypeAlias = tuple[float, float]

# Lengths are pixels; matplotlib's unit of fonts and lines is the point: 72 an inch, beside 96.
POINT: Final = 0.75
WIDTH: Final = 800.0
MARGIN: Final = 24.0

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
# Two pixels of the PNG for each pixel of the picture.
_PNG_DPI: Final = 192


def settings() -> Any:
    """Matplotlib's settings for drawing and writing a picture, for ``rc_context``."""
    return {
        "font.family": _FONT,
        "font.size": 10 * POINT,
        "text.color": INK,
        "lines.linewidth": POINT,
        "lines.solid_capstyle": "butt",
        "figure.dpi": 96,
        "svg.fonttype": "none",  # text that can be searched, selected and read aloud
        "svg.hashsalt": "vgg16",  # the same identifiers each time
        "path.simplify": False,
        "text.parse_math": False,
    }


def canvas(height: float, title: str, facts: str) -> tuple[Figure, Axes]:
    """A picture with a title and a line below it, and its axes: pixels from the lower left."""
    figure = Figure(figsize=(WIDTH / 96, height / 96), facecolor="#ffffff", label=title)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, height))
    axes.set_axis_off()
    axes.text(MARGIN, height - 32, title, size=17 * POINT, weight="bold")
    axes.text(MARGIN, height - 50, facts, size=11 * POINT, color=QUIET)
    return figure, axes


def write(figure: Figure, out: Path) -> None:
    """Write a picture as SVG or PNG, by the ending of ``out``, whole or not at all.

    Screen readers say its title. Neither a date nor a version is written. Raises ``BadInput`` if
    the file cannot be written.
    """
    title = str(figure.get_label())
    file = io.BytesIO()
    with whole_file(out) as temporary:
        if out.suffix.lower() == ".svg":
            metadata = {"Title": title, "Date": None, "Creator": None}
            figure.savefig(file, format="svg", metadata=metadata)
            drawn = file.getvalue().decode("utf-8").replace(f"'{_FONT}'", _FONTS)
            temporary.write_text(drawn, encoding="utf-8", newline="\n")
            return
        figure.savefig(file, format="png", dpi=_PNG_DPI)
        # A palette of 256 colours makes the file a third of the size of matplotlib's own.
        few = Image.open(file).convert("RGB").quantize(256, dither=Image.Dither.NONE)
        about = PngImagePlugin.PngInfo()
        about.add_text("Title", title)
        few.save(temporary, "PNG", optimize=True, pnginfo=about, dpi=(_PNG_DPI, _PNG_DPI))


def shade(colour: str, change: float) -> str:
    """A lighter colour, up to 1 for white, or a darker one, down to -1 for black."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*to_rgb(colour))
    lightness += change * (1 - lightness if change > 0 else lightness)
    return to_hex(colorsys.hls_to_rgb(hue, lightness, saturation))
