"""What a framework says of the network's layers, in its own words: one record for all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vgg16_spec.architecture import Shape


@dataclass(frozen=True)
class LayerSummary:
    """A layer as a framework has it.

    Attributes:
        layer: the canonical name.
        name: what the framework calls it.
        kind: the framework's class, function or operators that compute it.
        output: its output's shape in the framework's layout, the batch first, as ``None``.
        weights: the framework's name -> shape in the framework's layout, in its order.
    """

    layer: str
    name: str
    kind: str
    output: tuple[int | None, ...]
    weights: dict[str, Shape]

    @property
    def parameters(self) -> int:
        """The number of trainable values."""
        return sum(map(math.prod, self.weights.values()))
