"""Layers are found by their names, or by an order that nothing contradicts."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from parity_tests.support.weights.layers import (
    FEATURES,
    HEAD,
    MODULES,
    TINY,
    File,
    assert_true,
    file_of,
    networks,
    read,
    refusal,
    renamed,
    shuffled,
)
from vgg16_spec.architecture import configuration


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
    "numbers",
    [
        [0, 2, 4, 6, 9, 11, 13, 16, 18, 20, 22, 24, 26],
        # As far within the third block as from block to block.
        [0, 2, 5, 7, 10, 13, 15, 18, 20, 22, 25, 27, 29],
    ],
)
def test_numbers_that_leave_no_room_for_pooling_are_refused(numbers: list[int]) -> None:
    pairs = dict(zip(map(str, MODULES["tiny"]), map(str, numbers), strict=True))

    def moved(key: str) -> str:
        features, number, part = key.split(".")
        return f"{features}.{pairs[number]}.{part}"

    assert "room for VGG's poolings" in refusal(renamed(FEATURES, moved), is_ordered=True)
