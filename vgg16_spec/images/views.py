"""The views of a picture that the paper averages over: sections 3.2, 4.2 and 4.3.

A picture is resized so that its smaller side is Q. Applied densely, the network takes it whole and
gives the scores z, averaged over space; in multi-crop evaluation it takes 50 crops, a regular 5×5
grid and the mirror image of each. Of the views v of all scales, the posteriors are averaged:

    p_k = 1/V Σ_v exp(z_vk) / Σ_j exp(z_vj)

Nothing here reads a file or runs a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import Recipe, normalise, resize
from vgg16_spec.logits import softmax

# The crops along each side of a picture; the paper counts each and its mirror image: 50.
GRID: Final = 5
CROPS: Final = 2 * GRID**2
# VGG16's first two maps, which are in memory together, take 512 bytes for each pixel: 1 GB for the
# largest view, and half of that for the views that are computed in one call.
MOST_PIXELS: Final = 2_000_000
_PIXELS_A_CALL: Final = 1_000_000
LARGEST_SCALE: Final = 1400

# Preprocessed images of one size, (N, 3, H, W) -> logits (N, classes), averaged over space where
# they are larger than the network's own size: `DenseEvaluator.dense`.
Dense = Callable[[NDArray[np.float32]], NDArray[Any]]


@dataclass(frozen=True)
class Views:
    """Which views of a picture are averaged.

    Attributes:
        scales: Q, the smaller side in pixels, one or several; none smaller than the network's
            ``size``. Ascending, in whatever order they are given.
        size: height and width of the network's own input.
        flip: whether the mirror image of each picture counts too.
        crops: 50 for multi-crop evaluation, 0 for dense evaluation. The crops' own mirror images
            are among the 50.

    Raises:
        BadInput: a scale is too small, too large or given twice, there is none, another number of
            crops, or a flip with crops that have it already.
    """

    scales: tuple[int, ...]
    size: int
    flip: bool = False
    crops: int = 0

    def __post_init__(self) -> None:
        expected = f"numbers of pixels from {self.size} to {LARGEST_SCALE}, each once"
        if not self.scales:
            raise BadInput("--scales", "names none", expected)
        for scale in self.scales:
            if not self.size <= scale <= LARGEST_SCALE:
                raise BadInput("--scales", f"{scale} is out of range", expected)
        if len(set(self.scales)) < len(self.scales):
            raise BadInput("--scales", "names one twice", expected)
        # In one order, so that the same views have the same bits.
        object.__setattr__(self, "scales", tuple(sorted(self.scales)))
        if self.crops not in (0, CROPS):
            raise BadInput("--crops", f"is {self.crops}", f"{CROPS}, or none")
        if self.crops and self.flip:
            problem = f"cannot be combined with --crops {CROPS}, half of which are flipped"
            raise BadInput("--flip", problem, "one of the two")

    @property
    def count(self) -> int:
        """How many views of a picture there are."""
        return len(self.scales) * (self.crops or 1 + self.flip)

    def __str__(self) -> str:
        """In one line, for a report: ``dense, scales 256, 384, 512, flipped too``."""
        kind = f"{self.crops} crops" if self.crops else "dense"
        scales = f"scale{'s' if len(self.scales) > 1 else ''} {', '.join(map(str, self.scales))}"
        return ", ".join([kind, scales, *(["flipped too"] if self.flip else [])])


def resized_to_scales(picture: Image, recipe: Recipe, views: Views) -> Iterator[NDArray[np.uint8]]:
    """The whole picture at each scale in turn, as RGB pixels: what `views_at_scale` reads.

    Args:
        picture: of any mode; not changed.
        recipe: its filter resizes; its own size and crop do not count.
        views: which.

    Yields:
        (H, W, 3) a scale, H or W being Q.

    Raises:
        BadInput: the picture is so long that a view has more than ``MOST_PIXELS``.
    """
    shorter, longer = sorted(picture.size)
    for scale in views.scales:
        if longer * scale**2 > MOST_PIXELS * shorter:
            problem = f"its longer side is {longer / shorter:.1f} times the shorter one"
            most = MOST_PIXELS / scale**2
            raise BadInput("the picture", problem, f"at most {most:.1f} times at scale {scale}")
        yield np.asarray(resize(picture, scale, recipe.resample))


def views_at_scale(whole: NDArray[np.uint8], views: Views) -> NDArray[np.uint8]:
    """The views of a picture (H, W, 3) that has been resized to one of the scales.

    Returns (V, H, W, 3): the whole picture, and its mirror image if asked for; or
    (50, size, size, 3), the crops row by row, then their mirror images.
    """
    found = _crops(whole, views.size) if views.crops else whole[np.newaxis]
    return np.concatenate([found, flipped(found)]) if views.crops or views.flip else found


def flipped(images: NDArray[Any]) -> NDArray[Any]:
    """Images (N, H, W, C) with left and right exchanged; a view."""
    return images[:, :, ::-1]


def averaged_posteriors(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The mean of the views' softmax posteriors, in float64: (V, classes) -> (classes,).

    Not the softmax of the mean: section 3.2 averages scores over space and posteriors over views.
    """
    mean: NDArray[np.float64] = softmax(logits).mean(axis=0)
    return mean


def averaged_log_posteriors(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The logarithm of `averaged_posteriors`, also of those that float64 rounds to zero.

    Its softmax is the posteriors again, so that it can be read as one picture's logits.
    """
    values = logits.astype(np.float64)
    values -= values.max(axis=1, keepdims=True)
    values -= np.log(np.exp(values).sum(axis=1, keepdims=True))  # log softmax
    # log Σ_v p_v / V = m + log Σ_v exp(log p_v - m) / V
    most = values.max(axis=0)
    mean: NDArray[np.float64] = most + np.log(np.exp(values - most).mean(axis=0))
    return mean


def dense_probabilities(
    picture: Image, recipe: Recipe, views: Views, dense: Dense
) -> NDArray[np.float64]:
    """The class posteriors of one picture, (classes,), averaged over its views.

    Args:
        picture: of any mode.
        recipe: of the weights.
        views: which to average over; crops are of the network's own size, where ``dense`` is the
            plain network.
        dense: computes logits; called with so few views that memory is bounded.

    Raises:
        BadInput: as `resized_to_scales`.
    """
    wholes = resized_to_scales(picture, recipe, views)
    logits = logits_of_views(wholes, views, lambda pixels: dense(normalise(pixels, recipe)))
    return averaged_posteriors(logits)


def logits_of_views(
    wholes: Iterable[NDArray[np.uint8]],
    views: Views,
    compute: Callable[[NDArray[np.uint8]], NDArray[Any]],
) -> NDArray[np.float64]:
    """The logits of every view of one picture, (V, classes).

    Args:
        wholes: the picture at each scale, as `resized_to_scales` yields it.
        views: which to compute.
        compute: logits (N, classes) of views (N, H, W, 3) of one size, so few that memory is
            bounded.
    """
    logits = [
        compute(part).astype(np.float64)
        for whole in wholes
        for part in _batches(views_at_scale(whole, views))
    ]
    return np.concatenate(logits)


def _batches(pixels: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    most = max(1, _PIXELS_A_CALL // pixels[0, ..., 0].size)
    for start in range(0, len(pixels), most):
        yield pixels[start : start + most]


def _crops(whole: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """(H, W, 3) -> (25, size, size, 3): a regular grid from corner to corner, row by row."""
    rows, columns = (_starts(side, size) for side in whole.shape[:2])
    return np.stack([whole[y : y + size, x : x + size] for y, x in product(rows, columns)])


def _starts(side: int, size: int) -> list[int]:
    """Where the crops along a side begin; half a pixel is rounded to even, as the centre crop's.

    On a side as short as the crop itself, all begin at 0.
    """
    return [round((side - size) * step / (GRID - 1)) for step in range(GRID)]
