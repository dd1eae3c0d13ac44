"""Whether the steps that a graph takes are the architecture's layers, and where they first are not.

No weight's values are looked at here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnx_arbiter.limits import Tolerance
from vgg16_parity.onnx_check.symbolic import WEIGHTED, Step, SymbolicTensor, Untraceable
from vgg16_parity.onnx_check.walk import LEVELS, TracedGraph
from vgg16_spec.architecture import (
    POOLING_SIZE,
    Configuration,
    Convolution,
    Dense,
    Layer,
    MaxPooling,
    WeightedLayer,
)
from vgg16_spec.images.preprocessing import Recipe, normalise

PIXELS: Final = Tolerance(
    limit=1e-5,
    reason=(
        "max |difference| of preprocessed pixels over the largest of them, all 256 values in each "
        "channel: float32 in another order of operations gives about 1e-7, a mean or a standard "
        "deviation rounded to four digits 1e-4."
    ),
)

_KNOWN: Final = (*WEIGHTED, "ReLU", "max pooling", "average pooling", "softmax")
_KINDS: Final = MappingProxyType(
    {Convolution: "convolution", Dense: "dense layer", MaxPooling: "max pooling"}
)


def output_kind(steps: tuple[Step, ...]) -> str:
    """``probabilities`` where the graph ends in a softmax, ``logits`` otherwise."""
    return "probabilities" if steps and steps[-1].kind == "softmax" else "logits"


def takes_pixels(found: TracedGraph) -> bool:
    """Whether the images are raw pixels, that the graph itself preprocesses."""
    if found.dtype == ir.DataType.UINT8:
        return True
    return isinstance(found.end, SymbolicTensor) and not np.array_equal(found.end.pixels, LEVELS)


def takes_pictures(found: TracedGraph) -> bool:
    """Whether the images are raw pixels of any size, that the graph itself resizes and crops."""
    return found.dtype == ir.DataType.UINT8 and found.any_size


def problems(found: TracedGraph, configuration: Configuration, recipe: Recipe) -> tuple[str, ...]:
    """What of a graph is not the network, in words; nothing where all of it is.

    Args:
        found: the graph.
        configuration: the network, with its classifier.
        recipe: the checkpoint's preprocessing, for a graph that preprocesses its images itself.

    Of steps that differ the first is named, since those after it may only have moved; so is every
    node that the network has none like.
    """
    steps = found.end.steps
    return (
        *_about_images(found, configuration),
        *_about_preprocessing(found, recipe),
        *_about_steps(steps, configuration, whole=isinstance(found.end, SymbolicTensor)),
        *((found.end.problem,) if isinstance(found.end, Untraceable) else ()),
    )


def _about_images(found: TracedGraph, configuration: Configuration) -> Iterator[str]:
    for name in found.extra_inputs:
        yield f"input {name}: a second input, where the network has its images alone"
    if found.shape:
        channels, *spatial = configuration.input_shape
        expected = (channels, *spatial) if found.layout == "nchw" else (*spatial, channels)
        pairs = zip(found.shape[1:], expected, strict=False)
        if len(found.shape) != 4 or any(given not in (None, size) for given, size in pairs):
            shown = ", ".join("any" if size is None else str(size) for size in found.shape)
            wanted = ", ".join(map(str, expected))
            yield f"the images are ({shown}), expected (any, {wanted})"
    if found.images and found.dtype not in (ir.DataType.FLOAT, ir.DataType.UINT8):
        yield f"the images are {found.dtype}, expected FLOAT or UINT8"


def _about_preprocessing(found: TracedGraph, recipe: Recipe) -> Iterator[str]:
    if not takes_pixels(found) or not isinstance(found.end, SymbolicTensor):
        return
    if found.end.steps and found.end.steps[0].kind not in _KNOWN:
        return  # named as such; what it makes of the pixels is not known
    levels = LEVELS.astype(np.float32)
    expected: NDArray[Any] = normalise(levels[np.newaxis, np.newaxis], recipe, layout="nhwc")[0, 0]
    pixels = found.end.pixels
    if pixels.shape == expected.shape:
        if _near(pixels, expected):
            return
        if _near(pixels[:, ::-1], expected):
            yield f"preprocessing: the channels are reversed, expected {recipe.channels}"
            return
    yield f"preprocessing: not that of the recipe {recipe.name}, which the weights expect"


def _near(pixels: NDArray[Any], expected: NDArray[Any]) -> bool:
    limit = PIXELS.limit * float(np.abs(expected).max())
    return bool(np.isfinite(pixels).all() and np.abs(pixels - expected).max() <= limit)


def _about_steps(
    steps: tuple[Step, ...], configuration: Configuration, *, whole: bool
) -> Iterator[str]:
    expected = list(_expected(configuration))
    named: Step | None = None
    for i, step in enumerate(steps):
        kind, layer = expected[i] if i < len(expected) else ("softmax", None)
        last = i == len(expected)  # where a softmax may stand or not
        if step.kind != kind or (layer is None and not last):
            named = step
            wanted = f"{layer.name}'s {kind}" if layer else "the end of the graph"
            yield f"{step.node}: {_found(step)} where {wanted} was expected"
            break
        if layer is not None:
            yield from _about_layer(step, layer)
    else:
        if whole and len(steps) < len(expected):
            kind, layer = expected[len(steps)]
            assert layer is not None
            after = steps[-1].node if steps else "its input"
            yield f"the graph ends after {after}, where {layer.name}'s {kind} was expected"
    for step in steps:
        if step.kind not in _KNOWN and step is not named:
            yield f"{step.node}: not an operation of the network"


def _expected(configuration: Configuration) -> Iterator[tuple[str, Layer | None]]:
    """The kind and the layer of every step of the network, up to the logits."""
    for layer in configuration.layers:
        if type(layer) in _KINDS:
            yield _KINDS[type(layer)], layer
        if isinstance(layer, Convolution) or (isinstance(layer, Dense) and layer.relu):
            yield "ReLU", layer


def _found(step: Step) -> str:
    if step.kind not in _KNOWN:
        return "an operation that the network has none like,"
    return step.kind if step.kind.endswith("pooling") else f"a {step.kind}"


def _about_layer(step: Step, layer: Layer) -> Iterator[str]:
    """What of a step of the right kind is not as its layer has it."""
    for name, expected in _settings(layer).items():
        if (given := step.settings.get(name, expected)) != expected:
            wanted = f"{_numbers(expected)} ({layer.name})"
            yield f"{step.node}: {name} {_numbers(given)}, expected {wanted}"
    if not isinstance(layer, Convolution | Dense):
        return
    yield from _about_shape(step, layer)
    if step.kind in WEIGHTED and step.bias is None:
        yield f"{step.node}: no bias, where {layer.name} has one"


def _about_shape(step: Step, layer: WeightedLayer) -> Iterator[str]:
    if step.weight is None or step.weight.array.shape == layer.weight_shape:
        return
    given = step.weight.array.shape
    outputs, inputs = layer.weight_shape[:2]
    if given[0] != outputs:
        what = "classes" if layer.name == "predictions" else "outputs"
        yield f"{step.node}: {given[0]} {what}, expected {outputs} ({layer.name})"
    if given[1] != inputs:
        yield f"{step.node}: {given[1]} inputs, expected {inputs} ({layer.name})"


def _settings(layer: Layer) -> Mapping[str, tuple[int, ...]]:
    match layer:
        case Convolution():
            same = {"kernel": (layer.kernel_size,) * 2, "pads": (layer.padding,) * 4}
            return same | {"strides": (1, 1), "dilations": (1, 1), "group": (1,)}
        case MaxPooling():
            window = {"kernel": (POOLING_SIZE,) * 2, "strides": (POOLING_SIZE,) * 2}
            return window | {"pads": (0,) * 4, "dilations": (1, 1)}
        case _:
            return {}


def _numbers(sizes: tuple[int, ...]) -> str:
    return "×".join(map(str, sizes)) if len(sizes) == 2 else ", ".join(map(str, sizes))
