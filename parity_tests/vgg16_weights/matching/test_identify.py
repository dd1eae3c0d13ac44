"""Each tensor is found whatever it is called, or the file is refused; none is ever mistaken."""

from __future__ import annotations

from contextlib import suppress

import pytest

from parity_tests.support.weights.layers import (
    PLAIN,
    TINY,
    File,
    assert_true,
    file_of,
    layer,
    networks,
    read,
    refusal,
    renamed,
    schemes,
    shuffled,
    under,
)
from vgg16_spec.architecture import configuration
from vgg16_spec.errors import BadInput

PREFIXES = {
    "": (),
    "module.": ("prefix `module.` dropped",),
    "model.module._orig_mod.": ("prefix `model.module._orig_mod.` dropped",),
    "backbone.": ("prefix `backbone.` dropped",),
    "state_dict/": ("read under `state_dict`",),
    "a/state_dict/net.0.": ("read under `a/state_dict`", "prefix `net.0.` dropped"),
}


@networks
@schemes
@pytest.mark.parametrize("prefix", PREFIXES)
def test_known_names_are_matched_in_any_order(name: str, scheme: str, prefix: str) -> None:
    network = configuration(name, classes=7)
    for top in (True, False):
        file = shuffled(renamed(file_of(network, scheme, top=top), lambda key: prefix + key))
        for is_ordered in (True, False):
            found = read(file, is_ordered=is_ordered)
            assert found.configuration == configuration(
                name, include_top=top, classes=7 if top else 1000
            )
            assert found.keys.keys() == found.configuration.weight_shapes.keys()
            assert_true(found, file)
            assert found.steps == PREFIXES[prefix]
            features = read(file, is_ordered=is_ordered, include_top=False)
            assert features.configuration == configuration(name, include_top=False)
            assert_true(features, file)


@schemes
@pytest.mark.parametrize("wrapper", ["module", "_fsdp_wrapped_module", "_orig_mod"])
def test_wrappers_within_names_are_dropped(scheme: str, wrapper: str) -> None:
    def wrapped(key: str) -> str:
        layer, _, part = key.rpartition(".")
        return f"{layer}.{wrapper}.{part}"

    file = renamed(file_of(configuration("tiny"), scheme), wrapped)
    found = read(file)
    assert_true(found, file)
    assert found.steps == (f"`{wrapper}.` within names dropped",)
    file = renamed(file_of(configuration("tiny"), scheme), lambda k: k.replace(".", ".module.", 1))
    assert_true(read(file), file)


@networks
@schemes
def test_a_tensor_less_more_or_twice_is_refused(name: str, scheme: str) -> None:
    network = configuration(name)
    file = file_of(network, scheme)
    for key in file:
        fewer = {k: v for k, v in file.items() if k != key}
        refusal(fewer)
        twice = file | {f"copy.{key}": file[key]}
        refusal(twice, is_ordered=True)
        if key == next(iter(file)):
            refusal(twice, is_ordered=True, include_top=False)
        other = file[key][1]
        refusal(file | {key: (file[key][0], (other[0] + 1, *other[1:]))})
    for extra in ("extra", "features.extra", "zz9.conv"):
        for shape in ((3, 3, 3, 3), (4, 4, 1, 1), (512, 512, 3, 3)):
            more = layer(extra, *shape)
            refusal(more | file, is_ordered=True)
            refusal(file | more)
            with suppress(BadInput):
                assert_true(read(more | file, include_top=False), file)


@networks
def test_a_mix_of_schemes_is_refused(name: str) -> None:
    network = configuration(name)
    parts = [file_of(network, scheme) for scheme in ("keras", "authors", "torchvision")]
    for one in parts:
        for other in parts:
            keys, others = list(one), list(other)
            for cut in range(2, 2 * len(network.convolutions), 2):
                if one is not other:
                    mixed = {k: one[k] for k in keys[:cut]} | {k: other[k] for k in others[cut:]}
                    refusal(mixed)


@pytest.mark.parametrize(
    "beside", ["criterion.weight", "train_acc.total", "n_averaged", "_extra_state"]
)
def test_what_is_saved_beside_a_network_is_ignored_by_name(beside: str) -> None:
    file = under("model.", PLAIN) | {beside: ("", (3,))}
    found = read(file)
    assert_true(found, file)
    assert any(step.startswith("ignored `") for step in found.steps)


@pytest.mark.parametrize(
    "more",
    [
        layer("conv0", 3, 3, 1, 1),
        layer("features.30", 12, 12, 3, 3),
        {"features.1.weight": ("", (4,))},
        {"scale.weight": ("", (3,))},
        {f"bn.{part}": ("", (3,)) for part in ("weight", "bias", "running_mean", "running_var")},
    ],
    ids=["in front", "within", "an activation's", "a scale in front", "normalisation in front"],
)
def test_a_layer_before_or_between_the_convolutions_is_never_ignored(more: File) -> None:
    for is_ordered in (True, False):
        for top in (True, False):
            refusal(more | PLAIN, is_ordered=is_ordered, include_top=top)


@pytest.mark.parametrize("scheme", ["torchvision", "keras", "authors", "numbers"])
@pytest.mark.parametrize("is_ordered", [True, False])
def test_dense_layers_between_convolutions_are_never_ignored(scheme: str, is_ordered: bool) -> None:
    """Squeeze and excitation: VGG's names and shapes, and another network."""
    squeeze = layer("dense", 3, 12) | layer("dense_1", 12, 3)
    items = list(file_of(TINY, scheme).items())
    file = dict(items[:24]) | squeeze | dict(items[24:])
    assert "unexpected: dense" in refusal(file, is_ordered=True, include_top=False)
    refusal(file, is_ordered=is_ordered)
    if scheme != "torchvision":  # where all that is between would be called `features`
        refusal(file, is_ordered=is_ordered, include_top=False)


def test_a_dense_layer_of_one_by_one_does_not_tell_the_order_of_its_inputs() -> None:
    whole = PLAIN | {"classifier.0.weight": ("fc1.weight", (32, 12, 2, 2))}
    assert_true(read(whole), whole)
    flat = PLAIN | {"classifier.0.weight": ("fc1.weight", (32, 48, 1, 1))}
    assert "wrong shape: fc1.weight is (32, 48, 1, 1)" in refusal(flat)
