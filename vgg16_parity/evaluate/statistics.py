"""What the logits of several runtimes say of a data set: accuracy, pairs and disputes.

Logits come in blocks, so that those of 50,000 images, 200 MB a runtime, are never in memory at
once. What is kept of an image is its five best classes, its loss and a probability.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vgg16_parity.evaluate.records import ClassAccuracy, Pair, RuntimeAccuracy, Share
from vgg16_spec.logits import top

# What both ends of the interval leave out together: 5 %.
_Z: Final = NormalDist().inv_cdf(0.975)
_TOP: Final = 5
_ROWS: Final = 1024
# The class of an image without an answer, and of one without a label.
NO_ANSWER: Final = -1
_NO_LABEL: Final = -2


@dataclass(frozen=True, eq=False)
class Answers:
    """What one runtime says of every image, in the data set's order.

    Attributes:
        top5: class indices, best first: (images, 5), or as many as there are classes. ``NO_ANSWER``
            where a logit is not finite.
        probability: of the best class, (images,), 0 to 1; NaN where a logit is not finite.
        loss: cross-entropy in nats, (images,); NaN without a label and where a logit is not finite.
    """

    top5: NDArray[np.int32]
    probability: NDArray[np.float64]
    loss: NDArray[np.float64]

    @property
    def top1(self) -> NDArray[np.int32]:
        """The likeliest class, (images,)."""
        return self.top5[:, 0]

    def right(self, labels: NDArray[np.int32], count: int) -> NDArray[np.bool_]:
        """Whether an image's label is among its ``count`` likeliest classes, (images,)."""
        found: NDArray[np.bool_] = (self.top5[:, :count] == labels[:, np.newaxis]).any(axis=1)
        return found


@dataclass(frozen=True, eq=False)
class Statistics:
    """What the logits say.

    Attributes:
        names: the images'.
        labels: their classes; None without.
        class_names: the checkpoint's.
        answers: runtime -> what it says of every image.
        runtimes: the accuracy of each, without its speed, memory and versions.
        pairs: every two of them.
        disputed: the images, by their place, whose top class differs between any two.
    """

    names: Sequence[str]
    labels: Sequence[int | None]
    class_names: Sequence[str]
    answers: Mapping[str, Answers]
    runtimes: tuple[RuntimeAccuracy, ...]
    pairs: tuple[Pair, ...]
    disputed: tuple[int, ...]


def measure(
    logits: Mapping[str, Iterable[NDArray[Any]]],
    labels: Sequence[int | None],
    names: Sequence[str],
    class_names: Sequence[str],
) -> Statistics:
    """Accuracy of each runtime, every two compared, and where they disagree.

    Args:
        logits: runtime -> blocks of (n, classes), in the order of the images. Blocks may differ in
            size, also between runtimes; `in_blocks` makes them of an array.
        labels: the class of each image; None where it has none.
        names: of the images.
        class_names: output index -> name.

    Raises:
        ValueError: for blocks that do not add up to the images, or of another width, and for a
            label that is no class.
    """
    truth = np.array([_NO_LABEL if label is None else label for label in labels], np.int32)
    if not all(label is None or 0 <= label < len(class_names) for label in labels):
        raise ValueError(f"a label is not one of {len(class_names)} classes")
    if len(names) != len(truth):
        raise ValueError(f"{len(truth)} labels for {len(names)} images")
    apart = dict.fromkeys(combinations(logits, 2), 0.0)
    parts: dict[str, list[Answers]] = {runtime: [] for runtime in logits}
    done = 0
    for blocks in _in_step(logits):
        size = len(next(iter(blocks.values())))
        for runtime, block in blocks.items():
            if block.shape[1:] != (len(class_names),):
                raise ValueError(f"{runtime}: logits of {block.shape[1:]}, not {len(class_names)}")
            parts[runtime].append(answers(block, truth[done : done + size]))
        for first, second in apart:
            found = _largest_difference(blocks[first], blocks[second])
            apart[first, second] = max(apart[first, second], found)
        done += size
    if logits and done != len(truth):
        raise ValueError(f"logits of {done} images for {len(truth)}")
    said = {runtime: _joined(of, len(class_names)) for runtime, of in parts.items()}
    pairs = [_pair(*pair, said, truth, most) for pair, most in apart.items()]
    accuracies = [_accuracy(name, said[name], truth, names, class_names) for name in said]
    disputed = np.zeros(len(truth), bool)
    for first, second in apart:
        disputed |= said[first].top1 != said[second].top1
    places = tuple(np.flatnonzero(disputed).tolist())
    return Statistics(names, labels, class_names, said, tuple(accuracies), tuple(pairs), places)


def in_blocks(logits: NDArray[Any], rows: int = _ROWS) -> Iterator[NDArray[Any]]:
    """An array of (images, classes), which may be on the disk, as blocks of so many rows."""
    for start in range(0, len(logits), rows):
        yield np.asarray(logits[start : start + rows])


def answers(logits: NDArray[Any], labels: NDArray[np.int32]) -> Answers:
    """What logits of (images, classes) say, given labels of (images,); a negative one is none."""
    finite = np.isfinite(logits).all(axis=1)
    clean = np.where(finite[:, np.newaxis], logits, logits.dtype.type(0))
    best = np.where(finite[:, np.newaxis], top(clean, _TOP), NO_ANSWER).astype(np.int32)
    usable = clean.astype(np.float64)
    # log Σ exp(x) = m + log Σ exp(x - m), which neither overflows nor vanishes.
    most = usable.max(axis=1)
    spread = np.log(np.exp(usable - most[:, np.newaxis]).sum(axis=1))
    labelled = finite & (labels >= 0)
    own = np.take_along_axis(usable, np.maximum(labels, 0)[:, np.newaxis], axis=1)[:, 0]
    loss = np.where(labelled, spread + (most - own), np.nan)
    return Answers(best, np.where(finite, np.exp(-spread), np.nan), loss)


def share(count: int, of: int) -> Share:
    """A share with its 95 % interval by Wilson's score.

    Unlike the textbook's p ± 1.96 √(p (1 - p) / n), it neither leaves 0 to 1 nor shrinks to nothing
    where all images are right, and it holds for few images.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference,
    Journal of the American Statistical Association 22 (1927), 209-212.
    """
    if not of:
        return Share(0, 0, 0.0, 1.0)
    p, z2 = count / of, _Z * _Z / of
    centre = (p + z2 / 2) / (1 + z2)
    half = math.sqrt(z2 * (p * (1 - p) + z2 / 4)) / (1 + z2)
    low = centre - half if count else 0.0
    return Share(count, of, low, centre + half if count < of else 1.0)


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided p of McNemar's exact test: are two runtimes right equally often?

    If they are, each image that one of them alone has right is a toss of a coin. p is the
    probability of a result at least as uneven, 2 P(X ≤ min) of a binomial X, at most 1; 1 where
    neither has an image right that the other has not.

    Source: Q. McNemar, Psychometrika 12 (1947), 153-157, with the binomial distribution instead of
    its approximation by χ².
    """
    total, least = only_first + only_second, min(only_first, only_second)
    if only_first == only_second:
        return 1.0
    # P(X = least) as a logarithm, so that it does not overflow, and the terms below it over that.
    ways = math.lgamma(total + 1) - math.lgamma(least + 1) - math.lgamma(total - least + 1)
    term = below = 1.0
    for smaller in range(least, 0, -1):
        term *= smaller / (total - smaller + 1)
        if below + term == below:
            break
        below += term
    return min(1.0, 2 * math.exp(ways - total * math.log(2)) * below)


def _in_step(logits: Mapping[str, Iterable[NDArray[Any]]]) -> Iterator[dict[str, NDArray[Any]]]:
    """Blocks of the same images of every runtime, however each one's are cut."""
    waiting = {runtime: iter(blocks) for runtime, blocks in logits.items()}
    rest: dict[str, NDArray[Any]] = {}
    while waiting:
        for runtime, blocks in waiting.items():
            while not len(rest.get(runtime, ())) and (block := next(blocks, None)) is not None:
                rest[runtime] = block
        sizes = {runtime: len(rest.get(runtime, ())) for runtime in waiting}
        if not (size := min(sizes.values())):
            if any(sizes.values()):
                ended = ", ".join(runtime for runtime, left in sizes.items() if not left)
                raise ValueError(f"{ended}: fewer logits than the other runtimes have")
            return
        yield {runtime: rest[runtime][:size] for runtime in waiting}
        rest = {runtime: block[size:] for runtime, block in rest.items()}


def _largest_difference(first: NDArray[Any], second: NDArray[Any]) -> float:
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return math.inf
    return float(np.abs(first.astype(np.float64) - second).max(initial=0.0))


def _joined(parts: Sequence[Answers], classes: int) -> Answers:
    if not parts:
        return Answers(np.empty((0, min(_TOP, classes)), np.int32), *[np.empty(0)] * 2)
    return Answers(
        np.concatenate([part.top5 for part in parts]),
        np.concatenate([part.probability for part in parts]),
        np.concatenate([part.loss for part in parts]),
    )


def _pair(
    first: str, second: str, said: Mapping[str, Answers], truth: NDArray[np.int32], most: float
) -> Pair:
    one, other = (said[name].right(truth, 1) for name in (first, second))
    only = int((one & ~other).sum()), int((other & ~one).sum())
    differing = int((said[first].top1 != said[second].top1).sum())
    return Pair(first, second, differing, *only, mcnemar(*only), most)


def _accuracy(
    runtime: str,
    said: Answers,
    truth: NDArray[np.int32],
    names: Sequence[str],
    class_names: Sequence[str],
) -> RuntimeAccuracy:
    labelled = truth != _NO_LABEL
    count = int(labelled.sum())
    right = [said.right(truth, count) for count in (1, _TOP)]
    top1, top5 = (share(int(each.sum()), count) if count else None for each in right)
    known = said.loss[np.isfinite(said.loss)]
    lost = np.flatnonzero(said.top1 == NO_ANSWER).tolist()
    totals, *counts = (
        np.bincount(truth[chosen], minlength=len(class_names)).tolist()
        for chosen in (labelled, *right)
    )
    return RuntimeAccuracy(
        runtime,
        "measured",
        top1=top1,
        top5=top5,
        loss=float(known.mean()) if known.size else None,
        not_finite=tuple(names[place] for place in lost),
        classes=tuple(
            ClassAccuracy(index, class_names[index], *(share(of[index], total) for of in counts))
            for index, total in enumerate(totals)
            if total
        ),
        images=len(truth),
    )
