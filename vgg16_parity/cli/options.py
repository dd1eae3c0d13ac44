"""Which checkpoint the command line names."""

from __future__ import annotations

from pathlib import Path

from vgg16_parity.cli.console import receiving, working
from vgg16_spec import architecture
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput


def resolve(weights: str | None, configuration: str | None) -> Checkpoint:
    """The checkpoint that ``--weights`` and ``--configuration`` name.

    ``weights`` is a file of any format, a published set's name, or ``seeded`` or ``seeded:N`` for
    the seeded checkpoint of seed 0 or N, which is the default. ``configuration`` is D unless given;
    of a file or a published set it must be what that holds.

    Raises ``BadInput`` where there is no such checkpoint.
    """
    if configuration is not None:
        architecture.configuration(configuration)  # refuses an unknown name
    if weights is None:
        return _seeded(configuration or "D", "0")
    name, _, seed = weights.partition(":")
    if name == "seeded" and not Path(weights).exists():
        return _seeded(configuration or "D", seed or "0")
    checkpoint = _opened(weights)
    if configuration not in (None, checkpoint.configuration.name):
        problem = f"holds configuration {checkpoint.configuration.name}"
        raise BadInput(weights, problem, f"configuration {configuration}")
    return checkpoint


def _opened(weights: str) -> Checkpoint:
    """A file of any format or a published set of weights, fetched where it is not in the cache.

    Raises ``BadInput`` for a file that cannot be used or fetched, and for an unknown name.
    """
    from vgg16_weights.open import open_weights, published_record

    if published_record(weights) is None:
        with working(f"read {Path(weights).name}"):
            return open_weights(weights)
    with receiving(f"read {weights}") as progress:
        return open_weights(weights, progress)


def _seeded(configuration: str, seed: str) -> Checkpoint:
    from vgg16_spec.checkpoint.seeded import seeded_checkpoint

    if not (seed.isascii() and seed.isdigit()):
        raise BadInput("--weights", f"the seed is {seed!r}", "a whole number, as in seeded:3")
    with working(f"seeded checkpoint {configuration}"):
        return seeded_checkpoint(configuration, int(seed))
