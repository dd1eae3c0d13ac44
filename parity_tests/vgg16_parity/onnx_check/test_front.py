"""What a graph's first nodes make of test pictures: the recipe's values, or how they differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from parity_tests.support.graphs.nodes import node
from vgg16_parity.onnx_check.preprocessing import PIXELS, Front, preprocess, shape_of
from vgg16_parity.onnx_check.symbolic import SymbolicTensor, Untraceable
from vgg16_spec.images.preprocessing import RECIPES, Layout, Recipe, normalise, resized_side

OWN: Final = RECIPES["torchvision"]
SIZE: Final = 10
SIDE: Final = resized_side(OWN, SIZE)
UINT8, FLOAT = ir.DataType.UINT8, ir.DataType.FLOAT


def given(dtype: ir.DataType | None, *sizes: int | str) -> ir.Value:
    return ir.val("images", dtype, sizes)


def front(
    dtype: ir.DataType = UINT8,
    sizes: tuple[int | str, ...] = ("N", 3, SIZE, SIZE),
    layout: Layout = "nchw",
    recipe: Recipe = OWN,
    **options: Any,
) -> Front:
    return Front(given(dtype, *sizes), layout, recipe, **options)


def test_a_size_that_is_no_number_or_negative_is_open() -> None:
    assert shape_of(given(FLOAT, "N", -1, 0, 5)) == (None, None, 0, 5)
    assert shape_of(ir.val("images")) == ()


@pytest.mark.parametrize(
    ("dtype", "sizes", "options", "kind"),
    [
        (UINT8, ("N", "H", "W", 3), {}, "pictures"),
        (UINT8, ("N", "H", "W", 3), {"averages": True}, "pixels"),
        (UINT8, ("N", 5, "W", 3), {}, "pixels"),
        (UINT8, ("N", "H", 5, 3), {}, "pixels"),
        (FLOAT, ("N", "H", "W", 3), {}, "float32"),
        (UINT8, ("N", "H"), {}, "pictures"),
    ],
)
def test_a_graph_takes_prepared_images_pixels_or_pictures(
    dtype: ir.DataType, sizes: tuple[int | str, ...], options: dict[str, Any], kind: str
) -> None:
    found = front(dtype, sizes, "nhwc", **options)
    assert (found.kind, found.problem) == (kind, "")


@pytest.mark.parametrize("dtype", [UINT8, FLOAT])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_test_pictures_have_the_graphs_layout_and_type(dtype: ir.DataType, layout: Layout) -> None:
    sizes = ("N", 3, 6, 7) if layout == "nchw" else ("N", 6, 7, 3)
    made = front(dtype, sizes, layout)
    array = made.begin(2, SIZE).array
    assert made.pictures.shape == (2, 6, 7, 3)
    assert made.pictures.max() == 255
    moved = made.pictures if layout == "nhwc" else made.pictures.transpose(0, 3, 1, 2)
    assert array.dtype == (np.uint8 if dtype == UINT8 else np.float32)
    assert np.array_equal(array, moved)
    with pytest.raises(Untraceable, match="too large to follow"):
        front(dtype, ("N", 3, 10_000, 10_000)).begin(1, SIZE)


@pytest.mark.parametrize(("size", "recipe"), [(10, OWN), (64, OWN), (224, RECIPES["caffe"])])
def test_pictures_show_the_side_that_is_resized_and_how_halves_are_rounded(
    size: int, recipe: Recipe
) -> None:
    side = resized_side(recipe, size)
    for count, remainder in ((1, 3), (2, 1)):
        made = front(sizes=("N", "H", "W", 3), layout="nhwc", recipe=recipe)
        made.begin(count, size)
        height, width = made.pictures.shape[1:3]
        # One picture lies, two stand.
        assert (height < width) == (count == 1)
        short, long = sorted((height, width))
        assert short == side + 1
        assert long > short
        resized, rest = divmod(long * side, short)
        assert (resized - size) % 4 == remainder
        assert rest / short >= 1 / 2
        # No picture closer to a square does.
        for other in range(short + 1, long):
            resized, rest = divmod(other * side, short)
            assert (resized - size) % 4 != remainder or rest / short < 1 / 2
        fixed = front(sizes=("N", "H", 5, 3), layout="nhwc", recipe=recipe)
        fixed.begin(count, size)
        assert fixed.pictures.shape == (count, size, 5, 3)


def entered(made: Front, array: NDArray[Any]) -> SymbolicTensor:
    return made.enter(SymbolicTensor(array))


@pytest.mark.parametrize("dtype", [UINT8, FLOAT])
@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (lambda values: values, ""),
        (lambda values: values[:, ::-1], "the channels are reversed, expected RGB"),
        (lambda values: values.swapaxes(2, 3), "height and width are exchanged"),
        (lambda values: values[..., ::-1], "not that of the recipe torchvision, which the weigh"),
        (lambda values: values + 0.1, "not that of the recipe torchvision, which the weights ex"),
        (lambda values: values * np.nan, "not that of the recipe torchvision, which the weights"),
    ],
)
def test_what_the_first_layer_reads_is_what_the_recipe_makes(
    dtype: ir.DataType, changed: Any, problem: str
) -> None:
    made = front(dtype)
    made.begin(2, SIZE)
    found = entered(made, changed(normalise(made.pictures, OWN)))
    assert made.problem.startswith(problem)
    assert bool(made.problem) == bool(problem)
    assert made.kind == "pixels"
    assert found.maps == (2, 3, SIZE, SIZE)
    assert np.array_equal(found.array.ravel(), np.arange(600))
    assert found.steps == ()


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (lambda values: values, ""),
        (lambda values: values[:, ::-1], "the channels are reversed, expected BGR"),
        (lambda values: values.swapaxes(2, 3), "height and width are exchanged"),
    ],
)
def test_images_that_come_prepared_are_read_as_they_are(changed: Any, problem: str) -> None:
    made = front(FLOAT, recipe=replace(OWN, channels="BGR"))
    array = changed(made.begin(2, SIZE).array)
    entered(made, array)
    assert (made.kind, made.problem) == ("float32", problem)
    # Those of whole levels are not read so.
    pixels = front(UINT8)
    entered(pixels, pixels.begin(2, SIZE).array)
    assert pixels.problem.startswith("not that of the recipe")


def test_preprocessed_pixels_may_be_off_by_rounding() -> None:
    for factor, problem in ((0.95, False), (1.05, True), (-0.95, False), (-1.05, True)):
        made = front()
        made.begin(2, SIZE)
        values = normalise(made.pictures, OWN).astype(np.float64)
        values[0, 1, 2, 3] += factor * PIXELS.limit * np.abs(values).max()
        entered(made, values)
        assert bool(made.problem) is problem


def test_images_in_another_order_or_of_another_size_cannot_be_read() -> None:
    made = front()
    made.begin(2, SIZE)
    for shape in ((2, SIZE, SIZE, 3), (1, 3, SIZE, SIZE), (2, 3, SIZE * SIZE)):
        with pytest.raises(Untraceable, match=r"in another order than \(N, C, H, W\)"):
            entered(made, np.zeros(shape))
    pictures = front(sizes=("N", "H", "W", 3), layout="nhwc")
    pictures.begin(1, SIZE)
    with pytest.raises(Untraceable, match=f"whose shorter side is not made {SIDE}"):
        entered(pictures, np.zeros((1, 3, SIZE, SIZE)))
    pictures.pictures = pictures.pictures[:, :SIDE]
    with pytest.raises(Untraceable, match=f"of {SIDE} × {SIZE}, expected {SIZE} × {SIZE}"):
        entered(pictures, np.zeros((1, 3, SIDE, SIZE)))
    # The crop is from the centre, halves to even.
    starts = [round((length - SIZE) / 2) for length in pictures.pictures.shape[1:3]]
    rows, columns = (slice(start, start + SIZE) for start in starts)
    entered(pictures, normalise(pictures.pictures[:, rows, columns], OWN))
    assert (pictures.kind, pictures.problem) == ("pictures", "")


PICTURES: Final = np.random.default_rng(2).integers(0, 256, (2, 5, 8, 3)).astype(np.float32)
X: Final = SymbolicTensor(PICTURES)
THREE, FACTORS = np.array([1, 2, 3], np.float32), np.array([1, 2, 4], np.float32)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (node("Transpose", X, perm=[0, 3, 1, 2]), PICTURES.transpose(0, 3, 1, 2)),
        (node("Sub", X, THREE), PICTURES - THREE),
        (node("Add", np.float32(3), X), PICTURES + 3),
        (node("Mul", X, np.float32(3)), PICTURES * 3),
        (node("Div", X, FACTORS), PICTURES / FACTORS),
        (node("Cast", X, to=int(FLOAT)), PICTURES),
        (node("Dropout", X), PICTURES),
        (node("Cast", X, to=int(ir.DataType.FLOAT16)), None),
        (node("Relu", X), None),
        (node("Add", X, np.zeros((1, 1, 1, 1, 1), np.float32)), None),
        (node("Slice", X, [0], [3], [1]), None),
        # The centre, and channels in the other order.
        (node("Slice", X, [2], [4], [1]), PICTURES[:, 2:4]),
        (node("Slice", X, [2, 1], [4, 6], [1, 2]), None),
        (node("Slice", X, [2, 2], [4, 5], [1, 2]), PICTURES[:, 2:4, 2:5]),
        (node("Gather", X, [2, 1, 0], axis=3), PICTURES[..., ::-1]),
        (node("Gather", X, [4, 3, 2, 1, 0], axis=1), PICTURES[:, ::-1]),
        (node("Gather", X, [0, 2, 1], axis=3), None),
        (node("Gather", X, [1, 0], axis=0), None),
    ],
)
def test_each_node_of_the_front_is_computed(at: Any, expected: NDArray[Any] | None) -> None:
    if at.operator in ("Slice", "Gather") and expected is None:
        with pytest.raises(Untraceable, match="crops elsewhere than in the centre"):
            preprocess(at, front())
        return
    found = preprocess(at, front())
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert np.array_equal(found.array, expected)


USUAL: Final[dict[str, Any]] = {"mode": "linear", "antialias": 1}


def resize(*sizes: int, recipe: Recipe = OWN, **attributes: Any) -> tuple[SymbolicTensor, Front]:
    """Pictures of 12 x 15, in NHWC, resized to these sizes."""
    made = front(sizes=("N", "H", "W", 3), layout="nhwc", recipe=recipe)
    x = made.begin(1, SIZE)
    assert x.array.shape == (1, 12, 15, 3)
    found = preprocess(node("Resize", x, None, None, list(sizes), **attributes), made)
    assert found is not None
    return found, made


def test_a_resize_picks_as_many_values_of_the_test_pictures_too() -> None:
    before = front(sizes=("N", "H", "W", 3), layout="nhwc").begin(1, SIZE).array
    rows, columns = np.arange(11) * 12 // 11, np.arange(13) * 15 // 13
    ways: tuple[tuple[tuple[int, ...], dict[str, Any]], ...] = (
        ((1, 11, 13, 3), {}),
        ((11, 13), {"axes": [1, 2]}),
    )
    for sizes, axes in ways:
        found, made = resize(*sizes, **USUAL, **axes)
        assert np.array_equal(found.array, before[:, rows][:, :, columns])
        assert np.array_equal(made.pictures, found.array)


BICUBIC: Final = replace(OWN, name="own", resample="BICUBIC")


@pytest.mark.parametrize(
    ("recipe", "attributes", "problem"),
    [
        (OWN, USUAL, ""),
        (OWN, {"antialias": 1}, "resizes by nearest, the recipe torchvision by BILINEAR"),
        (OWN, USUAL | {"cubic_coeff_a": -0.5}, ""),
        (OWN, {"mode": "linear"}, "resizes without antialiasing"),
        (BICUBIC, {"mode": "cubic", "antialias": 1}, r"resizes by cubic \(-0.75\), the recipe own"),
        (BICUBIC, {"mode": "cubic", "antialias": 1, "cubic_coeff_a": -0.5}, ""),
        (BICUBIC, USUAL, "resizes by linear, the recipe own by BICUBIC"),
        (OWN, USUAL | {"coordinate_transformation_mode": "half_pixel"}, ""),
        (OWN, USUAL | {"coordinate_transformation_mode": "pytorch_half_pixel"}, ""),
        (
            OWN,
            USUAL | {"coordinate_transformation_mode": "asymmetric"},
            "with the coordinate_transformation_mode asymmetric, expected half_pixel",
        ),
        (OWN, USUAL | {"keep_aspect_ratio_policy": "stretch"}, ""),
        (
            OWN,
            USUAL | {"keep_aspect_ratio_policy": "not_larger"},
            "with the keep_aspect_ratio_policy not_larger, expected stretch",
        ),
    ],
)
def test_a_resize_filters_as_the_recipe_does(
    recipe: Recipe, attributes: dict[str, Any], problem: str
) -> None:
    if problem:
        with pytest.raises(Untraceable, match=problem):
            resize(1, 11, 13, 3, recipe=recipe, **attributes)
    else:
        resize(1, 11, 13, 3, recipe=recipe, **attributes)


def test_a_resize_to_another_size_is_named() -> None:
    for sizes in ((1, 11, 14, 3), (1, 12, 13, 3), (1, 13, 11, 3), (2, 11, 13, 3)):
        with pytest.raises(Untraceable, match="resizes to another size than the recipe does"):
            resize(*sizes, **USUAL)
    pixels = front()
    x = pixels.begin(1, SIZE)
    at = node("Resize", x, None, None, list(x.array.shape), **USUAL)
    with pytest.raises(Untraceable, match="resizes to another size"):
        preprocess(at, pixels)
