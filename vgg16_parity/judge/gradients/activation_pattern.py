"""Which way a runtime went at every kink, and whether rounding explains it.

Where a ReLU's input, or the difference of the two largest values of a pooling window, is within
rounding of zero, a runtime may go the other way than the arbiter, and whole elements of its
gradients then differ with full right. So the arbiter differentiates the branch that the runtime
took, after this file has found that it took no other than rounding allows.

Every framework gives zero as the gradient of ReLU at zero, and gives a pooling window's gradient to
the first of equal values, row by row (``docs/measured/gradients.md``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.limits import Tolerance
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.network import reference
from vgg16_parity.network.expectations import ArbiterCase
from vgg16_spec.architecture import Configuration, Convolution, MaxPooling


@dataclass(frozen=True)
class ActivationPattern:
    """One piece of the piecewise linear network.

    Attributes:
        taps: the name of every layer with a ReLU -> its values, (N, C, H, W) or (N, features),
            after the ReLU or before.
    """

    taps: Mapping[str, NDArray[Any]]

    def passed(self, tap: str) -> NDArray[np.bool_]:
        """Where the layer's ReLU lets its input through."""
        return np.asarray(self.taps[tap] > 0)

    def winners(self, tap: str) -> NDArray[np.intp]:
        """Which value of each window pooling takes: (N, C, H // 2, W // 2, 1), 0 to 3."""
        winner: NDArray[np.intp] = reference.windows(self.taps[tap]).argmax(axis=-1)
        return winner[..., np.newaxis]


def own_branch(
    configuration: Configuration, expectation: ArbiterCase, mode: Mode
) -> ActivationPattern:
    """The branch that the arbiter itself takes."""
    return ActivationPattern(
        {tap: expectation.tap(tap, mode).before for tap in rectified(configuration)}
    )


def rectified(configuration: Configuration) -> list[str]:
    """The names of the layers that have a ReLU, in order."""
    return [
        layer.name
        for layer in configuration.weighted_layers
        if isinstance(layer, Convolution) or layer.relu
    ]


def pooled_taps(configuration: Configuration) -> dict[str, str]:
    """The name of every pooling layer -> the convolution that it reads."""
    layers = configuration.layers
    return {
        layer.name: before.name
        for before, layer in pairwise(layers)
        if isinstance(layer, MaxPooling)
    }


def first_unexplained_flip(
    branch: ActivationPattern,
    configuration: Configuration,
    expectation: ArbiterCase,
    mode: Mode,
    limit: Tolerance,
) -> str:
    """The first layer where a runtime's branch is none that rounding allows; empty where all are.

    Args:
        branch: the runtime's.
        configuration: the network.
        expectation: what the arbiter has of the taps, with their predicted errors.
        mode: the numeric mode that predicts them.
        limit: Z, how many predicted standard deviations the arbiter's value may lie from the kink.
    """
    readers = {conv: pool for pool, conv in pooled_taps(configuration).items()}
    wanted = rectified(configuration)
    if unknown := [tap for tap in branch.taps if tap not in wanted]:
        return f"no layer with a ReLU is called {', '.join(unknown)}"
    for tap in wanted:
        if tap not in branch.taps:
            return f"{tap}: there is no such output"
        expected = expectation.tap(tap, mode)
        shape = branch.taps[tap].shape
        if shape != expected.before.shape:
            return f"{tap}: its shape is {shape}, the arbiter's is {expected.before.shape}"
        if not np.isfinite(branch.taps[tap]).all():
            return f"{tap}: not all of its values are finite"
        deviation = expected.accumulated.astype(np.float64)
        for name, distances in (
            (tap, _relu_distances(branch, tap, expected.before, deviation)),
            (readers.get(tap, ""), _pool_distances(branch, tap, expected.before, deviation)),
        ):
            if name and (count := int(np.count_nonzero(distances > limit.limit))):
                kind = "ReLUs" if name == tap else "windows"
                return (
                    f"{name}: {count} {kind} went another way than the arbiter, the clearest where "
                    f"it is {distances.max():.3g} predicted standard deviations from the kink "
                    f"(limit {limit.limit:g})"
                )
    return ""


def _relu_distances(
    branch: ActivationPattern,
    tap: str,
    before: NDArray[np.float64],
    deviation: NDArray[np.float64],
) -> NDArray[np.float64]:
    """How far the arbiter is from every ReLU's kink, where the runtime is on its other side."""
    other = branch.passed(tap) != (before > 0)
    return np.where(other, np.abs(before) / deviation, 0.0)


def _pool_distances(
    branch: ActivationPattern,
    tap: str,
    before: NDArray[np.float64],
    deviation: NDArray[np.float64],
) -> NDArray[np.float64]:
    """By how much the arbiter prefers another value of a window than the runtime's winner."""
    if before.ndim != 4:
        return np.zeros(1)
    values, errors = reference.windows(before), reference.windows(deviation)
    theirs, ours = branch.winners(tap), values.argmax(axis=-1)[..., np.newaxis]

    def taken(source: NDArray[Any], winner: NDArray[np.intp]) -> NDArray[Any]:
        return np.take_along_axis(source, winner, axis=-1)

    gap = np.maximum(taken(values, ours), 0) - np.maximum(taken(values, theirs), 0)
    # Each of the two may be off by as much.
    scaled = gap / (taken(errors, ours) + taken(errors, theirs))
    # Where every value is cut to zero, no gradient goes back through the window.
    alive = taken(reference.windows(branch.passed(tap)), theirs)
    return np.where(alive, scaled, 0.0)
