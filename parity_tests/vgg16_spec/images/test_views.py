"""The views of a picture are the paper's, and their posteriors are averaged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import torch_impl
from parity_tests.support.tolerances import FLOAT64
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images import views as module
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import RECIPES, normalise, pixels, read_image
from vgg16_spec.images.views import (
    CROPS,
    LARGEST_SCALE,
    MOST_PIXELS,
    Views,
    averaged_log_posteriors,
    averaged_posteriors,
    dense_probabilities,
    flipped,
    resized_to_scales,
    views_at_scale,
)
from vgg16_spec.logits import softmax

RECIPE = RECIPES["torchvision"]
PAPER = (256, 384, 512)


def noise(width: int, height: int) -> Image.Image:
    values = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


def collected(picture: Image.Image, views: Views) -> list[NDArray[np.uint8]]:
    return [views_at_scale(each, views) for each in resized_to_scales(picture, RECIPE, views)]


@pytest.mark.parametrize(("width", "height"), [(300, 200), (200, 300), (97, 97)])
@pytest.mark.parametrize("flip", [False, True])
def test_the_smaller_side_is_the_scale_and_the_whole_picture_stays(
    width: int, height: int, flip: bool
) -> None:
    views = Views(PAPER, 224, flip=flip)
    found = collected(noise(width, height), views)
    for scale, array in zip(PAPER, found, strict=True):
        shorter = min(width, height)
        assert array.dtype == np.uint8
        sides = (scale * height // shorter, scale * width // shorter)
        assert array.shape == (1 + flip, *sides, 3)
    assert sum(map(len, found)) == views.count


def test_at_the_recipes_own_side_it_is_what_the_recipe_resizes_to() -> None:
    picture = read_image(PHOTOGRAPHS[0].path)
    (found,) = collected(picture, Views((256,), 224))
    assert np.array_equal(found, pixels(picture, RECIPE, crop=False))


def test_pictures_of_other_modes_are_taken_as_rgb() -> None:
    grey = noise(120, 90).convert("L")
    (found,) = collected(grey, Views((64,), 64))
    (expected,) = collected(grey.convert("RGB"), Views((64,), 64))
    assert np.array_equal(found, expected)


def test_the_second_view_is_the_mirror_image_and_its_mirror_image_the_first() -> None:
    (found,) = collected(noise(300, 200), Views((64,), 64, flip=True))
    first, second = found
    assert np.array_equal(second, first[:, ::-1])
    assert not np.array_equal(second, first)
    assert np.array_equal(flipped(flipped(found)), found)
    # Left and right, not top and bottom.
    assert np.array_equal(flipped(found)[0, 0], first[0, ::-1])


@pytest.mark.parametrize(("width", "height"), [(300, 200), (200, 300), (64, 64)])
def test_crops_are_a_regular_grid_and_their_mirror_images(width: int, height: int) -> None:
    picture, size = noise(width, height), 64
    (whole,) = collected(picture, Views((96,), size))[0]
    (found,) = collected(picture, Views((96,), size, crops=CROPS))
    assert found.shape == (50, size, size, 3)
    assert np.array_equal(found[25:], flipped(found[:25]))
    grid = found[:25].reshape(5, 5, size, size, 3)
    assert np.array_equal(grid[0, 0], whole[:size, :size])
    assert np.array_equal(grid[0, 4], whole[:size, -size:])
    assert np.array_equal(grid[4, 0], whole[-size:, :size])
    assert np.array_equal(grid[4, 4], whole[-size:, -size:])
    top, left = (round((side - size) / 2) for side in whole.shape[:2])
    assert np.array_equal(grid[2, 2], whole[top : top + size, left : left + size])
    quarter = round((whole.shape[1] - size) / 4)
    assert np.array_equal(grid[0, 1], whole[:size, quarter : quarter + size])


def test_views_of_one_colour_are_of_that_colour() -> None:
    picture = Image.new("RGB", (90, 70), (12, 200, 77))
    for views in (Views((64, 96), 64, flip=True), Views((64, 96), 64, crops=CROPS)):
        for array in collected(picture, views):
            assert (array == (12, 200, 77)).all()


def test_posteriors_are_averaged_and_not_logits() -> None:
    logits = np.array([[5.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    powers = np.exp(logits)
    expected = (powers / powers.sum(1, keepdims=True)).mean(0)
    found = averaged_posteriors(logits)
    assert found.dtype == np.float64
    assert np.abs(found - expected).max() <= FLOAT64.limit
    assert abs(found.sum() - 1) <= FLOAT64.limit
    assert np.abs(found - softmax(logits.mean(0, keepdims=True))[0]).max() > 0.1


def test_the_order_of_views_does_not_matter_and_equal_views_count_as_one() -> None:
    logits = np.random.default_rng(0).standard_normal((6, 10))
    found = averaged_posteriors(logits)
    assert np.abs(averaged_posteriors(logits[::-1]) - found).max() <= FLOAT64.limit
    twice = averaged_posteriors(np.concatenate([logits, logits]))
    assert np.abs(twice - found).max() <= FLOAT64.limit
    assert np.array_equal(averaged_posteriors(logits[:1]), softmax(logits[:1])[0])


def test_log_posteriors_are_the_logarithms_also_of_what_underflows() -> None:
    logits = np.random.default_rng(1).normal(0, 9, (6, 10)).astype(np.float32)
    found = averaged_log_posteriors(logits)
    assert found.dtype == np.float64
    assert np.abs(np.exp(found) - averaged_posteriors(logits)).max() <= FLOAT64.limit
    assert (
        np.abs(softmax(found[np.newaxis])[0] - averaged_posteriors(logits)).max() <= FLOAT64.limit
    )
    steep = np.array([[0, -2000.0, -3000.0], [0, -2500.0, -1000.0]])
    assert (averaged_posteriors(steep)[1:] == 0).all()
    expected = [0, -2000 - np.log(2), -1000 - np.log(2)]
    assert np.abs(averaged_log_posteriors(steep) - expected).max() <= FLOAT64.limit * 2000


def test_scales_are_the_same_in_any_order() -> None:
    assert Views((512, 256), 224) == Views((256, 512), 224)


def test_one_view_of_the_networks_size_is_the_plain_networks_softmax(tiny: Checkpoint) -> None:
    model = torch_impl.VGG("tiny", weights=tiny).eval()
    dense = torch_impl.DenseVGG(model)
    square = read_image(PHOTOGRAPHS[0].path).crop((0, 0, 64, 64))
    found = dense_probabilities(
        square, tiny.recipe, Views((64,), 64), lambda x: torch_impl.run_densely(dense, x)
    )
    # 64 pixels are not resized, so that the centre crop is the picture itself.
    whole = np.asarray(square)[np.newaxis]
    with torch.inference_mode():
        plain = model(torch.from_numpy(normalise(whole, tiny.recipe))).numpy()
    assert np.array_equal(found, softmax(plain)[0])


def test_probabilities_are_those_of_every_view_one_by_one(tiny: Checkpoint) -> None:
    dense = torch_impl.DenseVGG(torch_impl.VGG("tiny", weights=tiny))
    picture = read_image(PHOTOGRAPHS[0].path)

    def run(images: NDArray[np.float32]) -> NDArray[Any]:
        return torch_impl.run_densely(dense, images)

    for views in (Views((64, 96, 131), 64, flip=True), Views((64, 96), 64, crops=CROPS)):
        logits = [
            run(normalise(view[np.newaxis], tiny.recipe))
            for array in collected(picture, views)
            for view in array
        ]
        assert len(logits) == views.count
        expected = averaged_posteriors(np.concatenate(logits).astype(np.float64))
        found = dense_probabilities(picture, tiny.recipe, views, run)
        assert found.argmax() == expected.argmax()
        # The same sums in batches of another size.
        np.testing.assert_array_max_ulp(
            found.astype(np.float32), expected.astype(np.float32), maxulp=64
        )


def test_no_call_has_more_pixels_than_memory_has_room_for(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PIXELS_A_CALL", 3 * 64 * 64)
    calls = list[int]()

    def noted(images: NDArray[np.float32]) -> NDArray[Any]:
        calls.append(images[:, 0].size)
        return np.zeros((len(images), 4))

    dense_probabilities(noise(90, 70), RECIPE, Views((64,), 64, crops=CROPS), noted)
    assert max(calls) == 3 * 64 * 64
    assert sum(calls) == CROPS * 64 * 64
    calls.clear()
    # One view that is larger is computed alone.
    dense_probabilities(noise(90, 70), RECIPE, Views((640,), 64, flip=True), noted)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("scales", "options", "message"),
    [
        ((), {}, "--scales: names none; expected numbers of pixels from 224"),
        ((256, 223), {}, "--scales: 223 is out of range"),
        ((LARGEST_SCALE + 1,), {}, "is out of range"),
        ((-256,), {}, "is out of range"),
        ((256, 384, 256), {}, "--scales: names one twice"),
        ((256,), {"crops": 10}, "--crops: is 10; expected 50, or none"),
        ((256,), {"crops": -50}, "--crops: is -50"),
        ((256,), {"crops": CROPS, "flip": True}, "--flip: cannot be combined with --crops 50"),
    ],
)
def test_views_that_cannot_be_are_refused(
    scales: tuple[int, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        Views(scales, 224, **options)


def test_a_picture_too_long_for_a_scale_is_refused_before_it_is_resized() -> None:
    picture = Image.new("RGB", (9000, 100))
    with pytest.raises(BadInput, match=r"longer side is 90.0 times.*at most 7.6 times at scale"):
        collected(picture, Views((512,), 224))
    longest = Image.new("RGB", (MOST_PIXELS // 224**2 * 10, 10))
    (found,) = collected(longest, Views((224,), 224))
    assert found[0, ..., 0].size <= MOST_PIXELS


def test_a_report_says_which_views_were_averaged() -> None:
    assert str(Views(PAPER, 224, flip=True)) == "dense, scales 256, 384, 512, flipped too"
    assert str(Views((256,), 224)) == "dense, scale 256"
    assert str(Views(PAPER, 224, crops=CROPS)) == "50 crops, scales 256, 384, 512"
    assert [Views(PAPER, 224, flip=f).count for f in (False, True)] == [3, 6]
    assert Views(PAPER, 224, crops=CROPS).count == 150
