"""What an evaluation finds; the reports are written from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vgg16_parity.evaluate.datasets.items import Kind, Skipped

# What a changed answer is: the two best classes are closer than rounding; the runtime is wrong;
# the weights were quantised, which the error model does not cover; or nothing was asked.
Cause = Literal["inside", "mistake", "quantised", "not judged"]


@dataclass(frozen=True)
class Share:
    """A share of images.

    Attributes:
        count: how many images.
        of: out of how many.
        low, high: the 95 % interval of the share by Wilson (1927).
    """

    count: int
    of: int
    low: float
    high: float


@dataclass(frozen=True)
class ClassAccuracy:
    """One class: its index, its name in the checkpoint, and how many of its images are right."""

    index: int
    name: str
    top1: Share
    top5: Share


@dataclass(frozen=True)
class RuntimeAccuracy:
    """One runtime on the data set.

    Attributes:
        name: the runtime.
        status: ``measured``, ``not run`` with the reason of one line, or ``failed`` likewise.
        reason: empty where it was measured.
        top1, top5: of the images with a label; None without labels.
        loss: mean cross-entropy in nats of the images with a label; None without.
        classes: one per class that has images.
        images: how many it computed, in this run or an earlier one.
        images_per_second: of those of this run, its own computing alone; 0 where there were none.
        peak_bytes: of its process; 0 if unknown.
        versions: package -> version.
        flags: the framework's switches.
    """

    name: str
    status: Literal["measured", "not run", "failed"]
    reason: str = ""
    top1: Share | None = None
    top5: Share | None = None
    loss: float | None = None
    classes: tuple[ClassAccuracy, ...] = ()
    images: int = 0
    images_per_second: float = 0.0
    peak_bytes: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """Two runtimes on the same images.

    Attributes:
        first, second: their names.
        differing: images whose top class differs.
        only_first, only_second: images that only one of them has right.
        p: of McNemar's exact test that both are right equally often; 1 without differing answers.
        largest_difference: of any logit.
    """

    first: str
    second: str
    differing: int
    only_first: int
    only_second: int
    p: float
    largest_difference: float


@dataclass(frozen=True)
class Answer:
    """A runtime's answer to a disputed image.

    Attributes:
        runtime: its name.
        top5: class indices, best first.
        cause: what the arbiter says of it; ``inside`` as well where it is the arbiter's own class.
        margin: the arbiter's logit of its best class minus that of this answer; 0 for its own.
        sigma: the predicted standard deviation of this margin's error in this runtime.
        wrong_layer: the first layer whose errors rounding cannot explain; empty where none is.
    """

    runtime: str
    top5: tuple[int, ...]
    cause: Cause
    margin: float = 0.0
    sigma: float = 0.0
    wrong_layer: str = ""


@dataclass(frozen=True)
class Dispute:
    """An image to which runtimes give different answers.

    Attributes:
        name: the item's.
        label: its class; None without.
        arbiter: the arbiter's top five; empty where it was not asked.
        answers: one per runtime, in the order of the evaluation.
        thumbnail: a PNG of at most 112 pixels a side; empty where the image is gone.
    """

    name: str
    label: int | None
    arbiter: tuple[int, ...]
    answers: tuple[Answer, ...]
    thumbnail: bytes = b""


@dataclass(frozen=True)
class Published:
    """An accuracy that others publish for these weights, in percent, and how it was measured."""

    source: str
    top1: float
    top5: float
    preparation: str


@dataclass(frozen=True)
class Evaluation:
    """Everything that an evaluation found.

    Attributes:
        dataset: what the user called it; ``kind`` is how it is kept.
        images: how many were computed; those with a label are ``labelled``.
        mapping: how labels became classes, in one line.
        duplicates, unreadable: images that do not count, and why.
        weights: the checkpoint's label; ``weights_sha256`` is of its canonical file.
        recipe: how images were prepared.
        view: ``centre crop``, or what was done instead, in one line.
        class_names: the checkpoint's.
        runtimes: one per runtime asked for.
        pairs: each two that were measured.
        disputes: every image that got different answers, the largest margin first.
        published: figures to compare with; empty unless asked for.
        decode_seconds: the processor's seconds of reading and resizing in this run.
        seconds: of this run in all.
    """

    dataset: str
    kind: Kind
    images: int
    labelled: int
    mapping: str
    duplicates: tuple[Skipped, ...]
    unreadable: tuple[Skipped, ...]
    weights: str
    weights_sha256: str
    recipe: str
    view: str
    class_names: tuple[str, ...]
    runtimes: tuple[RuntimeAccuracy, ...]
    pairs: tuple[Pair, ...]
    disputes: tuple[Dispute, ...]
    published: tuple[Published, ...] = ()
    decode_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def mistakes(self) -> int:
        """How many answers are wrong by more than rounding explains."""
        return sum(a.cause == "mistake" for d in self.disputes for a in d.answers)
