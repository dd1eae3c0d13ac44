"""What is almost a VGG is refused by the name of what is wrong."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from parity_tests.support.weights.layers import (
    FEATURES,
    MODULES,
    TINY,
    File,
    assert_true,
    file_of,
    layer,
    read,
    refusal,
    under,
)
from vgg16_spec.architecture import configuration

FOREIGN: Mapping[str, File] = {
    "one dense": layer("classifier", 10, 12),
    "two dense": layer("classifier.0", 16, 48) | layer("classifier.3", 2, 16),
    "three of another width": layer("classifier.0", 8, 12)
    | layer("classifier.3", 9, 8)
    | layer("classifier.6", 7, 9),
    "four dense": layer("classifier.0", 32, 48)
    | layer("classifier.3", 32, 32)
    | layer("classifier.6.0", 16, 32)
    | layer("classifier.6.3", 4, 16),
    "VGG's and one more": layer("classifier.0", 32, 48)
    | layer("classifier.3", 32, 32)
    | layer("classifier.6", 1000, 32)
    | layer("extra", 4, 1000),
    "a convolution": layer("classifier.0", 12, 12, 3, 3) | layer("classifier.2", 4, 12, 1, 1),
    "normalised": layer("head.0", 5, 48)
    | {f"head.1.{part}": ("", (5,)) for part in ("weight", "bias", "running_mean", "running_var")},
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("scheme", ["torchvision", "keras", "authors", "numbers"])
def test_another_head_is_ignored_or_named_with_the_way_on(kind: str, scheme: str) -> None:
    body = file_of(TINY, scheme, top=False)
    file = body | FOREIGN[kind]
    for each in (file, FOREIGN[kind] | body):
        found = read(each, include_top=False, is_ordered=each is file)
        assert found.configuration == TINY.with_head(include_top=False)
        assert_true(found, file)
    message = refusal(file, is_ordered=True)
    assert "its head is not VGG16's: " in message
    assert "--no-top" in message
    shown = [f"{k.removesuffix('.weight')} {s}" for k, (_, s) in FOREIGN[kind].items()]
    assert any(text in message for text in shown)


def test_a_head_outside_of_a_nested_model_is_seen() -> None:
    body = under("vgg16/", file_of(TINY, "keras", top=False))
    message = refusal(body | layer("dense", 5, 12))
    assert "its head is not VGG16's: dense (5, 12)" in message
    found = read(body | layer("dense", 5, 12), include_top=False)
    assert found.steps == ("read under `vgg16`",)
    own = {
        k.replace("fc1", "dense").replace("fc2", "dense_1"): v
        for k, v in file_of(TINY, "keras").items()
        if k.startswith(("fc", "pred"))
    }
    assert_true(read(body | own), body | own)


def gray(number: int) -> File:
    return FEATURES | {"features.0.weight": ("", (4, number, 3, 3))}


BN = {
    key: value
    for i, layer in enumerate(TINY.convolutions)
    for key, value in (
        (f"features.{3 * i}.weight", ("", layer.weight_shape)),
        (f"features.{3 * i}.bias", ("", layer.weight_shape[:1])),
        (f"features.{3 * i + 1}.weight", ("", layer.weight_shape[:1])),
        (f"features.{3 * i + 1}.bias", ("", layer.weight_shape[:1])),
        (f"features.{3 * i + 1}.running_mean", ("", layer.weight_shape[:1])),
    )
}


def turned(*axes: int) -> File:
    return {
        key: (name, tuple(s[a] for a in axes) if len(s) == 4 else s)
        for key, (name, s) in FEATURES.items()
    }


D = file_of(configuration("D"), "torchvision")
WRONG: Mapping[str, tuple[File, str]] = {
    "gray": (gray(1), "1 input channel, VGG16 has 3"),
    "four channels": (gray(4), "4 input channels, VGG16 has 3"),
    "six channels": (gray(6), "6 input channels, VGG16 has 3"),
    "batch normalisation": (BN, "batch normalisation"),
    "images of 32 pixels": (
        D | {"classifier.0.weight": ("", (4096, 512))},
        "classifier.0 takes 512 inputs (512×1×1), VGG16's takes 25,088: "
        "the model was trained on 32-pixel images; expected --no-top",
    ),
    "narrow dense layers": (
        file_of(configuration("D"), "torchvision", top=False)
        | layer("classifier.0", 512, 25088)
        | layer("classifier.3", 512, 512)
        | layer("classifier.6", 10, 512),
        "another width: classifier.0 has 512 units, VGG16's has 4,096",
    ),
    "narrow convolutions": (
        {
            f"features.{module}.{part}": ("", tuple(max(3, s // 2) for s in shape[:2]) + shape[2:])
            for module, conv in zip(MODULES["D"], configuration("D").convolutions, strict=True)
            for part, shape in (("weight", conv.weight_shape), ("bias", conv.weight_shape[:1]))
        },
        "another width: block1_conv1 has 32 output channels, VGG16's has 64",
    ),
    "a convolution less": (
        {k: v for k, v in D.items() if not k.startswith("features.12.")},
        "missing: features.12.weight",
    ),
    "a convolution more": (D | layer("features.29", 512, 512, 3, 3), "unexpected: features.29.wei"),
    "HWIO": (turned(2, 3, 1, 0), "kernels have the axes (kH, kW, in, out)"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_called_by_its_name(kind: str) -> None:
    file, words = WRONG[kind]
    assert words in refusal(file, is_ordered=True)
    assert words in refusal(under("state_dict/module.", file), is_ordered=True).replace(
        "module.", ""
    )
