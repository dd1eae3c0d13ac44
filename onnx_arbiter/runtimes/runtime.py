"""What a runtime is to the arbiter, and the runs that are made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.judge.run import NodeRunner, NotRunAlone, Observed
from onnx_arbiter.models.network import Network
from onnx_arbiter.models.onnx_file import printable
from onnx_arbiter.models.to_onnx import model_of
from onnx_arbiter.numeric_modes import Mode
from vgg16_spec.errors import BadInput

if TYPE_CHECKING:
    import onnx

# Runs a model: its inputs by name, and the names of the outputs that are wanted.
RunOne: TypeAlias = (
    "Callable[[onnx.ModelProto, Mapping[str, Array], Sequence[str]], Mapping[str, Array]]"
)
# An opened graph: its inputs by name in, its outputs by name out.
Compute: TypeAlias = Callable[[Mapping[str, Array]], dict[str, Array]]


class RunModel(Protocol):
    """Runs an ONNX file.

    Raises ``BadInput`` where the program refuses the file. Values that it cannot give are left out.
    """

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
        modes: way -> finds the numeric mode in which it computes float32 here.
        says: of a file, what there is to say of how it is run; None if nothing ever is.
    """

    name: str
    ways: Mapping[str, RunModel]
    alone: NodeRunner | None = None
    modes: Mapping[str, Callable[[], Mode]] = field(default_factory=dict)
    says: Callable[[Path], tuple[str, ...]] | None = None

    def mode(self, way: str) -> tuple[Mode | None, tuple[str, ...]]:
        """The mode of a way, None for the one that is asked for, and what is to be said of it."""
        found = self.modes[way]() if way in self.modes else None
        if found is None or found.name == "float32":
            return None, ()
        return found, (f"computes in {found.name} on this machine, and is judged so",)


def observe(
    network: Network, inputs: Mapping[str, Array], runtime: Runtime, folder: Path
) -> list[Observed]:
    """Run a network in a runtime, as it is and with a tap at every value.

    The first run is that of the untouched file, by the runtime's default: taps can keep a runtime
    from fusing nodes. The others have every value; the last also has each node alone. A way that
    refuses the copy with every value is left out, and the first run says so.

    Raises:
        BadInput: the runtime refuses the file as it is.
    """
    graph = network.graph
    default = next(iter(runtime.ways))
    untouched = network.untouched(folder)
    plain = runtime.ways[default](untouched, inputs, graph.outputs)
    values = [name for node in graph.nodes for name in node.outputs if name]
    tapped = network.tapped(values, folder)
    mode, said = runtime.mode(default)
    said += runtime.says(untouched) if runtime.says is not None else ()
    runs = [Observed(f"{runtime.name}, the file as it is", dict(plain), notes=said, mode=mode)]
    for way, run in runtime.ways.items():
        try:
            taps = run(tapped, inputs, values)
        except BadInput as error:
            runs[0].notes += (f"{way}, every value: {error.problem}",)
            continue
        changed = [
            name
            for name in graph.outputs
            if name in taps and name in plain and _differs(taps, plain, name)
        ]
        mode, said = runtime.mode(way)
        notes = said + (
            (f"taps change the bits of {', '.join(changed)}: the file as it is runs otherwise",)
            if changed and way == default
            else ()
        )
        name = f"{runtime.name}, {way}, every value"
        runs.append(Observed(name, dict(taps), notes=notes, mode=mode))
    runs[-1].alone = runtime.alone
    return runs


def _differs(one: Mapping[str, Array], other: Mapping[str, Array], name: str) -> bool:
    return not np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f")


@contextmanager
def refusals(runtime: str, model: Path) -> Iterator[None]:
    """Raise ``BadInput`` for whatever a program raises where it opens and runs a file.

    The exceptions of most programs share no base.
    """
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(model, f"{runtime} does not run it ({first_line(error)})") from error


def of_file(runtime: str, run: RunOne) -> RunModel:
    """Make what runs a file of what runs a model; ``runtime`` is the program's name in messages."""

    def run_file(
        model: Path, inputs: Mapping[str, Array], wanted: Sequence[str]
    ) -> Mapping[str, Array]:
        import onnx

        with refusals(runtime, model):
            return run(onnx.load(model), inputs, wanted)

    return run_file


def each_alone(runtime: str) -> Callable[[RunOne], NodeRunner]:
    """Make a `NodeRunner` of what runs a model of one node: (model, inputs, wanted) -> outputs.

    ``runtime`` is the program's name in messages.
    """

    def decorate(run: RunOne) -> NodeRunner:
        @wraps(run)
        def run_node(
            node: Node,
            inputs: Mapping[str, Array],
            constants: Mapping[str, Array],
            types: Mapping[str, np.dtype[Any]],
        ) -> Mapping[str, Array]:
            model = model_of([node], types, inputs, constants)
            with _refusals_alone(runtime):
                return run(model, inputs, [name for name in node.outputs if name])

        return run_node

    return decorate


@contextmanager
def _refusals_alone(runtime: str) -> Iterator[None]:
    """The same where it opens and runs one node: raise `NotRunAlone`."""
    try:
        yield
    except Exception as error:
        reason = f"{runtime} does not run it alone ({first_line(error)})"
        raise NotRunAlone(reason) from error


def first_line(error: Exception) -> str:
    """The first line that says something of what an exception says, or its name.

    OpenVINO first says where in its sources it was, in lines that end with a colon.
    """
    lines = [line for text in str(error).splitlines() if (line := text.strip())]
    says = [line for line in lines if not line.endswith(":")]
    return printable(next(iter(says or lines), type(error).__name__))
