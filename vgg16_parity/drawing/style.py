"""What every drawing has in common: colours, letters, and files that are the same bytes twice."""

from __future__ import annotations

import colorsys
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vgg16_spec.files.atomic import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

PAPER: Final = "#ffffff"
INK: Final = "#1d2733"
QUIET: Final = "#566270"
RULE: Final = "#c9d0d8"
# By what computes a map; told apart in grey and by people who do not see red or green, too.
COLOURS: Final = {
    "input": "#aeb7c2",
    "convolution": "#3f7fc1",
    "pointwise": "#8fc6e0",
    "pooling": "#d9573f",
    "flatten": "#dfe4ea",
    "dense": "#e9ac3f",
    "softmax": "#7a5aa6",
}

# Widths were measured with the first, which comes with matplotlib and is the widest.
_FONT: Final = "DejaVu Sans"
_FONTS: Final = "'DejaVu Sans', Verdana, Helvetica, Arial, sans-serif"
_POINTS_PER_PIXEL: Final = 0.75  # 96 pixels an inch, 72 points
# Two pixels of a PNG for one of the picture.
_PNG_DPI: Final = 192


def settings() -> Any:
    """What matplotlib is set to while a picture is drawn and written, for ``rc_context``."""
    return {
        "font.family": _FONT,
        "figure.dpi": 96,
        "svg.fonttype": "none",  # text stays text: it can be searched, selected and read aloud
        "svg.hashsalt": "vgg16",  # or its identifiers would be other ones each time
        "path.simplify": False,
        "text.parse_math": False,
    }


def canvas(width: float, height: float) -> Figure:
    """An empty picture of that many pixels, whose one pair of axes counts them from below left."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 96, height / 96), facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure


def write(figure: Figure, out: Path, title: str) -> None:
    """Write a picture as SVG or PNG, whichever ``out`` ends in; whole or not at all.

    ``title`` is what programs that read pictures aloud say. Neither date nor version is written.
    Raises ``BadInput`` where the file cannot be written.
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
    """A third of matplotlib's own file: few colours, of which a palette holds all that matter."""
    from PIL import Image, PngImagePlugin

    pixels = io.BytesIO()
    figure.savefig(pixels, format="png", dpi=_PNG_DPI)
    few = Image.open(pixels).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    about = PngImagePlugin.PngInfo()
    about.add_text("Title", title)
    few.save(path, "PNG", optimize=True, pnginfo=about, dpi=(_PNG_DPI, _PNG_DPI))


def say(
    figure: Figure,
    at: tuple[float, float],
    text: str,
    *,
    size: float = 10,
    colour: str = INK,
    bold: bool = False,
    align: str = "left",
) -> Text:
    """Put text on a picture: ``at`` is the baseline's left end, middle or right end.

    ``size`` is in pixels.
    """
    return figure.axes[0].text(
        *at,
        text,
        fontsize=size * _POINTS_PER_PIXEL,
        color=colour,
        fontweight="bold" if bold else "normal",
        ha=align,
        va="baseline",
    )


def points(pixels: float) -> float:
    """A length in matplotlib's points."""
    return pixels * _POINTS_PER_PIXEL


def shade(colour: str, change: float) -> str:
    """A colour made lighter, up to 1 for white, or darker, down to -1 for black."""
    red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    lightness += change * (1 - lightness if change > 0 else lightness)
    return "#" + "".join(
        f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(hue, lightness, saturation)
    )
