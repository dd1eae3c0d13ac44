"""The arbiter's dense logits are the paper's, and their errors are those to expect."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from onnx_arbiter.evaluate import walk
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.dense import LARGER, judge_dense, noise_of_size, scores_of_windows
from parity_tests.support.tolerances import DEVIATIONS_OF_WALKS, FLOAT64
from vgg16_parity.network import reference
from vgg16_parity.network.dense import expect_dense_logits
from vgg16_parity.network.graph import IMAGES, LOGITS, dense_graph_of
from vgg16_parity.network.prediction import expect_logits
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.layouts import canonical_to_keras
from vgg16_spec.logits import softmax

FLOAT32 = MODES["float32"]


def assert_near(found: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= FLOAT64.limit * np.abs(expected).max()


@pytest.mark.parametrize("larger", LARGER)
def test_logits_are_the_mean_of_the_scores_of_every_window(
    tiny: Checkpoint, larger: tuple[int, int]
) -> None:
    images = noise_of_size(tiny, larger, 2)
    logits, _, _ = expect_dense_logits(tiny, images)
    assert_near(logits, scores_of_windows(tiny, images).mean((2, 3)))


@pytest.mark.parametrize("larger", LARGER)
def test_the_graph_of_convolutions_has_the_same_values(
    tiny: Checkpoint, larger: tuple[int, int]
) -> None:
    images = noise_of_size(tiny, larger)
    steps = list(walk(dense_graph_of(tiny), {IMAGES: images}, []))
    values = {name: v.values for step in steps for name, v in step.outputs.items()}
    assert_near(values[LOGITS], expect_dense_logits(tiny, images)[0])
    for tap in reference.walk(tiny, images, dense=True):
        assert_near(values[tap.tap], tap.values)


def test_at_the_networks_own_size_everything_is_the_plain_networks(tiny: Checkpoint) -> None:
    images = noise_of_size(tiny, (0, 0), 2)
    plain, dense = expect_logits(tiny, images), expect_dense_logits(tiny, images)
    assert np.array_equal(dense[0], plain[0])
    assert np.array_equal(dense[1], plain[1])
    assert dense[2] == plain[2]


@pytest.mark.parametrize("mode", MODES)
def test_the_deviation_of_a_mean_is_that_of_equal_errors_at_least(
    tiny: Checkpoint, mode: str
) -> None:
    chosen = MODES[mode]
    images = noise_of_size(tiny, (70, 165))
    *_, scores = reference.walk(tiny, images, [chosen], dense=True)
    each = scores.accumulated[chosen.name].astype(np.float64)
    _, found, _ = expect_dense_logits(tiny, images, chosen)
    independent = np.sqrt(np.square(each).mean((2, 3)) / each[0, 0].size)
    together = each.mean((2, 3))
    slack = DEVIATIONS_OF_WALKS.limit * together
    assert (found >= together - slack).all()
    assert (found > independent).all()


def test_the_mean_adds_the_rounding_of_its_own(tiny: Checkpoint) -> None:
    images = noise_of_size(tiny, (122, 101))
    *_, scores = reference.walk(tiny, images, [FLOAT32], dense=True)
    together = scores.accumulated["float32"].mean((2, 3), dtype=np.float64)
    steps = walk(dense_graph_of(tiny), {IMAGES: images}, [FLOAT32])
    mean = next(step for step in steps if step.node.operator == "GlobalAveragePool")
    own = np.square(mean.local_deviation("mean", FLOAT32))[..., 0, 0]
    # Alone, the node reads rounded scores.
    terms = scores.values / scores.values[0, 0].size
    own -= FLOAT32.unit_variance * np.square(terms).sum((2, 3))
    _, found, _ = expect_dense_logits(tiny, images)
    expected = np.sqrt(np.square(together) + own)
    np.testing.assert_allclose(found, expected, DEVIATIONS_OF_WALKS.limit)
    # It is seen above this limit.
    assert (expected / together).max() > 1 + DEVIATIONS_OF_WALKS.limit


def test_errors_that_are_the_same_at_every_position_are_no_smaller_in_the_mean(
    tiny: Checkpoint,
) -> None:
    # One colour: far from the edges all positions have the same scores.
    images = np.full((1, 3, 64 + 96, 64 + 96), 0.5, np.float32)
    *_, scores = reference.walk(tiny, images, [FLOAT32], dense=True)
    one = scores.accumulated["float32"].min((2, 3))
    assert (expect_dense_logits(tiny, images)[1] >= one).all()


def test_each_image_of_a_batch_is_as_it_is_alone(tiny: Checkpoint) -> None:
    images = noise_of_size(tiny, (5, 77), 2)
    logits, deviation, fewest = expect_dense_logits(tiny, images)
    alone = [expect_dense_logits(tiny, image[np.newaxis]) for image in images]
    assert_near(logits, np.concatenate([each[0] for each in alone]))
    np.testing.assert_allclose(
        deviation, np.concatenate([each[1] for each in alone]), DEVIATIONS_OF_WALKS.limit
    )
    assert fewest == pytest.approx([each[2][0] for each in alone], DEVIATIONS_OF_WALKS.limit)


def test_planted_mistakes_are_beyond_rounding(tiny: Checkpoint) -> None:
    images = noise_of_size(tiny, (70, 165))
    scores = scores_of_windows(tiny, images)
    right = scores.mean((2, 3))
    flat = scores[0].reshape(1000, -1).T
    weight = canonical_to_keras("fc1.weight", tiny["fc1.weight"], tiny.configuration.feature_shape)
    misread = tiny.with_tensors({"fc1.weight": np.ascontiguousarray(weight.T)})
    mistakes = {
        "fc1 read in the order H, W, C": scores_of_windows(misread, images).mean((2, 3)),
        "posteriors averaged over space": np.log(softmax(flat).mean(0, keepdims=True)),
        "the sum for the mean": scores.sum((2, 3)),
        "the maximum for the mean": scores.max((2, 3)),
        "the last row left out": scores[:, :, :-1].mean((2, 3)),
        "the last column left out": scores[..., :-1].mean((2, 3)),
        "the middle alone": scores[:, :, scores.shape[2] // 2, scores.shape[3] // 2],
    }
    assert judge_dense(right.astype(np.float32), tiny, images).passed
    for name, logits in mistakes.items():
        # Posteriors say nothing of a constant that all logits have in common.
        shift = (right - logits).mean() if "posteriors" in name else 0.0
        assert not judge_dense((logits + shift).astype(np.float32), tiny, images).passed, name


def test_images_that_are_too_small_and_weights_without_classifier_are_refused(
    tiny: Checkpoint,
) -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 64, 63\), expected \(3, at least 64, at"):
        expect_dense_logits(tiny, np.zeros((1, 3, 64, 63), np.float32))
    with pytest.raises(BadInput, match="has no classifier"):
        expect_dense_logits(tiny.without_top(), np.zeros((1, 3, 64, 64), np.float32))
