"""What a port did to the arrays that it was given is told by their names."""

from __future__ import annotations

import gc

import numpy as np

from vgg16_parity.handed import HandedOut, misuse

LOGITS = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_an_input_that_was_changed_or_returned_is_named() -> None:
    given, nan = LOGITS.copy(), np.array([np.nan], np.float32)
    outputs = (("fc1", LOGITS * 2), ("fc2", given[:1]), ("predictions", given.T))
    inputs = [("the images", given, LOGITS), ("given['fc1']", nan, nan.copy())]
    assert misuse(inputs, outputs[:1]) == []
    assert misuse(inputs, outputs) == ["returned fc2, predictions as a view of the images"]
    given[0, 0] += 1
    assert misuse(inputs, ()) == ["changed the images in place"]


def test_a_lost_sign_of_zero_is_a_change() -> None:
    original = np.array([[-0.0, 1.0, np.nan]], np.float32)
    given = np.maximum(original, 0)
    assert misuse([("given", original.copy(), original)], ()) == []
    assert misuse([("given", given + np.float32(0), original)], ()) == ["changed given in place"]


def test_what_nothing_refers_to_any_more_is_forgotten() -> None:
    handed = HandedOut()
    kept, dropped = LOGITS.copy(), LOGITS.copy()
    handed.add("kept", {"": kept}, lambda: {"": LOGITS})
    handed.add("given", {"fc1": dropped}, lambda: {"fc1": LOGITS})
    dropped[:] = kept[:] = 0
    assert handed.misused() == [
        "the port changed kept in place",
        "the port changed given['fc1'] in place",
    ]
    del dropped
    gc.collect()
    assert handed.misused() == ["the port changed kept in place"]
