"""Mistakes that ports make of single nodes, as ONNX Runtime computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from onnx_arbiter.evaluate import Step
from onnx_arbiter.graph import Array, Node
from parity_tests.support.operators import evaluated, node_of, run_alone

Inputs = Sequence[Array | None]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@dataclass(frozen=True)
class Planted:
    """A node, and what a port computes in its place.

    Attributes:
        operator, inputs, attributes: the node.
        changed: attributes that the port has; None removes one.
        read: what the port makes of the inputs.
        instead: the port's operator.
        words: the cause.
    """

    operator: str
    inputs: Inputs
    words: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    changed: Mapping[str, Any] = field(default_factory=dict)
    read: Callable[[list[Any]], list[Any]] = lambda inputs: inputs
    instead: str = ""

    def node(self) -> Node:
        return node_of(self.operator, self.inputs, **self.attributes)

    def observed(self) -> tuple[Step, Array]:
        """The arbiter's step, and what ONNX Runtime computes with the mistake."""
        node = self.node()
        step = evaluated(node, self.inputs)
        given = self.read(list(self.inputs))
        stated = {**node.attributes, **self.changed}
        wrong = replace(
            node,
            operator=self.instead or self.operator,
            inputs=tuple(f"x{i}" if v is not None else "" for i, v in enumerate(given)),
            attributes={name: value for name, value in stated.items() if value is not None},
        )
        return step, run_alone(wrong, step, given)[0]


def at(index: int, change: Callable[[Any], Any]) -> Callable[[list[Any]], list[Any]]:
    return lambda inputs: [change(v) if i == index else v for i, v in enumerate(inputs)]


def in_float32(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda values: np.ascontiguousarray(change(values), np.float32)


MAPS, KERNELS, BIAS = normal(2, 6, 9, 8), normal(6, 6, 3, 3, seed=1), normal(6, seed=2)
SQUARE = {"pads": (1, 1, 1, 1)}
STRIDED = {"pads": (1, 1, 1, 1), "strides": (2, 2)}
STATISTICS = [
    normal(6, seed=1), normal(6, seed=2), normal(6, seed=3), np.abs(normal(6, seed=4)) + 0.1,
]  # fmt: skip
BATCH = [normal(4, 6, 5, 5), *STATISTICS]
TOKENS = [normal(2, 7, 16), normal(16, seed=1), normal(16, seed=2)]
POOL = {"kernel_shape": (3, 3), "strides": (2, 2)}
SCALES = np.array([1, 1, 2, 2], np.float32)


def updated(share: float) -> Callable[[list[Any]], list[Any]]:
    def read(inputs: list[Any]) -> list[Any]:
        maps, scale, bias, mean, variance = inputs
        axes = (0, 2, 3)
        return [
            maps, scale, bias,
            (1 - share) * mean + np.float32(share) * maps.mean(axes),
            (1 - share) * variance + np.float32(share) * maps.var(axes, ddof=1),
        ]  # fmt: skip

    return read


def of_batch(inputs: list[Any]) -> list[Any]:
    return [*inputs[:3], inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3))]


PLANTED: dict[str, Planted] = {
    "padding": Planted(
        "Conv", [MAPS, KERNELS, BIAS], "as if its padding were on the other side",
        {"pads": (0, 0, 1, 1)}, {"pads": (1, 1, 0, 0)},
    ),
    "SAME_UPPER": Planted(
        "Conv", [normal(2, 6, 8, 8), KERNELS, BIAS],
        "as if its padding were TensorFlow's SAME, with less before than after",
        STRIDED, {"pads": None, "auto_pad": "SAME_UPPER"},
    ),
    "symmetric padding": Planted(
        "Conv", [normal(2, 6, 8, 8), KERNELS, BIAS],
        "as if its padding were the same on both sides",
        {"auto_pad": "SAME_UPPER", "strides": (2, 2)}, {"auto_pad": None, "pads": (1, 1, 1, 1)},
    ),
    "no padding": Planted(
        "Conv", [MAPS, KERNELS, BIAS], "as if its padding were missing", SQUARE, {"pads": None}
    ),
    "flipped": Planted(
        "Conv", [MAPS, KERNELS, BIAS], "as if its kernel were turned by 180°", SQUARE,
        read=at(1, in_float32(lambda w: w[:, :, ::-1, ::-1])),
    ),
    "height and width": Planted(
        "Conv", [MAPS, KERNELS, BIAS], "as if its kernel had height and width exchanged", SQUARE,
        read=at(1, in_float32(lambda w: w.swapaxes(2, 3))),
    ),
    "channels": Planted(
        "Conv", [MAPS, KERNELS, BIAS],
        "as if its kernel had input and output channels exchanged", SQUARE,
        read=at(1, in_float32(lambda w: w.swapaxes(0, 1))),
    ),
    "groups": Planted(
        "Conv", [MAPS, normal(6, 3, 3, 3), BIAS],
        "as if its output channels were interleaved between its groups",
        {**SQUARE, "group": 2},
        read=at(1, in_float32(lambda w: w.reshape(2, 3, 3, 3, 3).swapaxes(0, 1).reshape(w.shape))),
    ),
    "no bias": Planted(
        "Conv", [MAPS, KERNELS, BIAS], "as if its bias were missing", SQUARE, read=lambda v: v[:2]
    ),
    "bias twice": Planted(
        "Gemm", [normal(5, 20), normal(20, 6), BIAS], "as if its bias were added twice",
        read=at(2, lambda b: 2 * b),
    ),
    "turned ConvTranspose": Planted(
        "ConvTranspose", [MAPS, KERNELS, BIAS], "as if its kernel were turned by 180°", SQUARE,
        read=at(1, in_float32(lambda w: w[:, :, ::-1, ::-1])),
    ),
    "transposed": Planted(
        "Gemm", [normal(5, 12), normal(12, 12), normal(12)], "as if its weights were transposed",
        changed={"transB": 1},
    ),
    "transposed product": Planted(
        "MatMul", [normal(5, 12), normal(12, 12)], "as if its weights were transposed",
        read=at(1, in_float32(lambda w: w.T)),
    ),
    "flatten order": Planted(
        "Gemm", [normal(5, 5 * 9), normal(8, 5 * 9), normal(8)],
        "as if its weights were for inputs flattened as (H, W, C), of 5 × 3 × 3", {"transB": 1},
        read=at(1, in_float32(lambda w: w.reshape(8, 5, 9).swapaxes(1, 2).reshape(w.shape))),
    ),
    "weights in float16": Planted(
        "Conv", [MAPS, KERNELS, BIAS], "as if its weights were rounded to float16", SQUARE,
        read=lambda v: [v[0], *(w.astype(np.float16).astype(np.float32) for w in v[1:])],
    ),
    "weights with 5 decimals": Planted(
        "Gemm", [normal(5, 20), normal(20, 6), BIAS],
        "as if its weights were rounded to 5 decimals",
        read=lambda v: [v[0], *(np.round(w.astype(float), 5).astype(np.float32) for w in v[1:])],
    ),
    "float16": Planted(
        "MatMul", [normal(50, 30), normal(30, 40)],
        "as if its operands were rounded to 11 bits (TF32 or float16)",
        read=lambda v: [w.astype(np.float16).astype(np.float32) for w in v],
    ),
    "epsilon": Planted(
        "BatchNormalization", BATCH, "as if its epsilon were 0.001",
        {"epsilon": 1e-5}, {"epsilon": 1e-3},
    ),
    "Keras's epsilon": Planted(
        "BatchNormalization", BATCH, "as if its epsilon were 1.1e-05",
        {"epsilon": 1e-5}, {"epsilon": 1.1e-5},
    ),
    "training": Planted(
        "BatchNormalization", BATCH,
        "as if its statistics were those of the batch, as in training", read=of_batch,
    ),
    "momentum": Planted(
        "BatchNormalization", BATCH,
        "as if its statistics had been updated with this batch, of which they took 0.1",
        read=updated(0.1),
    ),
    "a standard deviation": Planted(
        "BatchNormalization", BATCH, "as if its variance were a standard deviation",
        read=at(4, np.square),
    ),
    "LayerNorm's epsilon": Planted(
        "LayerNormalization", TOKENS, "as if its epsilon were 1e-12 or 1e-07 or 1e-08",
        {"epsilon": 1e-5}, {"epsilon": 1e-12},
    ),
    "LayerNorm's scale": Planted(
        "LayerNormalization", [normal(2, 7, 16), normal(16, seed=1)],
        "as if its scale were missing", read=at(1, np.ones_like),
    ),
    "InstanceNorm": Planted(
        "InstanceNormalization", [normal(2, 6, 5, 5), BIAS, BIAS[::-1].copy()],
        "as if its epsilon were 0.001", {"epsilon": 1e-5}, {"epsilon": 1e-3},
    ),
    "GELU by tanh": Planted(
        "Gelu", [normal(300)], "as if its GELU were computed by tanh instead of erf",
        {}, {"approximate": "tanh"},
    ),
    "GELU by erf": Planted(
        "Gelu", [normal(300)], "as if its GELU were computed by erf instead of tanh",
        {"approximate": "tanh"}, {"approximate": None},
    ),
    "slope": Planted(
        "LeakyRelu", [normal(300)], "as if its slope below zero were 0.2",
        {"alpha": 0.3}, {"alpha": 0.2},
    ),
    "leaky": Planted(
        "Relu", [normal(300)], "as if its slope below zero were 0.01", instead="LeakyRelu"
    ),
    "no ReLU": Planted("Relu", [normal(300)], "as if it were left out", instead="Identity"),
    "ReLU6": Planted(
        "Clip", [4 * normal(300), np.array(0, np.float32), np.array(6, np.float32)],
        "as if its upper limit were missing", read=lambda v: v[:2],
    ),
    "hard sigmoid": Planted(
        "HardSigmoid", [2 * normal(300)], "as if its slope were 0.2",
        {"alpha": 1 / 6}, {"alpha": 0.2},
    ),
    "sigmoid": Planted(
        "HardSigmoid", [2 * normal(300)], "as if it were the sigmoid, which is not hard",
        instead="Sigmoid", attributes={"alpha": 1 / 6}, changed={"alpha": None},
    ),
    "softmax": Planted(
        "Softmax", [normal(6, 5, 4)], "as if it went over the axis 1", {"axis": -1}, {"axis": 1}
    ),
    "scale of attention": Planted(
        "Mul", [normal(6, 5), np.array(0.125, np.float32)], "as if it were left out",
        read=at(1, np.ones_like),
    ),
    "residual": Planted(
        "Add", [normal(6, 5), normal(6, 5, seed=1)], "as if it only passed its second input on",
        read=at(0, np.zeros_like),
    ),
    "concatenated": Planted(
        "Concat", [normal(6, 5), normal(6, 5, seed=1)], "as if its inputs were in reverse order",
        {"axis": 1}, read=lambda v: v[::-1],
    ),
    "ceil_mode": Planted(
        "MaxPool", [normal(1, 2, 8, 8)], "as if its ceil_mode were 1", POOL, {"ceil_mode": 1}
    ),
    "count_include_pad": Planted(
        "AveragePool", [normal(1, 2, 8, 8)], "as if its average included the padding",
        {**POOL, **SQUARE}, {"count_include_pad": 1},
    ),
    "pool": Planted(
        "MaxPool", [normal(1, 2, 8, 8)], "as if it took the average, not the maximum",
        POOL, instead="AveragePool",
    ),
    "pool's padding": Planted(
        "MaxPool", [normal(1, 2, 8, 8)],
        "as if its padding were TensorFlow's SAME, with less before than after",
        STRIDED | POOL, {"pads": None, "auto_pad": "SAME_UPPER"},
    ),
    "global pool": Planted(
        "GlobalAveragePool", [normal(1, 2, 8, 8)], "as if it took the maximum, not the average",
        instead="GlobalMaxPool",
    ),
    "align_corners": Planted(
        "Resize", [normal(1, 2, 5, 5), None, SCALES], "as if its coordinates were align_corners",
        {"mode": "linear"}, {"coordinate_transformation_mode": "align_corners"},
    ),
    "nearest": Planted(
        "Resize", [normal(1, 2, 5, 5), None, SCALES * np.array([1, 1, 0.75, 0.75], np.float32)],
        "as if its rounding were floor",
        {"nearest_mode": "round_prefer_ceil"}, {"nearest_mode": "floor"},
    ),
    "layout": Planted(
        "Flatten", [normal(2, 3, 4, 5)], "as if it flattened as (H, W, C)",
        read=at(0, in_float32(lambda x: np.moveaxis(x, 1, -1))),
    ),
    "DepthToSpace": Planted(
        "DepthToSpace", [normal(2, 8, 3, 3)], "as if its mode were CRD",
        {"blocksize": 2}, {"mode": "CRD"},
    ),
}  # fmt: skip
