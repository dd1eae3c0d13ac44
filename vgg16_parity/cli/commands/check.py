"""``vgg16 check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onnx_arbiter.cli.console import print_json, say, show, working
from vgg16_parity.cli.options import (
    ConfigurationOption,
    ImagesOption,
    JsonOption,
    MaxPixelsOption,
    RecipeOption,
    WeightsOption,
    named_pictures,
    resolve_to_run,
)
from vgg16_spec.errors import BadInput, require_file


def check(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL.onnx", help="ONNX file from any exporter.")
    ],
    *,
    configuration: ConfigurationOption = None,
    weights: WeightsOption = None,
    recipe: RecipeOption = None,
    images: ImagesOption = None,
    max_pixels: MaxPixelsOption = None,
    as_json: JsonOption = False,
) -> int:
    """Check whether an ONNX file is the network of a checkpoint, and report where it is not.

    The exit status is 1 if it is not.
    """
    from vgg16_parity.runtimes.registry import CHECKING

    if reason := CHECKING.missing():
        raise BadInput("check", reason)
    require_file(model, "an ONNX model (.onnx)")
    from vgg16_parity.shadowing import require_own_export

    require_own_export()
    from vgg16_parity.onnx_check.check import check_model, to_json
    from vgg16_parity.onnx_check.text import lines

    pictures = named_pictures(images, max_pixels)
    named = weights or f"the seeded checkpoint {configuration or 'D'}"
    if weights is None:
        say(f"compared with {named}: give --weights for yours")
    checkpoint = resolve_to_run(weights, configuration, recipe)
    report = check_model(model, checkpoint, pictures, progress=working)
    if as_json:
        print_json(to_json(report))
    else:
        for line in lines(report, named):
            show(line)
    return 0 if report.matches else 1
