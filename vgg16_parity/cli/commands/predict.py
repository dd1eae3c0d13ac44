"""``vgg16 predict``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args

from typer import Argument, Option

from onnx_arbiter.cli.console import counting, print_json, say, show, working
from vgg16_parity.cli import options
from vgg16_spec.errors import BadInput, counted, require_one_of

if TYPE_CHECKING:
    from vgg16_parity.evaluate.datasets.items import Dataset, Item
    from vgg16_parity.evaluate.measured import Measured
    from vgg16_parity.runtimes.registry import Runtime

_TOP: Final = 5


def predict(
    images: Annotated[
        list[Path], Argument(metavar="PATH...", help="Pictures, or folders of pictures.")
    ],
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
    """Name the five most likely classes of each picture.

    A picture of a folder that cannot be read is named on stderr; one that was named itself ends the
    command with status 2, after the others' classes.
    """
    from vgg16_parity.evaluate.run import evaluate
    from vgg16_parity.runtimes.lanes import Device
    from vgg16_spec.checkpoint.seeded import is_seeded
    from vgg16_spec.files.scratch import scratch_folder
    from vgg16_spec.images.preprocessing import PICTURE

    place = require_one_of("--device", device, get_args(Device))
    chosen = _runtime(runtime)
    options.limit_pixels(max_pixels)
    pictures = _pictures(images)
    checkpoint = options.resolve_to_run(weights, configuration, recipe, labels)
    with scratch_folder("vgg16-predict") as folder:
        measured = evaluate(
            pictures, checkpoint, [chosen], folder / "run", device=place, progress=working,
            counting=counting,
        )  # fmt: skip
        (entry,) = measured.runtimes
        if entry.status != "measured":
            problem = f"did not run ({entry.reason})"
            raise BadInput(chosen.name, problem, "a runtime that works here")
        results = list(_results(measured, checkpoint.class_names))
    seeded = is_seeded(checkpoint)
    unreadable = (*pictures.unreadable, *measured.unreadable)
    if as_json:
        facts: dict[str, Any] = {
            "runtime": chosen.name,
            "seeded": seeded,
            "recipe": checkpoint.metadata.recipe,
            "recipe_assumed": checkpoint.is_recipe_assumed,
            "images": results,
        }
        if unreadable:
            facts["unreadable"] = [{"file": each.name, "why": each.reason} for each in unreadable]
        print_json(facts)
    else:
        for result in results:
            show(result["file"])
            for found in result["top5"]:
                show(f"  {found['probability']:7.2%}  {found['name']}")
        if seeded and results:
            show("These weights are seeded, never trained: the names mean nothing.")
    named = set(map(str, images))
    if refused := [each for each in unreadable if each.name in named]:
        raise BadInput(refused[0].name, refused[0].reason, PICTURE)
    if unreadable:
        first = unreadable[0]
        told = f"{counted(len(unreadable), 'picture')} left out: {first.name} ({first.reason})"
        if not results:
            raise BadInput(str(images[0]), f"has no picture that can be read; {told}", PICTURE)
        say(told + (", …" if len(unreadable) > 1 else ""))


def _results(measured: Measured, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The five best classes of each picture."""
    from vgg16_spec.logits import softmax, top

    items = iter(measured.items)
    for logits in measured.runtimes[0].blocks():
        for row, order, item in zip(softmax(logits), top(logits, _TOP), items, strict=False):
            top5 = [
                {"class": index, "name": names[index], "probability": float(row[index])}
                for index in map(int, order)
            ]
            yield {"file": item.name, "top5": top5}


def _pictures(paths: Sequence[Path]) -> Dataset:
    """Every picture of the files and folders, copies too, in the order in which they are named."""
    from dataclasses import replace

    from vgg16_parity.evaluate.datasets.digests import Entry, digest_entries
    from vgg16_parity.evaluate.datasets.items import Dataset, Skipped
    from vgg16_parity.evaluate.datasets.opening import open_dataset
    from vgg16_parity.evaluate.datasets.places import FilePlace
    from vgg16_spec.errors import require_file
    from vgg16_spec.images.preprocessing import PICTURE

    items: list[Item] = []
    unreadable: list[Skipped] = []
    for path in paths:
        if path.is_dir():
            found = open_dataset(path, class_names=None, keep_copies=True)
            items += [replace(item, name=str(path / item.name)) for item in found.items]
            unreadable += [replace(each, name=str(path / each.name)) for each in found.unreadable]
            continue
        require_file(path, PICTURE)
        entry = Entry(str(path), None, FilePlace(str(path.parent), path.name))
        digested = digest_entries([entry], 1)
        items += digested.items
        unreadable += digested.unreadable
    return Dataset("pictures", "list", tuple(items), unreadable=tuple(unreadable))


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
