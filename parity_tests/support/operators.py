"""Hold the arbiter's rule of an operator against a runtime's float32 arithmetic, draw by draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from onnx_arbiter.evaluate import Step, walk
from onnx_arbiter.graph import Array, Constant, Graph, Input, Node
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.models.to_onnx import model_of
from onnx_arbiter.numeric_modes import MODES, Mode
from onnx_arbiter.operators.operation import UNIT
from parity_tests.support.operator_tolerances import CARRIED, OWN_LEAST, OWN_MOST

FLOAT32 = MODES["float32"]
DRAWS = 200
# Makes the inputs of one draw; None for an optional one that is left out.
Draw: TypeAlias = "Callable[[np.random.Generator], Sequence[Array | None]]"


def node_of(
    operator: str,
    inputs: Sequence[Array | None],
    outputs: int = 1,
    version: int = 21,
    **attributes: Any,
) -> Node:
    """A node that reads ``x0``, ``x1``, … and computes ``y0``, ``y1``, …"""
    names = tuple(f"x{i}" if values is not None else "" for i, values in enumerate(inputs))
    made = tuple(f"y{i}" for i in range(outputs))
    return Node("node", operator, names, made, attributes, version=version)


def evaluated(
    node: Node, inputs: Sequence[Array | None], mode: Mode = FLOAT32, constants: Sequence[int] = ()
) -> Step:
    """The arbiter's step of a node alone, whose inputs are exact."""
    named = {n: v for n, v in zip(node.inputs, inputs, strict=True) if n and v is not None}
    fixed = {f"x{index}" for index in constants}
    graph = Graph(
        (node,),
        {n: Input(v.dtype, v.shape) for n, v in named.items() if n not in fixed},
        node.outputs,
        {n: Constant.of(v) for n, v in named.items() if n in fixed},
    )
    [step] = walk(graph, {n: v for n, v in named.items() if n not in fixed}, [mode])
    assert not step.why, step.why
    return step


def run_alone(node: Node, step: Step, inputs: Sequence[Array | None]) -> list[Array]:
    """What ONNX Runtime computes for a node, without optimising anything."""
    named = {n: v for n, v in zip(node.inputs, inputs, strict=True) if n and v is not None}
    types = {name: value.dtype for name, value in step.outputs.items()}
    model = model_of([node], types, named)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(list(node.outputs), named))


@dataclass(frozen=True)
class Measured:
    """What a runtime's errors are in units of those predicted.

    Attributes:
        ratio: R over all draws and outputs: rms(error) / rms(predicted).
        deviations: Z, the largest error in its own predicted deviations.
        carried: the same R for errors put on the inputs, whose effect float64 shows.
    """

    ratio: float
    deviations: float
    carried: float


def measure(
    node: Node,
    draw: Draw,
    *,
    draws: int = DRAWS,
    run: Callable[[Node, Step, Sequence[Array | None]], Sequence[Array]] = run_alone,
    perturbation: float = 1e-5,
    output: int = 0,
) -> Measured:
    """Measure a node's rule on random inputs.

    Args:
        node: the node.
        draw: its inputs, exact in float32.
        draws: how many times.
        run: the runtime.
        perturbation: relative size of the errors on the inputs for ``carried``.
        output: which output is measured.
    """
    observed, predicted, moved, carried, largest = 0.0, 0.0, 0.0, 0.0, 0.0
    name = node.outputs[output]
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        inputs = draw(rng)
        step = evaluated(node, inputs)
        values, deviation = step.outputs[name].values, step.local_deviation(name, FLOAT32)
        got = np.asarray(run(node, step, inputs)[output], np.float64)
        assert got.shape == values.shape
        error = np.abs(got - values)
        observed += float(np.square(error).mean())
        predicted += float(np.square(deviation).mean())
        if error.any():
            largest = max(largest, float((error[error > 0] / deviation[error > 0]).max()))
        changed, expected = _perturbed(node, inputs, rng, perturbation, name)
        moved += float(np.square(changed - values).mean())
        carried += float(expected.mean())
    return Measured(
        float(np.sqrt(observed / predicted)) if observed else 0.0,
        largest,
        float(np.sqrt(moved / carried)) if moved else 0.0,
    )


def _perturbed(
    node: Node, inputs: Sequence[Array | None], rng: np.random.Generator, size: float, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The output for inputs with errors of a relative size, and the variance predicted of that."""
    from onnx_arbiter.operators.rules import rule_of

    rule = rule_of(node)
    assert rule is not None
    exact = [
        None if v is None else v.astype(np.float64) if v.dtype.kind == "f" else v for v in inputs
    ]
    deviations = [
        None if v is None or v.dtype.kind != "f" else size * np.maximum(np.abs(v), 1e-3)
        for v in exact
    ]
    shifted = [
        v if v is None or s is None else v + s * rng.standard_normal(v.shape)
        for v, s in zip(exact, deviations, strict=True)
    ]
    index = node.outputs.index(name)
    operation = rule(node, exact)
    variance = operation.carried(
        [None if s is None else np.square(s / UNIT).astype(np.float32) for s in deviations]
    )[index]
    assert variance is not None
    changed = np.asarray(rule(node, shifted).outputs[index], np.float64)
    return changed, np.asarray(variance, np.float64) * UNIT**2


def assert_predicted(measured: Measured, least: float = OWN_LEAST.limit) -> None:
    """Errors must have the predicted size, from both sides.

    ``least`` is for a node whose errors are known to be smaller; the caller says why.
    """
    assert least <= measured.ratio <= OWN_MOST.limit, measured
    assert measured.deviations <= LIMITS.deviations.limit, measured
    assert abs(measured.carried - 1) <= CARRIED.limit, measured
