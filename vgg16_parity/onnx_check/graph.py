"""Whether a graph's steps are the architecture's layers, and the first that is not.

Weights are compared in shape only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import onnx_ir as ir

from vgg16_parity.onnx_check.symbolic import ROUNDS, WEIGHTED, Sizes, Step
from vgg16_parity.onnx_check.walk import TracedGraph
from vgg16_spec.architecture import (
    POOLING_SIZE,
    Configuration,
    Convolution,
    Dense,
    MaxPooling,
    Shape,
)

_KNOWN: Final = (*WEIGHTED, "ReLU", "max pooling", "average pooling", "softmax")


def problems(found: TracedGraph, configuration: Configuration) -> Iterator[str]:
    """Each difference between a graph and the network, with its classifier, as text.

    Only the first step that differs is reported, since later ones may merely have moved, and every
    operation that the network lacks.
    """
    return (problem for problem, _ in _problems(found, configuration))


def differs_in_bits_alone(found: TracedGraph, configuration: Configuration) -> bool:
    """Whether each difference is that values have fewer bits, so that the graph may be run."""
    return all(of_bits for _, of_bits in _problems(found, configuration))


def _problems(found: TracedGraph, configuration: Configuration) -> Iterator[tuple[str, bool]]:
    """Each difference, and whether it is one of the values' bits alone."""
    front = found.front
    for name in found.extra_inputs:
        yield f"input {name}: a second input, where the network has its images alone", False
    sizes = dict(zip("nchw", (None, *configuration.input_shape), strict=True))
    expected = [sizes[axis] for axis in front.layout]
    pairs = zip(front.shape[1:], expected[1:], strict=False)
    if len(front.shape) not in (0, 4) or any(size not in (None, right) for size, right in pairs):
        shown, right = (
            ", ".join("any" if size is None else str(size) for size in row)
            for row in (front.shape, expected)
        )
        yield f"the images are ({shown}), expected ({right})", False
    kind = front.images.dtype
    if kind not in (None, ir.DataType.FLOAT, ir.DataType.UINT8):
        yield f"the images are {kind}, expected FLOAT or UINT8", kind.is_floating_point()
    if front.problem:
        yield f"preprocessing: {front.problem}", False
    for about in _about_steps(found, list(_expected(configuration))):
        yield about, False
    noted = dict[str, list[str]]()
    for node, what in found.notes:
        noted.setdefault(what, []).append(node)
    for what, (first, *others) in noted.items():
        more = f" and {len(others)} more" if others else ""
        yield f"{first}{more}: {what}", what.startswith(ROUNDS)
    if found.problem:
        yield found.problem, found.is_quantised


def _about_steps(found: TracedGraph, expected: list[Step]) -> Iterator[str]:
    steps, kinds = found.steps, [*(step.kind for step in expected), "softmax"]  # may be missing
    same = next((i for i, s in enumerate(steps) if s.kind not in kinds[i : i + 1]), len(steps))
    for step, wanted in zip(steps[:same], expected, strict=False):
        given = step.sizes | (_channels(step.weight.array.shape) if step.weight else {})
        for name, sizes in wanted.sizes.items():
            if given.get(name, sizes) != sizes:
                right = f"{_shown(sizes)} ({wanted.node})"
                yield f"{step.node}: {name} {_shown(given[name])}, expected {right}"
    missing = f"{expected[same].node}'s {kinds[same]}" if same < len(expected) else ""
    if same < len(steps):
        kind, wanted_here = steps[same].kind, missing or "the end of the graph"
        text = kind if kind.endswith("pooling") else f"a {kind}"
        text = text if kind in _KNOWN else "an operation that the network has none like,"
        yield f"{steps[same].node}: {text} where {wanted_here} was expected"
    elif missing and not found.problem:
        after = steps[-1].node if steps else "its input"
        yield f"the graph ends after {after}, where {missing} was expected"
    for step in (*steps[:same], *steps[same + 1 :]):
        if step.kind not in _KNOWN:
            yield f"{step.node}: not an operation of the network"


def _expected(configuration: Configuration) -> Iterator[Step]:
    """The network's steps up to the logits; their nodes are the layers' names."""
    for layer in configuration.layers:
        window: Sizes = {"strides": (1, 1), "dilations": (1, 1)}
        match layer:
            case Convolution():
                window |= {"kernel": (layer.kernel_size,) * 2, "pads": (layer.padding,) * 4}
                window |= {"group": (1,)} | _channels(layer.weight_shape)
                yield Step("convolution", layer.name, sizes=window)
            case MaxPooling():
                window |= {"kernel": (POOLING_SIZE,) * 2, "strides": (POOLING_SIZE,) * 2}
                yield Step("max pooling", layer.name, sizes=window | {"pads": (0,) * 4})
            case Dense():
                yield Step("dense layer", layer.name, sizes=_channels(layer.weight_shape))
        if isinstance(layer, Convolution) or (isinstance(layer, Dense) and layer.relu):
            yield Step("ReLU", layer.name)


def _channels(weight_shape: Shape) -> Sizes:
    return {"outputs": weight_shape[:1], "inputs": weight_shape[1:2]}


def _shown(sizes: tuple[int, ...]) -> str:
    return "×".join(map(str, sizes)) if len(sizes) == 2 else ", ".join(map(str, sizes))
