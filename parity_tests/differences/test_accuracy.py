"""What the chapter on accuracy counts, and the pictures that it measures on."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from differences.accuracy import counting, labelling, pictures, resizing
from differences.accuracy.pictures import Pixels
from vgg16_spec.images.preprocessing import RECIPES, pixels, read_image

RIGHT, IMAGES = 35_796, 50_000  # torchvision's top-1


@pytest.fixture(scope="module")
def files() -> tuple[bytes, ...]:
    return pictures.files()


def size_and_colours(file: bytes) -> tuple[tuple[int, int], int]:
    with Image.open(io.BytesIO(file)) as opened:
        return opened.size, opened.layer[1][1]  # type: ignore[attr-defined]


def test_the_pictures_are_the_same_on_every_call_and_all_different(
    files: tuple[bytes, ...],
) -> None:
    assert pictures.files() == files
    assert len(set(files)) == pictures.COUNT


def test_half_of_the_pictures_are_large_enough_to_be_halved_and_none_too_small(
    files: tuple[bytes, ...],
) -> None:
    shorter = [min(size_and_colours(file)[0]) for file in files]
    assert sum(side >= 2 * resizing.SHORTER for side in shorter) == len(files) // 2
    assert min(shorter) >= resizing.SHORTER


def test_a_turned_picture_is_upright_again_where_its_exif_data_are_followed(
    files: tuple[bytes, ...],
) -> None:
    right = read_image(files[0])
    turned = pictures.turned(files[0])
    assert size_and_colours(turned)[0] == right.size[::-1]
    upright = read_image(turned)
    assert upright.size == right.size
    apart = np.asarray(upright, np.float32) - np.asarray(right, np.float32)
    flipped = np.asarray(upright, np.float32)[::-1, ::-1] - np.asarray(right, np.float32)
    assert np.abs(apart).mean() < np.abs(flipped).mean()


def test_the_recipe_without_a_change_is_the_projects(files: tuple[bytes, ...]) -> None:
    for file in files[:: len(files) // 4]:
        picture: Pixels = np.array(read_image(file))
        ours = pixels(picture, RECIPES["torchvision"])[0]
        assert np.array_equal(resizing.cropping()(picture), ours)


@pytest.mark.parametrize("name", resizing.geometries())
def test_every_other_geometry_has_the_size_and_other_pixels_of_some_picture(
    files: tuple[bytes, ...], name: str
) -> None:
    decoded = [np.array(read_image(file)) for file in files]
    prepare = resizing.geometries()[name]
    assert {prepare(each).shape for each in decoded} == {(resizing.CROP, resizing.CROP, 3)}
    assert any(not np.array_equal(prepare(p), resizing.cropping()(p)) for p in decoded)


def test_text_order_leaves_few_numbers_in_place() -> None:
    order = labelling.orders()[labelling.AS_TEXT]
    places = sorted(str(number) for number in range(1000))
    assert 1000 - labelling.moved(order) == sum(places[n] == str(n) for n in range(1000)) > 0


def test_sorted_synsets_move_no_class_and_a_background_moves_all() -> None:
    moved = {name: labelling.moved(order) for name, order in labelling.orders().items()}
    assert moved[labelling.SYNSETS] == 0
    assert max(moved.values()) == labelling.CLASSES
    assert moved[labelling.NAMES] < moved[labelling.ANY_CASE]


@pytest.mark.parametrize(
    ("count", "least"),
    [(counting.left_out, -1), (counting.twice, 1)],
    ids=["left out", "counted twice"],
)
@pytest.mark.parametrize("of_right", [True, False])
def test_the_images_that_move_an_accuracy_are_the_fewest(
    count: object, least: int, of_right: bool
) -> None:
    assert callable(count)
    found = count(RIGHT, of_right=of_right)

    def accuracy(images: int) -> Fraction:
        return Fraction(RIGHT + least * images * of_right, IMAGES + least * images)

    moved, before = (abs(accuracy(n) - accuracy(0)) for n in (found, found - 1))
    assert before < Fraction(1, 1000) <= moved


def test_the_mean_of_batches_is_the_accuracy_where_all_are_whole() -> None:
    assert counting.last_batch(100) == 0
    assert counting.mean_of_batches(RIGHT, 100) == 0
    assert counting.mean_of_batches(RIGHT, 256) > counting.mean_of_batches(RIGHT, 128) > 0


def test_six_images_of_one_runtime_alone_matter_and_five_do_not() -> None:
    assert counting.least_uneven() == 6
