"""A layer that computes with another weight than the one stored is refused, with what undoes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.utils import prune

from parity_tests.support.weights.layers import TINY, File, file_of, refusal
from vgg16_spec.architecture import configuration
from vgg16_weights.matching.identify import identify

Layer = Any


def pruned(layer: Layer) -> None:
    prune.l1_unstructured(layer, "weight", 0.5)  # type: ignore[no-untyped-call]


def with_adapters(layer: Layer) -> None:
    layer.lora_A, layer.lora_B = torch.nn.Linear(2, 3), torch.nn.Linear(3, 2)


def with_a_mask(layer: Layer) -> None:
    layer.register_buffer("mask", torch.ones_like(layer.weight))


def with_fake_quantisation(layer: Layer) -> None:
    layer.weight_fake_quant = torch.ao.quantization.FakeQuantize()  # type: ignore[no-untyped-call]


# What PyTorch itself does to a layer -> what the refusal calls it, and what undoes it.
CHANGES: dict[str, tuple[Callable[[Layer], object], str]] = {
    "weight normalisation": (torch.nn.utils.weight_norm, "remove_weight_norm"),
    "weight normalisation ": (torch.nn.utils.parametrizations.weight_norm, "parametrizations("),
    "spectral normalisation": (torch.nn.utils.spectral_norm, "remove_spectral_norm"),
    "spectral normalisation ": (torch.nn.utils.parametrizations.spectral_norm, "parametrizations("),
    "a parametrisation": (torch.nn.utils.parametrizations.orthogonal, "parametrizations("),
    "pruning masks": (pruned, "prune.remove"),
    "pruning masks ": (with_a_mask, "prune.remove"),
    "LoRA adapters": (with_adapters, "merge_and_unload"),
    "quantisation": (with_fake_quantisation, "before it was quantised"),
}
PLACES = {"a convolution": "features.2", "the last layer": "classifier.6"}


def file_with(change: Callable[[Layer], object], place: str) -> File:
    """VGG's names and shapes, and at one place those that PyTorch gives to a changed layer."""
    file = file_of(configuration("tiny", classes=7), "torchvision")
    outputs, inputs, *sides = file[f"{place}.weight"][1]
    made = torch.nn.Conv2d(inputs, outputs, 3) if sides else torch.nn.Linear(inputs, outputs)
    change(made)
    changed = {f"{place}.{key}": ("", tuple(v.shape)) for key, v in made.state_dict().items()}
    return {k: v for k, v in file.items() if not k.startswith(f"{place}.")} | changed


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_layer_is_refused_by_what_changes_it(what: str, place: str) -> None:
    change, way = CHANGES[what]
    file = file_with(change, place)
    for each in (file, {f"state_dict/module.{key}": value for key, value in file.items()}):
        for is_ordered in (True, False):
            message = refusal(each, is_ordered=is_ordered)
            assert f"{what.strip()} (" in message
            assert place in message
            assert way in message
    # A head may be any head; a body may not.
    if place.startswith("classifier"):
        shapes = {key: shape for key, (_, shape) in file.items()}
        found = identify(shapes, label="w", include_top=False)
        assert found.keys.keys() == TINY.with_head(include_top=False).weight_shapes.keys()
    else:
        assert what.strip() in refusal(file, include_top=False)


def test_masks_stored_apart_are_no_head() -> None:
    file = file_of(TINY, "torchvision", top=False)
    kernels = [shape for key, (_, shape) in file.items() if key.endswith("weight")]
    masks: File = {f"mask{i}": ("", shape) for i, shape in enumerate(kernels)}
    assert "pruning masks" in refusal(file | masks, is_ordered=True, include_top=False)


@pytest.mark.parametrize("key", ["_flat_param", "_fsdp_wrapped_module._flat_param", "flat_param_0"])
def test_flat_parameters_are_called_so(key: str) -> None:
    assert "FULL_STATE_DICT" in refusal({key: ("", (4936,))})
