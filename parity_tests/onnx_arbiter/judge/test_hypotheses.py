"""Which mistakes are tried at a node, in which words, and what each of them computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pytest

from onnx_arbiter.graph import Node
from onnx_arbiter.judge.hypotheses.catalogue import mistakes_at
from onnx_arbiter.judge.hypotheses.mistake import Mistake
from parity_tests.support.operators import node_of

Array = Any


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


A, B, MAPS = normal(2, 3), normal(2, 3, seed=1), normal(2, 4, 3, 3)
SCALE, SHIFT = normal(4, seed=1), normal(4, seed=2)
STATISTICS = [SCALE, SHIFT, normal(4, seed=3), np.abs(normal(4, seed=4)) + 0.1]
_SAME: Final = "TensorFlow's SAME, with less before than after"


def epsilons(of: str) -> list[str]:
    others = (1e-3, 1e-6, 1e-12, 1.001e-5, 1e-4, 1e-7, 1e-8, 1e-2, 1.1e-5, 0.0)
    return [f"its epsilon were {other:g} | {of} were {other:g}" for other in others]


def slopes(operator: str, *others: float) -> list[str]:
    noun = "slope below zero"
    return [f"its {noun} were {o:g} | the {noun} of every {operator} were {o:g}" for o in others]


def padded(operator: str, rest: str) -> str:
    every = f"the padding of every {operator} {rest}"
    return f"its padding {rest} | {every} | every padding {rest}"


def biased(operator: str) -> list[str]:
    return [
        f"its bias were {rest} | the bias of every {operator} were {rest}"
        for rest in ("missing", "added twice")
    ]


_FEWER: Final = ["float16", "bfloat16", *(f"{count} decimals" for count in (7, 6, 5, 4, 3, 8))]
BITS: Final = [
    *(f"its weights were rounded to {w} | all weights were rounded to {w}" for w in _FEWER),
    "its operands were rounded to 11 bits (TF32 or float16)",
    "its operands were rounded to bfloat16", "its operands were cut to TF32",
]  # fmt: skip
LEFT_OUT: Final = "it were left out"
_SCALES: Final = [
    "its scale were missing", "its bias were missing", "its scale and bias were exchanged",
    "its scale were one more than it is", LEFT_OUT,
]  # fmt: skip
_MOMENTA: Final = [
    f"its statistics had been updated with this batch, of which they took {share}"
    for share in ["0.1", "0.01", "0.001", "0.9", "0.99", "0.999", "0.003"]
    for _ in ("its variance", "that with n - 1")
]
_TURNED: Final = [
    f"its kernel {how}"
    for how in ("were turned by 180°", "had height and width exchanged",
                "were turned by 180°, height and width exchanged")
]  # fmt: skip
_FLATTENED: Final = [
    f"flattened {how}"
    for how in ("as (H, W, C)", "as (C, H, W)", "with height and width exchanged")
]
_AVERAGE: Final = "it {0} | every pool {0}".format("took the average, not the maximum")
_MAXIMUM: Final = "it {0} | every pool {0}".format("took the maximum, not the average")
_TRAINING: Final = "were those of the batch, as in training"
_GELUS: Final = ["computed by tanh instead of erf", "x · sigmoid(1.702 x)"]
_ERF: Final = "its GELU were {0} | every GELU were {0}".format("computed by erf instead of tanh")
_FACTORS: Final = ["its factor were the root of it", "its factor were its square"]
_PASSED: Final = [f"it only passed its {which} input on" for which in ("first", "second", "third")]

# Operator -> inputs, attributes, and every mistake in the order in which it is tried:
# "<as if …> | <as if …, throughout> | <the same, at several kinds>".
TRIED: Final[dict[str, tuple[Sequence[Array | None], dict[str, Any], list[str]]]] = {
    "Sub": ([A, B], {}, ["its operands were exchanged", *_PASSED[:2]]),
    "Mul": ([A, np.array(0.25)], {}, [*_FACTORS, LEFT_OUT]),
    "Div": ([A, np.array(4.0)], {}, ["its operands were exchanged", *_FACTORS, LEFT_OUT]),
    **{each: ([A, B], {}, _PASSED[:2]) for each in ("Max", "Min")},
    "Sum": ([A, B, A], {}, _PASSED),
    # The condition is passed on, too.
    "Where": ([A > 0, A, B], {}, _PASSED),
    "Concat": ([A, B], {"axis": 1}, ["its inputs were in reverse order", LEFT_OUT]),
    **{
        each: ([normal(2, 3, 4, 5), *shape], {}, [f"it {w} | every {each} {w}" for w in _FLATTENED])
        for each, shape in (("Flatten", []), ("Reshape", [np.array([2, 60])]))
    },
    "DepthToSpace": (
        [normal(1, 8, 2, 3)], {"blocksize": 2},
        ["its mode were CRD | the mode of every DepthToSpace were CRD", LEFT_OUT],
    ),
    "Pad": (
        [A, np.array([0, 1, 0, 2])], {},
        ["its mode were reflect", "its mode were edge", "its pads were on the other side",
         LEFT_OUT],
    ),
    "Add": ([A, np.array(1e-5)], {}, [*epsilons("every epsilon of 1e-05"), LEFT_OUT]),
    "BatchNormalization": (
        [MAPS, *STATISTICS], {},
        [
            *epsilons("the epsilon of every BatchNormalization"),
            f"its statistics {_TRAINING} | the statistics of every BatchNormalization {_TRAINING}",
            "its statistics were 0 and 1, as before training",
            "its variance were a standard deviation", "its variance were taken for its own root",
            "its mean were missing", "its mean and variance were exchanged",
            "its mean had the other sign", *_MOMENTA, *_SCALES,
        ],
    ),
    "LayerNormalization": (
        [normal(2, 3, 4), SCALE, SHIFT], {},
        [
            *epsilons("the epsilon of every LayerNormalization"),
            "its variance were divided by n - 1 | every variance were divided by n - 1",
            "its epsilon were added to the standard deviation", "its mean were not subtracted",
            *_SCALES,
        ],
    ),
    **{
        f"{each}Normalization": (
            [MAPS, SCALE, SHIFT], groups,
            [*epsilons(f"the epsilon of every {each}Normalization"),
             "its variance were divided by n - 1", *_SCALES],
        )
        for each, groups in (("Instance", {}), ("Group", {"num_groups": 2}))
    },
    "LRN": (
        [MAPS], {"size": 3},
        ["its alpha were not divided by its size", "its alpha were divided by its size twice",
         "its bias were 2", LEFT_OUT],
    ),
    "Softmax": (
        [normal(2, 3, 4)], {},
        [*(f"it went over the axis {axis}" for axis in (0, 1)), "its logarithm were taken",
         "it were a sigmoid", LEFT_OUT],
    ),
    "LogSoftmax": (
        [normal(2, 3, 4)], {"axis": 0},
        [*(f"it went over the axis {axis}" for axis in (1, 2)), "its logarithm were missing",
         LEFT_OUT],
    ),
    "Resize": (
        [normal(1, 2, 5, 5), None, np.array([1, 1, 2, 2], np.float32)], {},
        [
            *(f"its coordinates were {one} | every Resize had the coordinates {one}"
              for one in ("align_corners", "asymmetric", "pytorch_half_pixel")),
            *(f"its rounding were {how}{of}"
              for of in ("", " and its coordinates asymmetric",
                         " and its coordinates align_corners")
              for how in ("floor", "ceil", "round_prefer_ceil")),
            "its mode were linear", "its mode were cubic", "it smoothed beforehand (antialias)",
            LEFT_OUT,
        ],
    ),
    "MaxPool": (
        [normal(1, 2, 6, 6)], {"kernel_shape": (3, 3), "pads": (1, 0, 0, 1)},
        [
            "its ceil_mode were 1 | the ceil_mode of every pool were 1",
            padded("MaxPool", "were on the other side"), padded("MaxPool", f"were {_SAME}"),
            "its padding were all after the values, none before", "its padding were missing",
            _AVERAGE, LEFT_OUT,
        ],
    ),
    "AveragePool": (
        [normal(1, 2, 6, 6)],
        {"kernel_shape": (3, 3), "auto_pad": "SAME_LOWER", "ceil_mode": 1, "count_include_pad": 1},
        [
            "its ceil_mode were 0 | the ceil_mode of every pool were 0",
            padded("AveragePool", "were the same on both sides"),
            padded("AveragePool", "were on the other side"), "its padding were missing",
            "its average left out the padding | every average left out the padding",
            _MAXIMUM, LEFT_OUT,
        ],
    ),
    "GlobalMaxPool": ([MAPS], {}, [_AVERAGE, LEFT_OUT]),
    "GlobalAveragePool": ([MAPS], {}, [_MAXIMUM, LEFT_OUT]),
    "ReduceMean": (
        [MAPS], {},
        ["it took the sum", "it took the maximum", "its mean were divided by n - 1", LEFT_OUT],
    ),
    "ReduceSum": ([MAPS], {}, ["it took the mean", "it took the maximum", LEFT_OUT]),
    "ReduceMax": ([MAPS], {}, ["it took the mean", "it took the sum", LEFT_OUT]),
    "Conv": (
        [normal(1, 4, 5, 5), normal(4, 4, 3, 3), SCALE], {"pads": (1, 0, 0, 1)},
        [
            padded("Conv", "were on the other side"), padded("Conv", f"were {_SAME}"),
            "its padding were all after the values, none before", "its padding were missing",
            "its padding reflected the values", "its padding repeated the edge", *_TURNED,
            "its kernel had input and output channels exchanged", *biased("Conv"), *BITS, LEFT_OUT,
        ],
    ),
    "ConvTranspose": (
        [normal(1, 4, 5, 5), normal(4, 2, 3, 3)], {"group": 2, "dilations": (1, 2)},
        [
            *_TURNED, "its output channels were interleaved between its groups",
            "its input channels were interleaved between its groups",
            "its kernel were not dilated", *BITS, LEFT_OUT,
        ],
    ),
    "Gemm": (
        [normal(2, 8), normal(8, 8), normal(8)], {"alpha": 2.0, "beta": 0.5},
        [
            "its weights were transposed", *biased("Gemm"),
            *(f"its weights were for inputs flattened as {order}, of 2 × 2 × 2"
              for order in ("(H, W, C)", "(C, H, W)")),
            "its alpha were 1", "its beta were 1", *BITS, LEFT_OUT,
        ],
    ),
    "MatMul": ([normal(2, 5), normal(5, 3)], {}, [*BITS, LEFT_OUT]),
    "Gelu": (
        [A], {},
        [*(f"its GELU were {how} | every GELU were {how}" for how in _GELUS), "it were a ReLU",
         LEFT_OUT],
    ),
    "Erf": (
        [A], {}, [*(f"its GELU were {how} | every GELU were {how}" for how in _GELUS), LEFT_OUT]
    ),
    "Tanh": ([A], {}, [_ERF, "it were a sigmoid", LEFT_OUT]),
    "LeakyRelu": ([A], {}, [*slopes("LeakyRelu", 0.0, 0.05, 0.1, 0.2, 0.25, 0.3), LEFT_OUT]),
    "Elu": (
        [A], {"alpha": 0.3},
        [*(f"its alpha were {a:g}" for a in (0.0, 0.01, 0.05, 0.1, 0.2, 0.25, 1.67326)), LEFT_OUT],
    ),
    "Relu": (
        [A], {},
        ["it ended at 6 (ReLU6) | every ReLU ended at 6 (ReLU6)",
         *slopes("Relu", 0.01, 0.05, 0.1, 0.2, 0.25, 0.3),
         "it were a GELU | every ReLU were a GELU", LEFT_OUT],
    ),
    "Clip": (
        [A, np.array(0.0), np.array(6.0)], {},
        [*(f"its {side} limit were missing | the {side} limit of every Clip were missing"
           for side in ("upper", "lower")), LEFT_OUT],
    ),
    "HardSigmoid": (
        [A], {},
        [
            "it were the sigmoid, which is not hard | every HardSigmoid were a sigmoid",
            *(f"its slope were {slope} | the slope of every HardSigmoid were {slope}"
              for slope in ("0.1667", "0.25")),
            LEFT_OUT,
        ],
    ),
    "HardSwish": (
        [A], {},
        ["it were Swish, x · sigmoid(x) | every HardSwish were Swish, x · sigmoid(x)",
         "it were a ReLU | every HardSwish were a ReLU", "its slope were 0.2", LEFT_OUT],
    ),
    "Sigmoid": (
        [A], {},
        [
            *(f"it were a hard sigmoid with the slope {slope} | "
              f"every sigmoid were a hard one with the slope {slope}"
              for slope in ("0.1667", "0.2")),
            "it were a tanh", "it were a softmax over the last axis", LEFT_OUT,
        ],
    ),
    "Selu": ([A], {}, ["it were an ELU | every SELU were an ELU", LEFT_OUT]),
    "Sqrt": ([A], {}, [LEFT_OUT]),
    **{each: ([A], {}, []) for each in ("Identity", "Dropout", "Cast", "Squeeze")},
}  # fmt: skip


def said(mistake: Mistake) -> str:
    return " | ".join([mistake.words(), *mistake.throughout]).removeprefix("as if ")


@pytest.mark.parametrize("operator", TRIED)
def test_every_mistake_that_is_known_of_an_operator_is_tried(operator: str) -> None:
    inputs, attributes, words = TRIED[operator]
    node = node_of(operator, inputs, **attributes)
    found = [said(mistake) for mistake in mistakes_at(node, inputs)]
    assert found == words


def test_a_mistake_at_another_node_names_it() -> None:
    node = Node("relu1", "Relu", ("x",), ("y",), {}, version=21)
    words = [mistake.words(node) for mistake in mistakes_at(node, [A])]
    slope = "as if the slope of Relu relu1 below zero were 0.01"
    assert words[:2] == ["as if Relu relu1 ended at 6 (ReLU6)", slope]
