"""A mistake that a node of a port really makes is named; no other error is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from onnx_arbiter.evaluate import Step
from onnx_arbiter.graph import Array
from onnx_arbiter.judge.diagnosis import diagnose
from onnx_arbiter.judge.search import Search
from onnx_arbiter.judge.symptom import Symptom
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.operators import FLOAT32, evaluated, node_of, run_alone
from parity_tests.support.planted_nodes import (
    BIAS,
    KERNELS,
    MAPS,
    PLANTED,
    SQUARE,
    Planted,
    normal,
)


def cause(step: Step, observed: Array) -> str:
    value = step.outputs["y0"]
    symptom = Symptom(value, step.local_deviation("y0", FLOAT32), observed)
    assert not symptom.verdict().passed
    return diagnose(step, "y0", symptom, Search())


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_named(name: str) -> None:
    planted = PLANTED[name]
    assert cause(*planted.observed()) == planted.words


@pytest.mark.parametrize("name", PLANTED)
def test_garbage_has_no_cause(name: str) -> None:
    planted = PLANTED[name]
    step = evaluated(planted.node(), planted.inputs)
    values = step.outputs["y0"].values
    garbage = np.random.default_rng(99).standard_normal(values.shape, np.float32)
    assert not cause(step, garbage.astype(np.float32))


@pytest.mark.parametrize("name", PLANTED)
def test_one_wrong_element_has_no_cause(name: str) -> None:
    planted = PLANTED[name]
    step = evaluated(planted.node(), planted.inputs)
    observed = step.outputs["y0"].values.astype(np.float32)
    observed.reshape(-1)[-1] += 1
    assert not cause(step, observed)


@pytest.mark.parametrize(
    ("rounding", "words"),
    [
        (lambda v: v.astype(np.float16), "as if it computed in float16"),
        (
            lambda v: (v.view(np.uint32) + 0x8000 & 0xFFFF0000).view(np.float32),
            "as if it computed in bfloat16",
        ),
    ],
)
def test_a_node_that_stores_fewer_bits_is_recognised_by_the_size_of_its_errors(
    rounding: Callable[[Any], Any], words: str
) -> None:
    planted = Planted("Conv", [MAPS, KERNELS, BIAS], words, SQUARE)
    step = evaluated(planted.node(), planted.inputs)
    inputs = [rounding(v).astype(np.float32) for v in planted.inputs if v is not None]
    stored = rounding(run_alone(planted.node(), step, inputs)[0]).astype(np.float32)
    assert cause(step, stored) == words


def test_no_time_is_no_cause_and_is_told() -> None:
    step, observed = PLANTED["padding"].observed()
    symptom = Symptom(step.outputs["y0"], step.local_deviation("y0", FLOAT32), observed)
    search = Search(seconds=0)
    assert diagnose(step, "y0", symptom, search) == ""
    assert search.was_cut
    search = Search()
    assert diagnose(step, "y0", symptom, search)
    assert not search.was_cut


@pytest.mark.parametrize(("size", "share"), [(1.0, 0.4), (0.2, 1.0)])
def test_errors_of_few_elements_or_too_small_are_not_those_of_fewer_bits(
    size: float, share: float
) -> None:
    inputs = [normal(50, 30), normal(30, 40)]
    node = node_of("MatMul", inputs)
    deviation = evaluated(node, inputs, MODES["tf32"]).local_deviation("y0", MODES["tf32"])
    step, rng = evaluated(node, inputs), np.random.default_rng(1)
    errors = size * deviation * rng.choice([-1, 1], deviation.shape)
    errors *= rng.random(deviation.shape) < share
    assert cause(step, (step.outputs["y0"].values + errors).astype(np.float32)) == ""
