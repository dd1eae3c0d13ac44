"""What a node computes with a mistake, by NumPy's own functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest

from onnx_arbiter.judge.hypotheses.bits import to_bits, to_float16
from onnx_arbiter.judge.hypotheses.catalogue import mistakes_at
from onnx_arbiter.judge.hypotheses.images import misread
from onnx_arbiter.judge.hypotheses.mistake import outputs_of
from parity_tests.support.operators import node_of
from parity_tests.support.tolerances import FLOAT64_KERNELS

Array = Any


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def computed(
    operator: str, inputs: Sequence[Array | None], words: str, **attributes: Any
) -> list[Array]:
    """What each mistake of these words makes of a node's first output."""
    node = node_of(operator, inputs, **attributes)
    found = []
    for mistake in mistakes_at(node, inputs):
        if mistake.words() == f"as if {words}":
            made = mistake.change(node, inputs)
            assert made is not None
            found.append(made[0])
    return found


A, B, MAPS = normal(2, 3), normal(2, 3, seed=1), normal(2, 4, 3, 3)
SCALE, SHIFT, MEAN = (normal(4, seed=seed) for seed in (1, 2, 3))
VARIANCE = np.abs(normal(4, seed=4)) + 0.1
TOKENS = normal(2, 3, 4)
# Exact in float32, as attributes are.
EPSILON = 2.0**-17
# Exact when 8 of 9 parts are taken, too.
NINE = 9 * 2.0**-20
PICTURES = normal(2, 3, 4, 5)
X4: Final = np.linspace(-4, 8, 25)


def over(values: Array) -> Array:
    """A number per channel, along (N, C, H, W)."""
    return values[:, None, None]


def batch_normalised(
    mean: Array, variance: Array, scale: Array = SCALE, bias: Array = SHIFT
) -> Array:
    unit = (MAPS - over(mean)) / np.sqrt(over(variance) + EPSILON)
    return unit * over(scale) + over(bias)


def of_batch(share: float, ddof: int) -> Array:
    axes = (0, 2, 3)
    mean = (1 - share) * MEAN + share * MAPS.mean(axes)
    return batch_normalised(mean, (1 - share) * VARIANCE + share * MAPS.var(axes, ddof=ddof))


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def gelu_tanh(x: Array) -> Array:
    return np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


def erf(x: Array) -> Array:
    return np.vectorize(math.erf)(x)


def leaky(slope: float) -> Array:
    return np.where(X4 < 0, slope * X4, X4)


def standard(divisor: Callable[[Array], Array], centred: bool = True) -> Array:
    kept = TOKENS - TOKENS.mean(-1, keepdims=True) if centred else TOKENS
    return kept / divisor(np.square(kept).mean(-1, keepdims=True)) * SCALE + SHIFT


BATCH: Final = ("BatchNormalization", [MAPS, SCALE, SHIFT, MEAN, VARIANCE])
LAYER: Final = ("LayerNormalization", [TOKENS, SCALE, SHIFT])
STATED: Final = {"epsilon": EPSILON}
ROOT: Final = "its factor were the root of it"
TAKEN: Final = "its statistics had been updated with this batch, of which they took {}"
W8, X8 = normal(8, 8, seed=5), normal(2, 8)
FIRST: Final = "its weights were for inputs flattened as {}, of 2 × 2 × 2"

# Operator and inputs, attributes, the words -> what they compute.
VALUES: Final[list[tuple[tuple[str, Sequence[Array | None]], dict[str, Any], str, list[Array]]]] = [
    (("Sub", [A, B]), {}, "its operands were exchanged", [B - A]),
    (("Sub", [A, B]), {}, "it only passed its first input on", [A]),
    (("Sub", [A, B]), {}, "it only passed its second input on", [B]),
    (("Where", [A > 0, A, B]), {}, "it only passed its third input on", [B]),
    (("Mul", [A, np.array(0.25)]), {}, ROOT, [A * 0.5]),
    (("Mul", [A, np.array(-0.25)]), {}, ROOT, [A * 0.5]),
    (("Mul", [A, np.array(0.25)]), {}, "its factor were its square", [A * 0.0625]),
    (("Div", [A, np.array(4.0)]), {}, ROOT, [A / 2]),
    (("Div", [A, np.array(4.0)]), {}, "its operands were exchanged", [4 / A]),
    (("Concat", [A, B]), {"axis": 1}, "its inputs were in reverse order", [np.hstack([B, A])]),
    (("Flatten", [PICTURES]), {}, "it flattened as (H, W, C)",
     [PICTURES.transpose(0, 2, 3, 1).reshape(2, 60)]),
    (("Flatten", [PICTURES]), {}, "it flattened as (C, H, W)",
     [PICTURES.transpose(0, 3, 1, 2).reshape(2, 60)]),
    (("Flatten", [PICTURES]), {}, "it flattened with height and width exchanged",
     [PICTURES.swapaxes(2, 3).reshape(2, 60)]),
    (("Pad", [A, np.array([0, 1, 0, 2])]), {}, "its pads were on the other side",
     [np.pad(A, ((0, 0), (2, 1)))]),
    (("Pad", [A, np.array([0, 1, 0, 2])]), {}, "its mode were reflect",
     [np.pad(A, ((0, 0), (1, 2)), mode="reflect")]),
    (("Add", [A, np.array(1e-5)]), {}, "its epsilon were 0.001", [A + 1e-3]),
    (("Add", [np.array([1e-5]), A]), {}, "its epsilon were 0", [A]),
    (BATCH, STATED, "its statistics were those of the batch, as in training", [of_batch(1.0, 0)]),
    (BATCH, STATED, TAKEN.format("0.1"), [of_batch(0.1, 0), of_batch(0.1, 1)]),
    (BATCH, STATED, "its statistics were 0 and 1, as before training",
     [batch_normalised(0 * MEAN, 0 * MEAN + 1)]),
    (BATCH, STATED, "its variance were a standard deviation",
     [batch_normalised(MEAN, VARIANCE**2)]),
    (BATCH, STATED, "its variance were taken for its own root",
     [batch_normalised(MEAN, np.sqrt(VARIANCE))]),
    (BATCH, STATED, "its mean were missing", [batch_normalised(0 * MEAN, VARIANCE)]),
    (BATCH, STATED, "its mean had the other sign", [batch_normalised(-MEAN, VARIANCE)]),
    (BATCH, STATED, "its scale were missing", [batch_normalised(MEAN, VARIANCE, 1 + 0 * SCALE)]),
    (BATCH, STATED, "its bias were missing", [batch_normalised(MEAN, VARIANCE, SCALE, 0 * SHIFT)]),
    (BATCH, STATED, "its scale and bias were exchanged",
     [batch_normalised(MEAN, VARIANCE, SHIFT, SCALE)]),
    (BATCH, STATED, "its scale were one more than it is",
     [batch_normalised(MEAN, VARIANCE, 1 + SCALE)]),
    (LAYER, STATED, "its variance were divided by n - 1",
     [standard(lambda v: np.sqrt(v * 4 / 3 + EPSILON))]),
    (LAYER, {"epsilon": 0.125}, "its epsilon were added to the standard deviation",
     [standard(lambda v: np.sqrt(v) + 0.125)]),
    (LAYER, STATED, "its mean were not subtracted",
     [standard(lambda v: np.sqrt(v + EPSILON), centred=False)]),
    (("InstanceNormalization", [MAPS, SCALE, SHIFT]), {"epsilon": NINE},
     "its variance were divided by n - 1",
     [(MAPS - MAPS.mean((2, 3), keepdims=True))
      / np.sqrt(MAPS.var((2, 3), ddof=1, keepdims=True) + NINE) * over(SCALE) + over(SHIFT)]),
    (("ReduceMean", [MAPS]), {"keepdims": 0}, "its mean were divided by n - 1",
     [np.array(MAPS.sum() / (MAPS.size - 1))]),
    (("ReduceMax", [A]), {"keepdims": 0}, "it took the sum", [np.array(A.sum())]),
    (("Gelu", [X4]), {}, "its GELU were computed by tanh instead of erf",
     [X4 / 2 * (1 + gelu_tanh(X4))]),
    (("Gelu", [X4]), {}, "its GELU were x · sigmoid(1.702 x)", [X4 * sigmoid(1.702 * X4)]),
    (("Gelu", [X4]), {}, "it were a ReLU", [np.maximum(X4, 0)]),
    # Spelt out, x is √2 times the argument of erf.
    (("Erf", [X4]), {}, "its GELU were computed by tanh instead of erf",
     [gelu_tanh(math.sqrt(2) * X4)]),
    (("Erf", [X4]), {}, "its GELU were x · sigmoid(1.702 x)",
     [2 * sigmoid(1.702 * math.sqrt(2) * X4) - 1]),
    (("Tanh", [math.sqrt(2 / math.pi) * (X4 + 0.044715 * X4**3)]), {},
     "its GELU were computed by erf instead of tanh", [erf(X4 / math.sqrt(2))]),
    (("Relu", [X4]), {}, "it ended at 6 (ReLU6)", [np.clip(X4, 0, 6)]),
    (("Relu", [X4]), {}, "its slope below zero were 0.25", [leaky(0.25)]),
    (("LeakyRelu", [X4]), {"alpha": 0.1}, "its slope below zero were 0.01", [leaky(0.01)]),
    (("Elu", [X4]), {}, "its alpha were 0.3", [np.where(X4 < 0, 0.3 * np.expm1(X4), X4)]),
    (("HardSigmoid", [X4]), {}, "its slope were 0.25", [np.clip(0.25 * X4 + 0.5, 0, 1)]),
    (("HardSwish", [X4]), {}, "it were Swish, x · sigmoid(x)", [X4 * sigmoid(X4)]),
    (("HardSwish", [X4]), {}, "its slope were 0.2", [X4 * np.clip(0.2 * X4 + 0.5, 0, 1)]),
    (("Sigmoid", [X4]), {}, "it were a hard sigmoid with the slope 0.2",
     [np.clip(0.2 * X4 + 0.5, 0, 1)]),
    (("Clip", [X4, np.array(0.0), np.array(6.0)]), {}, "its upper limit were missing",
     [np.maximum(X4, 0)]),
    (("Clip", [X4, np.array(0.0), np.array(6.0)]), {}, "its lower limit were missing",
     [np.minimum(X4, 6)]),
    (("MatMul", [X8, W8]), {}, "its weights were transposed", [X8 @ W8.T]),
    (("MatMul", [X8, W8]), {}, FIRST.format("(H, W, C)"),
     [X8 @ W8.reshape(2, 4, 8).swapaxes(0, 1).reshape(8, 8)]),
    (("MatMul", [X8, W8]), {}, FIRST.format("(C, H, W)"),
     [X8 @ W8.reshape(4, 2, 8).swapaxes(0, 1).reshape(8, 8)]),
    (("Gemm", [X8, W8]), {"transB": 1}, FIRST.format("(H, W, C)"),
     [X8 @ W8.reshape(8, 2, 4).swapaxes(1, 2).reshape(8, 8).T]),
    (("Gemm", [X8, W8, B[:, :1]]), {"alpha": 2.0, "beta": 0.5}, "its bias were added twice",
     [2 * X8 @ W8 + B[:, :1]]),
    (("Gemm", [X8, W8]), {"alpha": 2.0}, "its alpha were 1", [X8 @ W8]),
    (("MatMul", [X8, W8]), {}, "its weights were rounded to 3 decimals", [X8 @ np.round(W8, 3)]),
    (("MatMul", [X8, W8]), {}, "its weights were rounded to float16",
     [X8 @ W8.astype(np.float16).astype(float)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("node", "attributes", "words", "expected"),
    VALUES,
    ids=[f"{operator}: {words}" for (operator, _), _, words, _ in VALUES],
)
def test_a_mistake_computes_what_its_words_say(
    node: tuple[str, Sequence[Array | None]],
    attributes: dict[str, Any],
    words: str,
    expected: list[Array],
) -> None:
    found = computed(*node, words, **attributes)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            ours, theirs, rtol=FLOAT64_KERNELS.limit, atol=FLOAT64_KERNELS.limit
        )


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("its alpha were not divided by its size", {"alpha": 3e-2}),
        ("its alpha were divided by its size twice", {"alpha": 1e-2 / 3}),
        ("its bias were 2", {"bias": 2.0}),
    ],
)
def test_a_mistake_in_an_attribute_is_the_node_with_another(
    words: str, changed: dict[str, float]
) -> None:
    attributes: dict[str, Any] = {"size": 3, "alpha": 1e-2}
    node = node_of("LRN", [MAPS], **attributes)
    [found] = computed("LRN", [MAPS], words, **attributes)
    [expected] = outputs_of(replace(node, attributes=attributes | changed), [MAPS])
    np.testing.assert_array_equal(found, expected)


def test_rounding_keeps_so_many_bits() -> None:
    values = np.array([1.0, 1 + 2.0**-10, 1 + 2.0**-11, 1 + 3 * 2.0**-11, -3.0, 0.0, 2.0**-20])
    rounded = [1.0, 1 + 2.0**-10, 1.0, 1 + 2.0**-9, -3.0, 0.0, 2.0**-20]
    assert to_bits(11)(values).tolist() == rounded
    assert to_bits(11, np.trunc)(values)[3] == 1 + 2.0**-10
    assert to_float16(np.array([1e5, 2.0**-30, 1 + 2.0**-10])).tolist() == [
        np.inf, 0.0, 1 + 2.0**-10,
    ]  # fmt: skip


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (2, 4, 4, 3), (1, 3, 4, 5)])
def test_a_misread_input_is_said_and_made(shape: tuple[int, ...]) -> None:
    values = normal(*shape)
    first = shape[1] == 3
    channels, (height, width) = (1, (2, 3)) if first else (3, (1, 2))
    square = shape[height] == shape[width]
    expected = {
        "the channels of the input x were in reverse order (RGB for BGR)":
            np.flip(values, channels),
        **({"the input x had height and width exchanged": values.swapaxes(height, width)}
           if square else {}),
        "the input x were mirrored": np.flip(values, width),
        "the input x were upside down": np.flip(values, height),
        "the input x had been reshaped from NHWC to NCHW, not transposed":
            values.transpose(0, 2, 3, 1).reshape(shape),
        "the input x had been reshaped from NCHW to NHWC, not transposed":
            values.transpose(0, 3, 1, 2).reshape(shape),
        "the input x were divided by 255": values / 255,
        "the input x were multiplied by 255": values * 255,
    }  # fmt: skip
    found = dict(misread("x", values))
    assert list(found) == list(expected)
    for words, made in expected.items():
        np.testing.assert_array_equal(found[words], made, err_msg=words)


@pytest.mark.parametrize("values", [normal(2, 3), normal(1, 3, 4, 4).astype(np.int64)])
def test_only_images_are_misread(values: Array) -> None:
    assert list(misread("x", values)) == []
