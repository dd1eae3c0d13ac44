"""Refusals of tensors that are almost a VGG's; each one names the difference."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product
from typing import Final

from vgg16_spec.architecture import CONFIGURATIONS, IMAGE_CHANNELS, Configuration, Shape
from vgg16_spec.checkpoint.shapes import misfits
from vgg16_spec.errors import BadInput, counted, few
from vgg16_spec.names import HEAD
from vgg16_weights.matching.changes import changed
from vgg16_weights.matching.layer_names import AUTHORS, CANONICAL, NUMBERS, convolution_names
from vgg16_weights.matching.layers import Layer, are_numbered, natural
from vgg16_weights.matching.naming import Chain, head_of, named_head
from vgg16_weights.not_weights import TO_TENSORS

_NO_TOP: Final = "--no-top for the convolutions alone"
_ONE_OF: Final = f"one of {', '.join(CONFIGURATIONS)}"
_WHOLE: Final = "the state dict of a whole VGG, or --key to name one of several"
_TURNED: Final = "kernels transposed to the format's order"
_TORCH: Final = "(out, in, kH, kW)"
# The order of the axes as a file's format names them -> where they are in (out, in, kH, kW).
_ORDERS: Final = {
    "(kH, kW, in, out)": (2, 3, 1, 0),
    "(in, out, kH, kW)": (1, 0, 2, 3),
    _TORCH: (3, 2, 0, 1),
}
# Larger than the last map of any VGG that was trained.
_LARGEST_MAP: Final = 16


def no_network(layers: Sequence[Layer], label: str) -> BadInput:
    """The refusal of a file in which no VGG was found."""
    if any(layer.normalises for layer in layers):
        return normalised(layers, label)
    kernels = _one_container([x for x in layers if x.is_kernel and not x.is_in_head(())])
    if are_numbered(layer.text for layer in kernels):
        kernels.sort(key=lambda layer: natural(layer.text))
    found = [layer.weight for layer in kernels]
    for known in CONFIGURATIONS.values() if kernels else ():
        shapes = [layer.weight_shape for layer in known.convolutions]
        if problem := _channels(shapes, found):
            return BadInput(label, problem, _rgb(shapes[0], found))
        if order := _axes(shapes, found):
            problem = f"its kernels have the axes {order}, not those of the format"
            return BadInput(label, problem, TO_TENSORS if order == _TORCH else _TURNED)
        if problem := _width(known, found):
            return BadInput(label, problem, "a VGG of the paper's widths")
    return _by_name(kernels, label) or _strange(layers, kernels, label)


def _strange(layers: Sequence[Layer], kernels: Sequence[Layer], label: str) -> BadInput:
    """The refusal of layers unlike a VGG's; it shows some of them."""
    shown = few((layer.described() for layer in kernels or layers if layer.shapes), 2)
    if not shown:
        return BadInput(label, "holds no tensors", _WHOLE)
    if not kernels:
        return BadInput(label, f"has no convolutions, only {shown}", _WHOLE)
    count = counted(len(kernels), "convolution matches", "convolutions match")
    return BadInput(label, f"its {count} no configuration: {shown}", _ONE_OF)


def _rgb(expected: Shape, found: Sequence[Shape]) -> str:
    """The first kernel that is expected, and how to make it from one for greyscale images."""
    way = f"a first kernel for RGB, {expected}"
    is_gray = any(shape[:2] == (expected[0], 1) for shape in found)
    return f"{way}; from one for greyscale: kernel.repeat(1, 3, 1, 1) / 3" if is_gray else way


def _one_container(layers: Sequence[Layer]) -> list[Layer]:
    """The layers in the container that has most of them."""
    found: dict[tuple[str, ...], list[Layer]] = defaultdict(list)
    for layer in layers:
        found[layer.parts[: layer.depth]].append(layer)
    return max(found.values(), key=len, default=[])


def _channels(shapes: Sequence[Shape], found: Sequence[Shape]) -> str:
    """The difference in the image's channels, if that is the only one; else empty."""
    missing, other = Counter(shapes) - Counter(found), list(Counter(found) - Counter(shapes))
    if list(missing) != [shapes[0]] or len(other) != 1 or len(shapes) != len(found):
        return ""
    outputs, inputs, *sides = other[0]
    if (outputs, *sides) != (shapes[0][0], *shapes[0][2:]):
        return ""
    return f"has {inputs} input channel{'s' * (inputs != 1)}, VGG16 has {IMAGE_CHANNELS}"


def _axes(shapes: Sequence[Shape], found: Sequence[Shape]) -> str:
    """The order of the kernels' axes, if it is not the format's and that is all; else empty."""
    for order, axes in _ORDERS.items():
        if Counter(tuple(shape[axis] for axis in axes) for shape in shapes) == Counter(found):
            return order
    return ""


def _width(known: Configuration, found: Sequence[Shape]) -> str:
    """The first convolution of another width, in a network of the same form; else empty."""
    expected = [layer.weight_shape for layer in known.convolutions]
    form = [shape[2:] for shape in expected] == [shape[2:] for shape in found]
    if known.name == "tiny" or not form or found[0][1] != IMAGE_CHANNELS:
        return ""
    if any(one[0] != other[1] for one, other in pairwise(found)):
        return ""
    for layer, shape in zip(known.convolutions, found, strict=True):
        if shape[0] != layer.out_channels:
            return (
                f"another width: {layer.name} has {shape[0]} output channels, "
                f"VGG16's has {layer.out_channels}"
            )
    return ""


def _by_name(kernels: Sequence[Layer], label: str) -> BadInput | None:
    """The convolutions that are missing, unexpected or misshapen, by the file's own names."""
    best: tuple[int, Configuration, dict[str, Shape], dict[str, Shape]] | None = None
    texts = {"".join(layer.name[-1:]): layer.text for layer in kernels}
    found = dict(zip(texts, (layer.weight for layer in kernels), strict=False))
    if len(texts) < len(kernels):
        return None
    for known in CONFIGURATIONS.values():
        for scheme in (CANONICAL, AUTHORS, NUMBERS):
            shapes = zip(
                convolution_names(known, scheme),
                (layer.weight_shape for layer in known.convolutions),
                strict=True,
            )
            expected = dict(shapes)
            score = sum(found.get(name) == shape for name, shape in expected.items())
            score = 2 * score - len(expected.keys() ^ found.keys())
            if best is None or score > best[0]:
                best = score, known, expected, found
    if best is None or best[0] <= len(best[2]) // 2:
        return None
    _, known, expected, found = best
    prefix = next(
        (text.rpartition(name)[0] for name, text in texts.items() if name in expected), ""
    )
    problems = misfits(
        {f"{prefix}{name}.weight": shape for name, shape in expected.items()},
        {f"{texts[name]}.weight": shape for name, shape in found.items()},
    )
    return BadInput(label, "; ".join(problems), f"all convolutions of configuration {known.name}")


def within(
    layers: Sequence[Layer], behind: Sequence[Layer], chain: Chain, label: str
) -> BadInput | None:
    """The refusal of a network with other layers between a VGG's convolutions.

    Layers after these count only if they change the weight that a dense layer computes with.
    """
    if any(layer.normalises for layer in layers):
        return normalised(layers, label)
    if refusal := changed([*chain.layers.values(), *layers, *behind], label):
        return refusal
    if apart := [x for x in layers if chain.depth and not x.is_above(chain.first)]:
        key, others = "/".join(chain.first.parts[: chain.depth]), few(x.described() for x in apart)
        return BadInput(
            label, f"it holds {others} besides `{key}`", f"--key {key} to read only that"
        )
    if chain.problem:
        return BadInput(label, chain.problem, "layer names as PyTorch or Keras gives them")
    return None


def normalised(layers: Sequence[Layer], label: str) -> BadInput:
    """The refusal of batch normalisation between the convolutions."""
    names = few(layer.short() for layer in layers if layer.normalises)
    problem = f"has batch normalisation ({names}), VGG16 does not"
    return BadInput(label, problem, "the weights of a VGG without it: vgg16, not vgg16_bn")


def head(
    rest: Sequence[Layer], configuration: Configuration, label: str
) -> tuple[dict[str, Layer], str]:
    """The classifier's layers by name, if it is VGG16's but damaged.

    Raises ``BadInput`` for another network's; it names the difference.
    """
    dense = [layer for layer in rest if layer.is_dense]
    if len(dense) == len(HEAD):
        _check_size(dense, configuration, label)
    named, is_twice = named_head(rest)
    if len(named) < len(HEAD) or is_twice:
        raise foreign(rest, label)
    flat = [(shape[0], math.prod(shape[1:])) for shape in (named[n].weight for n in HEAD) if shape]
    expected = [configuration.weight_shapes[f"{name}.weight"] for name in HEAD]
    is_chain = len(flat) == len(HEAD) and all(one[0] == other[1] for one, other in pairwise(flat))
    if is_chain and flat[:-1] != expected[:-1]:
        raise foreign(rest, label)
    return named, ""


def _check_size(dense: Sequence[Layer], configuration: Configuration, label: str) -> None:
    """Raise ``BadInput`` for a classifier of another width, or for images of another size."""
    expected, (channels, *_) = configuration.weight_shapes, configuration.feature_shape
    widths = {configuration.hidden_units, *(layer.weight[0] for layer in dense)}
    for width, side in product(widths, range(1, _LARGEST_MAP + 1)):
        size = side * configuration.minimum_size
        other = replace(configuration, hidden_units=width, input_size=size)
        found = head_of(dense, other, is_ordered=True)
        if not found or len(found[0]) < len(HEAD):
            continue
        fc1 = found[0]["fc1"].text
        if other == configuration:
            names = few(layer.described() for layer in dense)
            problem = f"its dense layers {names} match in more than one way"
        elif size == configuration.input_size:
            problem = (
                f"another width: {fc1} has {width:,} units, "
                f"VGG16's has {configuration.hidden_units:,}"
            )
        else:
            problem = (
                f"{fc1} takes {channels * side**2:,} inputs ({channels}×{side}×{side}), VGG16's "
                f"takes {expected['fc1.weight'][1]:,}: the model was trained on "
                f"{size}-pixel images"
            )
        raise BadInput(label, problem, _NO_TOP)


def foreign(rest: Sequence[Layer], label: str) -> BadInput:
    """The refusal of another head; it shows its layers."""
    shown = [layer for layer in rest if layer.weight] or rest
    problem = f"its head is not VGG16's: {few(layer.described() for layer in shown)}"
    return BadInput(label, problem, f"{_NO_TOP}; build the head in the target model")
