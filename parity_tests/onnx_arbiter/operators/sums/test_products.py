"""Sums of products: values, and the size of their errors from both sides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parity_tests.support.operators import Draw, assert_predicted, measure, node_of

CASES: dict[str, tuple[Draw, dict[str, Any], str]] = {
    "Conv, strided, dilated, grouped, padded on one side": (
        lambda rng: [
            rng.standard_normal((2, 6, 9, 11), np.float32),
            rng.standard_normal((4, 3, 3, 2), np.float32),
            rng.standard_normal(4, np.float32),
        ],
        {"strides": (2, 1), "dilations": (1, 2), "group": 2, "pads": (1, 0, 0, 2)},
        "Conv",
    ),
    "Conv, depthwise": (
        lambda rng: [
            rng.standard_normal((1, 6, 8, 8), np.float32),
            rng.standard_normal((12, 1, 3, 3), np.float32),
        ],
        {"group": 6, "auto_pad": "SAME_LOWER", "strides": (2, 2)},
        "Conv",
    ),
    "Conv of a line": (
        lambda rng: [
            rng.standard_normal((1, 5, 30), np.float32),
            rng.standard_normal((7, 5, 4), np.float32),
        ],
        {},
        "Conv",
    ),
    "ConvTranspose": (
        lambda rng: [
            rng.standard_normal((1, 4, 5, 6), np.float32),
            rng.standard_normal((4, 3, 3, 4), np.float32),
            rng.standard_normal(6, np.float32),
        ],
        {"strides": (2, 3), "group": 2, "pads": (1, 0, 0, 2), "output_padding": (1, 0)},
        "ConvTranspose",
    ),
    "Gemm": (
        lambda rng: [
            rng.standard_normal((20, 4), np.float32),
            rng.standard_normal((7, 20), np.float32),
            rng.standard_normal(7, np.float32),
        ],
        {"transA": 1, "transB": 1, "alpha": 0.3, "beta": -2.0},
        "Gemm",
    ),
    "MatMul of two computed operands": (
        lambda rng: [
            rng.standard_normal((2, 3, 5, 30), np.float32),
            rng.standard_normal((3, 30, 4), np.float32),
        ],
        {},
        "MatMul",
    ),
    "Einsum": (
        lambda rng: [
            rng.standard_normal((2, 5, 3, 8), np.float32),
            rng.standard_normal((2, 6, 3, 8), np.float32),
        ],
        {"equation": "bihd,bjhd->bhij"},
        "Einsum",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_errors_have_the_predicted_size(name: str) -> None:
    draw, attributes, operator = CASES[name]
    node = node_of(operator, draw(np.random.default_rng(0)), **attributes)
    assert_predicted(measure(node, draw))
