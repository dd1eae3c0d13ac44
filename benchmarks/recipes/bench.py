"""What another recipe than the weights' own does: ``python -m benchmarks.recipes``.

Gives the same weights the same two photographs, prepared by each recipe, and tells how the logits
and the five likeliest classes change against the recipe that the weights expect. Without
``--weights`` the weights are seeded and stand for any recipe in turn.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import machine
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import is_seeded, seeded_checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import RECIPES, preprocess, read_image

_PACKAGES: Final = ("torch", "numpy", "pillow")
_TOP: Final = 5


class Change(NamedTuple):
    """What a recipe does instead of the weights' own, over the photographs.

    Attributes:
        expected: the recipe that the weights expect.
        given: the recipe that the photographs were prepared by.
        logits: rms of the logits' change over rms of the right logits.
        likeliest: of how many photographs the likeliest class is still the same.
        top5: of the five likeliest classes, how many are still among them, on average.
    """

    expected: str
    given: str
    logits: float
    likeliest: int
    top5: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit status 0."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recipes", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--configuration", default="D", help="of the seeded weights; D unless given"
    )
    parser.add_argument("--weights", help="a published name or a file, instead of seeded weights")
    parser.add_argument("--markdown", type=Path, help="write the page here")
    parser.add_argument(
        "--date", default=datetime.date.today().isoformat(), help="printed with the results"
    )
    chosen = parser.parse_args(arguments)
    checkpoint = _checkpoint(chosen.weights, chosen.configuration)
    changes = list(_changes(checkpoint))
    asked = f" --weights {chosen.weights}" if chosen.weights else ""
    if chosen.configuration != "D":
        asked += f" --configuration {chosen.configuration}"
    page = _page(checkpoint, changes, asked, machine.describe(_PACKAGES, chosen.date))
    print(page, end="")
    if chosen.markdown is not None:
        chosen.markdown.write_text(page, encoding="utf-8")
    return 0


def _checkpoint(weights: str | None, configuration: str) -> Checkpoint:
    from vgg16_weights import open_weights

    return seeded_checkpoint(configuration) if weights is None else open_weights(weights)


def _changes(checkpoint: Checkpoint) -> Iterator[Change]:
    """Every other recipe against the one that the weights expect; seeded ones expect any."""
    logits = _logits(checkpoint)
    for expected in RECIPES if is_seeded(checkpoint) else (checkpoint.metadata.recipe,):
        right = logits[expected]
        for given in RECIPES:
            if given != expected:
                yield _change(expected, given, right, logits[given])


def _logits(checkpoint: Checkpoint) -> dict[str, NDArray[np.float32]]:
    """Recipe -> the logits of the photographs, (N, classes), in PyTorch."""
    import torch

    from torch_impl import VGG

    network = checkpoint.configuration
    model = VGG(network.name, classes=network.classes, weights=checkpoint).eval()
    pictures = [read_image(photograph.path) for photograph in PHOTOGRAPHS]
    with torch.inference_mode():
        return {
            name: model(
                torch.from_numpy(
                    np.concatenate(
                        [preprocess(each, recipe, size=network.input_size) for each in pictures]
                    )
                )
            ).numpy()
            for name, recipe in RECIPES.items()
        }


def _change(
    expected: str, given: str, right: NDArray[np.float32], wrong: NDArray[np.float32]
) -> Change:
    from vgg16_spec.logits import top

    pairs = list(zip(top(right, _TOP), top(wrong, _TOP), strict=True))
    return Change(
        expected,
        given,
        float(np.sqrt(np.mean((wrong - right) ** 2) / np.mean(right**2))),
        sum(int(ours[0] == theirs[0]) for ours, theirs in pairs),
        float(np.mean([len(set(ours) & set(theirs)) for ours, theirs in pairs])),
    )


def _page(
    checkpoint: Checkpoint, changes: Sequence[Change], asked: str, facts: dict[str, str]
) -> str:
    seeded = is_seeded(checkpoint)
    called = "Seeded" if seeded else checkpoint.label
    lines = [
        "# What another recipe than the weights' own does",
        "",
        f"{called} weights of configuration {checkpoint.configuration.name}, "
        f"{len(PHOTOGRAPHS)} photographs, PyTorch: the same weights and photographs, and only the "
        "preprocessing is another. "
        + (
            "Nobody trained these weights: what is shown is how far the network's answer moves, "
            "not how many answers become wrong."
            if seeded
            else ""
        ),
        "",
        "| weights expect | given | change of the logits, rms over rms | same likeliest class "
        "| of 5 likeliest, the same |",
        "|---|---|---:|---:|---:|",
        *(
            f"| {row.expected} | {row.given} | {100 * row.logits:,.0f} % "
            f"| {row.likeliest} of {len(PHOTOGRAPHS)} | {row.top5:g} |"
            for row in changes
        ),
        "",
        f"Made by `python -m benchmarks.recipes{asked} --markdown docs/measured/recipes.md` on "
        + ", ".join(f"{name} {value}" for name, value in facts.items())
        + ".",
    ]
    return "\n".join(lines) + "\n"
