"""What a few images do to a published figure."""

from __future__ import annotations

import math
from typing import Final

from differences.harness.experiment import Finding, Table, Value
from vgg16_parity.evaluate.published import VALIDATION_IMAGES, published_figures
from vgg16_parity.evaluate.records import Published
from vgg16_parity.evaluate.statistics import mcnemar, share
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint.metadata import Metadata
from vgg16_weights.published.pretrained import PUBLISHED

# What people ask about: a difference in the first decimal of a percentage.
DIFFERENCE: Final = 0.001
SIGNIFICANT: Final = 0.05
_BATCHES: Final = (64, 128, 256)
_POINTS: Final = "percentage points"
_PUBLISHED: Final = (
    *("published figure: how images were prepared", "top-1, %", "95 %, ±", "right"),
    *("top-5, %", "95 %, ±", "right"),
)


def half_width(percent: float, images: int = VALIDATION_IMAGES) -> float:
    """Half of the 95 % interval of an accuracy, in percentage points."""
    found = share(round(percent / 100 * images), images)
    return 50 * (found.high - found.low)


def images_for(points: float) -> int:
    """How many images of the validation set a difference in percentage points is."""
    return round(points / 100 * VALIDATION_IMAGES)


def least_uneven() -> int:
    """How many images only one of two runtimes must have right, and the other none, to matter."""
    return next(n for n in range(1, 100) if mcnemar(0, n) < SIGNIFICANT)


def left_out(right: int, *, of_right: bool) -> int:
    """How many images must be left out in silence to move the accuracy by `DIFFERENCE`.

    Args:
        right: how many are right in all.
        of_right: whether those left out are all right, or all wrong.
    """
    whole = right / VALIDATION_IMAGES
    for count in range(1, VALIDATION_IMAGES):
        left = (right - count * of_right) / (VALIDATION_IMAGES - count)
        if abs(left - whole) >= DIFFERENCE:
            return count
    raise AssertionError("leaving out all of one kind moves any accuracy")


def twice(right: int, *, of_right: bool) -> int:
    """How many images must be counted twice to move it as much; arguments as in `left_out`."""
    whole = right / VALIDATION_IMAGES
    for count in range(1, VALIDATION_IMAGES):
        more = (right + count * of_right) / (VALIDATION_IMAGES + count)
        if abs(more - whole) >= DIFFERENCE:
            return count
    raise AssertionError("enough copies of one kind move any accuracy")


def last_batch(size: int) -> int:
    """How many images are in the last, incomplete batch; 0 if all are complete."""
    return VALIDATION_IMAGES % size


def mean_of_batches(right: int, size: int) -> float:
    """How far the mean of the batches' accuracies is typically off, in percentage points.

    The last batch has the weight of a whole one, and its accuracy a standard deviation of
    √(p (1 - p) / n).
    """
    if not (last := last_batch(size)):
        return 0.0
    p = right / VALIDATION_IMAGES
    batches = VALIDATION_IMAGES // size + 1
    return 100 * (1 / batches - last / VALIDATION_IMAGES) * math.sqrt(p * (1 - p) / last)


def finding() -> Finding:
    """The published figures, and what some images do to one of them."""
    torchvision, timm = (PUBLISHED[name] for name in ("torchvision-imagenet1k-v1", "timm-tv-in1k"))
    top1, top5 = torchvision.top1 or 0.0, torchvision.top5 or 0.0
    between = [images_for((timm.top1 or 0.0) - top1), images_for((timm.top5 or 0.0) - top5)]
    right = _right(top1)
    whole = [f for recipe in ("torchvision", "caffe") for f in _figures(recipe)]
    small = 0.02
    worth: dict[str, tuple[Value]] = {
        f"images that {small} {_POINTS} are": (images_for(small),),
        "images between torchvision's and timm's top-1, of the same weights": (between[0],),
        "the same of their top-5": (between[1],),
        "images that one runtime alone must have right, and the other none, for p < 0.05 in "
        "McNemar's test": (least_uneven(),),
    }
    for kind, of_right in {"wrong": False, "right": True}.items():
        worth[f"left out in silence, all {kind}: images that move 0.1 {_POINTS}"] = (
            left_out(right, of_right=of_right),
        )
        worth[f"counted twice, all {kind}: images that move 0.1 {_POINTS}"] = (
            twice(right, of_right=of_right),
        )
    for size in _BATCHES:
        worth[f"batches of {size}: images in the last one"] = (last_batch(size),)
        worth[f"batches of {size}: the mean of their accuracies is off by"] = (
            (mean_of_batches(right, size), _POINTS),
        )
    return Finding(
        {},
        {
            f"A difference of {small} {_POINTS} is ten images, less than a tenth of half the 95 % "
            "interval.": images_for(small) == 10 and small < half_width(top1) / 10,
            "torchvision and timm publish the same weights' top-1 with one image between them.": (
                between[0] == 1
            ),
            "The mean of batches, the last one incomplete, may move as much as that.": (
                max(images_for(mean_of_batches(right, size)) for size in _BATCHES) >= between[0]
            ),
        },
        tables=(
            Table("What is published, of 50,000 images", _PUBLISHED, dict(map(_published, whole))),
            Table("What a few of 50,000 images are worth", ("what", "measured"), worth),
        ),
    )


def _figures(recipe: str) -> tuple[Published, ...]:
    return published_figures(configuration("D"), Metadata(recipe=recipe))


def _published(figure: Published) -> tuple[str, tuple[Value | str, ...]]:
    cells = tuple(
        cell
        for percent in (figure.top1, figure.top5)
        for cell in (f"{percent:g}", f"{half_width(percent):.2f}", _right(percent))
    )
    return f"{figure.source}: {figure.preparation}", cells


def _right(percent: float) -> int:
    return round(percent / 100 * VALIDATION_IMAGES)
