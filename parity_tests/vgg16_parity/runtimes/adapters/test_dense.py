"""Every runtime that applies the network densely agrees with the arbiter, at any size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from export import export_onnx
from parity_tests.support.dense import LARGER, assert_dense_holds, noise_of_size
from vgg16_parity.runtimes.adapters.framework import DenseEvaluator
from vgg16_parity.runtimes.adapters.keras import load_keras
from vgg16_parity.runtimes.adapters.onnx import OnnxGraph
from vgg16_parity.runtimes.adapters.torch import load_torch
from vgg16_parity.runtimes.job import Job
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_spec.checkpoint import Checkpoint, write_checkpoint

LOADERS: Final[dict[str, Callable[[Job], DenseEvaluator]]] = {
    "torch": load_torch,
    "keras-tensorflow": load_keras,
    "onnx-from-torch": OnnxGraph,
}
runtimes = pytest.mark.parametrize("runtime", LOADERS)


def loaded(checkpoint: Checkpoint, runtime: str, folder: Path) -> DenseEvaluator:
    weights = folder / "weights.safetensors"
    write_checkpoint(checkpoint, weights)
    if RUNTIMES[runtime].onnx:
        export_onnx("torch", checkpoint, folder / "model", test_data=False)
    job = Job(
        "run",
        RUNTIMES[runtime],
        "strict",
        str(weights),
        str(folder / "job"),
        depth="logits",
        model=str(folder / "model"),
    )
    return LOADERS[runtime](job)


@pytest.fixture(scope="module", params=LOADERS)
def evaluator(
    request: pytest.FixtureRequest, tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> DenseEvaluator:
    return loaded(tiny, request.param, tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("larger", LARGER)
def test_dense_logits_hold(
    evaluator: DenseEvaluator, tiny: Checkpoint, larger: tuple[int, int], images: int
) -> None:
    batch = noise_of_size(tiny, larger, images)
    logits = evaluator.dense(batch)
    assert logits.dtype == np.float32
    assert_dense_holds(logits, tiny, batch)


@pytest.mark.parametrize("images", [1, 2, 5])
def test_at_the_networks_own_size_they_have_the_plain_networks_bits(
    evaluator: DenseEvaluator, tiny: Checkpoint, images: int
) -> None:
    batch = noise_of_size(tiny, (0, 0), images)
    plain = evaluator.forward(batch, logits_only=True)["predictions"]
    assert evaluator.dense(batch).tobytes() == plain.tobytes()


def test_plain_and_dense_logits_can_be_computed_in_turns(
    evaluator: DenseEvaluator, tiny: Checkpoint
) -> None:
    small, large = noise_of_size(tiny, (0, 0)), noise_of_size(tiny, LARGER[1])
    first, second = evaluator.dense(large), evaluator.forward(small, logits_only=True)
    assert evaluator.dense(large).tobytes() == first.tobytes()
    again = evaluator.forward(small, logits_only=True)
    assert again["predictions"].tobytes() == second["predictions"].tobytes()


@pytest.mark.full
@pytest.mark.parametrize(
    "runtime",
    [pytest.param(name, marks=() if name == "torch" else pytest.mark.weekly) for name in LOADERS],
)
def test_vgg16_itself_holds_at_an_odd_size_and_has_the_plain_bits_at_224(
    full: Checkpoint, tmp_path: Path, runtime: str
) -> None:
    network = loaded(full, runtime, tmp_path)
    batch = noise_of_size(full, (5, 77))
    assert batch.shape == (1, 3, 229, 301)
    assert_dense_holds(network.dense(batch), full, batch)
    batch = noise_of_size(full, (0, 0))
    plain = network.forward(batch, logits_only=True)["predictions"]
    assert network.dense(batch).tobytes() == plain.tobytes()
