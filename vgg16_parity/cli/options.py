"""Options that several commands share, and the weights and pictures that they name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from vgg16_parity.cli.console import receiving, working
from vgg16_spec.errors import BadInput, require_file

if TYPE_CHECKING:
    from vgg16_spec.checkpoint import Checkpoint

WeightsOption = Annotated[
    str | None,
    Option(
        metavar="FILE|NAME", help="Weights file, published name, or seeded[:N]. Default: seeded."
    ),
]
ConfigurationOption = Annotated[
    str | None,
    Option(
        metavar="A|B|C|D|E|tiny",
        help="Column of the paper's Table 1. Default: D, or what --weights holds.",
    ),
]
NetworkOption = Annotated[
    str, Option(metavar="A|B|C|D|E|tiny", help="Column of the paper's Table 1.")
]
ImagesOption = Annotated[
    list[Path] | None,
    Option(metavar="PATH", help="Picture; repeat for more. Default: two photographs."),
]
DeviceOption = Annotated[str, Option(metavar="cpu|cuda", help="Where to run.")]
JsonOption = Annotated[bool, Option("--json", help="Print one JSON document.")]


def described(values: str | None, text: str, *names: str, default: str | bool = True) -> Any:
    """An option: the values that it takes, what it does, its names if not the parameter's.

    ``default`` describes a default that depends on other options.
    """
    return Option(*names, metavar=values, help=text, show_default=default)


def resolve(weights: str | None, configuration: str | None = None) -> Checkpoint:
    """Open the checkpoint that ``--weights`` and ``--configuration`` name.

    Args:
        weights: a file of any format, a published set's name, or ``seeded[:N]``, the seeded
            checkpoint of seed N. ``None`` stands for ``seeded``, which stands for ``seeded:0``.
        configuration: a column of Table 1. ``None`` stands for whatever ``weights`` holds, and for
            D if they are seeded.

    Raises:
        BadInput: the file is unusable, the name unknown, or the configuration another.
    """
    from vgg16_spec import architecture

    if configuration is not None:
        architecture.configuration(configuration)  # refuses an unknown name
    name, _, seed = (weights or "seeded").partition(":")
    if weights is None or (name == "seeded" and not Path(weights).exists()):
        seed = seed or "0"
        if not (seed.isascii() and seed.isdigit()):
            raise BadInput("--weights", f"the seed is {seed!r}", "a whole number, as in seeded:3")
        from vgg16_spec.checkpoint.seeded import seeded_checkpoint

        with working(f"seeded checkpoint {configuration or 'D'}"):
            return seeded_checkpoint(configuration or "D", int(seed))
    from vgg16_parity.weights import is_onnx, onnx_weights
    from vgg16_weights.open import open_weights, published_record

    if is_onnx(Path(weights)):
        with working(f"read {Path(weights).name}"):
            checkpoint = onnx_weights(Path(weights))
    elif published_record(weights) is None:
        with working(f"read {Path(weights).name}"):
            checkpoint = open_weights(weights)
    else:
        with receiving(f"read {weights}") as progress:
            checkpoint = open_weights(weights, progress)
    if configuration not in (None, checkpoint.configuration.name):
        problem = f"holds configuration {checkpoint.configuration.name}"
        raise BadInput(weights, problem, f"configuration {configuration}")
    return checkpoint


def named_pictures(images: Sequence[Path] | None) -> list[Path]:
    """The pictures given, or the two photographs that come with the project.

    Raises:
        BadInput: one is not a file; commands call this before any slow work.
    """
    from vgg16_spec.images.photographs import PHOTOGRAPHS
    from vgg16_spec.images.preprocessing import PICTURE

    if not images:
        return [photograph.path for photograph in PHOTOGRAPHS]
    return [require_file(path, PICTURE) for path in images]
