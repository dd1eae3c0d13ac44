"""The pictures show what the architecture says, to scale, and nothing lies over anything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations, pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.patches import Rectangle

from parity_tests.support.pages.drawn import DRAWN, polygons, texts
from vgg16_parity.drawing import table, volumes
from vgg16_parity.drawing.geometry import BACK, scene
from vgg16_parity.drawing.style import settings, shade
from vgg16_spec.architecture import CONFIGURATIONS, Configuration, configuration

every = pytest.mark.parametrize("name", CONFIGURATIONS)
pictures = pytest.mark.parametrize("kind", DRAWN)


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with mpl.rc_context(settings()):
        yield


def shown(network: Configuration) -> dict[str, tuple[int, ...]]:
    """What has a volume of its own, with its shape."""
    shapes = network.output_shapes()
    del shapes["flatten"]
    return {"input": network.input_shape, **shapes, "softmax": (network.classes,)}


@every
def test_every_volume_is_to_scale(name: str) -> None:
    network = configuration(name)
    faces = polygons(volumes.volumes(network))
    ratios: dict[str, list[float]] = {"channels": [], "rows": [], "columns": [], "units": []}
    for layer, shape in shown(network).items():
        front, side = faces[f"{layer}-front"], faces[f"{layer}-side"]
        if len(shape) == 3:
            channels, height, width = shape
            ratios["channels"].append(front.width / channels)
            ratios["rows"].append(front.height / height)
            ratios["columns"].append(side.width / BACK[0] / width)
            assert side.height == pytest.approx(front.height * (1 + BACK[1]))
        else:
            ratios["units"].append(front.height / shape[0])
    for axis, found in ratios.items():
        assert found == pytest.approx([found[0]] * len(found)), axis
    # A map is as deep as it is high: one scale for both.
    assert ratios["rows"] == pytest.approx(ratios["columns"])
    assert len(ratios["units"]) == 4


@every
def test_the_scale_bars_are_as_long_as_they_say(name: str) -> None:
    network = configuration(name)
    figure = volumes.volumes(network)
    scales = scene(network).scales
    words = [text.partition(" ") for text, _ in texts(figure)]
    said = {what: int(count) for count, _, what in words if what in scales}
    bars = {str(line.get_gid()): line for line in figure.axes[0].lines}
    assert set(said) == set(scales)
    for what, scale in scales.items():
        start, end = np.asarray(bars[f"scale-{what}"].get_xdata(), float)
        assert end - start == pytest.approx(said[what] * scale)


@every
def test_the_scales_are_those_of_the_input_and_of_the_longest_vector(name: str) -> None:
    network = configuration(name)
    placed = scene(network)
    sizes = {volume.output.name: volume.size for volume in placed.volumes}
    assert sizes["input"][1] == pytest.approx(
        placed.scales["pixels of height"] * network.input_size
    )
    longest = max(network.hidden_units, network.classes)
    assert placed.scales["units of a vector"] * longest == pytest.approx(
        max(sizes[n][1] for n in ("fc1", "predictions"))
    )


@every
def test_volumes_follow_each_other_along_one_line(name: str) -> None:
    drawn = scene(configuration(name)).volumes
    ends = [(volume.left, volume.left + volume.size[0]) for volume in drawn]
    assert all(before[1] <= after[0] + 1e-9 for before, after in pairwise(ends))
    assert [volume.output.name for volume in drawn] == list(shown(configuration(name)))


@every
def test_every_layer_has_its_label_once_under_its_shape(name: str) -> None:
    network = configuration(name)
    found = texts(volumes.volumes(network))
    counted = Counter(text for text, _ in found)
    shapes = network.output_shapes()
    for layer in network.layers:
        assert counted[layer.name] == 1, layer.name
        at = next(place for text, place in found if text == layer.name)
        above = [
            (place.y0, text)
            for text, place in found
            if place.y0 > at.y0 and abs(place.x0 - at.x0) < 20 and text[0].isdigit()
        ]
        shape = shapes[layer.name]
        expected = (
            "×".join(map(str, (*shape[1:], shape[0]))) if len(shape) == 3 else f"{shape[0]:,}"
        )
        assert min(above)[1] == expected, layer.name


@every
@pictures
def test_no_text_touches_another_or_the_edge(name: str, kind: str) -> None:
    figure = DRAWN[kind](configuration(name))
    found = texts(figure)
    for (one, at), (other, there) in combinations(found, 2):
        assert not at.overlaps(there), (one, other)
    width, height = figure.axes[0].get_xlim()[1], figure.axes[0].get_ylim()[1]
    for text, place in found:
        assert place.x0 >= 12, text
        assert place.x1 <= width - 12, text
        assert place.y0 >= 12, text
        assert place.y1 <= height - 12, text


@every
def test_no_text_lies_on_a_volume(name: str) -> None:
    figure = volumes.volumes(configuration(name))
    for text, place in texts(figure):
        for gid, face in polygons(figure).items():
            assert not place.overlaps(face), (text, gid)


@every
@pictures
def test_letters_are_large_enough_at_800_pixels(name: str, kind: str) -> None:
    figure = DRAWN[kind](configuration(name))
    assert figure.get_figwidth() * 96 == pytest.approx(800)
    assert min(float(text.get_fontsize()) for text in figure.axes[0].texts) / 0.75 >= 10


def test_a_convolution_of_1x1_has_a_colour_of_its_own_and_a_line_in_the_legend() -> None:
    legends = {
        name: [text for text, _ in texts(volumes.volumes(configuration(name)))] for name in "CD"
    }
    assert "1×1 convolution + ReLU" in legends["C"]
    assert "1×1 convolution + ReLU" not in legends["D"]
    patches = volumes.volumes(configuration("C")).axes[0].patches
    colours = {str(patch.get_gid()): patch.get_facecolor() for patch in patches}
    assert colours["block3_conv3-side"] != colours["block3_conv2-side"]
    assert colours["block3_conv2-side"] == colours["block1_conv1-side"]


@every
def test_the_table_has_each_column_s_layers_in_its_place(name: str) -> None:
    figure = table.table(configuration(name))
    found = texts(figure)
    heads = {text: (at.x0 + at.x1) / 2 for text, at in found if text in CONFIGURATIONS}
    shown_columns = [*"ABCDE", *([name] if name == "tiny" else [])]
    assert sorted(heads, key=heads.__getitem__) == shown_columns
    for column, x in heads.items():
        network = configuration(column)
        written = [
            (at.y0, text)
            for text, at in found
            if text.startswith("conv") and abs((at.x0 + at.x1) / 2 - x) < 1
        ]
        expected = [f"conv{c.kernel_size}-{c.out_channels}" for c in network.convolutions]
        assert [text for _, text in sorted(written, reverse=True)] == expected


@every
def test_the_chosen_column_is_marked_and_no_other(name: str) -> None:
    figure = table.table(configuration(name))
    (mark,) = [patch for patch in figure.axes[0].patches if patch.get_gid() == "marked"]
    assert isinstance(mark, Rectangle)
    left, right = mark.get_x(), mark.get_x() + mark.get_width()
    inside = [
        text
        for text, at in texts(figure)
        if text in CONFIGURATIONS and left < at.x0 < at.x1 < right
    ]
    assert inside == [name]
    # No other cell's text crosses the mark's edges.
    for text, at in texts(figure):
        if at.y1 < mark.get_y() + mark.get_height():
            assert not at.x0 < left < at.x1, text
            assert not at.x0 < right < at.x1, text


def test_bold_is_what_the_column_on_the_left_does_not_have() -> None:
    figure = table.table(configuration("D"))
    bold = [text for text in figure.axes[0].texts if text.get_fontweight() == "bold"]
    # Section 2.2 and Table 1: B adds two layers to A; C three of 1x1 to B, which D has as 3x3; E
    # adds three to D.
    counted = Counter(text.get_text() for text in bold if text.get_text().startswith("conv"))
    assert counted == {
        "conv3-64": 1,
        "conv3-128": 1,
        "conv1-256": 1,
        "conv1-512": 2,
        "conv3-256": 2,
        "conv3-512": 4,
    }


def test_shading_goes_to_white_and_to_black() -> None:
    assert shade("#3f7fc1", 1) == "#ffffff"
    assert shade("#3f7fc1", -1) == "#000000"
    assert shade("#3f7fc1", 0) == "#3f7fc1"
