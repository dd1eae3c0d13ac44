"""Judging layers: no false alarm on fifty networks and batches in both frameworks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final

import numpy as np
import pytest
import torch

from mistakes import in_keras, in_torch
from mistakes.catalogue import FRAMEWORKS, Port
from onnx_arbiter.expectations import Case
from parity_tests.support.helpers import Batch
from vgg16_parity.own_port import Arbiter, explain
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.images.photographs import PHOTOGRAPHS

pytestmark = pytest.mark.slow

SEEDS: Final = range(50)
# Rounding in fewer bits: a tenth of the seeds, which is what their time allows.
FEW_SEEDS: Final = range(5)
HALVES: Final = {"bfloat16": torch.bfloat16, "float16": torch.float16}
LABELS: Final = (*(photograph.path.name for photograph in PHOTOGRAPHS), "noise")

# A seed -> the arbiter of its network on the photographs and noise of that seed.
Arbiters = Callable[[int], Arbiter]


@pytest.fixture(scope="module")
def arbiters(batch: Batch) -> Iterator[Arbiters]:
    made: list[Arbiter] = []

    @lru_cache
    def arbiter(seed: int) -> Arbiter:
        checkpoint = generate(configuration("tiny"), seed)
        shape = checkpoint.configuration.input_shape
        noise = np.random.default_rng(seed).standard_normal((1, *shape), np.float32)
        images = np.concatenate([batch(checkpoint), noise])
        made.append(Arbiter(checkpoint, case=Case("photographs and noise", images, LABELS)))
        return made[-1]

    yield arbiter
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def ports() -> Mapping[str, Port]:
    """One model a framework; a seed's weights are loaded into it."""
    return {"torch": in_torch.Port("tiny"), "keras": in_keras.Port("tiny")}


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("seed", SEEDS)
def test_float32_raises_no_false_alarm(
    arbiters: Arbiters, ports: Mapping[str, Port], framework: str, seed: int
) -> None:
    arbiter, port = arbiters(seed), ports[framework]
    port.load(arbiter.checkpoint)
    layers = port.layers(arbiter.images, arbiter.given)
    row = arbiter.judge(framework, port.taps(arbiter.images), layers=layers)
    assert row.status == "holds", explain(row)
    assert all(row.worst(kind) for kind in ("accumulated", "local"))


@pytest.mark.parametrize("mode", HALVES)
@pytest.mark.parametrize("seed", FEW_SEEDS)
def test_fewer_bits_raise_no_false_alarm(arbiters: Arbiters, mode: str, seed: int) -> None:
    arbiter, port = arbiters(seed), in_torch.Port("tiny")
    port.load(arbiter.checkpoint)
    port.model.to(HALVES[mode])
    taps, layers = port.taps(arbiter.images), port.layers(arbiter.images, arbiter.given)
    row = arbiter.judge(mode, taps, layers=layers, mode=mode)
    assert row.status == "holds", explain(row)
    # Judged as float32, the same values are wrong.
    assert arbiter.judge(mode, taps, layers=layers).first_wrong == "block1_conv1"
