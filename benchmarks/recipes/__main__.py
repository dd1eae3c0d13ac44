"""``python -m benchmarks.recipes``: exchange the recipes, write the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import command, machine
from benchmarks.harness.tables import page, provenance, table
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import is_seeded, seeded_checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import preprocess, read_image
from vgg16_weights.published.pretrained import published_recipes

_PACKAGE: Final = "benchmarks.recipes"
_PACKAGES: Final = ("torch", "numpy", "pillow")
_TOP: Final = 5


class Change(NamedTuple):
    """How the answer changes if the photographs are prepared by another recipe.

    Attributes:
        expected: the recipe that the weights expect.
        given: the recipe that the photographs were prepared by.
        logits: rms of the logits' change over rms of the right logits.
        likeliest: the number of photographs whose likeliest class stays the same.
        top5: how many of the five likeliest classes stay among them, on average.
    """

    expected: str
    given: str
    logits: float
    likeliest: int
    top5: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 0."""
    parser = command.parser(_PACKAGE)
    parser.add_argument("--configuration", default="D", help="of seeded weights (default: D)")
    parser.add_argument("--weights", help="a published name or a file, instead of seeded weights")
    chosen = parser.parse_args(arguments)
    checkpoint = _checkpoint(chosen.weights, chosen.configuration)
    changes = list(_changes(checkpoint))
    facts = machine.measurement_facts(_PACKAGES, chosen.date)
    command.publish(_page(checkpoint, changes, command.line(_PACKAGE, arguments), facts), chosen)
    return 0


def _checkpoint(weights: str | None, configuration: str) -> Checkpoint:
    from vgg16_weights import open_weights

    return seeded_checkpoint(configuration) if weights is None else open_weights(weights)


def _changes(checkpoint: Checkpoint) -> Iterator[Change]:
    """Every other recipe than the expected one; seeded weights may expect any."""
    logits = _logits(checkpoint)
    for expected in published_recipes() if is_seeded(checkpoint) else (checkpoint.metadata.recipe,):
        right = logits[expected]
        for given in logits:
            if given != expected:
                yield _change(expected, given, right, logits[given])


def _logits(checkpoint: Checkpoint) -> dict[str, NDArray[np.float32]]:
    """Recipe -> the logits of the photographs, (N, classes), in PyTorch."""
    import torch

    from torch_impl import VGG

    network = checkpoint.configuration
    own = checkpoint.recipe
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
            for name, recipe in (published_recipes() | {own.name: own}).items()
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
    header = (
        *("weights expect", "given", "change of the logits, rms over rms"),
        *("same likeliest class", "of 5 likeliest, the same"),
    )
    lines = (
        (
            change.expected,
            change.given,
            f"{100 * change.logits:,.0f} %",
            f"{change.likeliest} of {len(PHOTOGRAPHS)}",
            f"{change.top5:g}",
        )
        for change in changes
    )
    untrained = (
        " These weights are not trained: the table shows how far the network's answer moves, not "
        "how many answers become wrong."
    )
    return page(
        [
            "# What another recipe than the weights' own does",
            table(header, lines, words=2),
            f"{'Seeded' if seeded else checkpoint.label} weights of configuration "
            f"{checkpoint.configuration.name}, {len(PHOTOGRAPHS)} photographs, PyTorch. Only the "
            f"preprocessing differs.{untrained if seeded else ''}",
            provenance(asked, facts),
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
