"""Layers on dense inputs: no false alarm, and every mistake of a layer names it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest
import torch

from mistakes import in_keras, in_torch
from mistakes.catalogue import FRAMEWORKS, Port
from onnx_arbiter.algorithms.winograd import WINOGRAD
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.arithmetic.convolutions import matrices
from parity_tests.support.arithmetic.simulated_engines import network
from vgg16_parity.judge.probes import judge_probes
from vgg16_parity.own_port import Arbiter, explain
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate

SEEDS: Final = range(10)
HALVES: Final = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def run(port: Port, arbiter: Arbiter) -> dict[str, Any]:
    """Each layer's output for its probe."""
    first, *others = arbiter.probes.values()
    taps = arbiter.checkpoint.configuration.taps
    return port.layers(first, dict(zip(taps[:-1], others, strict=True)))


@pytest.fixture(scope="module")
def ports() -> dict[str, Port]:
    return {"torch": in_torch.Port("tiny"), "keras": in_keras.Port("tiny")}


@pytest.fixture(scope="module")
def arbiter(tiny: Checkpoint) -> Iterator[Arbiter]:
    with Arbiter(tiny) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_float32_raises_no_false_alarm(ports: dict[str, Port], framework: str, seed: int) -> None:
    with Arbiter(generate(configuration("tiny"), seed)) as arbiter:
        port = ports[framework]
        port.load(arbiter.checkpoint)
        row = arbiter.judge(framework, port.taps(arbiter.images), probes=run(port, arbiter))
        assert row.status == "holds", explain(row)
        assert [probe.layer for probe in row.probes] == list(arbiter.checkpoint.configuration.taps)


@pytest.mark.parametrize("mode", HALVES)
@pytest.mark.parametrize("seed", range(3))
def test_fewer_bits_raise_no_false_alarm_and_are_no_float32(mode: str, seed: int) -> None:
    port = in_torch.Port("tiny")
    with Arbiter(generate(configuration("tiny"), seed)) as arbiter:
        port.load(arbiter.checkpoint)
        port.model.to(HALVES[mode])
        outputs, taps = run(port, arbiter), port.taps(arbiter.images)
        row = arbiter.judge(mode, taps, probes=outputs, mode=mode)
        assert row.status == "holds", explain(row)
        as_float32 = arbiter.judge(mode, taps, probes=outputs)
        wrong = {probe.layer for probe in as_float32.probes if not probe.local.passed}
        assert wrong == set(arbiter.checkpoint.configuration.taps)


def test_flattening_in_another_order_is_a_mistake_of_fc1(
    ports: dict[str, Port], arbiter: Arbiter
) -> None:
    port = ports["torch"]
    port.load(arbiter.checkpoint)
    outputs = run(port, arbiter)
    maps = arbiter.probes["fc1"]
    weight, bias = (arbiter.checkpoint[f"fc1.{kind}"] for kind in ("weight", "bias"))
    features = maps.transpose(0, 2, 3, 1).reshape(len(maps), -1)
    outputs["fc1"] = np.maximum(features @ weight.T + bias, 0)
    row = arbiter.judge("HWC", port.taps(arbiter.images), probes=outputs)
    assert row.first_wrong == "fc1"
    assert row.reason.startswith("fc1, given a dense input: errors are")


def test_a_probe_beyond_the_mode_is_left_out_and_a_missing_output_is_not(
    ports: dict[str, Port], arbiter: Arbiter
) -> None:
    port = ports["torch"]
    port.load(arbiter.checkpoint)
    outputs = run(port, arbiter)
    answers = arbiter._probe(MODES["float32"])
    reached = dict(answers.reached) | {"block1_conv2": float("inf")}
    wide = replace(answers, reached=reached)
    del outputs["fc2"]
    found = judge_probes(arbiter.checkpoint, wide, MODES["float32"], outputs)
    assert [each.layer for each in found] == [tap for tap in reached if tap != "block1_conv2"]
    assert [each.layer for each in found if not each.local.passed] == ["fc2"]
    assert not any(
        each.layer == "fc2"
        for each in judge_probes(arbiter.checkpoint, wide, MODES["float32"], outputs, optional=True)
    )


def test_a_mode_that_was_not_foreseen_is_computed_then(arbiter: Arbiter) -> None:
    port = in_torch.Port("tiny")
    port.load(arbiter.checkpoint)
    port.model.to(torch.bfloat16)
    outputs, probes = run(port, arbiter), arbiter._probe(MODES["float32"])
    found = judge_probes(arbiter.checkpoint, probes, MODES["bfloat16"], outputs)
    assert len(found) == len(outputs)
    assert all(each.local.passed for each in found)


def test_what_explains_the_case_explains_its_probes(arbiter: Arbiter) -> None:
    tiny, algorithm = arbiter.checkpoint, WINOGRAD[-1]
    first, *others = arbiter.probes.values()
    given = dict(zip(tiny.configuration.taps[:-1], others, strict=True))
    outputs = network(tiny, first, matrices(algorithm), given)
    # One unit whose errors have no pattern: that of the layer is lost where there are few units.
    layer = "block1_conv1"
    answers = arbiter._probe(MODES["float32"])
    expected = answers.tap(layer, MODES["float32"])
    signs = np.random.default_rng(1).choice([-1, 1], expected.local.shape)
    outputs[layer] = np.maximum(expected.preactivation + 11 * signs * expected.local, 0)

    def wrong(**options: Any) -> list[str]:
        found = judge_probes(tiny, answers, MODES["float32"], outputs, **options)
        return [each.layer for each in found if not each.local.passed]

    assert wrong() == [layer]
    assert wrong(algorithms={layer: algorithm}) == []
    assert wrong(algorithms={"block1_conv2": algorithm}) == [layer]


@pytest.mark.parametrize("points", ["0, ±1, ±2, ±3", "0, ±1, ±2, ±1/2"])
def test_probes_by_another_algorithm_than_the_case_hold_and_are_told(
    arbiter: Arbiter, points: str
) -> None:
    tiny = arbiter.checkpoint
    factors = matrices(next(each for each in WINOGRAD if points in each.name))
    first, *others = arbiter.probes.values()
    given = dict(zip(tiny.configuration.taps[:-1], others, strict=True))
    outputs = network(tiny, first, factors, given)
    direct = network(tiny, arbiter.images, None)
    row = arbiter.judge("mine", direct, probes=outputs)
    assert row.status == "holds", explain(row)
    assert [note for note in row.notes if note.startswith("dense inputs: block") and "F(" in note]
    # A mistake in one layer is not excused by what the others show.
    wrong = outputs | {"block3_conv2": outputs["block3_conv2"] * np.float32(1 + 1e-5)}
    row = arbiter.judge("mine", direct, probes=wrong)
    assert (row.status, row.first_wrong) == ("broken", "block3_conv2")
