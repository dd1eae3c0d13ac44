"""Classes are ranked and turned into probabilities."""

from __future__ import annotations

import numpy as np

from vgg16_spec.logits import softmax, top


def test_top_is_ordered_and_ties_go_to_the_lower_class() -> None:
    assert top(np.array([[0.0, 3.0, 1.0, 3.0]]), 3).tolist() == [[1, 3, 2]]


def test_softmax_sums_to_one_and_does_not_overflow() -> None:
    probabilities = softmax(np.array([[1000.0, 1000.0, -1000.0]], np.float32))
    assert probabilities.tolist() == [[0.5, 0.5, 0.0]]
