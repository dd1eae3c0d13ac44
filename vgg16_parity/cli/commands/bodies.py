"""What each command does, once its options are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_args

from vgg16_parity.cli.console import print_json, print_table, working
from vgg16_spec.errors import BadInput, require_one_of

_TOP: Final = 5


def port(
    source: str,
    destination: Path,
    from_format: str | None,
    to_format: str | None,
    recipe: str | None,
    no_top: bool,
    as_json: bool,
) -> int:
    """A weights file in another format."""
    import vgg16_weights
    from vgg16_parity.cli.options import resolve
    from vgg16_spec.images.preprocessing import RECIPES

    if recipe is not None:
        require_one_of("--recipe", recipe, tuple(RECIPES))
    checkpoint = (
        resolve(source, None) if from_format is None else vgg16_weights.read(source, from_format)
    )
    with working(f"write {destination.name}"):
        if recipe is not None:
            checkpoint = checkpoint.with_recipe(recipe)
        if no_top:
            checkpoint = checkpoint.without_top()
        written = vgg16_weights.write(checkpoint, destination, to_format)
    facts = {
        "file": str(destination),
        "format": written,
        "configuration": checkpoint.configuration.name,
        "tensors": len(checkpoint),
        "parameters": checkpoint.configuration.parameters(),
        "recipe": checkpoint.metadata.recipe,
    }
    if as_json:
        print_json(facts)
    else:
        print(
            f"{destination}: {written}, configuration {facts['configuration']}, "
            f"{facts['tensors']} tensors, {facts['parameters']:,} parameters, "
            f"recipe {facts['recipe']}"
        )
    return 0


def predict(
    images: Sequence[Path],
    configuration: str | None,
    weights: str | None,
    runtime_name: str | None,
    device: str,
    as_json: bool,
) -> int:
    """The likeliest classes of pictures."""
    from vgg16_parity.cli.options import resolve
    from vgg16_parity.cli.pictures import named_pictures
    from vgg16_parity.run import run_logits
    from vgg16_parity.runtimes.lanes import Device
    from vgg16_parity.runtimes.registry import installed, runtime
    from vgg16_spec.checkpoint.seeded import is_seeded
    from vgg16_spec.labels import class_name
    from vgg16_spec.logits import softmax, top

    place = require_one_of("--device", device, get_args(Device))
    if runtime_name is None:
        if not (available := installed()):
            raise BadInput(
                "runtime", "none is installed", 'pip install "vgg16-parity[torch]" or another'
            )
        chosen = available[0]
    else:
        chosen = runtime(runtime_name)
        if reason := chosen.missing():
            raise BadInput(chosen.name, reason)
    pictures = named_pictures(images)
    checkpoint = resolve(weights, configuration)
    logits = run_logits(checkpoint, pictures, chosen, device=place, progress=working)
    probabilities = softmax(logits)
    seeded = is_seeded(checkpoint)
    predictions = [
        [
            {
                "class": int(index),
                "name": class_name(int(index), logits.shape[1]),
                "probability": float(row[index]),
            }
            for index in order
        ]
        for row, order in zip(probabilities, top(logits, _TOP), strict=True)
    ]
    if as_json:
        results = [
            {"file": str(path), "top5": best}
            for path, best in zip(pictures, predictions, strict=True)
        ]
        print_json({"runtime": chosen.name, "seeded": seeded, "images": results})
        return 0
    for path, best in zip(pictures, predictions, strict=True):
        print(path)
        for entry in best:
            print(f"  {entry['probability']:7.2%}  {entry['name']}")
    if seeded:
        print("These weights are seeded, never trained: the names mean nothing.")
    return 0


def summary(configuration: str, as_json: bool) -> int:
    """A configuration's layers."""
    from vgg16_spec import architecture
    from vgg16_spec.names import names

    network = architecture.configuration(configuration)
    table = names(network)
    shapes = network.output_shapes()
    layers = [
        {
            "name": layer.name,
            "output_shape": list(shapes[layer.name]),
            "parameters": network.parameters(layer.name),
            "multiply_adds": network.multiply_adds(layer.name),
            "torchvision": table[layer.name].torchvision if layer.name in table else "",
        }
        for layer in network.layers
    ]
    if as_json:
        print_json(
            {
                "configuration": network.name,
                "input_shape": list(network.input_shape),
                "parameters": network.parameters(),
                "multiply_adds": network.multiply_adds(),
                "layers": layers,
            }
        )
        return 0
    print(f"Configuration {network.name}, input {_shape(network.input_shape)} (channels first)")
    rows = [
        (
            layer.name,
            str(entry["torchvision"]),
            _shape(shapes[layer.name]),
            f"{entry['parameters']:,}",
            f"{entry['multiply_adds']:,}",
        )
        for layer, entry in zip(network.layers, layers, strict=True)
    ]
    total = ("total", "", "", f"{network.parameters():,}", f"{network.multiply_adds():,}")
    columns = ("layer", "torchvision", "output", "parameters", "multiply-adds")
    print_table(columns, [*rows, total], text_columns=2)
    return 0


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
