"""What every adapter offers, and what the adapters of the two frameworks share."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
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
    """One of this project's two implementations, whose functions are twins, with a model.

    Attributes:
        network: the framework's own model.
        taps, layers: as `Evaluator`.
        gradients: images and labels -> the taps that a ReLU ends, and the gradients of the images
            and of every parameter.
        step: gradients, velocity and figures of SGD -> every parameter and its velocity after it.
    """

    threads: int
    flags: dict[str, str]

    def __init__(self, implementation: Any, network: Any, device: str) -> None:
        self.network = network
        self.device = device
        self.taps: Callable[[Values], Taps] = partial(implementation.run_with_taps, network)
        self.layers: Callable[[Values, Taps], Taps] = partial(
            implementation.run_layers_alone, network
        )
        self.gradients: Callable[[Values, Values], tuple[Taps, Taps]] = partial(
            implementation.run_with_gradients, network
        )
        self.step: Callable[..., tuple[Taps, Taps]] = partial(implementation.sgd_step, network)

    @abstractmethod
    def logits(self, images: Values) -> Values:
        """As `Evaluator`."""


def cores() -> int:
    """How many processors this process may use; 0 if unknown."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0
