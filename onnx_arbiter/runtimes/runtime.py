"""What a runtime is to the arbiter, and the runs that are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from onnx_arbiter.graph import Array
from onnx_arbiter.judge import NodeRunner, Observed
from onnx_arbiter.network import Network


class RunModel(Protocol):
    """Runs an ONNX file."""

    def __call__(
        self, model: Path, inputs: Mapping[str, Array], wanted: Sequence[str]
    ) -> Mapping[str, Array]:
        """The outputs that are wanted, by name."""


@dataclass(frozen=True)
class Runtime:
    """A program that runs ONNX files.

    Attributes:
        name: ``onnxruntime``, …
        ways: how it runs a file -> what runs it so; the first is the runtime's default.
        alone: computes single nodes; None if the program cannot.
    """

    name: str
    ways: Mapping[str, RunModel]
    alone: NodeRunner | None = None


def observe(
    network: Network, inputs: Mapping[str, Array], runtime: Runtime, folder: Path
) -> list[Observed]:
    """Run a network in a runtime, as it is and with a tap at every value.

    The first run is that of the untouched file, by the runtime's default: taps can keep a runtime
    from fusing nodes. The others have every value; the last also has each node alone.
    """
    graph = network.graph
    default = next(iter(runtime.ways))
    plain = runtime.ways[default](network.untouched(folder), inputs, graph.outputs)
    values = [name for node in graph.nodes for name in node.outputs if name]
    tapped = network.tapped(values, folder)
    runs = [Observed(f"{runtime.name}, the file as it is", dict(plain))]
    for way, run in runtime.ways.items():
        taps = run(tapped, inputs, values)
        changed = [name for name in graph.outputs if name in taps and _differs(taps, plain, name)]
        notes = (
            (f"taps change the bits of {', '.join(changed)}: the file as it is runs otherwise",)
            if changed and way == default
            else ()
        )
        runs.append(Observed(f"{runtime.name}, {way}, every value", dict(taps), notes=notes))
    runs[-1].alone = runtime.alone
    return runs


def _differs(one: Mapping[str, Array], other: Mapping[str, Array], name: str) -> bool:
    return not np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f")
