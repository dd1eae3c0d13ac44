"""``vgg16 port``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vgg16_parity.cli.console import print_json, working
from vgg16_parity.cli.options import JsonOption, LabelsOption, RecipeOption, overrides, resolve
from vgg16_spec.errors import BadInput


def port(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="Weights file, published name, or seeded[:N]."),
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
        bool, typer.Option("--no-top", help="Write the convolutions only, no classifier.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Convert weights between the formats of Keras, torchvision, timm and others, bit for bit."""
    import vgg16_weights
    from vgg16_weights.detection import format_to_write

    if no_top and labels is not None:
        raise BadInput("--labels", "excludes --no-top", "one of the two")
    described = overrides(recipe, labels)
    written = format_to_write(destination, to_format)
    checkpoint = vgg16_weights.read(source, from_format) if from_format else resolve(source)
    with working(f"write {destination.name}"):
        checkpoint = described(checkpoint)
        if no_top:
            checkpoint = checkpoint.without_top()
        vgg16_weights.write(checkpoint, destination, written)
    facts = {
        "file": str(destination),
        "format": written,
        "configuration": checkpoint.configuration.name,
        "tensors": len(checkpoint),
        "parameters": checkpoint.configuration.parameters(),
        "recipe": checkpoint.metadata.recipe,
        "recipe_assumed": checkpoint.recipe_is_assumed,
    }
    if as_json:
        print_json(facts)
    else:
        print(
            f"{destination}: {written}, configuration {facts['configuration']}, "
            f"{facts['tensors']} tensors, {facts['parameters']:,} parameters, "
            f"recipe {facts['recipe']}{' (assumed)' if facts['recipe_assumed'] else ''}"
        )
