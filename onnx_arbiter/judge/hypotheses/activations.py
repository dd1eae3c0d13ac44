"""Mistakes in activations: which one, with which constants, over which axis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.judge.hypotheses.mistake import (
    Arrays,
    Mistake,
    as_operator,
    computed,
    outputs_of,
    with_attributes,
)

_SLOPES: Final = (0.0, 0.01, 0.05, 0.1, 0.2, 0.25, 0.3)
# GELU's tanh form: tanh(√(2/π) (x + 0.044715 x³)); the logistic one: x · sigmoid(1.702 x).
_OUTER: Final = math.sqrt(2 / math.pi)
_INNER: Final = 0.044715
_LOGISTIC: Final = 1.702
_BY_TANH: Final = "every GELU were computed by tanh instead of erf"
_BY_ERF: Final = "every GELU were computed by erf instead of tanh"
_BY_SIGMOID: Final = "every GELU were x · sigmoid(1.702 x)"


def activations(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """The activation's own mistakes, by its operator."""
    del inputs
    finder = _OF_OPERATOR.get(node.operator)
    if finder is not None:
        yield from finder(node)


def _gelu(node: Node) -> Iterator[Mistake]:
    if node.get("approximate", "none") == "tanh":
        yield Mistake("GELU", "were computed by erf instead of tanh",
                      with_attributes(approximate="none"), every=_BY_ERF)  # fmt: skip
    else:
        yield Mistake("GELU", "were computed by tanh instead of erf",
                      with_attributes(approximate="tanh"), every=_BY_TANH)  # fmt: skip
    yield Mistake("GELU", "were x · sigmoid(1.702 x)",
                  computed(lambda x: x * _sigmoid(_LOGISTIC * x)), every=_BY_SIGMOID)  # fmt: skip
    yield Mistake("", "were a ReLU", as_operator("Relu"))


def _erf(_: Node) -> Iterator[Mistake]:
    """Of GELU spelt out: 1 + erf(x / √2), with z = x / √2."""

    def by_tanh(z: Array) -> Array:
        x = math.sqrt(2) * z
        return np.tanh(_OUTER * (x + _INNER * x**3))

    yield Mistake("GELU", "were computed by tanh instead of erf", computed(by_tanh), every=_BY_TANH)
    yield Mistake("GELU", "were x · sigmoid(1.702 x)",
                  computed(lambda z: 2 * _sigmoid(_LOGISTIC * math.sqrt(2) * z) - 1),
                  every=_BY_SIGMOID)  # fmt: skip


def _tanh(node: Node) -> Iterator[Mistake]:
    """Of GELU by tanh spelt out, whose argument is solved for x."""

    def by_erf(argument: Array) -> Array:
        # x + c x³ = w, by Cardano: one real root, as c is positive.
        w = argument / _OUTER
        p, q = 1 / (3 * _INNER), w / (2 * _INNER)
        root = np.cbrt(np.abs(q) + np.sqrt(q * q + p**3))
        x = np.copysign(root - p / root, w)
        erf = Node(node.name, "Erf", node.inputs, node.outputs, version=node.version)
        return outputs_of(erf, [x / math.sqrt(2)])[0]

    yield Mistake("GELU", "were computed by erf instead of tanh", computed(by_erf), every=_BY_ERF)
    yield Mistake("", "were a sigmoid", as_operator("Sigmoid"))


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def _leaky(node: Node) -> Iterator[Mistake]:
    default = {"LeakyRelu": 0.01, "Elu": 1.0, "Relu": 0.0}[node.operator]
    own = node.get("alpha", default)
    for slope in (*_SLOPES, 1.6732632423543772) if node.operator == "Elu" else _SLOPES:
        if abs(slope - own) < 1e-6:
            continue
        words = f"slope below zero were {slope:g}".split(" ", 1)
        if node.operator == "Elu":
            yield Mistake("alpha", f"were {slope:g}", with_attributes(alpha=slope))
        else:
            yield Mistake(words[0], words[1], as_operator("LeakyRelu", alpha=slope),
                          every=f"the slope below zero of every {node.operator} were {slope:g}",
                          )  # fmt: skip


def _relu(node: Node) -> Iterator[Mistake]:
    yield Mistake("", "ended at 6 (ReLU6)", computed(lambda x: np.clip(x, 0, 6)),
                  every="every ReLU ended at 6 (ReLU6)")  # fmt: skip
    yield from _leaky(node)
    yield Mistake("", "were a GELU", as_operator("Gelu"), every="every ReLU were a GELU")


def _clip(_: Node) -> Iterator[Mistake]:
    for limit in ("upper", "lower"):
        index = 2 if limit == "upper" else 1

        def change(node: Node, inputs: Arrays, index: int = index) -> Sequence[Array] | None:
            if index >= len(inputs) or inputs[index] is None:
                return None
            kept = [None if position == index else v for position, v in enumerate(inputs)]
            return outputs_of(node, kept)

        yield Mistake(f"{limit} limit", "were missing", change,
                      every=f"the {limit} limit of every Clip were missing")  # fmt: skip


def _hard_sigmoid(node: Node) -> Iterator[Mistake]:
    yield Mistake("", "were the sigmoid, which is not hard", as_operator("Sigmoid"),
                  every="every HardSigmoid were a sigmoid")  # fmt: skip
    for slope in (1 / 6, 0.2, 0.25):
        if abs(slope - node.get("alpha", 0.2)) > 1e-5:
            yield Mistake("slope", f"were {slope:.4g}", with_attributes(alpha=slope),
                          every=f"the slope of every HardSigmoid were {slope:.4g}")  # fmt: skip


def _hard_swish(_: Node) -> Iterator[Mistake]:
    yield Mistake("", "were Swish, x · sigmoid(x)", computed(lambda x: x * _sigmoid(x)),
                  every="every HardSwish were Swish, x · sigmoid(x)")  # fmt: skip
    yield Mistake("", "were a ReLU", as_operator("Relu"), every="every HardSwish were a ReLU")
    yield Mistake("slope", "were 0.2",
                  computed(lambda x: x * np.clip(0.2 * x + 0.5, 0, 1)))  # fmt: skip


def _of_sigmoid(_: Node) -> Iterator[Mistake]:
    for slope in (1 / 6, 0.2):
        yield Mistake("", f"were a hard sigmoid with the slope {slope:.4g}",
                      as_operator("HardSigmoid", alpha=slope),
                      every=f"every sigmoid were a hard one with the slope {slope:.4g}",
                      )  # fmt: skip
    yield Mistake("", "were a tanh", as_operator("Tanh"))
    yield Mistake("", "were a softmax over the last axis", as_operator("Softmax", axis=-1))


def _selu(_: Node) -> Iterator[Mistake]:
    yield Mistake("", "were an ELU", as_operator("Elu"), every="every SELU were an ELU")


_OF_OPERATOR: Final = {
    "Gelu": _gelu,
    "Erf": _erf,
    "Tanh": _tanh,
    "LeakyRelu": _leaky,
    "Elu": _leaky,
    "Relu": _relu,
    "Clip": _clip,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Sigmoid": _of_sigmoid,
    "Selu": _selu,
}


def softmaxes(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """Softmax and LogSoftmax: the axis, and the logarithm."""
    rank = np.asarray(inputs[0]).ndim
    axis = node.get("axis", -1 if node.version >= 13 else 1) % max(1, rank)
    for other in range(rank):
        if other != axis:
            words = "", f"went over the axis {other}"
            yield Mistake(*words, as_operator(node.operator, axis=other))
    if node.operator == "Softmax":
        yield Mistake("logarithm", "were taken",
                      as_operator("LogSoftmax", **node.attributes))  # fmt: skip
        yield Mistake("", "were a sigmoid", as_operator("Sigmoid"))
    else:
        yield Mistake("logarithm", "were missing", as_operator("Softmax", **node.attributes))
