"""``vgg16 predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args

from typer import Argument, Option

from onnx_arbiter.cli.console import print_json, show, working
from vgg16_parity.cli import options
from vgg16_spec.errors import BadInput, require_one_of

if TYPE_CHECKING:
    from vgg16_parity.runtimes.registry import Runtime

_TOP: Final = 5


def predict(
    images: Annotated[list[Path], Argument(metavar="IMAGE...", help="Pictures.")],
    *,
    configuration: options.ConfigurationOption = None,
    weights: options.WeightsOption = None,
    recipe: options.RecipeOption = None,
    labels: options.LabelsOption = None,
    runtime: Annotated[
        str | None,
        Option(metavar="NAME", help="Runtime to use. Default: the first that is installed."),
    ] = None,
    device: options.DeviceOption = "cpu",
    max_pixels: options.MaxPixelsOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Name the five most likely classes of each picture."""
    from vgg16_parity.run import run_logits
    from vgg16_parity.runtimes.lanes import Device
    from vgg16_spec.checkpoint.seeded import is_seeded
    from vgg16_spec.logits import softmax, top

    place = require_one_of("--device", device, get_args(Device))
    chosen = _runtime(runtime)
    pictures = options.named_pictures(images, max_pixels)
    checkpoint = options.resolve_to_run(weights, configuration, recipe, labels)
    logits = run_logits(checkpoint, pictures, chosen, device=place, progress=working)
    names = checkpoint.class_names
    results: list[dict[str, Any]] = []
    for path, row, order in zip(pictures, softmax(logits), top(logits, _TOP), strict=True):
        top5 = [
            {"class": index, "name": names[index], "probability": float(row[index])}
            for index in map(int, order)
        ]
        results.append({"file": str(path), "top5": top5})
    seeded = is_seeded(checkpoint)
    if as_json:
        facts = {
            "runtime": chosen.name,
            "seeded": seeded,
            "recipe": checkpoint.metadata.recipe,
            "recipe_assumed": checkpoint.is_recipe_assumed,
        }
        print_json(facts | {"images": results})
        return
    for result in results:
        show(result["file"])
        for entry in result["top5"]:
            show(f"  {entry['probability']:7.2%}  {entry['name']}")
    if seeded:
        show("These weights are seeded, never trained: the names mean nothing.")


def _runtime(name: str | None) -> Runtime:
    """The runtime of that name, or the first that is installed."""
    from vgg16_parity.runtimes.registry import installed, pip_install, runtime

    if name is None:
        if not (available := installed()):
            raise BadInput("runtime", "none is installed", f"{pip_install(['torch'])} or another")
        return available[0]
    chosen = runtime(name)
    if reason := chosen.missing():
        raise BadInput(name, reason)
    return chosen
