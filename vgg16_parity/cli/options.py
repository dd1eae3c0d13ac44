"""Options that several commands share, and the weights and pictures that they name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from typer import Option

from onnx_arbiter.cli.console import receiving, say, working
from vgg16_spec.errors import BadInput, counted, require_file

if TYPE_CHECKING:
    from vgg16_parity.runtimes.registry import Runtime
    from vgg16_spec.checkpoint import Checkpoint
    from vgg16_spec.images.recipes import Recipe
    from vgg16_weights.contents import Choices

WeightsOption = Annotated[
    str | None,
    Option(
        metavar="FILE|NAME",
        help="Weights or ONNX file, published name, or seeded[:N]. Default: seeded.",
    ),
]
ConfigurationOption = Annotated[
    str | None,
    Option(
        metavar="A|B|C|D|E|tiny",
        help="Column of the paper's Table 1. Default: that of --weights, or D.",
    ),
]
NetworkOption = Annotated[
    str, Option(metavar="A|B|C|D|E|tiny", help="Column of the paper's Table 1.")
]
ImagesOption = Annotated[
    list[Path] | None,
    Option(metavar="PATH", help="Picture; repeat for more. Default: two photographs."),
]
MaxPixelsOption = Annotated[
    int | None,
    Option(
        "--max-pixels",
        metavar="N",
        min=1,
        help="Refuse pictures of more pixels. Default: VGG16_MAX_PIXELS, or 64 million.",
    ),
]
RecipeOption = Annotated[
    str | None,
    Option(
        metavar="NAME|FILE",
        help="Preprocessing that the weights expect: torchvision, torchvision-features, caffe, tf, "
        "zero-one, or a .json or .toml file. Default: what the weights' file says, or else the "
        "usual one of its format.",
    ),
]
LabelsOption = Annotated[
    Path | None,
    Option(
        metavar="FILE",
        help="Names of the classes, one per line or as JSON. Default: what the weights' file says.",
    ),
]
PortOption = Annotated[
    str | None,
    Option(
        metavar="FILE.py:FUNCTION",
        help="Your own port: images and weights in, taps or logits out.",
    ),
]
PortModeOption = Annotated[
    str | None,
    Option(
        metavar="MODE",
        help="What the port computes in: float32, tf32, bfloat16, float16. Default: float32.",
    ),
]
DeviceOption = Annotated[str, Option(metavar="cpu|cuda", help="Where to run.")]
JsonOption = Annotated[bool, Option("--json", help="Print one JSON document.")]


def described(values: str | None, text: str, *names: str, default: str | bool = True) -> Any:
    """An option: the values that it takes, what it does, its names if not the parameter's.

    ``default`` describes a default that depends on other options.
    """
    return Option(*names, metavar=values, help=text, show_default=default)


def resolve(
    weights: str | None, configuration: str | None = None, recipe: Recipe | None = None
) -> Checkpoint:
    """Open the checkpoint that ``--weights`` and ``--configuration`` name, and say how it was read.

    Args:
        weights: a file of any format, a published set's name, or ``seeded[:N]``, the seeded
            checkpoint of seed N. ``None`` stands for ``seeded``, which stands for ``seeded:0``.
        configuration: a column of Table 1. ``None`` stands for whatever ``weights`` holds, and for
            D if they are seeded.
        recipe: the preprocessing of a file's weights, in place of what the file states.

    Raises:
        BadInput: the file is unusable, the name unknown, or the configuration another.
    """
    from vgg16_spec import architecture
    from vgg16_weights.contents import Choices

    if configuration is not None:
        architecture.configuration(configuration)  # refuses an unknown name
    checkpoint = open_source(weights, configuration, Choices(recipe=recipe))
    if checkpoint.steps:
        say(f"{Path(checkpoint.label).name}: {', '.join(checkpoint.steps)}")
    if configuration not in (None, checkpoint.configuration.name):
        problem = f"holds configuration {checkpoint.configuration.name}"
        raise BadInput(weights or "seeded", problem, f"configuration {configuration}")
    return checkpoint


def open_source(weights: str | None, configuration: str | None, choices: Choices) -> Checkpoint:
    """The same without a word about how it was read, and with what a file leaves open decided.

    Args:
        weights: as `resolve` takes it.
        configuration: of seeded weights.
        choices: what the user decides where a file leaves it open.

    Raises:
        BadInput: the file is unusable, or the name unknown.
    """
    from vgg16_parity.weights import open_file
    from vgg16_weights.open import open_chosen, published_record

    name, _, seed = (weights or "seeded").partition(":")
    if weights is None or (name == "seeded" and not Path(weights).exists()):
        seed = seed or "0"
        if not (seed.isascii() and seed.isdigit()):
            raise BadInput("--weights", f"the seed is {seed!r}", "a whole number, as in seeded:3")
        from vgg16_spec.checkpoint.seeded import seeded_checkpoint

        with working(f"seeded checkpoint {configuration or 'D'}"):
            return open_chosen(seeded_checkpoint(configuration or "D", int(seed)), choices)
    if published_record(weights) is None:
        with working(f"read {Path(weights).name}"):
            return open_file(weights, choices)
    with receiving(f"read {weights}") as progress:
        return open_chosen(weights, choices, progress)


class Overrides(NamedTuple):
    """The recipe and the labels that options name, in place of a checkpoint's own.

    Attributes:
        recipe: what ``--recipe`` names.
        names: the names of the classes that ``--labels`` lists.
        labels: the file that it names.
    """

    recipe: Recipe | None
    names: tuple[str, ...] | None
    labels: Path | None

    def applied(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint with them. Raises ``BadInput`` for a wrong number of names."""
        if self.recipe is not None:
            checkpoint = checkpoint.with_recipe(self.recipe)
        if self.names is not None:
            checkpoint.check_top()
            if len(self.names) != (classes := checkpoint.configuration.classes):
                expected = f"{classes}, one for each class of {checkpoint.label}"
                problem = f"has {counted(len(self.names), 'name')}"
                raise BadInput(str(self.labels), problem, expected)
            checkpoint = checkpoint.with_labels(self.names)
        return checkpoint


def overrides(recipe: str | None, labels: Path | None = None) -> Overrides:
    """Read what the options name, before the weights. Raises ``BadInput`` for unusable ones."""
    from vgg16_spec.images.recipes import recipe_of
    from vgg16_spec.labels import read_labels

    return Overrides(
        None if recipe is None else recipe_of(recipe),
        None if labels is None else tuple(read_labels(labels)),
        labels,
    )


def resolve_to_run(
    weights: str | None,
    configuration: str | None,
    recipe: str | None,
    labels: Path | None = None,
) -> Checkpoint:
    """`resolve` for a command that prepares pictures: with ``--recipe`` and ``--labels``.

    Says on stderr what the recipe is where it is neither given nor read from the file.
    """
    chosen = overrides(recipe, labels)
    checkpoint = chosen.applied(resolve(weights, configuration, chosen.recipe))
    if checkpoint.is_recipe_assumed:
        say(f"recipe {checkpoint.metadata.recipe} (assumed: {weights} names none; see --recipe)")
    return checkpoint


def named_pictures(images: Sequence[Path] | None, max_pixels: int | None = None) -> list[Path]:
    """The pictures given, or the two photographs that come with the project.

    Args:
        images: files; ``None`` or none stand for the photographs.
        max_pixels: how many pixels a picture may have from now on, in this process and those that
            it starts.

    Raises:
        BadInput: one is not a file; commands call this before any slow work.
    """
    from vgg16_spec.images.photographs import PHOTOGRAPHS
    from vgg16_spec.images.preprocessing import PICTURE

    limit_pixels(max_pixels)
    if not images:
        return [photograph.path for photograph in PHOTOGRAPHS]
    return [require_file(path, PICTURE) for path in images]


def limit_pixels(most: int | None) -> None:
    """Set how many pixels a picture may have, here and in the processes that are started."""
    from vgg16_spec.images.preprocessing import MAX_PIXELS

    if most is not None:
        os.environ[MAX_PIXELS] = str(most)


def named_runtimes(
    names: str | None, port: str | None, port_mode: str | None, *, default_to_all: bool = True
) -> list[Runtime]:
    """The user's own port, if any, and the runtimes named; without either, the six.

    Without ``default_to_all``, none where none is named.
    """
    from vgg16_parity.runtimes.registry import ALL, KNOWN, RUNTIMES, own_port, runtime

    if port_mode is not None and port is None:
        raise BadInput("--port-mode", "is the mode of a port", "--port FILE.py:FUNCTION with it")
    chosen = [] if port is None else [own_port(port, port_mode or "float32")]
    if names is None:
        return chosen or ([*RUNTIMES.values()] if default_to_all else [])
    for name in split(names):
        chosen += KNOWN.values() if name == ALL else [runtime(name)]
    return list(dict.fromkeys(chosen))


def split(names: str) -> list[str]:
    """Names between commas, each once."""
    return list(dict.fromkeys(map(str.strip, names.split(","))))
