"""Nothing that may work between the convolutions is taken for a head, wherever it is stored."""

from __future__ import annotations

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
from vgg16_weights.matching.identify import identify

WIDTHS = [each.out_channels for each in TINY.convolutions]
STATISTICS = ("weight", "bias", "running_mean", "running_var")


def norms(name: str, *parts: str, shape: tuple[int, ...] = ()) -> File:
    """A layer for each convolution, a number for each of its channels."""
    return {
        f"{name}.{i}{part and '.'}{part}": ("", (*shape[:1], width, *shape[1:]))
        for i, width in enumerate(WIDTHS)
        for part in parts
    }


# As programs have them that define all of these after the convolutions.
BETWEEN: dict[str, File] = {
    "batch normalisation": norms("bns", *STATISTICS),
    "other normalisation": norms("norms", "weight", "bias"),
    "scales": norms("scales", ""),
    "scales to broadcast": norms("scales", "", shape=(1, 1, 1)),
    "one activation": {"act.weight": ("", (1,))},
    "squeeze and excitation": layer("se.fc1", 2, 8) | layer("se.fc2", 8, 2),
    "squeeze and excitation, 1x1": layer("se.0", 2, 8, 1, 1) | layer("se.2", 8, 2, 1, 1),
}
HEADS: dict[str, File] = {
    "normalised features": {f"bn.{part}": ("", (12,)) for part in STATISTICS} | layer("fc", 10, 12),
    "normalised units": layer("proj", 8, 48)
    | {f"bn.{part}": ("", (8,)) for part in STATISTICS}
    | layer("fc", 10, 8),
    "a bottleneck": layer("down", 5, 12) | layer("up", 12, 5),
    "a side branch": layer("score_pool3", 21, 8, 1, 1) | {"L2Norm.weight": ("", (12,))},
}


@pytest.mark.parametrize("scheme", ["torchvision", "authors"])
@pytest.mark.parametrize("is_ordered", [True, False])
@pytest.mark.parametrize("kind", BETWEEN)
def test_what_works_between_is_refused_though_it_is_stored_behind(
    kind: str, is_ordered: bool, scheme: str
) -> None:
    for top in (True, False):
        file = file_of(TINY, scheme, top=top)
        words = "batch normalisation" if kind.startswith("batch") else "unexpected: "
        assert words in refusal(file | BETWEEN[kind], is_ordered=is_ordered, include_top=False)
        refusal(file | BETWEEN[kind], is_ordered=is_ordered)


@pytest.mark.parametrize("is_ordered", [True, False])
@pytest.mark.parametrize("kind", HEADS)
def test_a_head_of_normalisation_and_narrow_layers_is_one(kind: str, is_ordered: bool) -> None:
    found = read(FEATURES | HEADS[kind], is_ordered=is_ordered, include_top=False)
    assert found.configuration == TINY.with_head(include_top=False)
    assert_true(found, FEATURES)
    assert "--no-top" in refusal(FEATURES | HEADS[kind], is_ordered=is_ordered)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("prefix", ["features.", "backbone.features.", "vgg.", ""])
@pytest.mark.parametrize("is_ordered", [True, False])
def test_convolutions_that_follow_in_the_row_are_a_head(
    name: str, prefix: str, is_ordered: bool
) -> None:
    """SSD's: a VGG's convolutions, then fc6 and fc7 as convolutions, numbered on."""
    network = configuration(name)
    body = under(prefix, file_of(network, "numbers", top=False))
    last, width = MODULES[name][-1], network.convolutions[-1].out_channels
    more = layer(f"{prefix}{last + 3}", 1024, width, 3, 3) | layer(
        f"{prefix}{last + 5}", 1024, 1024, 1, 1
    )
    assert "--no-top" in refusal(body | more, is_ordered=is_ordered)
    found = read(more | body, is_ordered=False, include_top=False)
    assert_true(found, body)
    assert found.configuration == network.with_head(include_top=False)
    # Before the pooling it is another network.
    refusal(body | layer(f"{prefix}{last + 2}", width, width, 3, 3), include_top=False)


def test_what_has_no_values_is_ignored_and_said() -> None:
    found = read(file_of(TINY, "torchvision") | {"dummy": ("", (0,))})
    assert found.steps == ("ignored `dummy`",)


def test_a_number_that_is_left_out_is_said() -> None:
    found = read(FEATURES | {"temperature": ("", ())}, is_ordered=True, include_top=False)
    assert found.steps == ("left out `temperature`",)
    refusal(FEATURES | {"temperature": ("", ())}, is_ordered=True)


@pytest.mark.parametrize("where", ["", "state_dict/", "state_dict/normalize."])
def test_what_images_are_normalised_with_is_told_apart(where: str) -> None:
    file = under("state_dict/", file_of(TINY, "torchvision"))
    beside: File = {f"{where}mean": ("", (1, 3, 1, 1)), f"{where}std": ("", (3,))}
    shapes = {key: shape for key, (_, shape) in (file | beside).items()}
    found = identify(shapes, label="w")
    assert found.statistics == tuple(beside)
    assert found.steps == ("read under `state_dict`",)


def test_another_container_is_named_with_the_key_that_leaves_it() -> None:
    both = under("D/", file_of(TINY, "torchvision")) | under("G/", layer("up", 3, 3, 3, 3))
    assert "--key D to read only that" in refusal(both, is_ordered=True)
    assert_true(read(both, key="D"), under("D/", file_of(TINY, "torchvision")))
