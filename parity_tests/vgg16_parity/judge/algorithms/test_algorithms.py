"""A network computed by Winograd's algorithm holds with a note."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import pytest

from mistakes import catalogue
from mistakes.catalogue import Mistake
from onnx_arbiter.algorithms.fft import FFTS, Fft
from onnx_arbiter.algorithms.winograd import WINOGRAD, Winograd
from onnx_arbiter.expectations import ArbiterCase, given
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.arithmetic.convolutions import Float32, matrices
from parity_tests.support.arithmetic.evidence import evidence
from parity_tests.support.arithmetic.ports import prepare
from parity_tests.support.arithmetic.simulated_engines import (
    ENGINES,
    LAVIN,
    OF_WHOLES,
    ROUGH,
    Engine,
    Simulated,
    network,
)
from parity_tests.support.helpers import PICTURES
from vgg16_parity.inputs import hard, pictures
from vgg16_parity.judge.algorithms import LOGITS_ALONE
from vgg16_parity.judge.alternatives import judge_again, judge_cases
from vgg16_parity.judge.own_input import OWN_INPUT
from vgg16_parity.network.prediction import expect
from vgg16_parity.own_port import Arbiter, explain
from vgg16_parity.records import Row
from vgg16_parity.runtimes.job import Job
from vgg16_parity.runtimes.registry import RUNTIMES, Runtime
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.images.preprocessing import pixels, read_image

by_name = pytest.mark.parametrize("algorithm", WINOGRAD, ids=lambda each: each.name)
alone_or_not = pytest.mark.parametrize("layers", [True, False], ids=["layers", "taps"])


def judged(arbiter: Arbiter, engine: Engine | Mapping[str, Engine], *, layers: bool = True) -> Row:
    images, checkpoint = arbiter.images, arbiter.checkpoint
    alone = network(checkpoint, images, engine, arbiter.given) if layers else None
    return arbiter.judge("port", network(checkpoint, images, engine), layers=alone)


@by_name
@alone_or_not
@pytest.mark.slow
def test_winograd_holds(arbiter: Arbiter, algorithm: Winograd, layers: bool) -> None:
    row = judged(arbiter, matrices(algorithm), layers=layers)
    assert row.status == "holds", explain(row)
    # F(2x2) and the roots round hardly more than a direct sum does.
    notes = [note for note in row.cases[0].notes if "Winograd" in note]
    if algorithm.outputs == 6 or algorithm == OF_WHOLES:
        assert f"as by Winograd F({algorithm.outputs}" in notes[0]


@alone_or_not
@pytest.mark.slow
def test_the_first_layer_need_not_show_the_algorithm(
    tiny: Checkpoint, expectation: ArbiterCase, inputs: dict[str, Float32], layers: bool
) -> None:
    names = [layer.name for layer in tiny.configuration.convolutions][1:]
    engine = dict.fromkeys(names, matrices(ROUGH))
    shown = evidence(tiny, expectation, engine, inputs if layers else None)
    verdict, arithmetic = judge_again(shown)
    assert verdict.holds
    assert "block1_conv1" not in arithmetic.algorithms


class Finished(NamedTuple):
    """A job that has run: its results by the name of the case's folder."""

    results: Mapping[tuple[str, str], Mapping[str, Float32]]
    runtime: Runtime

    def result(self, case: str, kind: str) -> Mapping[str, Float32]:
        return self.results.get((Path(case).name, kind), {})


@pytest.mark.slow
def test_f2_without_a_period_holds_where_a_direct_sum_would_not(tmp_path: Path) -> None:
    checkpoint = generate(configuration("tiny"), 1)
    expectation = expect(
        checkpoint, pictures(checkpoint, PICTURES), [MODES["float32"]], tmp_path / "case"
    )
    given_inputs = given(expectation.folder, checkpoint.configuration.taps[:-1])
    shown = evidence(checkpoint, expectation, matrices(WINOGRAD[0]), given_inputs)
    assert not shown.verdict.holds
    verdict, _ = judge_again(shown)
    assert verdict.holds
    assert "as by Winograd F(2×2)" in verdict.notes[0]


@pytest.mark.parametrize("algorithm", [OF_WHOLES, LAVIN, ROUGH], ids=lambda each: each.name)
@alone_or_not
@pytest.mark.slow
def test_stress_inputs_hold_by_what_the_photographs_show(
    tiny: Checkpoint, tmp_path: Path, algorithm: Winograd, layers: bool
) -> None:
    cases = [pictures(tiny, PICTURES), *(case for case in hard(tiny) if case.finite)]
    mode, engine = MODES["float32"], matrices(algorithm)
    expectations = [
        expect(tiny, case, [mode], tmp_path / f"case{index}") for index, case in enumerate(cases)
    ]
    results = dict[tuple[str, str], Mapping[str, Float32]]()
    for each in expectations:
        images, name = each.case.images, each.folder.name
        results[name, "accumulated"] = network(tiny, images, engine)
        if layers:
            own = given(each.folder, tiny.configuration.taps[:-1])
            results[name, "local"] = network(tiny, images, engine, own)
    job = cast(Job, Finished(results, RUNTIMES["torch"]))
    verdicts, _ = judge_cases(tiny, expectations, mode, job)
    assert [verdict.case for verdict in verdicts if not verdict.holds] == []


@pytest.mark.slow
def test_an_algorithm_and_an_input_of_its_own_hold_together(arbiter: Arbiter) -> None:
    tiny, recipe = arbiter.checkpoint, arbiter.checkpoint.recipe
    size = tiny.configuration.input_size
    levels = np.concatenate([pixels(read_image(path), recipe, size=size) for path in PICTURES])
    images = prepare(levels, recipe, "scale and offset folded")
    later = [layer.name for layer in tiny.configuration.convolutions][2:]
    engine = dict.fromkeys(later, matrices(ROUGH))
    for layers in (network(tiny, arbiter.images, engine, arbiter.given), None):
        row = arbiter.judge("port", network(tiny, images, engine), layers=layers)
        assert row.status == "holds", explain(row)
        (note,) = (note for note in row.cases[0].notes if OWN_INPUT in note)
        assert "as by Winograd F(6×6" in note


@pytest.mark.parametrize("largest", FFTS[:4], ids=lambda each: each.name)
@alone_or_not
@pytest.mark.slow
def test_ffts_hold_and_are_named(arbiter: Arbiter, largest: Fft, layers: bool) -> None:
    """Of each layer the largest up to a size, as engines choose for its map."""
    taps = arbiter.checkpoint.configuration.taps
    read = dict(zip(taps[1:], arbiter.given.values(), strict=True))
    engine = dict[str, Engine]()
    for layer in arbiter.checkpoint.configuration.convolutions:
        side = read.get(layer.name, arbiter.images).shape[-1]
        fitting = [each for each in FFTS if each.size <= largest.size and each.is_for(side, side)]
        engine[layer.name] = fitting[-1]
    row = judged(arbiter, engine, layers=layers)
    assert row.status == "holds", explain(row)
    assert "as by an FFT of tiles of" in row.cases[0].notes[0]


@by_name
@pytest.mark.slow
def test_logits_alone_hold_or_are_told_what_would_show_more(
    arbiter: Arbiter, algorithm: Winograd
) -> None:
    taps = network(arbiter.checkpoint, arbiter.images, matrices(algorithm))
    row = arbiter.judge("port", taps["predictions"])
    # A smaller one need not round so much that the logits show it.
    assert row.status == "broken" or algorithm.outputs < 6
    assert (LOGITS_ALONE in row.cases[0].notes) == (row.status == "broken")
    factors = matrices(algorithm)
    factors[0][0, 0] *= -1
    wrong = network(arbiter.checkpoint, arbiter.images, factors)
    row = arbiter.judge("port", wrong["predictions"])
    assert row.status == "broken"
    assert LOGITS_ALONE not in row.cases[0].notes


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_without_a_mistake_holds(arbiter: Arbiter, engine: str) -> None:
    nothing = Mistake("nothing", "nothing", "", "", {})
    row = catalogue.judged(arbiter, Simulated(ENGINES[engine]()), nothing, PICTURES)
    assert row.status == "holds", explain(row)
