"""Every file becomes pixels or a reason."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError

import numpy as np
import pytest
from PIL import Image

from parity_tests.support.evaluation.images import encoded, items, jpegs
from vgg16_parity.evaluate.datasets.items import Skipped
from vgg16_parity.evaluate.pixels import Pixels, Room, prepared
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import pixels, read_image
from vgg16_spec.images.recipes import RECIPES

RECIPE = RECIPES["torchvision"]
SIZE = 64


def prepare(content: bytes) -> Pixels | Skipped:
    (item,) = items([content])
    return prepared(item, RECIPE, SIZE, Room())


def test_pixels_are_the_recipes() -> None:
    (content,) = jpegs(1)
    found = prepare(content)
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.uint8
    assert np.array_equal(found, pixels(read_image(content), RECIPE, size=SIZE)[0])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a picture"),
        (b"<html>Not found</html>", "not a picture"),
        (jpegs(1)[0][:-400], r"cannot be read \(image file is truncated.*\)"),
        (
            encoded(Image.new("RGB", (9001, 90)), "PNG"),
            "is 9001×90 pixels; expected sides within a factor of 100",
        ),
        (encoded(Image.new("F", (90, 90)), "TIFF"), "has pixels of mode F, which have no range"),
    ],
    ids=["no bytes", "no picture", "truncated", "too long", "no range"],
)
def test_what_is_no_picture_has_a_reason_of_one_line(content: bytes, reason: str) -> None:
    found = prepare(content)
    assert isinstance(found, Skipped)
    assert found.name == "0.jpg"
    assert re.fullmatch(reason, found.reason), found.reason


def test_a_picture_of_too_many_pixels_says_what_would_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VGG16_MAX_PIXELS", "900")
    found = prepare(encoded(Image.new("RGB", (31, 31)), "PNG"))
    assert isinstance(found, Skipped)
    assert found.reason == "is 31×31 pixels; expected at most 900, or a larger VGG16_MAX_PIXELS"


def test_cmyk_and_sixteen_bits_are_read() -> None:
    cmyk = prepare(encoded(Image.new("CMYK", (90, 90), (0, 255, 255, 0)), "JPEG"))
    assert isinstance(cmyk, np.ndarray)
    red, green, blue = cmyk[SIZE // 2, SIZE // 2]
    assert red > 200 > 50 > max(green, blue)
    deep = Image.fromarray(np.full((90, 90), 0x80FF, np.uint16))
    found = prepare(encoded(deep, "PNG"))
    assert isinstance(found, np.ndarray)
    assert np.array_equal(found, np.full((SIZE, SIZE, 3), 0x80))


def test_bytes_that_changed_end_the_run() -> None:
    first, second = items(jpegs(2))
    changed = type(first)(first.name, first.label, first.sha256, second.place)
    with pytest.raises(BadInput, match=r"^0\.jpg: has changed since the data set was opened"):
        prepared(changed, RECIPE, SIZE, Room())


def test_room_is_for_as_many_pixels_as_there_are() -> None:
    def meet(room: Room, pixels: int, party: Barrier) -> bool:
        with room.taken(pixels):
            try:
                party.wait(timeout=0.3)
            except BrokenBarrierError:
                return False
            return True

    def together(pixels: int, threads: int) -> bool:
        room, party = Room(100), Barrier(threads)
        with ThreadPoolExecutor(threads) as pool:
            return all(pool.map(lambda _: meet(room, pixels, party), range(threads)))

    assert together(50, 2)
    assert not together(51, 2)
    assert not together(1000, 2)
    assert together(0, 8)
