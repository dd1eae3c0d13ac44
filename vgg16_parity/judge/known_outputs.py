"""Outputs that are right except for a known mistake: probabilities, NHWC maps, exchanged classes.

A mistake is named only if undoing it brings the values within the judge's limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.compare import compare_with_arbiter
from onnx_arbiter.expectations import ArbiterTap
from onnx_arbiter.limits import LIMITS
from vgg16_parity.network.prediction import through_softmax
from vgg16_spec.layouts import nhwc_to_nchw
from vgg16_spec.logits import softmax
from vgg16_weights.comparison.known_mistakes import order_words

Values = NDArray[Any]

LOGITS: Final = "predictions"
# The limit for comparing every class with every other.
_MOST_CLASSES: Final = 4096


class Expected(NamedTuple):
    """What a port may have returned instead of the logits.

    Attributes:
        words: what it is, and what to return; empty for the logits.
        values: (N, classes).
        deviation: the predicted standard deviation of an error of each.
        relu: whether a ReLU follows.
    """

    words: str
    values: Values
    deviation: Values
    relu: bool = False

    def fits(self, observed: Values) -> bool:
        """Whether a port's values are these, within the limits."""
        return compare_with_arbiter(observed, self.values, self.deviation, relu=self.relu).passed

    def of(self, rows: Any, classes: Any = slice(None)) -> Expected:
        """The same for a selection of images and classes."""
        values, deviation = (each[rows][:, classes] for each in (self.values, self.deviation))
        return self._replace(values=values, deviation=deviation)


def explain(taps: Mapping[str, Values], arbiter: Iterable[tuple[str, ArbiterTap]]) -> str | None:
    """The mistakes in its outputs without which a port is right.

    Args:
        taps: the port's, by name.
        arbiter: each tap's name and the arbiter's values; taps that the port lacks are ignored.

    Returns:
        The mistakes in words; empty if there are none; None if the port is wrong in another way.
    """
    said = dict[str, None]()
    for tap, expected in arbiter:
        if tap in taps:
            words = (_logits if tap == LOGITS else _tap)(taps[tap], expected)
            if words is None:
                return None
            said[words] = None
    return "; ".join(filter(None, said))


def may_be_right(logits: Values, shape: tuple[int, ...]) -> bool:
    """Whether numbers are finite and can be read as (N, classes); nothing explains others."""
    return bool(np.isfinite(logits).all() and list(_readings(logits, shape)))


def _tap(observed: Values, expected: ArbiterTap) -> str | None:
    """What is wrong with a hidden tap: the first mistake that explains it."""
    shape = expected.preactivation.shape
    readings = {"": observed}
    if observed.ndim == 4 and (moved := nhwc_to_nchw(observed)).shape == shape:
        readings["maps are (N, H, W, C): return (N, C, H, W)"] = moved
    if observed.shape != shape and _squeezed(observed.shape) == _squeezed(shape):
        readings[f"taps have the shape {observed.shape}: return {shape}"] = observed.reshape(shape)
    for relu in (expected.relu, False):
        for words, reading in readings.items():
            if Expected("", expected.preactivation, expected.accumulated, relu).fits(reading):
                before = "taps are taken before the ReLU: return them after it"
                return "; ".join(filter(None, (words, before if relu != expected.relu else "")))
    return None


def _logits(observed: Values, expected: ArbiterTap) -> str | None:
    """What is wrong with the logits: the simplest mistake that explains them."""
    kinds = list(_kinds(expected))
    for words, reading in _readings(observed, expected.preactivation.shape):
        for kind in kinds:
            if kind.fits(reading):
                return "; ".join(filter(None, (words, kind.words)))
        for kind in kinds:
            if moved := _images_moved(reading, kind) or _classes_moved(reading, kind):
                return "; ".join(filter(None, (words, kind.words, moved)))
    return None


def _readings(observed: Values, shape: tuple[int, ...]) -> Iterator[tuple[str, Values]]:
    """Values reshaped to (N, classes), each with what was wrong with their shape."""
    images, classes = shape
    if observed.shape == shape:
        yield "", observed
    elif observed.shape == (classes, images):
        yield "they are transposed: return (N, classes)", observed.T
    elif _squeezed(observed.shape) == _squeezed(shape):
        yield f"their shape is {observed.shape}: return {shape}", observed.reshape(shape)
    elif observed.shape == (images, classes + 1):
        yield "there is a class in front of the network's: leave it out", observed[:, 1:]
        yield "there is a class behind the network's: leave it out", observed[:, :-1]


def _kinds(expected: ArbiterTap) -> Iterator[Expected]:
    logits, deviation = np.asarray(expected.preactivation), np.asarray(expected.accumulated)
    yield Expected("", logits, deviation)
    probabilities = softmax(logits)
    # A probability that underflows may be off by the smallest normal number.
    spread = through_softmax(logits, deviation, probabilities) + np.finfo(np.float32).tiny
    return_logits = "return the logits, before the softmax"
    yield Expected(f"they are probabilities: {return_logits}", probabilities, spread)
    logarithms = logits - logits.max(axis=1, keepdims=True)
    logarithms -= np.log(np.exp(logarithms).sum(axis=1, keepdims=True))
    # The subtracted logarithm has an error too, from those of the logits.
    spread = np.hypot(deviation, deviation.max(axis=1, keepdims=True))
    yield Expected(f"they are logarithms of probabilities: {return_logits}", logarithms, spread)
    words = "a ReLU follows the logits: return them before it"
    yield Expected(words, logits, deviation, relu=True)


def _images_moved(observed: Values, expected: Expected) -> str:
    """How rows are exchanged between images, if each row is that of some image."""
    images = range(len(observed))
    found = [
        next((i for i in images if expected.of([i]).fits(observed[row : row + 1])), None)
        for row in images
    ]
    if None in found or found == list(images):
        return ""
    places = ", ".join(map(str, found[:3])) + (", …" if len(found) > 3 else "")
    return f"the rows are not in the order of the images but those of images {places}"


def _classes_moved(observed: Values, expected: Expected) -> str:
    """How the classes are reordered, if nothing else is wrong."""
    classes = observed.shape[1]
    if classes > _MOST_CLASSES or expected.relu:
        return ""
    # Reordering leaves the sorted values unchanged.
    moved = np.abs(np.sort(observed.astype(np.float64)) - np.sort(expected.values)).max()
    if not moved <= LIMITS.deviations.limit * expected.deviation.max():
        return ""
    apart = np.zeros((classes, classes))
    with np.errstate(divide="ignore", invalid="ignore"):
        for ours, theirs, deviation in zip(
            observed.astype(np.float64), expected.values, expected.deviation, strict=True
        ):
            np.maximum(apart, np.abs(ours[:, None] - theirs) / deviation, out=apart)
    order = apart.argmin(axis=1)
    distinct = len(set(order.tolist())) == classes
    if not distinct or not expected.of(slice(None), order).fits(observed):
        return ""
    words = order_words(order, "class", ours="the arbiter's", theirs="the port's")
    return f"with {words}"


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
