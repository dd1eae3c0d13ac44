"""The front of a graph, up to its first layer: what does it make of test pictures?

ONNX's reference evaluator computes the nodes, in whatever order they come. The pictures are noise,
so that a value in another place shows as well as another value.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnx_arbiter.limits import Tolerance
from onnx_arbiter.models.onnx_file import printable
from vgg16_parity.onnx_check.elementwise import drop_out
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

# Where pixels lie, and which sides are made, as Pillow has it. The two names of the first differ
# only for a single pixel.
_PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "coordinate_transformation_mode": ("half_pixel", "pytorch_half_pixel"),
    "keep_aspect_ratio_policy": ("stretch",),
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

    ``averages`` says whether the graph averages over space: the network applied densely, which is
    followed at the network's own size.
    """

    def __init__(
        self, images: ir.Value, layout: Layout, recipe: Recipe, *, averages: bool = False
    ) -> None:
        self.images, self.layout, self.recipe, self.problem = images, layout, recipe, ""
        self.shape = shape_of(images)
        self.fixed = dict(zip(layout, self.shape, strict=True)) if len(self.shape) == 4 else {}
        # What averages over space takes pictures of any size as they are.
        sized = averages or self.fixed.get("h") or self.fixed.get("w")
        self.kind = "pixels" if sized else "pictures"
        if images.dtype != ir.DataType.UINT8:
            self.kind = "float32"

    def take(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """Pixels (N, H, W, 3) in the layout and of the type that the graph takes."""
        moved = nhwc_to_nchw(pixels) if self.layout == "nchw" else pixels
        return moved if self.images.dtype == ir.DataType.UINT8 else moved.astype(np.float32)

    def begin(self, count: int, size: int) -> SymbolicTensor:
        """So many test pictures, of the size that the file fixes or else of the recipe's for this.

        Where the graph resizes them, their sides differ, and from those that the recipe gives them.

        Raises ``Untraceable`` where they are too large to be followed.
        """
        self.size, self.side = size, resized_side(self.recipe, size)
        sides = (size, size)
        if self.kind == "pictures":
            sides = _uneven(self.side, size, remainder=3 if count == 1 else 1)
            sides = sides if count == 1 else sides[::-1]
        fixed = (self.fixed.get(axis) or side for axis, side in zip("hw", sides, strict=True))
        shape = (count, *fixed, IMAGE_CHANNELS)
        require_small(shape)
        self.pictures = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
        return SymbolicTensor(self.take(self.pictures))

    def enter(self, x: SymbolicTensor) -> SymbolicTensor:
        """The maps that the first layer reads, after what the front has made of the pictures.

        Raises ``Untraceable`` for values in another order than N, C, H, W, and for pictures of
        another size than the network's.
        """
        found, (count, *sides, channels) = x.array, self.pictures.shape
        if found.ndim != 4 or found.shape[:2] != (count, channels):
            raise Untraceable("reads the images in another order than (N, C, H, W)")
        if self.kind == "pictures":
            if min(sides) != self.side:
                raise Untraceable(f"reads pictures whose shorter side is not made {self.side}")
            if (cropped := found.shape[2:]) != (self.size, self.size):
                shown = " × ".join(map(str, cropped))
                raise Untraceable(f"reads pictures of {shown}, expected {self.size} × {self.size}")
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
        return replace(x, array=arrange(found.shape), maps=found.shape)


def _uneven(side: int, size: int, *, remainder: int) -> tuple[int, int]:
    """The shorter and the longer side of pictures that a resize to ``side`` must change.

    The longer one's fraction is not rounded down by chance alone, and what the crop to ``size``
    leaves of it is odd: the ``remainder`` by 4 decides to which side half a pixel is rounded.
    """
    short = side + 1
    return short, next(
        long
        for long in itertools.count(short + 1)
        if (long * side // short - size) % 4 == remainder and 2 * (long * side % short) >= short
    )


def preprocess(at: NodeContext, front: Front) -> SymbolicTensor | None:
    """The pictures after a node of the graph's front; ``None`` where it is not of the front.

    Raises ``Untraceable`` where the node crops or resizes as the recipe does not.
    """
    if at.operator in PICKS:
        return _pick(at)
    if at.operator == "Resize":
        return _resize(at, front)
    if at.operator == "Dropout":
        return drop_out(at)
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


def _resize(at: NodeContext, front: Front) -> SymbolicTensor:
    """A resize to the recipe's size, of the test pictures too.

    Which values it picks does not matter: the attributes decide how the graph filters them.
    """
    recipe, shape, (_, *sides, _) = front.recipe, at.x.array.shape, front.pictures.shape
    resized = {side: side * front.side // min(sides) for side in sides}
    axes = at.node.attributes.get_ints("axes") or range(len(shape))
    wanted = [resized.get(shape[axis], shape[axis]) for axis in axes]
    if front.kind != "pictures" or at.required(3).array.tolist() != wanted:
        raise Untraceable("resizes to another size than the recipe does")
    _require_filter(at, recipe)
    for axis in (1, 2):
        front.pictures = _spread(front.pictures, axis, resized)
    array = at.x.array
    for axis in range(array.ndim):
        array = _spread(array, axis, resized)
    return replace(at.x, array=array)


def _spread(values: NDArray[Any], axis: int, resized: Mapping[int, int]) -> NDArray[Any]:
    """Values picked along an axis, so many as its size becomes."""
    size = values.shape[axis]
    after = resized.get(size, size)
    picked: NDArray[Any] = values.take(np.arange(after) * size // after, axis)
    return picked


def _require_filter(at: NodeContext, recipe: Recipe) -> None:
    """Raise ``Untraceable`` unless a resize filters as the recipe does."""
    attributes = at.node.attributes
    mode = attributes.get_string("mode", "nearest")
    bend = attributes.get_float("cubic_coeff_a", -0.75) if mode == "cubic" else None
    if (mode, bend) != _FILTERS.get(recipe.resample):
        curve = "" if bend is None else f" ({bend:g})"
        how = f"resizes by {printable(mode)}{curve}"
        raise Untraceable(f"{how}, the recipe {recipe.name} by {recipe.resample}")
    if not attributes.get_int("antialias", 0):
        raise Untraceable("resizes without antialiasing, unlike the recipe")
    for name, usual in _PLACES.items():
        if (found := attributes.get_string(name, usual[0])) not in usual:
            raise Untraceable(f"resizes with the {name} {printable(found)}, expected {usual[0]}")


def _near(values: NDArray[Any], wanted: NDArray[np.float32]) -> bool:
    if values.shape != wanted.shape or not np.isfinite(values).all():
        return False
    limit = PIXELS.limit * np.abs(wanted).max(initial=0)
    return bool(np.abs(values - wanted).max(initial=0) <= limit)
