"""Whether a graph's steps are the architecture's layers, and the first that is not.

Weights are compared in shape only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnx_arbiter.limits import Tolerance
from vgg16_parity.onnx_check.symbolic import WEIGHTED, Step, SymbolicTensor, Untraceable
from vgg16_parity.onnx_check.walk import LEVELS, TracedGraph
from vgg16_spec.architecture import POOLING_SIZE, Configuration, Convolution, Dense, MaxPooling
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


def output_kind(steps: tuple[Step, ...]) -> str:
    """``probabilities`` where the graph ends in a softmax, ``logits`` otherwise."""
    return "probabilities" if steps and steps[-1].kind == "softmax" else "logits"


def input_kind(found: TracedGraph) -> str:
    """How much of the preprocessing the graph does itself.

    ``float32`` for none, ``pixels`` for the arithmetic, ``pictures`` for resizing and cropping too.
    """
    if found.dtype == ir.DataType.UINT8:
        return "pictures" if found.any_size else "pixels"
    end = found.end
    changed = isinstance(end, SymbolicTensor) and not np.array_equal(end.pixels, LEVELS)
    return "pixels" if changed else "float32"


def problems(found: TracedGraph, configuration: Configuration, recipe: Recipe) -> tuple[str, ...]:
    """Each difference between a graph and the network, as text.

    Only the first step that differs is reported, since later ones may merely have moved, and every
    operation that the network lacks.

    Args:
        found: the graph.
        configuration: the network, with its classifier.
        recipe: the checkpoint's preprocessing, for a graph that preprocesses its images itself.
    """
    whole = isinstance(found.end, SymbolicTensor)
    return (
        *_about_images(found, configuration),
        *_about_preprocessing(found, recipe),
        *_about_steps(found.end.steps, configuration, whole=whole),
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
    if input_kind(found) == "float32" or not isinstance(found.end, SymbolicTensor):
        return
    if found.end.steps and found.end.steps[0].kind not in _KNOWN:
        return  # reported as a step; its effect on the pixels is unknown
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
    kinds = [*(step.kind for step in expected), "softmax"]  # which may be missing
    same = next((i for i, s in enumerate(steps) if s.kind not in kinds[i : i + 1]), len(steps))
    for step, wanted in zip(steps[:same], expected, strict=False):
        yield from _about_layer(step, wanted, configuration)
    missing = f"{expected[same].node}'s {kinds[same]}" if same < len(expected) else ""
    if same < len(steps):
        wanted_here = missing or "the end of the graph"
        yield f"{steps[same].node}: {_found(steps[same])} where {wanted_here} was expected"
    elif whole and missing:
        after = steps[-1].node if steps else "its input"
        yield f"the graph ends after {after}, where {missing} was expected"
    for i, step in enumerate(steps):
        if step.kind not in _KNOWN and i != same:
            yield f"{step.node}: not an operation of the network"


def _expected(configuration: Configuration) -> Iterator[Step]:
    """The network's steps up to the logits; their nodes are the layers' names."""
    for layer in configuration.layers:
        match layer:
            case Convolution():
                window = {"kernel": (layer.kernel_size,) * 2, "pads": (layer.padding,) * 4}
                window |= {"strides": (1, 1), "dilations": (1, 1), "group": (1,)}
                yield Step("convolution", layer.name, window=window)
            case MaxPooling():
                window = {"kernel": (POOLING_SIZE,) * 2, "strides": (POOLING_SIZE,) * 2}
                window |= {"pads": (0,) * 4, "dilations": (1, 1)}
                yield Step("max pooling", layer.name, window=window)
            case Dense():
                yield Step("dense layer", layer.name)
        if isinstance(layer, Convolution) or (isinstance(layer, Dense) and layer.relu):
            yield Step("ReLU", layer.name)


def _found(step: Step) -> str:
    if step.kind not in _KNOWN:
        return "an operation that the network has none like,"
    return step.kind if step.kind.endswith("pooling") else f"a {step.kind}"


def _about_layer(step: Step, wanted: Step, configuration: Configuration) -> Iterator[str]:
    """How a step of the right kind differs from its layer."""
    layer = wanted.node
    for name, expected in wanted.window.items():
        if (given := step.window.get(name, expected)) != expected:
            yield f"{step.node}: {name} {_numbers(given)}, expected {_numbers(expected)} ({layer})"
    if step.kind not in WEIGHTED or step.weight is None:
        return
    outputs, inputs = configuration.weight_shapes[f"{layer}.weight"][:2]
    given = step.weight.array.shape
    if given[0] != outputs:
        what = "classes" if layer == "predictions" else "outputs"
        yield f"{step.node}: {given[0]} {what}, expected {outputs} ({layer})"
    if given[1] != inputs:
        yield f"{step.node}: {given[1]} inputs, expected {inputs} ({layer})"
    if step.bias is None:
        yield f"{step.node}: no bias, where {layer} has one"


def _numbers(sizes: tuple[int, ...]) -> str:
    return "×".join(map(str, sizes)) if len(sizes) == 2 else ", ".join(map(str, sizes))
