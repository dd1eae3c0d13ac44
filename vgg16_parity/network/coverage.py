"""Which weights inputs exercise: a mistake in one that is not exercised cannot show.

A weight is exercised where, for some input, what it multiplies is not zero and the output that it
reaches is not cut: by the ReLU, or by a pooling whose output alone is compared. An output that may
become positive, or the largest of its window, within the errors that ``ErrorVariance`` lets reach
it is not cut. A bias is exercised where its output is not cut.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from onnx_arbiter.error_model import REACH
from onnx_arbiter.expectations import Prediction
from vgg16_parity.network.reference import flatten, window_views
from vgg16_spec.architecture import Configuration, Convolution, Dense, MaxPooling

Bools = NDArray[np.bool_]

# Of any tensor: where less is exercised, a report names it.
ENOUGH: Final = 0.99
# Positions of a convolution that are looked at together.
_POSITIONS: Final = 2048
# Rows of a dense layer in one block: fc1 has 103 million weights.
_ROWS: Final = 256


@dataclass(frozen=True)
class Coverage:
    """The share of the weights that the inputs exercise.

    A weight counts where, for some input, what it multiplies is not zero and the output that it
    reaches is not cut by a ReLU.

    Attributes:
        share: of all parameters, 0 to 1.
        tensors: the share of each tensor, in the order of the checkpoint.
    """

    share: float
    tensors: dict[str, float]


class Exercised:
    """The weights of a network that some inputs exercise; none to begin with.

    A convolution's are kept one by one. A dense layer's are the union, over the inputs, of the
    weights between outputs that pass and inputs that are not zero, and are kept as these two.
    """

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._layers = {layer.name: layer for layer in configuration.weighted_layers}
        # Convolution -> its weights, (out, in * kH * kW), and its outputs.
        self._weights: dict[str, Bools] = {}
        self._outputs: dict[str, Bools] = {}
        # Dense layer -> (N, out) and (N, in).
        self._passes: dict[str, Bools] = {}
        self._nonzero: dict[str, Bools] = {}

    def add_layer(
        self, layer_name: str, inputs: NDArray[Any], passes: Bools, positions: int = _POSITIONS
    ) -> None:
        """Add what a layer's inputs exercise.

        Args:
            layer_name: a layer with weights.
            inputs: (N, in, H, W), (N, in), or for a dense layer the maps that are flattened; their
                values, or whether they are not zero.
            passes: (N, out, H, W) or (N, out): whether an output is not cut.
            positions: of a convolution's maps, looked at together.
        """
        layer, nonzero = self._layers[layer_name], inputs != 0
        if isinstance(layer, Dense):
            self._add_rows(layer_name, passes, flatten(nonzero))
            return
        weights = self._weights.get(layer_name)
        if weights is None:
            weights = np.zeros((layer.out_channels, layer.in_channels * layer.kernel_size**2), bool)
        else:
            weights = weights.copy()  # others may share it
        for image, lit in zip(nonzero, passes, strict=True):
            _add_image(layer, weights, image, lit, positions)
        self._weights[layer_name] = weights
        self._outputs[layer_name] = self.outputs(layer_name) | np.any(passes, axis=(0, 2, 3))

    def _add_rows(self, name: str, passes: Bools, nonzero: Bools) -> None:
        for store, rows in ((self._passes, passes), (self._nonzero, nonzero)):
            store[name] = np.concatenate([store[name], rows]) if name in store else rows

    def include(self, other: Exercised, layers: Collection[str] | None = None) -> None:
        """Add what another exercises, of all layers or of some."""
        for name in self._layers if layers is None else layers:
            if name in other._passes:
                self._add_rows(name, other._passes[name], other._nonzero[name])
            if name in other._weights:
                for into, of in ((self._weights, other._weights), (self._outputs, other._outputs)):
                    mine, theirs = into.get(name), of[name]
                    into[name] = theirs if mine is None else mine | theirs

    def rows(self, layer_name: str, rows: slice = slice(None)) -> Bools:
        """Which weights of a layer's rows are exercised, in canonical layout."""
        layer = self._layers[layer_name]
        shape = layer.weight_shape
        if isinstance(layer, Convolution):
            nothing = np.zeros((shape[0], layer.in_channels * layer.kernel_size**2), bool)
            weights = self._weights.get(layer_name, nothing)[rows]
            return weights.reshape(-1, *shape[1:])
        if layer_name not in self._passes:
            return np.zeros((len(range(*rows.indices(shape[0]))), shape[1]), bool)
        return _pairs(self._passes[layer_name][:, rows], self._nonzero[layer_name])

    def outputs(self, layer_name: str) -> Bools:
        """Which outputs of a layer are not cut for some input, (out,): its exercised biases."""
        if layer_name in self._passes:
            return np.asarray(self._passes[layer_name].any(axis=0))
        nothing = np.zeros(self._layers[layer_name].weight_shape[0], bool)
        return self._outputs.get(layer_name, nothing)

    def coverage(self, rows: int = _ROWS) -> Coverage:
        """The share of every tensor that is exercised, counted in so many rows at a time."""
        counts: dict[str, int] = {}
        for name in self._layers:
            counts[f"{name}.weight"] = self._count(name, rows)
            counts[f"{name}.bias"] = int(self.outputs(name).sum())
        sizes = {name: int(np.prod(s)) for name, s in self.configuration.weight_shapes.items()}
        return Coverage(
            sum(counts.values()) / sum(sizes.values()),
            {name: counts[name] / size for name, size in sizes.items()},
        )

    def _count(self, name: str, most: int) -> int:
        if name not in self._passes:
            return int(self._weights[name].sum()) if name in self._weights else 0
        # Outputs, and inputs, that behave alike for every image count together.
        (passes, rows), (nonzero, columns) = (
            np.unique(store[name], axis=1, return_counts=True)
            for store in (self._passes, self._nonzero)
        )
        return sum(
            int(
                rows[start : start + most]
                @ (_pairs(passes[:, start : start + most], nonzero) @ columns)
            )
            for start in range(0, len(rows), most)
        )


def _pairs(passes: Bools, nonzero: Bools) -> Bools:
    """(N, out) and (N, in) -> (out, in): whether both are true for some image."""
    both: Bools = passes.T.astype(np.float32) @ nonzero.astype(np.float32) > 0
    return both


def _add_image(
    layer: Convolution, weights: Bools, nonzero: Bools, passes: Bools, positions: int
) -> None:
    """Add what one image exercises of a convolution: (in, H, W) and (out, H, W)."""
    height, width = passes.shape[1:]
    size, margin = layer.kernel_size, layer.padding
    padded = np.pad(nonzero, ((0, 0), (margin, margin), (margin, margin)))
    # (in, H, W, kH, kW) -> (in, kH, kW, H, W)
    views = sliding_window_view(padded, (size, size), axis=(1, 2)).transpose(0, 3, 4, 1, 2)
    # No more than these can be added.
    missing: Bools = np.logical_and.outer(
        np.any(passes, axis=(1, 2)), np.any(views, axis=(3, 4)).ravel()
    )
    missing &= ~weights
    # Rows from all over the image: neighbours are alike.
    step = max(1, height * width // positions)
    for start in range(step):
        rows, columns = missing.any(axis=1), missing.any(axis=0)
        if not rows.any():
            return
        block = passes[rows, start::step].reshape(int(rows.sum()), -1)
        if not block.any():
            continue
        windows = views[:, :, :, start::step].reshape(missing.shape[1], -1)[columns]
        found = block.astype(np.float32) @ windows.T.astype(np.float32) > 0
        where = np.ix_(rows, columns)
        weights[where] |= found
        missing[where] &= ~found


class CaseExercised:
    """What a case exercises, as comparisons at every tap see it, or only those behind a pooling.

    Args:
        configuration: the network.
        tapped: whether outputs that are pooled will be compared themselves in some run.
        pooled: whether they will not in some run.
    """

    def __init__(
        self, configuration: Configuration, *, tapped: bool = True, pooled: bool = True
    ) -> None:
        self.configuration = configuration
        self._tapped, self._pooled = Exercised(configuration), Exercised(configuration)
        self._wanted = (tapped, pooled)
        layers = configuration.layers
        self._before_pools = {
            layer.name for layer, after in pairwise(layers) if isinstance(after, MaxPooling)
        }

    def observe(
        self, images: NDArray[np.floating[Any]], predictions: Iterable[Prediction]
    ) -> Iterator[Prediction]:
        """Pass the arbiter's taps on, in the network's order, and collect what they exercise.

        An output is cut unless every predicted mode lets it pass.
        """
        layers = {layer.name: layer for layer in self.configuration.layers}
        tapped, pooled = self._wanted
        nonzero = read = images != 0
        name = ""
        highest: NDArray[np.floating[Any]] = np.empty(0)
        for prediction in predictions:
            layer, values = layers[prediction.tap], prediction.preactivation
            if isinstance(layer, Convolution | Dense):
                name, read, highest = layer.name, nonzero, _highest(prediction)
                if name not in self._before_pools:
                    passes = highest > 0 if layer.relu else np.ones(values.shape, bool)
                    self._tapped.add_layer(name, read, passes)
            elif isinstance(layer, MaxPooling):
                passes = highest > 0
                if pooled:
                    self._pooled.add_layer(name, read, passes & _may_win(highest, values))
                    self._tapped.include(self._pooled, [name])  # there is less left to look for
                if tapped:
                    self._tapped.add_layer(name, read, passes)
            nonzero = values > 0 if prediction.relu else values != 0
            yield prediction

    def at(self, taps: Collection[str]) -> Exercised:
        """What comparisons at these taps can show."""
        found = Exercised(self.configuration)
        for layer in self.configuration.weighted_layers:
            unseen = layer.name in self._before_pools and layer.name not in taps
            found.include(self._pooled if unseen else self._tapped, [layer.name])
        return found


def _may_win(highest: NDArray[np.floating[Any]], largest: NDArray[np.floating[Any]]) -> Bools:
    """Whether a value may be the largest of its window: (N, C, H, W), (N, C, H // 2, W // 2)."""
    wins = np.zeros(highest.shape, bool)
    window_views(wins)[...] = window_views(highest) >= largest[..., np.newaxis, np.newaxis]
    return wins


def _highest(prediction: Prediction) -> NDArray[np.floating[Any]]:
    """How high an error may lift each value, in the mode with the smallest."""
    if not prediction.accumulated:
        return prediction.preactivation
    smallest = reduce(np.minimum, prediction.accumulated.values())
    highest: NDArray[np.floating[Any]] = prediction.preactivation + REACH * smallest
    return highest
