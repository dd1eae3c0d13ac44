"""The side of every kink that a runtime took, and whether rounding explains it.

A kink is where the derivative jumps: a ReLU at zero, and a pooling window whose two largest values
are equal. If the arbiter is within rounding of a kink, a runtime may take the other side, and whole
elements of its gradients then legitimately differ. The arbiter therefore differentiates along the
runtime's own activation pattern, once this file has found that rounding explains the pattern.

All frameworks define the gradient of ReLU at zero as zero, and give a pooling window's gradient to
the first of equal values in row-major order (``docs/measured/gradients.md``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.compare import MISSING, refusal
from onnx_arbiter.error_model import Float64
from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.judge.row import Finding
from vgg16_parity.network import reference
from vgg16_spec.architecture import POOLING_SIZE, Configuration, MaxPooling
from vgg16_spec.errors import counted


@dataclass(frozen=True)
class ActivationPattern:
    """One piece of the piecewise linear network.

    Attributes:
        taps: name of every layer with a ReLU -> its values, (N, C, H, W) or (N, features), before
            or after the ReLU.
    """

    taps: Mapping[str, NDArray[Any]]

    def passed(self, tap: str) -> NDArray[np.bool_]:
        """Where the layer's ReLU is open."""
        return np.asarray(self.taps[tap] > 0)

    def winners(self, tap: str) -> NDArray[np.intp]:
        """The winner of each pooling window, (N, C, H // 2, W // 2, 1): 0 to 3."""
        winner: NDArray[np.intp] = reference.windows(self.taps[tap]).argmax(axis=-1)
        return winner[..., np.newaxis]

    def rectifier(self, tap: str) -> Callable[[Float64], Float64]:
        """A function that sets values to zero where the layer's ReLU is closed."""
        passed = self.passed(tap)
        return lambda values: np.where(passed, values, 0)

    def pooling(self, tap: str) -> Callable[[Float64], Float64]:
        """A function that takes each window's winner: (N, C, H, W) -> (N, C, H // 2, W // 2)"""
        winners = self.winners(tap)
        return lambda maps: _taken(maps, winners)

    def unpooling(self, tap: str) -> Callable[[Float64], Float64]:
        """A function that gives each value to its window's winner, and zero to the others.

        (N, C, H // 2, W // 2) -> (N, C, H, W)
        """
        winners, shape = self.winners(tap), self.taps[tap].shape

        def unpooled(maps: Float64) -> Float64:
            whole = np.zeros(shape)
            views = reference.window_views(whole)
            windows = np.zeros((*maps.shape, POOLING_SIZE**2))
            np.put_along_axis(windows, winners, maps[..., np.newaxis], axis=-1)
            views[...] = windows.reshape(views.shape)
            return whole

        return unpooled


def rectified(configuration: Configuration) -> list[str]:
    """The names of the layers with a ReLU, in order."""
    return [layer.name for layer in configuration.weighted_layers if layer.relu]


def first_unexplained_flip(
    pattern: ActivationPattern,
    configuration: Configuration,
    expectation: ArbiterCase,
    mode: Mode,
) -> Finding | None:
    """The first layer where rounding does not explain a runtime's activation pattern.

    Z decides how many predicted standard deviations the arbiter may be from the kink.
    """
    limit = LIMITS.deviations.limit
    pools = {
        read.name: layer.name
        for read, layer in pairwise(configuration.layers)
        if isinstance(layer, MaxPooling)
    }
    taps = rectified(configuration)
    if unknown := [tap for tap in pattern.taps if tap not in taps]:
        return Finding(f"no layer with a ReLU is called {', '.join(unknown)}")
    for tap in taps:
        if tap not in pattern.taps:
            return Finding(f"{tap}: {MISSING.reason}", tap)
        expected = expectation.tap(tap, mode)
        preactivation, deviation = expected.preactivation, expected.accumulated.astype(np.float64)
        if reason := refusal(pattern.taps[tap], preactivation.shape):
            return Finding(f"{tap}: {reason}", tap)
        other_side = pattern.passed(tap) != (preactivation > 0)
        distances = {tap: np.where(other_side, np.abs(preactivation) / deviation, 0.0)}
        if tap in pools:
            distances[pools[tap]] = _pool_distances(pattern, tap, preactivation, deviation)
        for name, found in distances.items():
            if count := int(np.count_nonzero(found > limit)):
                kinks = counted(count, "ReLU" if name == tap else "window")
                reason = (
                    f"{name}: {kinks} unlike the arbiter's, up to {found.max():.3g} predicted "
                    f"standard deviations from the kink (limit {limit:g})"
                )
                return Finding(reason, name)
    return None


def _pool_distances(
    pattern: ActivationPattern, tap: str, preactivation: Float64, deviation: Float64
) -> Float64:
    """By how much the arbiter prefers another value of a window to the runtime's winner.

    If the runtime's ReLU closes a whole window, its winner has no meaning; the arbiter's is then
    within the limit of zero, or the ReLU was reported first.
    """
    theirs, ours = pattern.winners(tap), ActivationPattern({tap: preactivation}).winners(tap)
    gap = np.maximum(_taken(preactivation, ours), 0) - np.maximum(_taken(preactivation, theirs), 0)
    # Either of the two values may have an error of this size.
    distances: Float64 = gap / (_taken(deviation, ours) + _taken(deviation, theirs))
    return distances


def _taken(maps: Float64, winners: NDArray[np.intp]) -> Float64:
    """One value of each window: (N, C, H, W) -> (N, C, H // 2, W // 2)"""
    taken: Float64 = np.take_along_axis(reference.windows(maps), winners, axis=-1)[..., 0]
    return taken
