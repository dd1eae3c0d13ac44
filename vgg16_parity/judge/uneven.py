"""A layer whose errors are far above those of the same run's other layers, though within R.

A runtime adds up in its own way, and is as far below the prediction in one layer as in the next of
its kind: R hardly changes between sums of about the same length. A layer that is far off has
another error besides rounding, such as weights that were written with too few digits. That is
noted, and is no failure: a runtime may compute one layer otherwise than the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.compare import Verdict
from onnx_arbiter.expectations import ArbiterTap
from onnx_arbiter.independence import largest_ratio

# On seed 0 of VGG16 in six runtimes, neighbours of a kind differ by up to 1.1 and are not noted.
# Weights of six digits in one layer of the longest sums are 1.4 (Keras) to 6 (PyTorch) times above.
_FACTOR: Final = 1.5
# Layers of the same kind that are nearest in the length of their sums.
_NEAREST: Final = 2
# The probability with which one layer's R may be further from its neighbours' by chance.
_CHANCE: Final = 1e-7
# Values of a tap that are read for the length of its sums.
_SAMPLES: Final = 4096
# R below which a layer has more bits than its mode, as dense layers in float32 where TF32 is for
# convolutions alone. The longest sums of float32 have 0.05 in the best order.
_OTHER_MODE: Final = 0.01
_SMALLEST: Final = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class LayerError:
    """The error of one layer.

    Attributes:
        tap: its name.
        dimensions: of its output: 4 of maps, 2 of units.
        length: of its sums, as its predicted error grows with it: the mean of that error's variance
            over the values' mean square.
        ratio: rms(error) / rms(predicted), over all images.
        independent: counts the independent errors.
    """

    tap: str
    dimensions: int
    length: float
    ratio: float
    independent: Callable[[], float]

    @classmethod
    def of(
        cls,
        tap: str,
        expected: ArbiterTap,
        verdict: Verdict,
        independent: Callable[[], float],
        samples: int = _SAMPLES,
    ) -> LayerError:
        """The error of a verdict that passed; ``samples`` of a tap's values tell its length."""
        values = expected.preactivation
        squares = (_mean_square(each, samples) for each in (expected.local, values))
        predicted, own = (max(square, _SMALLEST) for square in squares)
        ratio = verdict.rms_error / verdict.rms_predicted if verdict.rms_error else 0.0
        return cls(tap, values.ndim, predicted / own, ratio, independent)


def uneven_alone(layers: Sequence[LayerError]) -> Iterator[str]:
    """A note on each layer that is far above those of its kind, where each was run alone."""
    for layer in layers:
        others = [
            other
            for other in layers
            if other.dimensions == layer.dimensions
            and other is not layer
            and other.ratio > _OTHER_MODE
        ]
        others.sort(key=lambda other: abs(np.log(other.length / layer.length)))
        nearest = others[:_NEAREST]
        if len(nearest) == _NEAREST:
            usual = max(other.ratio for other in nearest)
            if _is_above(layer, usual, nearest):
                yield _note(layer, usual)


def uneven_taps(taps: Sequence[LayerError]) -> Iterator[str]:
    """The same where only taps were compared: the first that is far above all before it.

    It brings along the errors of those before, so that it shows only what is far above them.
    """
    for index, tap in enumerate(taps):
        before = [
            other
            for other in taps[:index]
            if other.dimensions == tap.dimensions and other.ratio > _OTHER_MODE
        ]
        usual = max((other.ratio for other in before), default=0.0)
        if usual and _is_above(tap, usual, before):
            yield _note(tap, usual)
            return


def _is_above(layer: LayerError, usual: float, others: Sequence[LayerError]) -> bool:
    """Whether R is far above the usual, and not because few errors vary by chance."""
    if layer.ratio <= _FACTOR * usual:
        return False
    fewest = min(each.independent() for each in (layer, *others))
    return layer.ratio > _FACTOR * usual * largest_ratio(fewest, _CHANCE) ** 2


def _note(layer: LayerError, usual: float) -> str:
    return (
        f"{layer.tap}: errors are {layer.ratio:.2g} times the predicted size, where {usual:.2g} is "
        "usual in this run: were its weights rounded?"
    )


def _mean_square(values: NDArray[Any], samples: int) -> float:
    """Of some of the values: enough to tell the lengths of sums apart."""
    step = max(1, values.size // samples)
    return float(np.square(values.reshape(-1)[::step], dtype=np.float64).mean())
