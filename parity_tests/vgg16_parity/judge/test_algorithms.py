"""A network computed by Winograd's algorithm holds with a note; one with a mistake does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mistakes import catalogue
from mistakes.catalogue import MISTAKES, Mistake
from mistakes.unseen import with_tensors
from onnx_arbiter.algorithms.fft import FFTS
from onnx_arbiter.algorithms.winograd import WINOGRAD, Winograd
from onnx_arbiter.expectations import ArbiterCase, given
from onnx_arbiter.limits import Tolerance
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.winograd import COMPUTED, Engine, Float32, matrices, network
from vgg16_parity.inputs import pictures
from vgg16_parity.judge.algorithms import LOGITS_ALONE, find_algorithm, periods, profile
from vgg16_parity.judge.alternatives import judge_again
from vgg16_parity.judge.evidence import WOULD_HOLD, Evidence
from vgg16_parity.judge.layers import judge_case
from vgg16_parity.network.prediction import expect
from vgg16_parity.own_port import Arbiter, explain
from vgg16_parity.records import Row
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS

PICTURES = [photograph.path for photograph in PHOTOGRAPHS]
RELATIVE = Tolerance(1e-3, "the smallest relative mistake in a coefficient that must be found")
LAVIN = next(each for each in WINOGRAD if each.name.endswith("F(6×6, points 0, ±1, ±2, ±1/2)"))
FOURS = [each for each in WINOGRAD if each.outputs == 4]
# Small enough to be within the limits of an algorithm; the largest are beyond any.
SMALL = (1e-7, 3e-7, 1e-6, 3e-6, 1e-5)
CONVOLUTIONS = ("block1_conv1", "block1_conv2", "block2_conv2", "block3_conv2", "block4_conv1")

by_name = pytest.mark.parametrize("algorithm", WINOGRAD, ids=lambda each: each.name)
alone_or_not = pytest.mark.parametrize("layers", [True, False], ids=["layers", "taps"])


@pytest.fixture(scope="module")
def arbiter(tiny: Checkpoint) -> Iterator[Arbiter]:
    with Arbiter(tiny) as opened:
        yield opened


@pytest.fixture(scope="module")
def expectation(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> ArbiterCase:
    """The arbiter's answers for one photograph."""
    folder: Path = tmp_path_factory.mktemp("expectation") / "case"
    return expect(tiny, pictures(tiny, PICTURES[:1]), [MODES["float32"]], folder)


@pytest.fixture(scope="module")
def inputs(tiny: Checkpoint, expectation: ArbiterCase) -> dict[str, Float32]:
    return given(expectation.folder, tiny.configuration.taps[:-1])


def evidence(
    checkpoint: Checkpoint,
    expectation: ArbiterCase,
    engine: Engine,
    inputs: dict[str, Float32] | None = None,
    computed_with: Checkpoint | None = None,
) -> Evidence:
    """What a port shows that computes by an engine, with layers alone if their inputs are given."""
    used, images, mode = computed_with or checkpoint, expectation.case.images, MODES["float32"]
    taps = network(used, images, engine)
    layers = {} if inputs is None else network(used, images, engine, inputs)
    verdict = judge_case(expectation, mode, taps, layers)
    return Evidence(checkpoint, expectation, mode, taps, layers, verdict)


def judged(arbiter: Arbiter, engine: Engine, *, layers: bool = True) -> Row:
    images, checkpoint = arbiter.images, arbiter.checkpoint
    alone = network(checkpoint, images, engine, arbiter.given) if layers else None
    return arbiter.judge("port", network(checkpoint, images, engine), layers=alone)


@pytest.mark.parametrize("size", [4, 6])
def test_a_period_is_found_where_there_is_one(size: int) -> None:
    generator = np.random.default_rng(2)
    errors = generator.standard_normal((2, 4, 31, 29))
    assert periods(errors) == []
    rows, columns = (np.where(np.arange(length) % size == 0, 2, 1) for length in (31, 29))
    periodic = errors * rows[:, np.newaxis] * columns
    assert size in periods(periodic)
    first, *others = profile(periodic, size, 2)
    assert first > 1.5 * max(others)


def test_a_period_in_one_channel_is_none() -> None:
    errors = np.random.default_rng(2).standard_normal((2, 12, 60, 60))
    lines = np.where(np.arange(60) % 6 == 0, 2, 1)
    errors[:, 3] *= 100 * lines[:, np.newaxis] * lines
    assert periods(errors) == []


@by_name
@alone_or_not
@pytest.mark.slow
def test_winograd_holds(arbiter: Arbiter, algorithm: Winograd, layers: bool) -> None:
    row = judged(arbiter, matrices(algorithm), layers=layers)
    assert row.status == "holds", explain(row)
    # F(2x2) and the roots round hardly more than a direct sum does.
    notes = [note for note in row.cases[0].notes if "Winograd" in note]
    if algorithm.outputs == 6 or algorithm == FOURS[1]:
        assert f"as by Winograd F({algorithm.outputs}" in notes[0]


# Every coefficient of both of Lavin's larger sizes, every third of the others: most take a pass.
@pytest.mark.parametrize("factor", [1 + RELATIVE.limit, -1], ids=["off", "negative"])
@pytest.mark.parametrize("which", ["output", "kernel", "input"])
@by_name
@pytest.mark.slow
def test_a_wrong_coefficient_is_broken(
    tiny: Checkpoint,
    expectation: ArbiterCase,
    inputs: dict[str, Float32],
    algorithm: Winograd,
    which: str,
    factor: float,
) -> None:
    index = ("output", "kernel", "input").index(which)
    places = list(zip(*np.nonzero(matrices(algorithm)[index]), strict=True))
    for place in places if algorithm in (LAVIN, FOURS[1]) else places[::3]:
        factors = matrices(algorithm)
        factors[index][place] *= np.float32(factor)
        for given_inputs in (None, inputs):
            shown = evidence(tiny, expectation, factors, given_inputs)
            assert not judge_again(shown)[0].holds, (place, given_inputs is None)


class Simulated:
    """A port that computes its 3x3 convolutions by an engine, to plant mistakes in."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.mistake = engine, ""

    def load(self, checkpoint: Checkpoint) -> None:
        self.checkpoint, self.mistake = checkpoint, ""

    def plant(self, name: str) -> None:
        self.mistake = name

    def taps(self, images: Float32) -> dict[str, Float32]:
        return network(self.checkpoint, images, self.engine, mistake=self.mistake)

    def layers(self, images: Float32, given: dict[str, Float32]) -> dict[str, Float32]:
        return network(self.checkpoint, images, self.engine, given, self.mistake)


ENGINES: dict[str, Callable[[], Engine]] = {
    "direct sums": lambda: None,
    "F(4×4) of whole numbers": lambda: matrices(FOURS[1]),
    "F(4×4) of roots": lambda: matrices(FOURS[0]),
    "F(6×6)": lambda: matrices(LAVIN),
}


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


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_without_a_mistake_holds(arbiter: Arbiter, engine: str) -> None:
    nothing = Mistake("nothing", "nothing", "", "", {})
    row = catalogue.judged(arbiter, Simulated(ENGINES[engine]()), nothing, PICTURES)
    assert row.status == "holds", explain(row)


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
            wrong = with_tensors(tiny, tensors)
            shown = evidence(tiny, expectation, None, inputs if layers else None, wrong)
            if shown.verdict.holds:
                continue
            broken += 1
            for found in find_algorithm(shown):
                assert not shown.judge_as(found.arithmetic).holds, (layer, by, found.note)
    assert broken


@alone_or_not
@pytest.mark.slow
def test_an_fft_is_named_and_stays_broken(arbiter: Arbiter, layers: bool) -> None:
    row = judged(arbiter, FFTS[0], layers=layers)
    assert row.status == "broken"
    assert row.cases[0].notes[0].startswith(f"{WOULD_HOLD}with block1_conv1")
    assert "as by an FFT of tiles of 16×16" in row.cases[0].notes[0]


@by_name
@pytest.mark.slow
def test_logits_alone_hold_or_are_told_what_would_show_more(
    arbiter: Arbiter, algorithm: Winograd
) -> None:
    taps = network(arbiter.checkpoint, arbiter.images, matrices(algorithm))
    row = arbiter.judge("port", taps["predictions"])
    # Only F(6x6) rounds so much that the logits show it.
    assert row.status == ("broken" if algorithm.outputs == 6 else "holds")
    assert (LOGITS_ALONE in row.cases[0].notes) == (row.status == "broken")
    factors = matrices(algorithm)
    factors[0][0, 0] *= -1
    wrong = network(arbiter.checkpoint, arbiter.images, factors)
    row = arbiter.judge("port", wrong["predictions"])
    assert row.status == "broken"
    assert LOGITS_ALONE not in row.cases[0].notes
