"""What an evaluation's runtimes computed: logits in files, in the order of the images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from vgg16_parity.evaluate.datasets.items import Item, Skipped
from vgg16_parity.runtimes.lanes import Device
from vgg16_parity.runtimes.registry import Runtime
from vgg16_parity.runtimes.shards import Logits
from vgg16_spec.errors import BadInput


@dataclass(frozen=True)
class MeasuredRuntime:
    """One runtime.

    Attributes:
        runtime: what computed.
        lane: the lane's name.
        device: where it was asked to compute.
        status: ``measured``, ``not run`` with the reason of one line, or ``failed`` likewise.
        reason: empty where it was measured.
        files: a ``.npy`` file per shard; empty unless measured.
        counts: how many images are in each.
        classes: of the network.
        result_type: ``float32`` for logits, ``float64`` for log-posteriors averaged over views.
        computed: images that it computed in this run; the others were there.
        versions: package -> version.
        flags: the framework's switches.
        own_mode: the numeric mode that it computed in if not its lane's; otherwise empty.
        peak_bytes: of its process; 0 if unknown.
        seconds: stage -> seconds, of this run: ``run`` is computing alone.
    """

    runtime: Runtime
    lane: str
    device: Device
    status: Literal["measured", "not run", "failed"]
    reason: str = ""
    files: tuple[Path, ...] = ()
    counts: tuple[int, ...] = ()
    classes: int = 0
    result_type: str = "float32"
    computed: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)
    own_mode: str = ""
    peak_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The runtime's."""
        return self.runtime.name

    @property
    def images_per_second(self) -> float:
        """Of those of this run, its own computing alone; 0 where there were none."""
        spent = self.seconds.get("run", 0.0)
        return self.computed / spent if self.computed and spent else 0.0

    def blocks(self) -> Iterator[Logits]:
        """Logits (N, classes), mapped from its files one by one, in the order of the images.

        Log-posteriors are logits too: of the posteriors that they are the logarithms of.

        Raises ``BadInput`` for a file that is damaged or gone.
        """
        for file, count in zip(self.files, self.counts, strict=True):
            try:
                found = np.load(file, mmap_mode="r" if count else None, allow_pickle=False)
            except (OSError, ValueError) as error:
                raise BadInput(file, "is damaged", "the file as it was written") from error
            if found.shape != (count, self.classes) or found.dtype != self.result_type:
                problem = f"has {found.dtype} of shape {found.shape}"
                expected = f"{self.result_type} of shape {(count, self.classes)}"
                raise BadInput(file, problem, expected)
            yield found

    def logits_of(self, place: int) -> Logits:
        """Those of one image, (classes,). Raises ``BadInput`` as `blocks` does."""
        for block in self.blocks():
            if place < len(block):
                return np.array(block[place])
            place -= len(block)
        raise IndexError(place)

    def logits(self) -> Logits:
        """All of them in memory, (images, classes)."""
        empty = np.empty((0, self.classes), self.result_type)
        return np.concatenate([empty, *self.blocks()])


@dataclass(frozen=True)
class Measured:
    """Every runtime on a data set.

    Attributes:
        items: the images that were computed, in order: row i of every runtime's logits is item i.
        unreadable: those of the data set that are no pictures.
        runtimes: one per runtime asked for, in order.
        weights_sha256: of the canonical file.
        decode_seconds: the processor's seconds of reading and resizing pictures in this run.
        seconds: of this run in all.
    """

    items: tuple[Item, ...]
    unreadable: tuple[Skipped, ...]
    runtimes: tuple[MeasuredRuntime, ...]
    weights_sha256: str
    decode_seconds: float
    seconds: float
