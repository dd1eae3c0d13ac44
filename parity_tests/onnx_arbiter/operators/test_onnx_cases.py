"""The cases by which ONNX defines each operator: the arbiter's values are theirs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from onnx_arbiter.evaluate import walk
from onnx_arbiter.models.network import Network
from parity_tests.support.operator_tolerances import ONNX_CASES, ONNX_CASES_BFLOAT16

# Of about 1,500 cases whose inputs and outputs are tensors of numbers.
FEWEST: Final = 1370
# ONNX Runtime computes these otherwise than ONNX, by the size of the output that is rounded down.
OTHERWISE: Final = {
    "test_resize_downsample_scales_linear_align_corners",
    "test_resize_downsample_scales_cubic_align_corners",
}


def cases() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the cases are computed with NumPy, which warns of infinity
        from onnx.backend.test.case.node import collect_testcases

        yield from collect_testcases(None)


def is_numeric(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind not in "SUO"


def evaluated(model: Any, given: list[Any]) -> dict[str, Any] | None:
    """Every value of a case; None where the arbiter says that it cannot evaluate a node."""
    graph = Network.open(model).graph
    names = [value.name for value in model.graph.input]
    inputs = dict(zip(names, given, strict=False))
    found: dict[str, Any] = dict(inputs)
    found |= {name: constant.read() for name, constant in graph.constants.items()}
    for step in walk(graph, inputs, []):
        if step.why:
            return None
        found |= {name: value.values for name, value in step.outputs.items()}
    return found


def test_values_are_those_that_onnx_states() -> None:
    agree, wrong = 0, list[str]()
    for case in cases():
        given, stated = case.data_sets[0]
        if not all(map(is_numeric, (*given, *stated))) or case.name in OTHERWISE:
            continue
        if (found := evaluated(case.model, list(given))) is None:
            continue
        few = ONNX_CASES_BFLOAT16 if "bf16" in case.name or "bfloat16" in case.name else ONNX_CASES
        for output, values in zip(case.model.graph.output, stated, strict=True):
            exact = np.asarray(values).astype(np.float64)
            close = found[output.name].shape == exact.shape and np.allclose(
                found[output.name].astype(np.float64),
                exact,
                rtol=few.limit,
                atol=few.limit,
                equal_nan=True,
            )
            if not close:
                wrong.append(case.name)
                break
        else:
            agree += 1
    assert not wrong
    assert agree >= FEWEST
