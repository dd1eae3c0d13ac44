"""What the engines share: the exported graph, its tapped copy, and the copy cut into layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from export import MODEL_FILE
from export.load import open_model
from onnx_arbiter.runtimes.runtime import Compute as ByName
from vgg16_parity.runtimes.adapters.exported import write_graph
from vgg16_parity.runtimes.adapters.framework import Taps, Values, cores
from vgg16_parity.runtimes.job import Depth, Job
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.settings import Unavailable
from vgg16_spec.architecture import Shape

# An opened graph: the arrays of its inputs in, those of its outputs out, both in their order.
Compute: TypeAlias = Callable[[Sequence[Values]], Sequence[Values]]


@dataclass(frozen=True)
class Graph:
    """An ONNX file to open.

    Attributes:
        path: the file; the engines share its folder.
        inputs, outputs: the names of its inputs and outputs.
        own: where to write the graph in the engine's own format; any suffix may be added.
    """

    path: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    own: Path

    @classmethod
    def of(cls, path: Path, folder: Path) -> Graph:
        """The graph in a file; what an engine writes goes into the folder."""
        graph = open_model(path).graph
        return cls(path, _names(graph.inputs), _names(graph.outputs), folder / path.stem)

    def model(self) -> ir.Model:
        """The graph itself, for an engine whose own format is written from it."""
        return open_model(self.path)


def _names(values: Sequence[ir.Value]) -> tuple[str, ...]:
    return tuple(str(value.name) for value in values)


@dataclass
class EngineGraph:
    """The exported file in an engine; its taps and layers come from modified copies beside it.

    Attributes:
        job: what to compute.
        open: opens a graph in the engine.
        flags, device, threads, own_mode: as `Evaluator`.
    """

    job: Job
    open: Callable[[Graph], Compute]
    flags: dict[str, str]
    own_mode: str = ""
    device: str = "cpu"
    threads: int = field(default_factory=cores)
    _opened: tuple[Depth, list[Shape] | None, Graph, Compute] | None = field(
        default=None, init=False, repr=False
    )

    def __post_init__(self) -> None:
        self._open("logits" if self.job.depth == "logits" else "taps")

    def forward(self, images: Values, *, logits_only: bool) -> Taps:
        """As `Evaluator`."""
        return self._run("logits" if logits_only else "taps", [images])

    def layers(self, images: Values, given: Taps) -> Taps:
        """As `Evaluator`."""
        return self._run("layers", [images, *given.values()])

    def _run(self, kind: Depth, inputs: Sequence[Values]) -> Taps:
        sizes = [values.shape for values in inputs] if kind == "layers" else None
        graph, compute = self._open(kind, sizes)
        outputs = compute([np.ascontiguousarray(values, np.float32) for values in inputs])
        # The graph's last output is called `logits`; every other one has its tap's name.
        return dict(zip([*graph.outputs[:-1], "predictions"], outputs, strict=True))

    def _open(self, kind: Depth, sizes: list[Shape] | None = None) -> tuple[Graph, Compute]:
        if self._opened is None or self._opened[:2] != (kind, sizes):
            # One at a time, since each holds the weights.
            self._opened = None
            exported = Path(self.job.model) / MODEL_FILE
            graph = Graph.of(write_graph(exported, kind, sizes), Path(self.job.folder))
            self._opened = (kind, sizes, graph, self.open(graph))
        return self._opened[2:]


def constant(value: ir.Value | None) -> Values:
    """The array of an initializer, as float32."""
    assert value is not None
    assert value.const_value is not None
    return np.ascontiguousarray(value.const_value.numpy(), np.float32)


def ints(node: ir.Node, attribute: str) -> tuple[int, ...]:
    """An attribute of integers."""
    return tuple(node.attributes[attribute].as_ints())


def by_order(graph: Graph, compute: ByName) -> Compute:
    """A graph that an engine of any graph has opened, its arrays by order in place of names."""

    def ordered(inputs: Sequence[Values]) -> list[Values]:
        found = compute(dict(zip(graph.inputs, inputs, strict=True)))
        return [np.asarray(found[name], np.float32) for name in graph.outputs]

    return ordered


def require_float32(job: Job, engine: str) -> None:
    """Raise ``Unavailable`` in a lane of another precision than float32."""
    if (precision := LANES[job.lane].precision) != "float32":
        raise Unavailable(f"{engine} is run in float32, not in {precision}")
