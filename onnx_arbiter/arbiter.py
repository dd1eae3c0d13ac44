"""Judge what any program computed from an ONNX graph: arrays in, verdicts out.

with Arbiter("model.onnx") as arbiter:
    arbiter.assert_within_rounding(my_port(arbiter.inputs))
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self, TypeAlias

from onnx_arbiter.error_model import Float64
from onnx_arbiter.evaluate import walk
from onnx_arbiter.graph import Array
from onnx_arbiter.judge.explain import explain
from onnx_arbiter.judge.judging import judge
from onnx_arbiter.judge.records import Report
from onnx_arbiter.judge.run import NodeRunner, Observed
from onnx_arbiter.limits import LIMITS, Limits
from onnx_arbiter.memory import peak_memory
from onnx_arbiter.models.foreign_arrays import array_of
from onnx_arbiter.models.inputs import checked_inputs, seeded_inputs
from onnx_arbiter.models.network import Model, Network
from onnx_arbiter.models.onnx_file import printable
from onnx_arbiter.numeric_modes import MODES
from onnx_arbiter.spill import Spill
from onnx_arbiter.values import Value
from vgg16_spec.errors import BadInput, few, require_one_of
from vgg16_spec.files.scratch import scratch_folder

# What a program computed: outputs or any values by name, the outputs in order, or the only one.
Computed: TypeAlias = "Mapping[str, Array] | Sequence[Array] | Array"
_NO_SHAPES: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType({})


class Arbiter:
    """The float64 values of a network for some inputs, and the errors to expect of a runtime.

    Args:
        model: an ONNX file, a ``ModelProto``, an ``onnx_ir.Model``, or a `Graph` built by hand.
        inputs: by name; by default seeded ones of the declared shapes.
        mode: the numeric mode that the program computes in, one of ``numeric_modes.MODES``.
        shapes: of inputs whose sizes the model leaves open, for seeded inputs.
        seed: of the seeded inputs.
        limits: R and Z.

    Raises:
        BadInput: the model, the inputs or the mode cannot be used.
    """

    def __init__(
        self,
        model: Model,
        inputs: Mapping[str, Array] | None = None,
        *,
        mode: str = "float32",
        shapes: Mapping[str, tuple[int, ...]] = _NO_SHAPES,
        seed: int = 0,
        limits: Limits = LIMITS,
    ) -> None:
        self.mode = MODES[require_one_of("mode", mode, tuple(MODES))]
        self.limits = limits
        self.network = Network.open(model)
        self._inputs = (
            seeded_inputs(self.network.graph, seed, shapes)
            if inputs is None
            else checked_inputs(self.network.graph, inputs, "inputs")
        )
        self._temporary = ExitStack()
        self.folder = self._temporary.enter_context(scratch_folder("onnx-arbiter"))
        self._remove_folder = weakref.finalize(self, self._temporary.close)
        self._known = dict[str, Value]()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Where the folder is full, what was raised in it becomes a line that says so.
        self._temporary.__exit__(kind, error, trace)

    def close(self) -> None:
        """Remove the temporary files."""
        self._remove_folder()

    @property
    def inputs(self) -> dict[str, Array]:
        """The network's inputs by name; copies."""
        return {name: values.copy() for name, values in self._inputs.items()}

    def value(self, name: str) -> Array:
        """A value of the graph, evaluated in float64."""
        return self._value(name).values

    def sigma(self, name: str) -> Float64:
        """The predicted standard deviation of a runtime's error at each element of a value."""
        return self._value(name).deviation(self.mode)

    def _value(self, name: str) -> Value:
        graph = self.network.graph
        if name not in graph.producers:
            expected = f"the name of one, as the outputs {few(map(printable, graph.outputs))} have"
            raise BadInput(printable(name), "is no value that the network computes", expected)
        if name not in self._known:
            steps = walk(graph, self._inputs, [self.mode], wanted=[name], keep=Spill(self.folder))
            for step in steps:
                if name in step.node.outputs:
                    if reason := step.reason(self.mode):
                        raise BadInput(printable(name), f"cannot be judged: {reason}")
                    self._known[name] = step.outputs[name]
        return self._known[name]

    def judge(
        self, computed: Computed, *, name: str = "outputs", alone: NodeRunner | None = None
    ) -> Report:
        """Judge what a program computed from ``inputs``.

        Args:
            computed: any of the graph's values by name, the outputs in the graph's order, or the
                only one; arrays, or tensors of any framework.
            name: the program's name in the report.
            alone: computes single nodes, if the program can.

        Raises:
            BadInput: a name is of no value, or there are more or fewer outputs than the graph has.
        """
        return self.judge_runs([Observed(name, self.named(computed), alone)])

    def judge_runs(self, observed: Sequence[Observed], **options: Any) -> Report:
        """Judge several runs in one walk; ``options`` are those of `judging.judge`."""
        start = time.perf_counter()
        graph = self.network.graph
        options = {"limits": self.limits, "keep": Spill(self.folder), **options}
        found = judge(graph, self._inputs, observed, self.mode, **options)
        return Report(
            model=graph.name,
            mode=self.mode.name,
            inputs={name: values.shape for name, values in self._inputs.items()},
            runs=found.runs,
            nodes=found.nodes,
            not_judged=dict(found.not_judged),
            seconds=time.perf_counter() - start,
            peak_bytes=peak_memory(),
        )

    def assert_within_rounding(self, computed: Computed, *, name: str = "outputs") -> None:
        """Raise ``AssertionError``, with what is wrong in words, unless ``computed`` holds."""
        report = self.judge(computed, name=name)
        if not report.holds:
            raise AssertionError(explain(report))

    def named(self, computed: Computed) -> dict[str, Array]:
        """What a program computed, by the names of the graph's values."""
        outputs = self.network.graph.outputs
        if isinstance(computed, Mapping):
            known = {*self.network.graph.producers, *self.network.graph.constants}
            if odd := [name for name in computed if name not in known]:
                problem = f"{few(map(printable, odd))}: no value of the network has this name"
                raise BadInput("outputs", problem, f"outputs: {few(map(printable, outputs))}")
            if not computed:
                raise BadInput("outputs", "nothing to compare", "one value at least")
            return {name: _array(name, values) for name, values in computed.items()}
        # Tensors can be iterated over, too: along their first axis.
        values = list(computed) if isinstance(computed, Sequence) else [computed]
        if len(values) != len(outputs):
            problem = f"{len(values)} arrays for {len(outputs)} outputs"
            raise BadInput("outputs", problem, f"one each of {few(map(printable, outputs))}")
        return {name: _array(name, v) for name, v in zip(outputs, values, strict=True)}


def _array(name: str, values: Any) -> Array:
    return array_of("outputs", printable(name), values, "one array")
