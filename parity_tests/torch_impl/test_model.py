"""The PyTorch model is the network, and torchvision's own by another name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torchvision

import torch_impl
from parity_tests.support.helpers import (
    Batch,
    Builder,
    assert_layers_stand_alone,
    assert_taps_hold,
    same,
)
from vgg16_spec.architecture import CONFIGURATIONS, configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput

TORCHVISION = {"A": "vgg11", "B": "vgg13", "D": "vgg16", "E": "vgg19"}


def on_meta(build: Builder, *arguments: Any, **options: Any) -> Any:
    """A model without values: at full size they would take 0.5 GB and seconds."""
    with torch.device("meta"):
        return build(*arguments, **options)


def built(checkpoint: Checkpoint) -> torch_impl.VGG:
    """A model with the checkpoint's weights."""
    network = checkpoint.configuration
    model: torch_impl.VGG = on_meta(
        torch_impl.VGG, network.name, include_top=network.include_top, classes=network.classes
    )
    torch_impl.load_checkpoint(model, checkpoint)
    return model


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_configuration_has_its_parameters(name: str) -> None:
    model = on_meta(torch_impl.VGG, name)
    assert sum(p.numel() for p in model.parameters()) == configuration(name).parameters()


@pytest.mark.parametrize("name", TORCHVISION)
def test_state_dicts_load_strictly_both_ways(name: str) -> None:
    ours = on_meta(torch_impl.VGG, name)
    theirs = on_meta(getattr(torchvision.models, TORCHVISION[name]), weights=None)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict(), strict=True, assign=True)
    theirs.load_state_dict(ours.state_dict(), strict=True, assign=True)


@pytest.mark.full
def test_with_torchvisions_weights_the_output_is_torchvisions_bit_for_bit(
    batch: Batch, full: Checkpoint
) -> None:
    with torch.device("meta"):
        theirs = torchvision.models.vgg16(weights=None)
    theirs.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(5)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.02, generator=generator)
    ours = on_meta(torch_impl.VGG)
    ours.load_state_dict(theirs.state_dict(), strict=True, assign=True)
    images = torch.from_numpy(batch(full))
    with torch.inference_mode():
        expected = theirs.eval()(images).numpy()
        logits = ours.eval()(images).numpy()
    assert logits.tobytes() == expected.tobytes()
    assert logits.std() > 0


def test_weights_come_back_bit_for_bit(tiny: Checkpoint) -> None:
    read = torch_impl.to_checkpoint(built(tiny))
    assert same(read, tiny)
    assert read.recipe.name == "torchvision"


def test_a_model_with_memory_is_loaded_in_place(tiny: Checkpoint) -> None:
    model = torch_impl.VGG("tiny")
    before = dict(model.named_parameters())["features.0.weight"].data_ptr()
    torch_impl.load_checkpoint(model, tiny)
    assert dict(model.named_parameters())["features.0.weight"].data_ptr() == before
    assert same(torch_impl.to_checkpoint(model), tiny)


def test_taps_agree_with_the_arbiter_layer_by_layer(tiny: Checkpoint, batch: Batch) -> None:
    images = batch(tiny)
    assert_taps_hold(tiny, images, torch_impl.run_with_taps(built(tiny), images))


@pytest.mark.parametrize("mode", ["bfloat16", "float16"])
def test_taps_agree_in_fewer_bits_as_the_model_predicts(
    tiny: Checkpoint, batch: Batch, mode: str
) -> None:
    images = batch(tiny)
    model = built(tiny).to(getattr(torch, mode))
    assert_taps_hold(tiny, images, torch_impl.run_with_taps(model, images), mode)


def test_each_layer_alone_is_right_and_reads_what_it_is_given(
    tiny: Checkpoint, batch: Batch
) -> None:
    images, model = batch(tiny), built(tiny)
    assert_layers_stand_alone(
        tiny, images, lambda given: torch_impl.run_layers_locally(model, images, given)
    )


def test_taps_leave_no_hook_and_the_mode_as_it_was(tiny: Checkpoint, batch: Batch) -> None:
    model = built(tiny).train()
    torch_impl.run_with_taps(model, batch(tiny))
    with pytest.raises(ValueError, match="received an input"):
        torch_impl.run_with_taps(model, batch(tiny)[:, :, :32])
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_taps_do_not_drop_activations(tiny: Checkpoint, batch: Batch) -> None:
    model = built(tiny).train()
    once, twice = (torch_impl.run_with_taps(model, batch(tiny))["predictions"] for _ in range(2))
    assert np.array_equal(once, twice)


def test_features_take_any_size_of_at_least_32(tiny: Checkpoint) -> None:
    model = built(tiny.without_top())
    assert model(torch.zeros(1, 3, 33, 70)).shape == (1, 12, 1, 2)
    with pytest.raises(ValueError, match=r"shape \(3, 31, 40\), expected \(3, at least 32, at"):
        model(torch.zeros(1, 3, 31, 40))


@pytest.mark.parametrize("shape", [(1, 3, 32, 64), (1, 64, 64, 3), (3, 64, 64)])
def test_wrong_sizes_are_refused_with_both_shapes(tiny: Checkpoint, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(3, 64, 64\)") as refusal:
        built(tiny)(torch.zeros(shape))
    assert f"({', '.join(map(str, shape[1:]))})" in str(refusal.value)


def test_other_numbers_of_classes(tiny: Checkpoint) -> None:
    ten = generate(configuration("tiny", classes=10))
    model = built(ten)
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 10)
    with pytest.raises(BadInput, match=r"predictions.weight is \(1000, 32\) instead of \(10, 32\)"):
        torch_impl.load_checkpoint(model, tiny)


def test_a_checkpoint_of_another_configuration_is_refused_and_nothing_changes(
    tiny: Checkpoint,
) -> None:
    model = built(tiny)
    with pytest.raises(
        BadInput, match=r"missing: block1_conv2.weight.*expected the tensors of configuration tiny"
    ):
        torch_impl.load_checkpoint(model, generate(configuration("A")))
    assert same(torch_impl.to_checkpoint(model), tiny)


def test_a_whole_checkpoint_does_not_slip_into_a_model_without_its_top(tiny: Checkpoint) -> None:
    model = torch_impl.VGG("tiny", include_top=False)
    with pytest.raises(BadInput, match=r"unexpected: fc1.weight.* without its classifier"):
        torch_impl.load_checkpoint(model, tiny)


def test_a_model_in_another_precision_is_no_checkpoint(tiny: Checkpoint) -> None:
    with pytest.raises(BadInput, match=r"wrong type: block1_conv1.weight is bfloat16"):
        torch_impl.to_checkpoint(built(tiny).to(torch.bfloat16))


def test_taps_of_a_bfloat16_model_are_float32(tiny: Checkpoint, batch: Batch) -> None:
    taps = torch_impl.run_with_taps(built(tiny).to(torch.bfloat16), batch(tiny))
    assert taps["predictions"].dtype == np.float32


def test_initial_weights_are_glorot_and_biases_zero() -> None:
    model = torch_impl.VGG("tiny")
    first = model.get_submodule("features.0")
    assert isinstance(first, torch.nn.Conv2d)
    assert first.bias is not None
    bound = (6 / ((3 + 4) * 9)) ** 0.5
    assert 0.9 * bound < first.weight.abs().max() <= bound
    assert not first.bias.any()
