"""The architecture is the paper's, and everything derived from it is right."""

from __future__ import annotations

import pytest

from parity_tests.support.architecture import VGG16_LAYERS
from vgg16_spec.architecture import CONFIGURATIONS, Convolution, configuration
from vgg16_spec.errors import BadInput


def test_vgg16_has_the_layers_of_the_table() -> None:
    network = configuration("D")
    shapes = network.output_shapes()
    derived = tuple(
        (layer.name, shapes[layer.name], network.parameters(layer.name)) for layer in network.layers
    )
    assert derived == VGG16_LAYERS


@pytest.mark.parametrize(
    ("name", "parameters", "weight_layers"),
    [
        ("A", 132_863_336, 11),
        ("B", 133_047_848, 13),
        ("C", 133_638_952, 16),
        ("D", 138_357_544, 16),
        ("E", 143_667_240, 19),
    ],
)
def test_every_column_has_the_papers_depth_and_size(
    name: str, parameters: int, weight_layers: int
) -> None:
    network = configuration(name)
    assert network.parameters() == parameters
    assert len(network.weighted_layers) == weight_layers


def test_multiply_adds_of_one_convolution_and_one_dense_layer_by_hand() -> None:
    network = configuration("D")
    assert network.multiply_adds("block1_conv2") == 224 * 224 * 64 * 64 * 3 * 3
    assert network.multiply_adds("fc1") == 512 * 7 * 7 * 4096
    assert network.multiply_adds("block1_pool") == 0
    assert network.multiply_adds() == sum(map(network.multiply_adds, network.taps))
    # 30.9 GFLOP an image, as the field counts it: two operations a multiply-add.
    assert network.multiply_adds() == 15_470_264_320


def test_only_column_c_has_1x1_convolutions_at_the_end_of_blocks_3_to_5() -> None:
    kernels = {
        name: [layer.name for layer in network.convolutions if layer.kernel_size == 1]
        for name, network in CONFIGURATIONS.items()
    }
    assert kernels.pop("C") == ["block3_conv3", "block4_conv3", "block5_conv3"]
    assert not any(kernels.values())


def test_tiny_has_the_topology_of_vgg16() -> None:
    def topology(name: str) -> list[tuple[type, str]]:
        return [(type(layer), layer.name) for layer in configuration(name).layers]

    assert topology("tiny") == topology("D")


def test_tiny_tells_the_two_flattening_orders_apart() -> None:
    # On a 1x1 map the orders CHW and HWC are the same, and fc1's permutation would be untested.
    _, height, width = configuration("tiny").feature_shape
    assert height > 1
    assert width > 1


def test_taps_are_the_layers_that_compute_with_the_logits_last() -> None:
    network = configuration("D")
    assert network.taps == tuple(name for name, *_ in VGG16_LAYERS if name != "flatten")
    assert network.with_head(include_top=False).taps[-1] == "block5_pool"


def test_without_its_classifier_the_network_takes_other_sizes() -> None:
    features = configuration("D", include_top=False)
    assert features.output_shapes(97, 32)["block5_pool"] == (512, 3, 1)


@pytest.mark.parametrize(
    ("include_top", "shape", "channels_last", "expected"),
    [
        (True, (3, 32, 224), False, "(3, 224, 224)"),
        (True, (3, 224, 224), True, "(224, 224, 3)"),
        (True, (224, None, 3), True, "(224, 224, 3)"),
        (True, (3, 224), False, "(3, 224, 224)"),
        (False, (3, 31, 40), False, "(3, at least 32, at least 32)"),
        (False, (64, 64, 1), True, "(at least 32, at least 32, 3)"),
    ],
)
def test_a_wrong_input_is_refused_with_both_shapes(
    include_top: bool, shape: tuple[int, ...], channels_last: bool, expected: str
) -> None:
    network = configuration("D", include_top=include_top)
    with pytest.raises(ValueError, match="received an input of shape") as refusal:
        network.check_input(shape, channels_last=channels_last)
    assert f"({', '.join(map(str, shape))})" in str(refusal.value)
    assert str(refusal.value).endswith(f"expected {expected}")


def test_other_numbers_of_classes_change_the_last_layer_only() -> None:
    weights, ten = (configuration("D", classes=n).weight_shapes for n in (1000, 10))
    changed = {name for name in weights if weights[name] != ten[name]}
    assert changed == {"predictions.weight", "predictions.bias"}


def test_unknown_names_and_impossible_heads_are_refused() -> None:
    with pytest.raises(BadInput, match=r"'F' is unknown; expected one of A, B, C, D, E, tiny"):
        configuration("F")
    with pytest.raises(BadInput, match="classes: is 0; expected at least 1"):
        configuration("D", classes=0)


def test_padding_keeps_the_resolution() -> None:
    for layer in configuration("C").layers:
        if isinstance(layer, Convolution):
            assert 2 * layer.padding + 1 == layer.kernel_size
