"""The PyTorch model applied densely is the arbiter's, and the plain model at its own size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import torch_impl
from parity_tests.support.dense import LARGER, assert_dense_holds, noise_of_size
from vgg16_spec.checkpoint import Checkpoint


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("larger", LARGER)
def test_logits_hold_at_sizes_that_are_no_multiple_of_32(
    tiny: Checkpoint, larger: tuple[int, int], images: int
) -> None:
    dense = torch_impl.DenseVGG(torch_impl.VGG("tiny", weights=tiny))
    batch = noise_of_size(tiny, larger, images)
    assert_dense_holds(torch_impl.run_densely(dense, batch), tiny, batch)


@pytest.mark.parametrize("mode", ["float16", "bfloat16"])
def test_logits_hold_in_fewer_bits_as_the_model_predicts(tiny: Checkpoint, mode: str) -> None:
    model = torch_impl.VGG("tiny", weights=tiny).to(getattr(torch, mode))
    batch = noise_of_size(tiny, (5, 77))
    logits = torch_impl.run_densely(torch_impl.DenseVGG(model), batch)
    assert_dense_holds(logits.astype(np.float32), tiny, batch, mode)


@pytest.mark.parametrize("images", [1, 2, 5])
def test_at_its_own_size_it_has_the_bits_of_the_plain_model(tiny: Checkpoint, images: int) -> None:
    model = torch_impl.VGG("tiny", weights=tiny).eval()
    batch = noise_of_size(tiny, (0, 0), images)
    with torch.inference_mode():
        plain = model(torch.tensor(batch)).numpy()
    dense = torch_impl.run_densely(torch_impl.DenseVGG(model), batch)
    assert dense.tobytes() == plain.tobytes()


def test_it_has_no_parameters_of_its_own_and_follows_the_models(tiny: Checkpoint) -> None:
    model = torch_impl.VGG("tiny", weights=tiny)
    dense = torch_impl.DenseVGG(model)
    assert [id(value) for value in dense.parameters()] == [id(v) for v in model.parameters()]
    batch = noise_of_size(tiny, (5, 77))
    before = torch_impl.run_densely(dense, batch)
    with torch.no_grad():
        model.get_parameter("classifier.6.bias").add_(1)
    assert not np.array_equal(torch_impl.run_densely(dense, batch), before)


def test_running_drops_no_activation_and_leaves_the_mode_as_it_was(tiny: Checkpoint) -> None:
    model = torch_impl.VGG("tiny", weights=tiny)
    batch = noise_of_size(tiny, (5, 77))
    for training in (True, False):
        dense = torch_impl.DenseVGG(model.train(training))
        for _ in range(2):
            assert_dense_holds(torch_impl.run_densely(dense, batch), tiny, batch)
            assert {module.training for module in dense.modules()} == {training}
    # Whoever changes the model's mode later finds it as they left it.
    model.train()
    assert_dense_holds(torch_impl.run_densely(dense, batch), tiny, batch)
    assert {module.training for module in model.modules()} == {True}


def test_what_cannot_be_applied_densely_is_refused(tiny: Checkpoint) -> None:
    with pytest.raises(ValueError, match="has no classifier"):
        torch_impl.DenseVGG(torch_impl.VGG("tiny", include_top=False))
    dense = torch_impl.DenseVGG(torch_impl.VGG("tiny", weights=tiny))
    with pytest.raises(ValueError, match=r"shape \(3, 63, 200\), expected \(3, at least 64, at"):
        torch_impl.run_densely(dense, np.zeros((1, 3, 63, 200), np.float32))
