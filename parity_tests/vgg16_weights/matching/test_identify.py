"""Each tensor is found whatever it is called, or the file is refused; none is ever mistaken."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import suppress

import pytest

from parity_tests.support.weights.layers import (
    DENSE,
    HEAD,
    MODULES,
    TINY,
    File,
    assert_true,
    file_of,
    layer,
    read,
    refusal,
    renamed,
    shuffled,
    under,
)
from vgg16_spec.architecture import CONFIGURATIONS, configuration
from vgg16_spec.errors import BadInput

SCHEMES = tuple(DENSE)

networks = pytest.mark.parametrize("name", CONFIGURATIONS)
schemes = pytest.mark.parametrize("scheme", SCHEMES)
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
@pytest.mark.parametrize("start", [0, 9, 26])
def test_keras_automatic_names_are_counted_not_sorted(name: str, start: int) -> None:
    network = configuration(name, classes=5)
    conv = [layer.name for layer in network.convolutions]

    def automatic(key: str) -> str:
        layer, _, part = key.rpartition(".")
        stem, number = (
            ("conv2d", conv.index(layer))
            if layer in conv
            else (
                "dense",
                HEAD.index(layer),
            )
        )
        return f"{stem}_{number + start}.{part}" if number + start else f"{stem}.{part}"

    file = renamed(file_of(network, "keras"), automatic)
    for mixed in (file, shuffled(file)):
        found = read(mixed)
        assert_true(found, file)
        assert found.configuration == network
        assert found.steps == ("layers matched by order",)
    assert_true(read(file, is_ordered=True), file)


def letters(key: str, file: File) -> str:
    """A name that says nothing, in no order."""
    layer, _, part = key.rpartition(".")
    names = list(dict.fromkeys(k.rpartition(".")[0] for k in file))
    words = random.Random(1).sample(range(100, 999), len(names))
    return f"w{chr(97 + words[names.index(layer)] % 26)}{chr(97 + names.index(layer))}.{part}"


def test_the_order_of_the_alphabet_is_not_taken_for_the_networks() -> None:
    names = ("one", "two", "three", "four")
    plain = file_of(TINY, "keras", top=False)

    def spelled(key: str) -> str:
        block, _, part = key.partition(".")
        return f"{block[:6]}_{names[int(block[-1]) - 1]}.{part}"

    file = renamed(plain, spelled)
    assert_true(read(file, is_ordered=True), file)
    assert "order of its convolutions" in refusal(dict(sorted(file.items())), is_ordered=True)


@networks
def test_names_that_say_nothing_need_an_order(name: str) -> None:
    network = configuration(name)
    plain = file_of(network, "keras")
    file = renamed(plain, lambda key: letters(key, plain))
    found = read(file, is_ordered=True)
    assert_true(found, file)
    assert found.steps == ("layers matched by order",)
    assert "order of its convolutions" in refusal(file)
    assert "order of its convolutions" in refusal(shuffled(file))


def test_two_orders_that_differ_are_refused() -> None:
    plain = file_of(configuration("tiny"), "keras", top=False)
    conv = [layer.name for layer in configuration("tiny").convolutions]
    numbered = renamed(plain, lambda k: f"c{conv.index(k.rpartition('.')[0])}.{k.split('.')[1]}")
    items = list(numbered.items())
    items[-2:], items[-4:-2] = items[-4:-2], items[-2:]  # the last two have one shape
    assert "contradicts their names" in refusal(dict(items), is_ordered=True)
    assert_true(read(dict(items)), numbered)


def swaps(file: File) -> Iterator[File]:
    """The file with the names of two layers of one shape exchanged."""
    layers = list(dict.fromkeys(key.rpartition(".")[0] for key in file))
    for i, one in enumerate(layers):
        for other in layers[i + 1 :]:
            if file[f"{one}.weight"][1] == file[f"{other}.weight"][1]:
                pair = {one: other, other: one}
                yield {
                    f"{pair.get(layer, layer)}.{part}": value
                    for (layer, _, part), value in (
                        (key.rpartition("."), value) for key, value in file.items()
                    )
                }


@pytest.mark.parametrize("is_ordered", [True, False])
def test_swapped_layers_of_one_shape_are_never_mistaken_under_names_that_say_nothing(
    is_ordered: bool,
) -> None:
    plain = file_of(configuration("D"), "keras")
    count = 0
    for file in swaps(renamed(plain, lambda key: letters(key, plain))):
        count += 1
        if is_ordered:  # the file's order stays what it was
            assert_true(read(file, is_ordered=True), file)
        else:
            assert refusal(file)
    assert count > 5


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


PLAIN = file_of(TINY, "torchvision")


@pytest.mark.parametrize("main", ["state_dict", "model_state_dict", "model", "net", "params"])
@pytest.mark.parametrize("other", ["state_dict_ema", "ema", "momentum"])
def test_the_usual_set_is_read_and_the_others_are_named(main: str, other: str) -> None:
    both = under(f"{other}/", PLAIN) | under(f"{main}/module.", PLAIN)
    found = read(both)
    assert set(found.keys.values()) == set(under(f"{main}/module.", PLAIN))
    assert f"others: `--key {other}`" in found.steps
    found = read(both, key=other)
    assert set(found.keys.values()) == set(under(f"{other}/", PLAIN))
    assert found.steps == (f"read under `{other}`",)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("student.", "teacher."),
        ("encoder_q.", "encoder_k."),
        ("state_dict/model.", "state_dict/ema_model."),
        ("generator/", "discriminator/"),
        ("", "teacher."),
        ("model/", "state_dict/"),
        ("module.student.", "module.teacher."),
    ],
)
def test_two_sets_without_a_usual_order_need_a_key(one: str, other: str) -> None:
    both = under(one, PLAIN) | under(other, PLAIN)
    message = refusal(both)
    assert "--key" in message
    assert other.strip("/") in message
    for key in (other, other.rstrip("./")):
        assert set(read(both, key=key).keys.values()) == set(under(other, PLAIN))


def test_an_unknown_key_is_refused_with_those_there_are() -> None:
    both = under("state_dict/", PLAIN) | under("ema/", PLAIN)
    message = refusal(both, key="state_dict_ema")
    assert "'state_dict_ema' is not among the file's keys; expected one of" in message
    assert "`state_dict`, `ema`" in message


FEATURES = file_of(TINY, "torchvision", top=False)
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


def test_a_last_layer_renamed_is_found_by_its_shape() -> None:
    for name in ("dense_1", "my_output", "fc3"):
        file = {k.replace("predictions", name): v for k, v in file_of(TINY, "keras").items()}
        found = read(file)
        assert_true(found, file)
        assert found.steps == (f"`{name}` read as predictions",)


def test_layers_that_share_a_shape_are_not_told_apart_without_an_order() -> None:
    network = configuration("tiny", classes=32)  # fc2 and predictions are both (32, 32)
    names = {"fc1": "first", "fc2": "second", "predictions": "last"}

    def unknown(key: str) -> str:
        layer, _, part = key.rpartition(".")
        return f"{names.get(layer, layer)}.{part}"

    file = renamed(file_of(network, "keras"), unknown)
    assert_true(read(file, is_ordered=True), file)
    assert "more than one way" in refusal(file)


def test_numbers_and_the_files_order_must_agree_on_layers_that_share_a_shape() -> None:
    file = file_of(configuration("tiny", classes=32), "keras")
    numbers = {"fc1": "dense_8", "fc2": "dense_9", "predictions": "dense_10"}
    file = {
        f"{numbers.get(layer, layer)}.{part}": value
        for (layer, _, part), value in ((key.rpartition("."), v) for key, v in file.items())
    }
    assert_true(read(file), file)
    assert_true(read(shuffled(file)), file)
    assert_true(read(file, is_ordered=True), file)
    refusal(dict(reversed(file.items())), is_ordered=True)


def test_names_that_repeat_their_block_are_known() -> None:
    file = {
        (f"{key.partition('_')[0]}.{key}" if "conv" in key else key): value
        for key, value in file_of(TINY, "authors").items()
    }
    found = read(shuffled(file))
    assert_true(found, file)
    assert found.steps == ()


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


def test_numbers_that_leave_no_room_for_pooling_are_refused() -> None:
    numbers = [0, 2, 4, 6, 9, 11, 13, 16, 18, 20, 22, 24, 26]
    pairs = dict(zip(map(str, MODULES["tiny"]), map(str, numbers), strict=True))

    def moved(key: str) -> str:
        features, number, part = key.split(".")
        return f"{features}.{pairs[number]}.{part}"

    assert "room for VGG's poolings" in refusal(renamed(FEATURES, moved), is_ordered=True)


def test_a_dense_layer_of_one_by_one_does_not_tell_the_order_of_its_inputs() -> None:
    whole = PLAIN | {"classifier.0.weight": ("fc1.weight", (32, 12, 2, 2))}
    assert_true(read(whole), whole)
    flat = PLAIN | {"classifier.0.weight": ("fc1.weight", (32, 48, 1, 1))}
    assert "wrong shape: fc1.weight is (32, 48, 1, 1)" in refusal(flat)
