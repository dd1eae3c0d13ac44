"""What a worker process is to do, what it leaves, and what it reports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vgg16_parity.runtimes.lanes import Device
from vgg16_parity.runtimes.registry import Runtime
from vgg16_spec import layouts

# What to compute of each case: the logits; every tap; every tap and each layer alone.
Depth = Literal["logits", "taps", "layers"]
# What a worker leaves of a case. Of a run: its taps, and its layers alone. Of a backward pass: the
# taps that a ReLU ends, the gradients, and the parameters and their velocity after a step of SGD.
Result = Literal["accumulated", "local", "branch", "gradients", "parameters", "velocity"]


@dataclass(frozen=True)
class ArrayFolder(Mapping[str, NDArray[Any]]):
    """A folder's arrays by name, in the order in which they were written; empty without a folder.

    Each read maps the file anew: the pages of a file that stays mapped count as this process's
    memory. The files are numbered, since a user's port may call its taps anything.
    """

    path: Path

    def write(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write arrays into the new folder, with a copy of one of them at most."""
        self.path.mkdir()
        for index, values in enumerate(arrays.values()):
            np.save(self.path / f"{index}.npy", layouts.contiguous(values), allow_pickle=False)
        (self.path / "names.json").write_text(json.dumps(list(arrays)), encoding="utf-8")

    def __getitem__(self, name: str) -> NDArray[Any]:
        index = {known: index for index, known in enumerate(self)}[name]
        path = self.path / f"{index}.npy"
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped

    def __iter__(self) -> Iterator[str]:
        file = self.path / "names.json"
        return iter(json.loads(file.read_text(encoding="utf-8")) if file.exists() else ())

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True)
class Job:
    """What a worker process does; paths are absolute.

    Attributes:
        task: run the network on the cases; export the runtime's graph; compute the gradients of the
            cases and take a step of SGD; or compute the logits of shards of a data set.
        runtime: what computes.
        lane: the lane's name.
        checkpoint: the canonical checkpoint.
        folder: where the worker leaves ``record.json`` and its results; it creates the folder.
        device: where it computes. An export needs the CPU only, wherever its graph will run.
        cases: folders, as ``onnx_arbiter.expectations`` writes them.
        probes: the folder of every layer's dense inputs, as ``vgg16_parity.network.probes`` writes
            it; empty without.
        depth: what to compute of each case in a run.
        model: the folder of the exported graph, for a runtime that runs one.
        plan: the file of the shards, as ``vgg16_parity.runtimes.shards`` writes it.
    """

    task: Literal["run", "export", "gradients", "shards"]
    runtime: Runtime
    lane: str
    checkpoint: str
    folder: str
    device: Device = "cpu"
    cases: tuple[str, ...] = ()
    probes: str = ""
    depth: Depth = "layers"
    model: str = ""
    plan: str = ""

    def result(self, case: str, kind: Result) -> ArrayFolder:
        """A result of a case."""
        return ArrayFolder(Path(self.folder) / f"{Path(case).name}.{kind}")

    def to_text(self) -> str:
        """As JSON, for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> Job:
        """The inverse of `to_text`."""
        values = json.loads(text)
        runtime, cases = Runtime(**values["runtime"]), tuple(values["cases"])
        return cls(**values | {"runtime": runtime, "cases": cases})


@dataclass(frozen=True)
class Record:
    """What a worker process reports.

    Attributes:
        error: why it failed, in one line; empty if it did not.
        unavailable: whether the reason is a device or a precision that is not available.
        versions: package -> version.
        device: what it ran on.
        threads: how many threads it was free to use.
        flags: the framework's own switches that decide how it computes.
        seconds: stage -> seconds.
        peak_bytes: the process's peak memory, mapped files included; 0 if unknown.
        repeats: whether a second run of the first case gave the same bits; empty in every lane but
            the strict one, which alone is run twice.
        differs_from: the first tap with other bits; empty if there is none.
        own_mode: the numeric mode that the runtime computes in where it is not its lane's; absent
            where it is.
    """

    error: str = ""
    unavailable: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    device: str = ""
    threads: int = 0
    flags: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    peak_bytes: int = 0
    repeats: Literal["", "equal", "differs"] = ""
    differs_from: str = ""
    own_mode: str = field(default="", metadata={"may be absent": True})
