"""Finds the known mistake that turns one tensor into another, from their values.

A sample of the values suggests the mistake, and all values confirm it. Tensors may be views of
mapped files: no more than a block of each is in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vgg16_spec.architecture import Shape
from vgg16_spec.blocks import Array, blocks, contiguous
from vgg16_spec.checkpoint.tensors import CHUNK_VALUES, as_float32
from vgg16_weights.comparison.known_mistakes import (
    ROUNDING,
    UNCHANGED,
    Arrangement,
    Change,
    arrangements,
    changes_of,
    order_words,
    output_word,
)

# Under the wrong arrangement, values are as far apart as unrelated ones. Under the right one, even
# the coarsest rounding, bfloat16, leaves a difference of 0.002 of their size.
_ALIKE: Final = 0.1


class Pieces(NamedTuple):
    """How much is looked at together.

    Attributes:
        sample_values: those that suggest a mistake.
        block_bytes: of a tensor in memory.
        chunk_values: those whose differences are measured together.
    """

    sample_values: int = 4096
    block_bytes: int = 1 << 26
    chunk_values: int = CHUNK_VALUES


PIECES: Final = Pieces()


class Difference(NamedTuple):
    """How two tensors differ if no known mistake turns one into the other.

    Attributes:
        differing: the number of values that differ.
        size: the number of values.
        largest: the largest difference.
        relative: rms of the difference over rms of the values.
        arrangement: the mistake under which they differ least; may be empty.
    """

    differing: int
    size: int
    largest: float
    relative: float
    arrangement: str = ""


@np.errstate(over="ignore", invalid="ignore")
def known_mistake(
    name: str,
    ours: Array,
    theirs: Array,
    maps: Shape,
    *,
    sides: tuple[str, str] = ("A", "B"),
    order: NDArray[np.intp] | None = None,
    likely: str = "",
    pieces: Pieces = PIECES,
) -> str | Difference:
    """What turns A's tensor into B's, or B's into A's: ``B is A rounded to float16``.

    Args:
        name: the tensor's canonical name.
        ours: A's values in canonical layout and in any type that a checkpoint's file may have;
            fc1's weight may be (out, C, H, W).
        theirs: B's values, likewise.
        maps: (C, H, W) of fc1's input.
        sides: what A and B are called in words; these may end in ``'s``.
        order: for a bias, the order of outputs that turned A's weight of that layer into B's.
        likely: what was found for another tensor, preferred if two mistakes fit.
        pieces: how much is looked at together.

    Returns:
        The mistake in words, or the size of the difference if no known mistake explains it.
    """
    if name == "fc1.weight":
        ours, theirs = (values.reshape(-1, *maps) for values in (ours, theirs))
    values_of = dict(zip(sides, (ours, theirs), strict=True))
    if empty := [side for side, values in values_of.items() if _is_zero(values, pieces)]:
        return f"{empty[0]} is zero"
    found = _arrangement(name, values_of, pieces.sample_values)
    if found is not None:
        made, of, (words, view), factor = found
        moved, target = view(values_of[of]), values_of[made]
        for change in changes_of(factor, likely):
            if is_same(moved, target, change, pieces):
                parts = [f"with {words}"] * bool(words) + [change.words] * bool(change.words)
                return f"{made} is {of} {', '.join(parts)}"
        # The other way round: the side that was moved is the one whose values were changed.
        for change in changes_of(1.0, likely)[1:]:
            if is_same(target, moved, change, pieces):
                before = f"{made} is {of} with {words}, before {of} was {change.words}"
                return before if words else f"{of} is {made} {change.words}"
    left, right = sides
    for outputs in (order, output_order(ours, theirs)):
        if outputs is not None and _same_rows(ours, theirs, outputs, pieces):
            return f"{right} is {left} with {order_words(outputs, output_word(name), *sides)}"
    if factors := _channel_factors(ours, theirs):
        channels = f"input channels times {', '.join(factors)}: a normalisation inside"
        return f"{right} is {left} with {channels}"
    if found is None:
        return _difference(ours, theirs, pieces)
    return _difference(moved, target, pieces)._replace(arrangement=words)


def output_order(ours: Array, theirs: Array) -> NDArray[np.intp] | None:
    """A's outputs in the order of B's, judged by their first values; ``None`` if these differ."""
    keys = [
        [as_float32(row).tobytes() for row in values.reshape(len(values), -1)[:, :8]]
        if values.ndim < 3
        else [as_float32(row.reshape(-1)[:8]).tobytes() for row in values[:, :8]]
        for values in (ours, theirs)
    ]
    left, right = (sorted(range(len(each)), key=each.__getitem__) for each in keys)
    if [keys[0][row] for row in left] != [keys[1][row] for row in right]:
        return None
    order = np.empty(len(left), np.intp)
    order[right] = left
    return order


def _arrangement(
    name: str, values_of: Mapping[str, Array], size: int
) -> tuple[str, str, Arrangement, float] | None:
    """The arrangement under which samples are closest: both sides, the mistake and the factor."""
    best, found = _ALIKE, None
    left, right = values_of
    for made, of in ((right, left), (left, right)):
        target, source = values_of[made], values_of[of]
        for words, view in arrangements(name, source.shape):
            x, y = _sample(view(source), size), _sample(target, size)
            # Any one or two values are a factor apart.
            factor = float(x @ y / (x @ x)) if x.any() and x.size > 2 else 1.0
            rest = math.sqrt(np.square(y - factor * x).mean() / max(np.square(y).mean(), 1e-300))
            # If several leave about the same difference, the first is the simplest.
            if rest < best / 2:
                best, found = rest, (made, of, (words, view), factor)
    return found


def _sample(values: Array, size: int) -> NDArray[np.float64]:
    """A sample of values, from the same places in the order of axes for all arrays of one size."""
    if values.size > size:
        places = np.random.default_rng(0).integers(0, values.size, size)
    else:
        places = np.arange(values.size)
    return as_float32(values[np.unravel_index(places, values.shape)]).astype(np.float64)


def _same_rows(ours: Array, theirs: Array, order: NDArray[np.intp], pieces: Pieces) -> bool:
    """Whether the rows of one array in this order are the other's, bit for bit."""
    rows = max(1, pieces.block_bytes * len(ours) // max(ours.nbytes, 1))
    return all(
        is_same(ours[order[start : start + rows]], theirs[start : start + rows], pieces=pieces)
        for start in range(0, len(ours), rows)
    )


def _channel_factors(ours: Array, theirs: Array) -> list[str]:
    """The factor of each input channel of the first kernel; empty if none was scaled."""
    if ours.ndim != 4 or ours.shape[1] != 3:
        return []
    found = list[float]()
    for one, other in zip(ours.swapaxes(0, 1), theirs.swapaxes(0, 1), strict=True):
        x, y = (as_float32(side).astype(np.float64).ravel() for side in (one, other))
        factor = float(x @ y / (x @ x)) if x.any() else 0.0
        if not (np.abs(y - factor * x) <= 2 * ROUNDING * np.abs(y)).all():
            return []
        found.append(factor)
    changed = any(abs(factor - 1) > 1e-5 for factor in found)
    return [f"{factor:.6g}" for factor in found] if changed else []


def _is_zero(values: Array, pieces: Pieces) -> bool:
    if _sample(values, pieces.sample_values).any():
        return False
    return not any(as_float32(one).any() for one in blocks(values, pieces.block_bytes))


def _pairs(one: Array, other: Array, block_bytes: int) -> Iterator[tuple[Array, Array]]:
    """The values of two arrays of one size, in the order of their axes, as flat pieces."""
    left, right = (blocks(values, block_bytes) for values in (one, other))
    ours = theirs = np.empty(0, np.float32)
    remaining = one.size
    while remaining:
        ours, theirs = (ours if ours.size else next(left)), (theirs if theirs.size else next(right))
        count = min(ours.size, theirs.size)
        yield as_float32(ours[:count]), as_float32(theirs[:count])
        ours, theirs, remaining = ours[count:], theirs[count:], remaining - count


@np.errstate(over="ignore", invalid="ignore")
def is_same(
    source: Array, target: Array, change: Change = UNCHANGED, pieces: Pieces = PIECES
) -> bool:
    """Whether the source's values, changed, are the target's: bit for bit, or up to rounding.

    NaN equals itself, and -0 is not 0. Both have the same size.
    """

    def equal(left: Array, right: Array) -> bool:
        made = change.make(left)
        if not change.rounding:
            return np.array_equal(made.view(np.uint32), right.view(np.uint32))
        return bool((np.abs(made - right) <= change.rounding * np.abs(made)).all())

    # A sample first: it already shows nearly every difference.
    samples = (
        _sample(values, pieces.sample_values).astype(np.float32) for values in (source, target)
    )
    pairs = _pairs(source, target, pieces.block_bytes)
    return equal(*map(contiguous, samples)) and all(equal(left, right) for left, right in pairs)


def _difference(ours: Array, theirs: Array, pieces: Pieces) -> Difference:
    count, squares, size, largest = 0, 0.0, 0.0, 0.0
    for left, right in _pairs(ours, theirs, pieces.block_bytes):
        for start in range(0, left.size, pieces.chunk_values):
            one, other = (side[start : start + pieces.chunk_values] for side in (left, right))
            differs = one.view(np.uint32) != other.view(np.uint32)
            precise = one.astype(np.float64)
            errors = np.where(differs, np.abs(precise - other), 0.0)
            errors[np.isnan(errors)] = np.inf  # NaN on a side, or two infinities
            count += int(np.count_nonzero(differs))
            squares, size = squares + float(errors @ errors), size + float(precise @ precise)
            largest = max(largest, float(errors.max()))
    relative = math.sqrt(squares / size) if size > 0 and math.isfinite(size) else math.inf
    return Difference(count, ours.size, largest, relative)
