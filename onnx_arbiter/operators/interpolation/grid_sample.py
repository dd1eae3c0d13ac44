"""GridSample: bilinear interpolation of maps at computed places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.numeric_modes import Mode, float32_units
from onnx_arbiter.operators.arguments import data_of
from onnx_arbiter.operators.operation import (
    REACH,
    Operation,
    Rule,
    Unsupported,
    Variance,
    Variances,
    add_up,
    deviation_of,
    squares_of,
)
from onnx_arbiter.operators.reductions.weighted import rounded_sum

# (left, right) of the two neighbours along an axis
_CORNERS: Final = ((0, 0), (0, 1), (1, 0), (1, 1))


@dataclass(frozen=True)
class _Places:
    """Places on maps: arrays (N, H, W), down and across.

    Attributes:
        down, across: in elements of the maps.
        sizes: of the maps.
    """

    down: NDArray[np.float64]
    across: NDArray[np.float64]
    sizes: tuple[int, int]

    def corner(self, maps: Array, below: int, right: int) -> Array:
        """The element on one side of each place, (N, C, H, W); zero outside the maps."""
        rows = np.floor(self.down).astype(np.int64) + below
        columns = np.floor(self.across).astype(np.int64) + right
        inside = (rows >= 0) & (rows < self.sizes[0]) & (columns >= 0) & (columns < self.sizes[1])
        images = np.arange(len(maps))[:, None, None]
        found = maps[
            images,
            :,
            np.clip(rows, 0, self.sizes[0] - 1),
            np.clip(columns, 0, self.sizes[1] - 1),
        ]  # (N, H, W, C)
        return np.moveaxis(found * inside[..., None].astype(maps.dtype), -1, 1)

    def weights(self, below: int, right: int) -> tuple[Array, Array]:
        """The weights of a corner along the two axes, (N, 1, H, W)."""
        down, across = self.down - np.floor(self.down), self.across - np.floor(self.across)
        return (
            (down if below else 1 - down)[:, None],
            (across if right else 1 - across)[:, None],
        )

    def sampled(self, maps: Array, squared: bool = False) -> Array:
        """The sums of four corners times their weights, squared or not, in the maps' type."""
        total: Array = np.zeros((), maps.dtype)
        for corner in _CORNERS:
            weight = np.multiply(*self.weights(*corner))
            weight = np.square(weight) if squared else weight
            total = total + self.corner(maps, *corner) * weight.astype(maps.dtype)
        return total

    def slopes(self, maps: Array) -> tuple[Array, Array]:
        """How much the sampled values change per element, down and across."""
        down: Array = np.zeros(())
        across: Array = np.zeros(())
        for below, right in _CORNERS:
            values = self.corner(maps, below, right)
            vertical, horizontal = self.weights(below, right)
            down = down + (1 if below else -1) * values * horizontal
            across = across + (1 if right else -1) * values * vertical
        return down, across


class _GridSample(Operation):
    """y = Σ w x over four corners, with weights (1 - d) and d of the distances along each axis.

    With the maps' sizes L, and coordinates c = ((g + 1) L - 1) / 2 or (g + 1) (L - 1) / 2, whose
    roundings have the variance 2 (c + 1/2)² + c²:

        v_out = Σ w² v_x + Σ over axes of (∂y/∂c)² (∂c/∂g)² v_g
        own   = S (3 + 4/6) + y² 4/3 + Σ over axes of (∂y/∂c)² (2 (c + 1/2)² + c²)

    ∂y/∂c is the largest one that is within reach of errors of c.
    """

    def __init__(self, inputs: Sequence[Array | None], node: Node) -> None:
        self._maps, grid = data_of(inputs), data_of(inputs, 1).astype(np.float64)
        sizes = self._maps.shape[2:]
        aligned = bool(node.get("align_corners", 0))
        spans = [size - 1 if aligned else size for size in sizes]
        self._scales = [span / 2 for span in spans]
        ends = 0.0 if aligned else 0.5
        across, down = (
            (grid[..., axis] + 1) * scale - ends
            for axis, scale in enumerate(reversed(self._scales))
        )
        self._at = _Places(down, across, (sizes[0], sizes[1]))
        super().__init__(inputs, [self._at.sampled(self._maps)])

    def _moved(self, down: Array, across: Array) -> tuple[Array, Array]:
        """The squares of the largest slopes, the places being off by as much either way."""
        found: list[tuple[Any, Any]] = []
        for sign in (-1, 1):
            at = _Places(
                self._at.down + sign * down, self._at.across + sign * across, self._at.sizes
            )
            found.append(at.slopes(self._maps))
        (down_before, across_before), (down_after, across_after) = found
        return (
            np.maximum(squares_of(down_before), squares_of(down_after)),
            np.maximum(squares_of(across_before), squares_of(across_after)),
        )

    def carried(self, variances: Sequence[Variance]) -> Variances:
        of_maps, of_grid = variances[:2]
        parts: list[Variance] = []
        if of_maps is not None:
            parts.append(np.asarray(self._at.sampled(of_maps, squared=True), np.float32))
        if of_grid is not None:
            shifts = [
                np.float32(scale**2) * of_grid[..., axis]
                for axis, scale in zip((1, 0), self._scales, strict=True)
            ]
            parts.append(self._shifted(shifts))
        return (add_up(*parts),)

    def _shifted(self, shifts: Sequence[Array]) -> Variance:
        """The variance that places off by variances bring."""
        off = [REACH * deviation_of(shift) for shift in shifts]
        slopes = self._moved(*off)
        total = sum(s * shift[:, None] for s, shift in zip(slopes, shifts, strict=True))
        return np.asarray(total, np.float32)

    def own(self, mode: Mode) -> Variances:
        squares = self._at.sampled(squares_of(self._maps), squared=True)
        own = rounded_sum(squares, squares_of(self.outputs[0]), 4) + 2 * squares
        shifts = [
            (2 * np.square(places + 0.5) + np.square(places)).astype(np.float32)
            for places in (self._at.down, self._at.across)
        ]
        total = add_up(np.asarray(own, np.float32), self._shifted(shifts))
        assert total is not None
        return (float32_units(mode.sums) * total,)


def grid_sample(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """GridSample of maps, bilinear, with zeros outside."""
    mode, padding = node.get("mode", "linear"), node.get("padding_mode", "zeros")
    if mode not in ("linear", "bilinear") or padding != "zeros" or data_of(inputs).ndim != 4:
        raise Unsupported(f"samples {mode} with {padding} outside")
    return _GridSample(inputs, node)


RULES: Final[dict[str, Rule]] = {"GridSample": grid_sample}
