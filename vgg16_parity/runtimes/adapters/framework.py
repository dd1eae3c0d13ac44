"""What every adapter offers, and what the adapters of the two frameworks share."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

Values = NDArray[Any]
Taps = Mapping[str, Values]


class Evaluator(Protocol):
    """The network in one framework.

    ``device``, ``threads`` and ``flags`` go into ``vgg16_parity.runtimes.process.Record``.
    """

    device: str
    threads: int
    flags: dict[str, str]

    def logits(self, images: Values) -> Values:
        """(N, classes) of preprocessed images, (N, 3, H, W)."""

    def taps(self, images: Values) -> Taps:
        """The output of every tap by name; the last, ``predictions``, holds the logits."""

    def layers(self, images: Values, given: Taps) -> Taps:
        """Every layer's output for the given input; empty if layers cannot run alone."""


class FrameworkModel(ABC):
    """An evaluator of one of this project's two implementations, whose functions are twins.

    Attributes:
        network: the framework's own model.
    """

    device: str
    threads: int
    flags: dict[str, str]
    network: Any
    _impl: Any

    @abstractmethod
    def logits(self, images: Values) -> Values:
        """As :class:`Evaluator`."""

    def taps(self, images: Values) -> Taps:
        """As :class:`Evaluator`."""
        taps: Taps = self._impl.run_with_taps(self.network, images)
        return taps

    def layers(self, images: Values, given: Taps) -> Taps:
        """As :class:`Evaluator`."""
        layers: Taps = self._impl.run_layers_alone(self.network, images, given)
        return layers

    def gradients(self, images: Values, labels: Values) -> tuple[Taps, Taps]:
        """The taps that a ReLU ends, and the gradients of the images and of every parameter."""
        found: tuple[Taps, Taps] = self._impl.run_with_gradients(self.network, images, labels)
        return found

    def step(self, gradients: Taps, velocity: Taps, **figures: float) -> tuple[Taps, Taps]:
        """Every parameter and its velocity after a step of SGD."""
        found: tuple[Taps, Taps] = self._impl.sgd_step(self.network, gradients, velocity, **figures)
        return found


def cores() -> int:
    """How many processors this process may use; 0 if unknown."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0
