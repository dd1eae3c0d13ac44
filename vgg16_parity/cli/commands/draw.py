"""``vgg16 draw``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from onnx_arbiter.cli.console import print_json, show, working
from vgg16_parity.cli.options import JsonOption, NetworkOption


def draw(
    *,
    out: Annotated[Path, Option(metavar="FILE.svg|FILE.png", help="Picture to write.")],
    configuration: NetworkOption = "D",
    kind: Annotated[
        str,
        Option(
            metavar="volumes|table|keras",
            help="Feature maps to scale, the paper's Table 1, or Keras's own graph (by Graphviz).",
        ),
    ] = "volumes",
    as_json: JsonOption = False,
) -> None:
    """Draw the network as SVG or PNG."""
    from vgg16_parity import drawing
    from vgg16_parity.cli.frameworks import first_keras, use_keras

    _, wanted = drawing.check(out, configuration, kind)
    if wanted == "keras":
        use_keras(first_keras("--kind keras"))
    with working(f"draw {wanted}"):
        drawing.draw(out, configuration, kind=wanted)
    size = out.stat().st_size
    if as_json:
        print_json(
            {"file": str(out), "kind": wanted, "configuration": configuration, "bytes": size}
        )
    else:
        show(f"{out}  {size:,} bytes")
