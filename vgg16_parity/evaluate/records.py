"""What an evaluation finds; the reports are written from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from vgg16_parity.evaluate.datasets.items import Kind, Skipped

# Of figures that JSON cannot write and has null for.
_MAY_BE_INFINITE: Final[Mapping[str, bool]] = MappingProxyType({"may be infinite": True})
_NOT_IN_JSON: Final[Mapping[str, bool]] = MappingProxyType({"not in JSON": True})

# What a changed answer is: the two best classes are closer than rounding; the runtime is wrong;
# the weights were quantised, which the error model does not cover; or nothing was asked.
Cause = Literal["inside", "mistake", "quantised", "not judged"]


@dataclass(frozen=True)
class Share:
    """A share of images.

    Attributes:
        count: how many images.
        of: out of how many.
        low: the lower end of the share's 95 % interval by Wilson (1927), 0 to 1.
        high: its upper end.
    """

    count: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share, 0 to 1; 0 of no images."""
        return self.count / self.of if self.of else 0.0


@dataclass(frozen=True)
class ClassAccuracy:
    """How many images of one class are right.

    Attributes:
        index: the network's output.
        name: its name in the checkpoint.
        top1: images whose likeliest class it is.
        top5: images that have it among the five likeliest.
    """

    index: int
    name: str
    top1: Share
    top5: Share


@dataclass(frozen=True)
class LogitsCheck:
    """What the arbiter says of a runtime's logits, whatever its answers.

    Attributes:
        passed: whether rounding explains them.
        images: how many images were judged.
        ratio: R, the rms error over the predicted rms; infinite if undefined.
        deviations: Z, the largest error in predicted standard deviations; infinite if undefined.
    """

    passed: bool
    images: int
    ratio: float = field(metadata=_MAY_BE_INFINITE)
    deviations: float = field(metadata=_MAY_BE_INFINITE)


@dataclass(frozen=True)
class RuntimeAccuracy:
    """One runtime on the data set.

    Attributes:
        name: the runtime.
        status: ``measured``, ``not run`` with the reason of one line, or ``failed`` likewise.
        reason: empty where it was measured.
        top1: of the images with a label, those whose likeliest class it is; None without labels.
        top5: the same of the five likeliest classes.
        loss: mean cross-entropy in nats of the images with a label and finite logits; None without.
        not_finite: names of images with a logit that is infinite or not a number; they count as
            wrong.
        logits: what the arbiter says of its logits; None where it was not asked.
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
    not_finite: tuple[str, ...] = ()
    logits: LogitsCheck | None = None
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
        first: one runtime's name.
        second: the other's.
        differing: images whose top class differs.
        only_first: images that only the first has right.
        only_second: images that only the second has right.
        p: of McNemar's exact test that both are right equally often; 1 where neither has an image
            right that the other has not.
        largest_difference: of any logit; infinite where one is not finite.
    """

    first: str
    second: str
    differing: int
    only_first: int
    only_second: int
    p: float
    largest_difference: float = field(metadata=_MAY_BE_INFINITE)


@dataclass(frozen=True)
class Answer:
    """A runtime's answer to a disputed image.

    Attributes:
        runtime: its name.
        top5: class indices, best first; empty where the logits are not finite.
        cause: what the arbiter says of it; ``inside`` as well where it is the arbiter's own class.
        margin: the arbiter's logit of its best class minus that of this answer; 0 for its own,
            infinite for none.
        sigma: the predicted standard deviation of this margin's error in this runtime.
        wrong_layer: the first layer whose errors rounding cannot explain; empty where none is.
    """

    runtime: str
    top5: tuple[int, ...]
    cause: Cause
    margin: float = field(default=0.0, metadata=_MAY_BE_INFINITE)
    sigma: float = field(default=0.0, metadata=_MAY_BE_INFINITE)
    wrong_layer: str = ""

    @property
    def deviations(self) -> float:
        """The margin in predicted standard deviations."""
        if not self.margin:
            return 0.0
        return self.margin / self.sigma if self.sigma else math.inf


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
    thumbnail: bytes = field(default=b"", metadata=_NOT_IN_JSON)


@dataclass(frozen=True)
class Published:
    """An accuracy that others publish for weights like these.

    Attributes:
        source: who publishes it.
        top1: in percent.
        top5: in percent.
        preparation: how the images were prepared, in words.
        same_weights: whether the checkpoint says that its values come from that publisher's file.
    """

    source: str
    top1: float
    top5: float
    preparation: str
    same_weights: bool = False


@dataclass(frozen=True)
class Evaluation:
    """Everything that an evaluation found.

    Attributes:
        dataset: what the user called it.
        kind: how it is kept.
        images: how many were computed.
        labelled: how many of those have a label.
        mapping: how labels became classes, in one line.
        duplicates: images with the bytes of another, which count once.
        unreadable: images that do not count, and why.
        weights: the checkpoint's label.
        weights_sha256: the digest of its canonical file.
        recipe: how images were prepared.
        view: ``centre crop``, or what was done instead, in one line.
        class_names: the checkpoint's, in the order of the outputs.
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
