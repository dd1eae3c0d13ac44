"""A head that does not fit is an explicit choice, in both frameworks alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import keras_impl
import torch_impl
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput

BUILDERS = {
    "keras": (keras_impl, keras_impl.functional),
    "keras sequential": (keras_impl, keras_impl.sequential),
    "torch": (torch_impl, torch_impl.VGG),
}
frameworks = pytest.mark.parametrize(("impl", "build"), BUILDERS.values(), ids=BUILDERS)


def values(impl: Any, model: Any) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in impl.to_checkpoint(model).items()}


@frameworks
def test_another_number_of_classes_is_refused_and_the_way_is_named(
    impl: Any, build: Any, tiny: Checkpoint
) -> None:
    model = build("tiny", classes=7)
    before = values(impl, model)
    with pytest.raises(BadInput) as refusal:
        impl.load_checkpoint(model, tiny)
    assert "wrong shape: predictions.weight is (1000, 32) instead of (7, 32)" in str(refusal.value)
    assert str(refusal.value).endswith("or drop_head=True to keep the model's own predictions")
    assert values(impl, model) == before


@frameworks
@pytest.mark.parametrize("classes", [7, 1000])
def test_dropping_the_head_keeps_the_models_own_and_loads_the_rest(
    impl: Any, build: Any, tiny: Checkpoint, classes: int
) -> None:
    model = build("tiny", classes=classes)
    before = values(impl, model)
    impl.load_checkpoint(model, tiny, drop_head=True)
    after = values(impl, model)
    assert list(after) == list(tiny)
    for name in after:
        kept = name.startswith("predictions.")
        assert after[name] == (before[name] if kept else tiny[name].tobytes()), name


@frameworks
def test_a_model_without_a_classifier_takes_the_features_alone(
    impl: Any, build: Any, tiny: Checkpoint
) -> None:
    model = build("tiny", include_top=False)
    with pytest.raises(
        BadInput, match=r"checkpoint.without_top\(\) for a model with include_top=F"
    ):
        impl.load_checkpoint(model, tiny)
    impl.load_checkpoint(model, tiny.without_top())
    assert values(impl, model) == {n: a.tobytes() for n, a in tiny.without_top().items()}


@frameworks
def test_dropping_the_head_forgives_nothing_else(impl: Any, build: Any, tiny: Checkpoint) -> None:
    model = build("tiny", classes=7)
    before = values(impl, model)
    with pytest.raises(BadInput, match=r"unexpected: fc1.weight|missing: fc1.weight") as refusal:
        impl.load_checkpoint(model, tiny.without_top(), drop_head=True)
    assert "drop_head" not in str(refusal.value)
    with pytest.raises(BadInput, match=r"wrong shape: block1_conv1\.weight"):
        impl.load_checkpoint(model, generate(configuration("A")), drop_head=True)
    assert values(impl, model) == before


def test_a_head_on_the_meta_device_cannot_be_kept(tiny: Checkpoint) -> None:
    with torch.device("meta"):
        model = torch_impl.VGG("tiny", classes=7)
    with pytest.raises(BadInput, match="predictions are on the meta device"):
        torch_impl.load_checkpoint(model, tiny, drop_head=True)
    assert all(parameter.is_meta for parameter in model.parameters())


def test_the_new_head_is_not_the_old_ones_first_classes(tiny: Checkpoint) -> None:
    model = torch_impl.VGG("tiny", classes=7)
    torch_impl.load_checkpoint(model, tiny, drop_head=True)
    head = torch_impl.to_checkpoint(model)["predictions.weight"]
    assert not np.isin(head, tiny["predictions.weight"]).all()
