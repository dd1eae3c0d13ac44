"""A network that normalises images itself has that recipe, or the user is asked for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import vgg16_weights
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.recipes import RECIPES
from vgg16_spec.names import torchvision_keys

Values = tuple[float, ...]

IMAGENET: tuple[Values, Values] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PIXELS = tuple(255 * x for x in IMAGENET[0]), tuple(255 * x for x in IMAGENET[1])
KNOWN: dict[str, tuple[str, Values, Values | None]] = {
    "torchvision, of 0..1": ("torchvision", *IMAGENET),
    "torchvision, of pixels": ("torchvision", *PIXELS),
    "caffe": ("caffe", (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
    "caffe, a mean alone": ("caffe", (103.939, 116.779, 123.68), None),
    "tf": ("tf", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
UNKNOWN: dict[str, tuple[Values, Values | None]] = {
    "other numbers": ((0.5, 0.4, 0.3), (0.2, 0.2, 0.2)),
    "BGR": (IMAGENET[0][::-1], IMAGENET[1][::-1]),
    "a mean alone": (IMAGENET[0], None),
    "nothing": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "of another unit": (IMAGENET[0], PIXELS[1]),
}


def saved(
    checkpoint: Checkpoint, path: Path, mean: tuple[float, ...], std: tuple[float, ...] | None
) -> Path:
    keys = torchvision_keys(checkpoint.configuration)
    state = {key: torch.tensor(checkpoint[name]) for name, key in keys.items()}
    state["normalize.mean"] = torch.tensor(mean).reshape(1, 3, 1, 1)
    if std:
        state["normalize.std"] = torch.tensor(std)
    torch.save(state, path)
    return path


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("bits", [torch.float32, torch.float16, torch.float64])
def test_a_recipe_that_the_network_holds_is_read(
    kind: str, bits: torch.dtype, tiny: Checkpoint, tmp_path: Path
) -> None:
    name, mean, std = KNOWN[kind]
    path = saved(tiny, tmp_path / "w.pth", mean, std)
    state = torch.load(path)
    torch.save({k: v.to(bits) if "normalize" in k else v for k, v in state.items()}, path)
    read = vgg16_weights.read(path)
    assert read.metadata.recipe == name
    assert not read.is_recipe_assumed
    assert read.steps[0].startswith("recipe read from `normalize.mean`")


@pytest.mark.parametrize("kind", UNKNOWN)
@pytest.mark.parametrize("include_top", [True, False])
def test_a_recipe_that_cannot_be_known_is_asked_for(
    kind: str, include_top: bool, tiny: Checkpoint, tmp_path: Path
) -> None:
    path = saved(tiny, tmp_path / "w.pth", *UNKNOWN[kind])
    with pytest.raises(BadInput, match=r"normalises images itself: `normalize\.mean` .*--recipe"):
        vgg16_weights.read(path, include_top=include_top)
    read = vgg16_weights.read(path, include_top=include_top, recipe=RECIPES["tf"])
    assert read.metadata.recipe == "tf"
