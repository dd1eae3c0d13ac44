"""A mistake is one whatever algorithm computes the convolutions, and names its layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mistakes import catalogue
from mistakes.catalogue import MISTAKES, Mistake
from onnx_arbiter.algorithms.fft import FFTS
from onnx_arbiter.algorithms.winograd import WINOGRAD, Winograd
from onnx_arbiter.expectations import ArbiterCase, given
from onnx_arbiter.limits import Tolerance
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.arithmetic.convolutions import Float32, matrices
from parity_tests.support.arithmetic.evidence import evidence, failures
from parity_tests.support.arithmetic.simulated_engines import (
    COMPUTED,
    ENGINES,
    LAVIN,
    OF_WHOLES,
    ROUGH,
    Simulated,
)
from parity_tests.support.helpers import PICTURES
from vgg16_parity.inputs import pictures
from vgg16_parity.judge.algorithms import find_algorithm
from vgg16_parity.judge.alternatives import judge_again
from vgg16_parity.network.prediction import expect
from vgg16_parity.own_port import Arbiter
from vgg16_spec.checkpoint import Checkpoint

RELATIVE = Tolerance(1e-3, "the smallest relative mistake in a coefficient that must be found")
# Small enough to be within the limits of an algorithm; the largest are beyond any.
SMALL = (1e-7, 3e-7, 1e-6, 3e-6, 1e-5)
# Taps bring along what the algorithm rounded before.
LARGER = (1e-5, 1e-4, 1e-3)
CONVOLUTIONS = ("block1_conv1", "block1_conv2", "block2_conv2", "block3_conv2", "block4_conv1")

by_name = pytest.mark.parametrize("algorithm", WINOGRAD, ids=lambda each: each.name)
alone_or_not = pytest.mark.parametrize("layers", [True, False], ids=["layers", "taps"])


# Every third coefficient: most take a pass. Weekly, every one of both of Lavin's larger sizes.
@pytest.mark.parametrize("factor", [1 + RELATIVE.limit, -1], ids=["off", "negative"])
@pytest.mark.parametrize("which", ["output", "kernel", "input"])
@by_name
@pytest.mark.slow
def test_a_wrong_coefficient_is_broken(
    request: pytest.FixtureRequest,
    tiny: Checkpoint,
    expectation: ArbiterCase,
    inputs: dict[str, Float32],
    algorithm: Winograd,
    which: str,
    factor: float,
) -> None:
    index = ("output", "kernel", "input").index(which)
    places = list(zip(*np.nonzero(matrices(algorithm)[index]), strict=True))
    every = request.config.getoption("--weekly") and algorithm in (LAVIN, OF_WHOLES)
    for place in places if every else places[::3]:
        factors = matrices(algorithm)
        factors[index][place] *= np.float32(factor)
        for given_inputs in (None, inputs):
            shown = evidence(tiny, expectation, factors, given_inputs)
            assert not judge_again(shown)[0].holds, (place, given_inputs is None)


def test_every_mistake_of_the_computation_is_simulated() -> None:
    computed = {m.name for m in MISTAKES.values() if m.reweight is None and m.recipe is None}
    assert computed == set(COMPUTED)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=lambda each: each.name)
@pytest.mark.slow
def test_a_mistake_is_broken_whatever_the_algorithm(
    arbiter: Arbiter, engine: str, mistake: Mistake
) -> None:
    port = Simulated(ENGINES[engine]())
    row = catalogue.judged(arbiter, port, mistake, PICTURES)
    assert row.status == "broken"
    taps = port.taps(catalogue.prepared(arbiter.checkpoint, mistake, PICTURES))
    assert arbiter.judge("taps", taps).status == "broken"


@alone_or_not
@pytest.mark.slow
def test_an_algorithm_that_some_layers_show_is_no_excuse_for_others(
    tiny: Checkpoint, expectation: ArbiterCase, inputs: dict[str, Float32], layers: bool
) -> None:
    """Direct sums with one bias that is off by less than Winograd's algorithm rounds."""
    engine = dict.fromkeys(("block1_conv1", "block1_conv2", "block2_conv1"), matrices(ROUGH))
    found = set[str]()
    for by in SMALL if layers else LARGER:
        bias = np.array(tiny["block2_conv2.bias"])
        bias[0] += np.float32(by)
        wrong = tiny.with_tensors({"block2_conv2.bias": bias})
        shown = evidence(tiny, expectation, engine, inputs if layers else None, wrong)
        by_direct = evidence(tiny, expectation, None, inputs if layers else None, wrong)
        verdict, _ = judge_again(shown)
        if layers:
            assert verdict.holds <= by_direct.verdict.holds, by
        if not verdict.holds:
            found.add(next(failures(verdict)))
            assert "block1_conv1 to block2_conv1: as by Winograd F(6×6" in verdict.notes[0]
    assert found == {"block2_conv2"}


@pytest.mark.slow
def test_an_fft_that_some_layers_show_is_no_excuse_for_others(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    expectation = expect(tiny, pictures(tiny, PICTURES), [MODES["float32"]], tmp_path / "case")
    inputs = given(expectation.folder, tiny.configuration.taps[:-1])
    engine = dict.fromkeys(("block1_conv1", "block1_conv2", "block2_conv1"), FFTS[0])
    found = set[str]()
    for by in SMALL:
        bias = np.array(tiny["block2_conv2.bias"])
        bias += np.float32(by)
        wrong = tiny.with_tensors({"block2_conv2.bias": bias})
        verdict, _ = judge_again(evidence(tiny, expectation, engine, inputs, wrong))
        by_direct = evidence(tiny, expectation, None, inputs, wrong).verdict
        assert verdict.holds == by_direct.holds, by
        assert "block1_conv1 to block2_conv1: as by an FFT of tiles of 16×16" in verdict.notes[0]
        found |= set(failures(verdict))
    assert found == {"block2_conv2"}


@pytest.mark.parametrize("engine", ["F(4×4) of whole numbers", "F(6×6)"])
@alone_or_not
@pytest.mark.slow
def test_a_mistake_in_one_layer_of_an_algorithm_names_that_layer(
    tiny: Checkpoint,
    expectation: ArbiterCase,
    inputs: dict[str, Float32],
    engine: str,
    layers: bool,
) -> None:
    weight = tiny["block3_conv2.weight"] * np.float32(1 + 1e-4)
    wrong = tiny.with_tensors({"block3_conv2.weight": weight})
    shown = evidence(tiny, expectation, ENGINES[engine](), inputs if layers else None, wrong)
    verdict, _ = judge_again(shown)
    assert next(failures(verdict)) == "block3_conv2"
    assert "as by Winograd" in verdict.notes[0]


def _one_bias(name: str, values: Float32, by: float) -> None:
    values[0] += np.float32(by if name.endswith("bias") else 0)


def _one_weight(name: str, values: Float32, by: float) -> None:
    values[(1,) * values.ndim] += np.float32(by if name.endswith("weight") else 0)


def _half_the_biases(name: str, values: Float32, by: float) -> None:
    values[::2] += np.float32(by if name.endswith("bias") else 0)


def _every_bias(name: str, values: Float32, by: float) -> None:
    values += np.float32(by if name.endswith("bias") else 0)


def _scale(name: str, values: Float32, by: float) -> None:
    values *= np.float32(1 + by) if name.endswith("weight") else np.float32(1)


@pytest.mark.parametrize("plant", [_one_bias, _one_weight, _half_the_biases, _every_bias, _scale])
@alone_or_not
@pytest.mark.slow
def test_a_small_mistake_in_direct_sums_is_no_algorithm(
    tiny: Checkpoint,
    expectation: ArbiterCase,
    inputs: dict[str, Float32],
    plant: Callable[[str, Float32, float], None],
    layers: bool,
) -> None:
    broken = 0
    for layer in CONVOLUTIONS:
        for by in SMALL:
            names = (f"{layer}.weight", f"{layer}.bias")
            tensors = {name: np.array(tiny[name]) for name in names}
            for name, values in tensors.items():
                plant(name, values, by)
            wrong = tiny.with_tensors(tensors)
            shown = evidence(tiny, expectation, None, inputs if layers else None, wrong)
            if shown.verdict.holds:
                continue
            broken += 1
            for found in find_algorithm(shown):
                assert not shown.judge_as(found.arithmetic).holds, (layer, by, found.note)
    assert broken
