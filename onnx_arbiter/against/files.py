"""Two graphs of one network against each other: before and after an optimiser, another exporter's,
fewer bits.

Both are walked in float64, so that they differ by what is different in the files, and never by how
a runtime rounds. A difference within what both may have as rounding errors is none: weights that
were folded in float32 are as far off. A quantised graph may also differ by its steps.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from onnx_arbiter.against.graphs import GraphComparison
from onnx_arbiter.against.matching import Shelf
from onnx_arbiter.against.quantisation import is_quantised, with_quantisation
from onnx_arbiter.evaluate import Progress, Step, walk
from onnx_arbiter.graph import Array, Graph
from onnx_arbiter.judge.records import Report
from onnx_arbiter.limits import LIMITS, Limits
from onnx_arbiter.memory import peak_memory
from onnx_arbiter.models.network import Network
from onnx_arbiter.models.onnx_file import printable
from onnx_arbiter.numeric_modes import MODES, Mode, is_float
from onnx_arbiter.spill import Spill
from onnx_arbiter.values import Value
from vgg16_spec.errors import BadInput, few


def compare_graphs(
    network: Network,
    other: Network,
    inputs: Mapping[str, Array],
    mode: Mode,
    folder: Path,
    *,
    limits: Limits = LIMITS,
    progress: Progress | None = None,
) -> Report:
    """Compare another graph of a network with it.

    Args:
        network: the network.
        other: another graph of it, whose inputs have the same names, or shapes in the same order.
        inputs: the network's, by name.
        mode: the numeric mode whose errors are allowed.
        folder: an empty one, for the first graph's values.
        limits: R and Z.
        progress: as for `walk`, of each walk.

    Raises:
        BadInput: the other graph has other inputs, or another number of outputs.
    """
    start = time.perf_counter()
    given, of_other = _shared_inputs(network.graph, other.graph, inputs)
    partners = _outputs(network.graph, other.graph)
    shelf, nodes = Shelf(folder, mode, limits), 0
    quantised = [graph.name for graph in (network.graph, other.graph) if is_quantised(graph)]
    for step in _steps(network.graph, given, mode, folder, progress):
        nodes += 1
        for name, value in {}.items() if step.reason(mode) else step.outputs.items():
            if value.values.dtype.kind == "f" or name in network.graph.outputs:
                shelf.add(name, step.node.operator, value)
    comparison = GraphComparison(network.graph, other.graph, shelf, mode, limits, partners)
    for step in _steps(other.graph, of_other, mode, folder, progress):
        nodes += 1
        comparison.add(step)
    notes = [f"{printable(name)}: half a step of each quantised value is allowed"
             for name in quantised]  # fmt: skip
    run = comparison.run([*notes, *comparison.of_outputs], given)
    return Report(
        model=f"{network.graph.name}",
        mode=mode.name,
        inputs={name: values.shape for name, values in given.items()},
        runs=(run,),
        nodes=nodes,
        not_judged=comparison.not_judged,
        seconds=time.perf_counter() - start,
        peak_bytes=peak_memory(),
    )


def _steps(
    graph: Graph, inputs: Mapping[str, Array], mode: Mode, folder: Path, progress: Progress | None
) -> Iterator[Step]:
    """The walk, with the errors of quantised values."""
    spill, changed = Spill(folder), dict[str, Value]()
    mode = _mode_of(graph, mode)

    def keep(name: str, value: Value) -> Value:
        return spill(name, changed.pop(name, value))

    for step in walk(graph, inputs, [mode], progress=progress, keep=keep):
        found = with_quantisation(step, mode)
        changed.clear()
        changed.update(found.outputs)
        yield found


def _mode_of(graph: Graph, mode: Mode) -> Mode:
    """The mode, with what a graph that keeps weights in fewer bits has rounded in its file."""
    kept = {constant.dtype.name for constant in graph.constants.values()}
    for name in ("bfloat16", "float16"):
        if name in kept:
            narrow = MODES[name]
            return replace(
                mode,
                stored=max(mode.stored, narrow.stored),
                smallest=max(mode.smallest, narrow.smallest),
            )
    return mode


def _outputs(graph: Graph, other: Graph) -> dict[str, str]:
    """The second graph's outputs -> the first's: by name, else by order."""
    if len(graph.outputs) != len(other.outputs):
        problem = f"has {len(other.outputs)} outputs, {printable(graph.name)} {len(graph.outputs)}"
        raise BadInput(printable(other.name), problem, "two files of one network")
    if set(graph.outputs) == set(other.outputs):
        return {name: name for name in other.outputs}
    return dict(zip(other.outputs, graph.outputs, strict=True))


def _shared_inputs(
    graph: Graph, other: Graph, inputs: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Both graphs' inputs: equal values, which are numbers of the type with fewer bits."""
    by_name = set(graph.inputs) == set(other.inputs)
    if not by_name and len(graph.inputs) != len(other.inputs):
        problem = f"has the inputs {few(map(printable, other.inputs), 8)}"
        raise BadInput(printable(other.name), problem, few(map(printable, graph.inputs), 8))
    given, of_other = dict[str, Array](), dict[str, Array]()
    for name, partner in zip(graph.inputs, other.inputs, strict=True):
        theirs = name if by_name else partner
        declared = other.inputs[theirs]
        values = inputs[name]
        if is_float(declared.dtype) != is_float(values.dtype):
            problem = f"the input {printable(theirs)} is {declared.dtype}"
            raise BadInput(printable(other.name), problem, str(values.dtype))
        given[name] = values.astype(declared.dtype).astype(values.dtype)
        of_other[theirs] = _shaped(values.astype(declared.dtype), declared.shape, theirs, other)
    return given, of_other


def _shaped(
    values: Array, shape: Sequence[int | str | None] | None, name: str, graph: Graph
) -> Array:
    """Values in a declared shape, channels first or last."""

    def fits(sizes: tuple[int, ...]) -> bool:
        return shape is None or (
            len(shape) == len(sizes)
            and all(not isinstance(a, int) or a == s for a, s in zip(shape, sizes, strict=True))
        )

    turned = [np.moveaxis(values, 1, -1), np.moveaxis(values, -1, 1)] if values.ndim > 2 else []
    for candidate in (values, *turned):
        if fits(candidate.shape):
            return np.ascontiguousarray(candidate)
    stated = ", ".join("?" if axis is None else printable(str(axis)) for axis in shape or ())
    problem = f"the input {printable(name)} has the shape ({stated})"
    raise BadInput(printable(graph.name), problem, str(values.shape))
