"""What is called exercised is what a mistake in a weight can be seen by, and nothing else is."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.support.helpers import Batch
from vgg16_parity.network import reference
from vgg16_parity.network.coverage import CaseExercised, Exercised
from vgg16_parity.network.prediction import compute_roughly, predict
from vgg16_spec.architecture import Convolution, Dense, configuration
from vgg16_spec.checkpoint import Checkpoint

TINY = configuration("tiny")


def exercised(checkpoint: Checkpoint, images: NDArray[np.float32]) -> CaseExercised:
    found = CaseExercised(checkpoint.configuration)
    for _ in found.observe(images, predict(checkpoint, images)):
        pass
    return found


def changed(checkpoint: Checkpoint, name: str, index: tuple[int, ...]) -> Checkpoint:
    """The checkpoint with one value moved to the next number of float32."""
    values = checkpoint[name].copy()
    values[index] = np.nextafter(values[index], np.float32(np.inf))
    return checkpoint.with_tensors({name: values})


def sample(found: Exercised, name: str, *, lit: bool) -> Iterator[tuple[int, ...]]:
    """Three values of a tensor that are exercised, or three that are not; fewer if there are."""
    layer, _, kind = name.rpartition(".")
    mask = found.rows(layer) if kind == "weight" else found.outputs(layer)
    places = np.argwhere(mask == lit)
    draw = np.random.default_rng(7)
    yield from map(tuple, draw.permutation(places)[:3].tolist())


@pytest.mark.slow
@pytest.mark.parametrize("taps", [TINY.taps, ("predictions",)], ids=["taps", "logits"])
def test_a_weight_is_exercised_if_and_only_if_changing_it_changes_what_is_compared(
    tiny: Checkpoint, batch: Batch, taps: Collection[str]
) -> None:
    images = batch(tiny)
    found = exercised(tiny, images).at(taps)
    before = reference.run_with_taps(tiny, images)
    counts = {True: 0, False: 0}
    for name in tiny:
        for lit in (True, False):
            for index in sample(found, name, lit=lit):
                after = reference.run_with_taps(changed(tiny, name, index), images)
                seen = any(not np.array_equal(before[tap], after[tap]) for tap in taps)
                assert seen == lit, (name, index)
                counts[lit] += 1
    assert min(counts.values()) > 30, counts


def test_what_a_pooling_cuts_does_not_show_in_the_logits(tiny: Checkpoint, batch: Batch) -> None:
    images = batch(tiny)
    found = exercised(tiny, images)
    tapped, logits = (found.at(taps).rows("block5_conv3") for taps in (TINY.taps, ()))
    assert not (logits & ~tapped).any()
    cut = np.argwhere(tapped & ~logits)
    assert len(cut) > 30
    before = reference.run_with_taps(tiny, images)
    for index in map(tuple, cut[::10].tolist()):
        after = reference.run_with_taps(changed(tiny, "block5_conv3.weight", index), images)
        assert not np.array_equal(before["block5_conv3"], after["block5_conv3"]), index
        assert np.array_equal(before["predictions"], after["predictions"]), index


@pytest.mark.parametrize("name", ["block1_conv2", "block3_conv1", "fc1"])
def test_layers_agree_with_plain_loops(name: str) -> None:
    (layer,) = (each for each in TINY.weighted_layers if each.name == name)
    draw = np.random.default_rng(3)
    size = (64, 64) if name == "block1_conv2" else (9, 7)
    shape = size if isinstance(layer, Convolution) else ()
    found = Exercised(TINY)
    expected = np.zeros(layer.weight_shape, bool)
    for share in (0.001, 0.02, 0.2):
        inputs = draw.random((2, layer.weight_shape[1], *shape)) < share
        passes = draw.random((2, layer.weight_shape[0], *shape)) < share
        inputs[:, 0], passes[:, 1] = 0, False
        found.add_layer(name, np.where(inputs, -2.5, 0), passes)
        if isinstance(layer, Dense):
            expected |= (passes[:, :, None] & inputs[:, None]).any(axis=0)
        else:
            margin = layer.padding
            padded = np.pad(inputs, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
            for row, column in np.ndindex(layer.kernel_size, layer.kernel_size):
                read = padded[:, :, row : row + size[0], column : column + size[1]]
                both = passes[:, :, None] & read[:, None]
                expected[:, :, row, column] |= both.any(axis=(0, 3, 4))
        assert np.array_equal(found.rows(name), expected)
        assert found.coverage().tensors[f"{name}.weight"] == expected.mean()
    assert 0 < expected.mean() < 1
    assert not found.outputs(name)[1]


def test_including_another_exercises_what_either_does(tiny: Checkpoint, batch: Batch) -> None:
    images = batch(tiny)
    both = exercised(tiny, images).at(TINY.taps)
    one, other = (exercised(tiny, image[np.newaxis]).at(TINY.taps) for image in images)
    before, of_other = one.coverage(), other.coverage()
    one.include(other)
    assert one.coverage() == both.coverage()
    assert other.coverage() == of_other
    assert before.share < both.coverage().share


def test_dead_rows_are_not_exercised(tiny: Checkpoint, batch: Batch) -> None:
    images = batch(tiny)
    found = exercised(tiny, images).at(("predictions",))
    for name in ("fc1", "fc2"):
        dead = ~found.outputs(name)
        assert dead.any()
        assert not found.rows(name)[dead].any()
        share = found.coverage().tensors
        assert share[f"{name}.bias"] == 1 - dead.mean()
        assert share[f"{name}.weight"] <= share[f"{name}.bias"]


def test_nothing_is_exercised_without_inputs() -> None:
    coverage = Exercised(TINY).coverage()
    assert coverage.share == 0
    assert set(coverage.tensors.values()) == {0.0}
    assert list(coverage.tensors) == list(TINY.weight_shapes)
    assert not Exercised(TINY).rows("fc1", slice(3, 5)).any()


@pytest.mark.full
def test_the_photographs_exercise_39_and_31_per_cent_of_the_dense_layers(
    full: Checkpoint, batch: Batch
) -> None:
    images = batch(full)
    found = CaseExercised(full.configuration)
    for _ in found.observe(images, compute_roughly(full, images)):
        pass
    logits = found.at(("predictions",))
    tensors = logits.coverage().tensors
    assert round(tensors["fc1.weight"], 2) == 0.39
    assert round(tensors["fc2.weight"], 2) == 0.31
    # These rows can be zeroed, weights and biases, and no logit shows it.
    dead = sum(int((~logits.outputs(name)).sum()) for name in ("fc1", "fc2"))
    assert dead == 3537
