"""The known mistakes of porting: some move a tensor's values, others change each value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vgg16_spec.architecture import Shape
from vgg16_spec.blocks import Array

# A mistake in words, and a function that gives a view of a tensor with its values in the order of
# the mistake; the view may have another shape.
Arrangement: TypeAlias = tuple[str, Callable[[Array], Array]]


class Change(NamedTuple):
    """A mistake that changes each value.

    Attributes:
        words: its name.
        make: applies it to float32 values.
        rounding: the relative error that results may have.
    """

    words: str
    make: Callable[[Array], Array]
    rounding: float = 0.0


UNCHANGED: Final = Change("", lambda values: values)
# The product of a factor and a value is rounded once or twice.
ROUNDING: Final = 2.0**-22

_AXES: Final = ("out", "in", "height", "width")
_MAPS: Final = {"C": "channel", "H": "height", "W": "width"}
_RESHAPED: Final = " by a reshape, not a transpose"
# What happens to height and width -> whether they are swapped, then the step along each.
_TURNS: Final = {
    "": (False, 1, 1),
    "transposed in height and width": (True, 1, 1),
    "turned by half a turn": (False, -1, -1),
    "mirrored left to right": (False, 1, -1),
    "mirrored top to bottom": (False, -1, 1),
    "turned by a quarter to the left": (True, -1, 1),
    "turned by a quarter to the right": (True, 1, -1),
    "mirrored along the other diagonal": (True, -1, -1),
}


def arrangements(name: str, shape: Shape) -> Iterator[Arrangement]:
    """The ways to move a tensor's values, the simplest first; the very first moves none."""
    yield "", lambda values: values
    if name == "fc1.weight":
        yield from _flattened_otherwise()
    elif len(shape) == 4:
        yield from _moved_kernels(shape)
    elif len(shape) == 2:
        how = "" if shape[0] == shape[1] else _RESHAPED
        yield f"inputs and outputs swapped{how}", lambda values: values.T


def _flattened_otherwise() -> Iterator[Arrangement]:
    """(out, C, H, W) -> (out, …) in each other order of the maps' axes, and (…, out) in any."""
    for order in ("CHW", "HWC", "HCW", "CWH", "WHC", "WCH"):
        axes = tuple(1 + "CHW".index(axis) for axis in order)
        words = f"inputs in the order {', '.join(_MAPS[axis] for axis in order)}"
        swapped = f"inputs and outputs swapped{_RESHAPED}"
        if order != "CHW":
            yield words, lambda values, axes=(0, *axes): values.transpose(axes)  # type: ignore[misc]
            swapped += f", {words}"
        yield swapped, lambda values, axes=(*axes, 0): values.transpose(axes)  # type: ignore[misc]


def _moved_kernels(shape: Shape) -> Iterator[Arrangement]:
    """OIHW -> turned, mirrored and with axes swapped, in all combinations; then reshaped."""
    outputs, inputs, *_ = shape
    for reverse in (False, True) if inputs == 3 else (False,):
        for swap in (False, True) if outputs == inputs else (False,):
            for turn, (transposed, rows, columns) in _TURNS.items():

                def view(
                    values: Array,
                    reverse: bool = reverse,
                    swap: bool = swap,
                    transposed: bool = transposed,
                    steps: tuple[int, int] = (rows, columns),
                ) -> Array:
                    values = values[:, :: -1 if reverse else 1]
                    values = values.swapaxes(0, 1) if swap else values
                    values = values.swapaxes(2, 3) if transposed else values
                    return values[:, :, :: steps[0], :: steps[1]]

                parts = ["input channels reversed (BGR for RGB)"] if reverse else []
                parts += ["inputs and outputs swapped"] if swap else []
                parts += [f"kernels {turn}"] if turn else []
                if parts:
                    yield " and ".join(parts), view
    for axes in permutations(range(4)):
        if tuple(shape[axis] for axis in axes) != shape:
            words = ", ".join(_AXES[axis] for axis in axes)
            read = f"values in the order {words} read as {', '.join(_AXES)}"
            yield read, lambda values, axes=axes: values.transpose(axes)  # type: ignore[misc]


def changes_of(factor: float, likely: str) -> list[Change]:
    """What may have happened to each value: first nothing, then the likely change."""
    changes = [
        UNCHANGED,
        TO_FLOAT16,
        TO_BFLOAT16,
        Change("cut to bfloat16", lambda values: _bfloat16(values, nearest=False)),
        Change("negated", np.negative),
    ]
    for words, rounded in (("decimals", _decimal), ("significant digits", _significant)):
        changes += [
            Change(f"rounded to {count} {words}", partial(rounded, count=count))
            for count in range(3, 9)
        ]
    if abs(factor - 1) > ROUNDING:
        factor, words = _plain(factor)
        changes.append(Change(words, lambda values: (factor * values).astype(np.float32), ROUNDING))
    return sorted(changes, key=lambda change: change.words not in likely)


def _plain(factor: float) -> tuple[float, str]:
    """A measured factor, replaced by a short number if it is close to one, and in words."""
    for measured, word in ((factor, "times"), (1 / factor if factor else math.inf, "divided by")):
        short = float(f"{measured:.4g}") if math.isfinite(measured) else 0.0
        if short and abs(short / measured - 1) < 1e-6:
            return (short if word == "times" else 1 / short), f"{word} {short:g}"
    return factor, f"times {factor:.6g}"


def _float16(values: Array) -> Array:
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float32)


TO_FLOAT16: Final = Change("rounded to float16", _float16)


def _bfloat16(values: Array, *, nearest: bool) -> Array:
    """float32 with the lower 16 bits rounded to nearest even, or cut."""
    bits = values.view(np.uint32)
    half = (bits >> 16 & 1) + np.uint32(0x7FFF) if nearest else np.uint32(0)
    return ((bits + half) & np.uint32(0xFFFF0000)).view(np.float32)


TO_BFLOAT16: Final = Change("rounded to bfloat16", partial(_bfloat16, nearest=True))


def _decimal(values: Array, count: int) -> Array:
    return np.round(values.astype(np.float64), count).astype(np.float32)


def _significant(values: Array, count: int) -> Array:
    precise = values.astype(np.float64)
    size = np.floor(np.log10(np.abs(precise), where=precise != 0, out=np.zeros_like(precise)))
    # Powers of ten below 1 are not exact in binary: divide by those above instead.
    places = count - 1 - size
    up, down = 10.0 ** np.maximum(places, 0), 10.0 ** np.maximum(-places, 0)
    rounded: Array = np.rint(precise * up / down) / up * down
    return rounded.astype(np.float32)


def order_words(order: NDArray[np.intp], what: str, ours: str, theirs: str) -> str:
    """``classes 3 and 7 exchanged``, or how many have moved and the first three of them."""
    ours, theirs = (side if side.endswith("'s") else f"{side}'s" for side in (ours, theirs))
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    moved = np.flatnonzero(order != np.arange(len(order)))
    if len(moved) == 2:
        return f"{plural} {moved[0]} and {moved[1]} exchanged"
    before, now = (", ".join(map(str, places[:3])) for places in (order[moved], moved))
    examples = f"{theirs} {now} are {ours} {before}"
    return f"{plural} in another order ({len(moved)} of {len(order)} moved: {examples})"


def output_word(name: str) -> str:
    """The word for an output of this tensor's layer."""
    return "class" if name.startswith("predictions.") else "output"
