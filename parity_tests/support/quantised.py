"""Quantised inputs of tests, drawn from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from onnx_arbiter.graph import Array
from onnx_arbiter.operators.operation import Operation
from onnx_arbiter.operators.rules import RULES
from parity_tests.support.operators import node_of

# operator, inputs, attributes
Form: TypeAlias = tuple[str, Sequence[Array], dict[str, Any]]
RNG = np.random.default_rng(0)


def uint8(*shape: int) -> Array:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def int8(*shape: int) -> Array:
    return RNG.integers(-128, 128, shape).astype(np.int8)


def scale(*values: float) -> Array:
    return np.array(values[0] if len(values) == 1 else values, np.float32)


def unsigned(value: int) -> Array:
    return np.array(value, np.uint8)


def signed(value: int) -> Array:
    return np.array(value, np.int8)


def int32(*shape: int) -> Array:
    return RNG.integers(-5000, 5000, shape).astype(np.int32)


STRIDED = {"strides": (2, 1), "dilations": (1, 2), "group": 2, "pads": (1, 0, 0, 2)}


def operation_of(operator: str, inputs: Sequence[Array | None], **attributes: Any) -> Operation:
    return RULES[operator](node_of(operator, inputs, **attributes), inputs)
