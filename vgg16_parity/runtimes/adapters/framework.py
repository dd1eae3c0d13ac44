"""What every adapter offers, and what the adapters of the two frameworks share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

# The variable that limits the threads of what knows no variable of its own.
THREADS: Final = "VGG16_THREADS"

Values = NDArray[Any]
Taps = Mapping[str, Values]


class Evaluator(Protocol):
    """The network in one framework.

    ``device``, ``threads``, ``flags`` and ``own_mode`` go into
    ``vgg16_parity.runtimes.job.Record``.
    """

    device: str
    threads: int
    flags: dict[str, str]
    own_mode: str

    def forward(self, images: Values, *, logits_only: bool) -> Taps:
        """The output of every tap by name for preprocessed images, (N, 3, H, W).

        The last, ``predictions``, holds the logits, (N, classes); with ``logits_only`` it is alone.
        """

    def layers(self, images: Values, given: Taps) -> Taps:
        """Every layer's output for the given input; empty if layers cannot run alone.

        ``images`` are the first layer's, ``given`` has tap -> the input of the next layer. Their
        number and the size of their maps are any: probes are smaller than photographs.
        """


@runtime_checkable
class DenseEvaluator(Evaluator, Protocol):
    """One that can also apply the network densely: both frameworks, and ONNX Runtime."""

    def dense(self, images: Values) -> Values:
        """Logits (N, classes) of preprocessed images (N, 3, H, W), averaged over space.

        Neither side may be smaller than the network's own input size; all images of a call have one
        size. At the network's own size the logits have the bits of `forward`'s; of Keras on
        OpenVINO, which compiles either graph in its own way, that was not so. Raises
        ``ValueError``, or what the runtime itself raises, for images that are too small.
        """


@dataclass
class FrameworkModel:
    """One of this project's two implementations, whose functions are twins, with a model.

    Attributes:
        implementation: ``keras_impl`` or ``torch_impl``.
        network: the framework's own model.
        logits: (N, classes) of images, (N, 3, H, W).
        device, threads, flags, own_mode: as `Evaluator`.
    """

    implementation: Any
    network: Any
    logits: Callable[[Values], Values]
    device: str
    threads: int
    flags: dict[str, str]
    own_mode: str = ""

    def forward(self, images: Values, *, logits_only: bool) -> Taps:
        """As `Evaluator`."""
        if logits_only:
            return {"predictions": self.logits(images)}
        taps: Taps = self.implementation.run_with_taps(self.network, images)
        return taps

    def layers(self, images: Values, given: Taps) -> Taps:
        """As `Evaluator`."""
        taps: Taps = self.implementation.run_layers_locally(self.network, images, given)
        return taps

    def dense(self, images: Values) -> Values:
        """As `DenseEvaluator`."""
        logits: Values = self.implementation.run_densely(self._applied_densely, images)
        return logits.astype(np.float32, copy=False)

    @cached_property
    def _applied_densely(self) -> Any:
        """The framework's model that shares the weights of ``network``; compiled once."""
        return self.implementation.DenseVGG(self.network)


def thread_limit() -> int:
    """In how many threads this process is to compute; 0 leaves it to the framework."""
    return int(os.environ.get(THREADS, "0"))


def cores() -> int:
    """How many processors this process may use; 0 if unknown."""
    if limit := thread_limit():
        return limit
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0
