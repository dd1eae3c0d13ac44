"""Searched images exercise more, are the same each time, and are kept in the cache folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from parity_tests.support.helpers import Batch
from parity_tests.support.tolerances import FINITE_DIFFERENCES
from vgg16_parity.network import reference, search
from vgg16_parity.network.coverage import CaseExercised, Coverage
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("VGG16_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def coverage(checkpoint: Checkpoint, images: np.ndarray) -> Coverage:
    found = CaseExercised(checkpoint.configuration)
    for _ in found.observe(images, reference.walk(checkpoint, images)):
        pass
    return found.at(("predictions",)).coverage()


def test_they_exercise_what_photographs_do_not(tiny: Checkpoint, batch: Batch) -> None:
    pictures, images = batch(tiny), search.search(tiny)
    assert images.dtype == np.float32
    assert images.shape[1:] == tiny.configuration.input_shape
    assert len(images) <= search.MOST_IMAGES
    before = coverage(tiny, pictures)
    after = coverage(tiny, np.concatenate([pictures, images]))
    assert after.share > before.share + 0.1
    assert after.tensors["fc1.weight"] > before.tensors["fc1.weight"]


def test_each_image_adds_to_those_before(tiny: Checkpoint) -> None:
    images = search.search(tiny)
    shares = [coverage(tiny, images[:count]).share for count in range(1, len(images) + 1)]
    assert shares == sorted(set(shares))


def test_no_mode_overflows_on_them(tiny: Checkpoint) -> None:
    """Weights of a layer so large that float16 holds what dim images give, and no others."""
    weight = tiny["block2_conv1.weight"]
    reached = max(
        np.abs(tap.preactivation).max() for tap in reference.walk(tiny, search.search(tiny))
    )
    for factor, some in ((0.5 * 65504 / reached, True), (1e9, False)):
        large = tiny.with_tensors({"block2_conv1.weight": weight * np.float32(factor)})
        images = search.search(large, steps=0)
        assert bool(len(images)) == some
        for tap in reference.walk(large, images) if some else ():
            assert np.abs(tap.preactivation).max() <= 65504


def test_steps_towards_dark_units_help(tiny: Checkpoint) -> None:
    without, after = (coverage(tiny, search.search(tiny, steps=steps)) for steps in (0, 4))
    assert after.share > without.share


def test_the_gradient_is_that_of_the_forward_pass(tiny: Checkpoint, batch: Batch) -> None:
    images = batch(tiny)[:1].astype(np.float64)
    draw = np.random.default_rng(5)
    taps = {tap.tap: tap for tap in reference.walk(tiny, images)}
    wanted = {
        tap: draw.standard_normal(taps[tap].preactivation.shape)
        for tap in ("block2_conv2", "block4_pool", "block5_pool", "fc1", "predictions")
    }
    found = search.gradient(tiny, taps, wanted)
    direction = draw.standard_normal(images.shape)

    def total(step: float) -> float:
        moved = {tap.tap: tap for tap in reference.walk(tiny, images + step * direction)}
        return sum(float((wanted[tap] * moved[tap].preactivation).sum()) for tap in wanted)

    size = 1e-6
    difference = (total(size) - total(-size)) / (2 * size)
    lengths = float(np.linalg.norm(found) * np.linalg.norm(direction))
    assert abs(difference - float((found * direction).sum())) <= FINITE_DIFFERENCES.limit * lengths


def test_they_are_searched_once(
    tiny: Checkpoint, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = search.searched(tiny)
    assert first.name == "searched inputs"
    assert len(first.labels) == len(first.images)
    (file,) = folder.iterdir()
    again = search.search(tiny)
    assert first.images.tobytes() == again.tobytes()
    monkeypatch.setattr(search, "search", lambda _: pytest.fail("searched again"))
    assert search.searched(tiny).images.tobytes() == again.tobytes()
    assert [file] == list(folder.iterdir())


def test_other_values_have_images_of_their_own(folder: Path) -> None:
    for seed in (0, 1):
        search.searched(generate(configuration("tiny"), seed))
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "a bit", "empty", "other"])
def test_a_damaged_file_is_made_anew(tiny: Checkpoint, folder: Path, damage: str) -> None:
    first = search.searched(tiny)
    (file,) = folder.iterdir()
    content = bytearray(file.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "a bit":
        content[len(content) // 2] ^= 1
    elif damage == "empty":
        content = bytearray()
    file.write_bytes(content)
    if damage == "other":
        with file.open("wb") as opened:
            np.savez(opened, images=np.zeros((2, 3, 5, 5), np.float32))
    damaged = file.read_bytes()
    assert search.searched(tiny).images.tobytes() == first.images.tobytes()
    assert file.read_bytes() != damaged


def test_a_folder_that_cannot_be_written_costs_time_only(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VGG16_CACHE", str(tmp_path / "file" / "below"))
    assert len(search.searched(tiny).images)
