"""``vgg16 port``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer

from onnx_arbiter.cli.console import print_json, show, working
from vgg16_parity.cli.options import JsonOption, LabelsOption, RecipeOption, open_source, overrides
from vgg16_spec.errors import BadInput, require_one_of


def port(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="Weights or ONNX file, published name, or seeded[:N]."
        ),
    ],
    destination: Annotated[Path, typer.Argument(metavar="DESTINATION", help="File to write.")],
    *,
    from_format: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="FORMAT", help="Format of SOURCE. Default: detected from its content."
        ),
    ] = None,
    to_format: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="FORMAT", help="Format to write. Default: by DESTINATION's ending."
        ),
    ] = None,
    recipe: RecipeOption = None,
    labels: LabelsOption = None,
    no_top: Annotated[
        bool,
        typer.Option("--no-top", help="Take only the convolutions, whatever SOURCE's head is."),
    ] = False,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Which of several sets of weights in SOURCE to take, such as state_dict_ema.",
        ),
    ] = None,
    data_format: Annotated[
        str | None,
        typer.Option(
            metavar="channels_last|channels_first",
            help="Order in which a Keras model flattens its maps, if SOURCE does not say. "
            "Default: channels_last.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Convert weights to another format, for Keras, PyTorch and others.

    Every float32 value keeps its bits. The output line says what was read, and as what.
    """
    import vgg16_weights
    from vgg16_weights.contents import Choices, DataFormat
    from vgg16_weights.detection import format_to_write, read_chosen

    if no_top and labels is not None:
        raise BadInput("--labels", "cannot be combined with --no-top", "one of the two")
    chosen = overrides(recipe, labels)
    written = format_to_write(destination, to_format)
    order: DataFormat | None = None
    if data_format is not None:
        order = require_one_of("--data-format", data_format, get_args(DataFormat))
    choices = Choices(key, order, not no_top, chosen.recipe)
    if from_format:
        checkpoint = read_chosen(source, from_format, choices)
    else:
        checkpoint = open_source(source, None, choices)
    with working(f"write {destination.name}"):
        checkpoint = chosen.applied(checkpoint)
        vgg16_weights.write(checkpoint, destination, written)
    facts = {
        "file": str(destination),
        "format": written,
        "configuration": checkpoint.configuration.name,
        "tensors": len(checkpoint),
        "parameters": checkpoint.configuration.parameters(),
        "recipe": checkpoint.metadata.recipe,
        "recipe_assumed": checkpoint.is_recipe_assumed,
        "steps": list(checkpoint.steps),
    }
    if as_json:
        print_json(facts)
    else:
        assumed = " (assumed)" if checkpoint.is_recipe_assumed else ""
        steps = f"; {', '.join(checkpoint.steps)}" if checkpoint.steps else ""
        show(
            f"{destination}: {written}, configuration {facts['configuration']}, "
            f"{facts['tensors']} tensors, {facts['parameters']:,} parameters, "
            f"recipe {facts['recipe']}{assumed}{steps}"
        )
