"""The front of a graph, up to its first layer: what does it make of test pictures?

ONNX's reference evaluator computes the nodes, in whatever order they come. The pictures are noise,
so that a value in another place shows as well as another value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from export.load import printable
from onnx_arbiter.limits import Tolerance
from vgg16_parity.onnx_check.symbolic import (
    Constant,
    NodeContext,
    SymbolicTensor,
    Untraceable,
    arrange,
    require_small,
)
from vgg16_spec.architecture import IMAGE_CHANNELS
from vgg16_spec.images.preprocessing import Layout, Recipe, normalise, resized_side
from vgg16_spec.layouts import nhwc_to_nchw

PIXELS: Final = Tolerance(
    limit=1e-5,
    reason=(
        "max |difference| of preprocessed pixels over the largest of them, all 256 values in each "
        "channel: float32 in another order of operations gives about 1e-7, a mean or a standard "
        "deviation rounded to four digits 1e-4."
    ),
)

# Pillow's filter -> ONNX's mode, and the coefficient of a cubic one.
_FILTERS: Final[Mapping[str, tuple[str, float | None]]] = {
    "BILINEAR": ("linear", None),
    "BICUBIC": ("cubic", -0.5),
}

LAYOUTS: Final[tuple[Layout, ...]] = ("nchw", "nhwc")

MOVES: Final = ("Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
# Moves that may leave values out.
PICKS: Final = ("Gather", "Slice")


def shape_of(images: ir.Value) -> tuple[int | None, ...]:
    """The shape of an input: ``None`` for a size that the file leaves open, empty for no shape.

    Some exporters write -1 for an open size; ONNX Runtime takes every negative one for that.
    """
    sizes = images.shape or ()
    return tuple(size if isinstance(size, int) and size >= 0 else None for size in sizes)


class Front:
    """What a graph takes, and what its first nodes make of test pictures.

    Attributes:
        images: the graph's input.
        shape: of the images, as `shape_of` gives it.
        layout: of the images.
        kind: ``float32`` where they come preprocessed, ``pixels`` where the graph preprocesses
            them, ``pictures`` where it resizes and crops them too.
        problem: how its preprocessing differs from the recipe; empty if it does not.
    """

    def __init__(self, images: ir.Value, layout: Layout, recipe: Recipe) -> None:
        self.images, self.layout, self.recipe, self.problem = images, layout, recipe, ""
        self.shape = shape_of(images)
        self.fixed = dict(zip(layout, self.shape, strict=True)) if len(self.shape) == 4 else {}
        self.kind = "pixels" if self.fixed.get("h") or self.fixed.get("w") else "pictures"
        if images.dtype != ir.DataType.UINT8:
            self.kind = "float32"

    def take(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """Pixels (N, H, W, 3) in the layout and of the type that the graph takes."""
        moved = nhwc_to_nchw(pixels) if self.layout == "nchw" else pixels
        return moved if self.images.dtype == ir.DataType.UINT8 else moved.astype(np.float32)

    def begin(self, count: int, size: int) -> SymbolicTensor:
        """So many test pictures, of the size that the file fixes or else of the recipe's for this.

        Raises ``Untraceable`` where they are too large to be followed.
        """
        side = size if self.kind == "float32" else resized_side(self.recipe, size)
        shape = (count, *(self.fixed.get(axis) or side for axis in "hw"), IMAGE_CHANNELS)
        require_small(shape)
        self.pictures = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
        return SymbolicTensor(self.take(self.pictures))

    def enter(self, x: SymbolicTensor) -> SymbolicTensor:
        """The maps that the first layer reads, after what the front has made of the pictures.

        Raises ``Untraceable`` for values in another order than N, C, H, W.
        """
        found, (count, *_, channels) = x.array, self.pictures.shape
        if found.ndim != 4 or found.shape[:2] != (count, channels):
            raise Untraceable("reads the images in another order than (N, C, H, W)")
        pixels = _centre(self.pictures, (count, *found.shape[2:], channels))
        acceptable = {"pixels": normalise(pixels, self.recipe)}
        if self.kind == "float32":
            acceptable["float32"] = nhwc_to_nchw(pixels).astype(np.float32)
        mistakes = {
            "": found,
            f"the channels are reversed, expected {self.recipe.channels}": found[:, ::-1],
            "height and width are exchanged": found.swapaxes(2, 3),
        }
        which = (
            (kind, problem)
            for kind, wanted in acceptable.items()
            for problem, values in mistakes.items()
            if _near(values, wanted)
        )
        unlike = f"not that of the recipe {self.recipe.name}, which the weights expect"
        kind, self.problem = next(which, ("pixels", unlike))
        self.kind = kind if self.kind == "float32" else self.kind
        return SymbolicTensor(arrange(found.shape), found.shape)


def preprocess(at: NodeContext, recipe: Recipe) -> SymbolicTensor | None:
    """The pictures after a node of the graph's front; ``None`` where it is not of the front.

    Raises ``Untraceable`` where the node crops or resizes as the recipe does not.
    """
    if at.operator in PICKS:
        return _pick(at)
    if at.operator == "Resize":
        return _resize(at, recipe)
    computed = at.operator in MOVES
    if at.operator == "Cast":
        computed = at.node.attributes.get_int("to") == ir.DataType.FLOAT
    elif at.operator in ("Add", "Div", "Mul", "Sub"):
        shapes = [v.array.shape for v in at.inputs if isinstance(v, Constant | SymbolicTensor)]
        computed = np.broadcast_shapes(*shapes) == at.x.array.shape
    return replace(at.x, array=at.evaluate()) if computed else None


def _pick(at: NodeContext) -> SymbolicTensor:
    """The centre of the pictures, or their channels in the other order."""
    whole, picked = at.x.array, at.evaluate()
    flips = [np.flip(whole, axis) for axis in (1, -1)]
    if not any(np.array_equal(picked, wanted) for wanted in (*flips, _centre(whole, picked.shape))):
        raise Untraceable("crops elsewhere than in the centre")
    return replace(at.x, array=picked)


def _centre(whole: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The middle of an array; halves are rounded to even, as the recipes' crop does it."""
    starts = [round((size - kept) / 2) for size, kept in zip(whole.shape, shape, strict=True)]
    return whole[tuple(slice(a, a + kept) for a, kept in zip(starts, shape, strict=True))]


def _resize(at: NodeContext, recipe: Recipe) -> SymbolicTensor:
    """A resize that keeps the size: the pictures already have the one that the recipe asks for.

    The attributes decide how another size would be filtered.
    """
    attributes, shape = at.node.attributes, at.x.array.shape
    kept = [shape[i] for i in attributes.get_ints("axes") or range(len(shape))]
    if at.required(3).array.tolist() != kept:
        raise Untraceable("resizes to another size than the recipe does")
    mode = attributes.get_string("mode", "nearest")
    bend = attributes.get_float("cubic_coeff_a", -0.75) if mode == "cubic" else None
    if (mode, bend) != _FILTERS.get(recipe.resample):
        curve = "" if bend is None else f" ({bend:g})"
        how = f"resizes by {printable(mode)}{curve}"
        raise Untraceable(f"{how}, the recipe {recipe.name} by {recipe.resample}")
    if not attributes.get_int("antialias", 0):
        raise Untraceable("resizes without antialiasing, unlike the recipe")
    return at.x


def _near(values: NDArray[Any], wanted: NDArray[np.float32]) -> bool:
    if values.shape != wanted.shape or not np.isfinite(values).all():
        return False
    limit = PIXELS.limit * np.abs(wanted).max(initial=0)
    return bool(np.abs(values - wanted).max(initial=0) <= limit)
