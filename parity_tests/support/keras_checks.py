"""What must hold of the Keras models on every backend.

A backend is chosen when Keras is imported, so each needs a process of its own: run as a module,
this file makes every check on the backend that ``KERAS_BACKEND`` names. The tests run it once per
backend.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_impl
import vgg16_weights
from parity_tests.support.dense import LARGER, assert_dense_holds, noise_of_size
from parity_tests.support.helpers import assert_layers_stand_alone, assert_taps_hold, same
from parity_tests.support.tolerances import FLOAT32_TAPS, FLOAT64
from vgg16_parity.network import reference
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate

BUILDERS = (keras_impl.sequential, keras_impl.functional)


def pictures(network: Any, images: int = 2) -> np.ndarray:
    """Noise with the size of preprocessed pictures, (N, 3, H, W)."""
    shape = (images, *network.input_shape)
    return np.random.default_rng(4).standard_normal(shape, np.float32)


def built(builder: Callable[..., Any], checkpoint: Checkpoint, **options: Any) -> Any:
    """A model with the checkpoint's weights."""
    model = builder(
        checkpoint.configuration.name,
        include_top=checkpoint.configuration.include_top,
        classes=checkpoint.configuration.classes,
        kernel_initializer="zeros",
        **options,
    )
    keras_impl.load_checkpoint(model, checkpoint)
    return model


def both_forms_give_bit_equal_outputs(tiny: Checkpoint) -> None:
    batch = pictures(tiny.configuration).transpose(0, 2, 3, 1)
    sequential, functional = (built(builder, tiny) for builder in BUILDERS)
    ours, theirs = sequential.predict_on_batch(batch), functional.predict_on_batch(batch)
    assert ours.tobytes() == theirs.tobytes()
    assert ours.std() > 0


def weights_come_back_bit_for_bit(tiny: Checkpoint) -> None:
    for builder in BUILDERS:
        assert same(keras_impl.to_checkpoint(built(builder, tiny)), tiny)


def taps_agree_with_the_arbiter_layer_by_layer(tiny: Checkpoint) -> None:
    batch = pictures(tiny.configuration)
    for builder in BUILDERS:
        assert_taps_hold(tiny, batch, keras_impl.run_with_taps(built(builder, tiny), batch))


def each_layer_alone_is_right_and_reads_what_it_is_given(tiny: Checkpoint) -> None:
    batch = pictures(tiny.configuration)[:1]
    model = built(keras_impl.functional, tiny)
    assert_layers_stand_alone(
        tiny, batch, lambda given: keras_impl.run_layers_locally(model, batch, given)
    )


def taps_give_logits_of_a_model_with_softmax(tiny: Checkpoint) -> None:
    batch = pictures(tiny.configuration)
    plain = built(keras_impl.functional, tiny, classifier_activation=None)
    softmax = built(keras_impl.functional, tiny)
    ours, theirs = (keras_impl.run_with_taps(m, batch)["predictions"] for m in (softmax, plain))
    assert np.array_equal(ours, theirs)
    probabilities = softmax.predict_on_batch(batch.transpose(0, 2, 3, 1))
    assert np.abs(probabilities.sum(axis=1) - 1).max() <= FLOAT32_TAPS.limit


def the_model_in_float64_is_the_arbiter(tiny: Checkpoint) -> None:
    # On TensorFlow alone: Keras's type promotion never gives float64 (keras.backend.result_type),
    # and on the PyTorch backend `matmul` follows it, so that a dense layer of float64 computes in
    # float32; JAX has no float64 unless a process-wide switch is set.
    batch = pictures(tiny.configuration).astype(np.float64)
    expected = reference.run_with_taps(tiny, batch)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        model = built(keras_impl.functional, tiny)
        taps = keras_impl.run_with_taps(model, batch)
    finally:
        keras.config.set_dtype_policy(before)
    for name, values in taps.items():
        assert values.dtype == np.float64
        limit = FLOAT64.limit * np.abs(expected[name]).max()
        assert np.abs(values - expected[name]).max() <= limit, name


def features_take_any_size_of_at_least_32(tiny: Checkpoint) -> None:
    features = tiny.without_top()
    for builder in BUILDERS:
        model = built(builder, features)
        assert model.output_shape == (None, None, None, 12)
        assert model(np.zeros((1, 33, 70, 3), np.float32)).shape == (1, 1, 2, 12)


def wrong_sizes_are_refused_with_both_shapes(tiny: Checkpoint) -> None:
    # A shape of its own at each call: TensorFlow would trace the second with unknown sizes.
    for builder in BUILDERS:
        top, features = built(builder, tiny), built(builder, tiny.without_top())
        cases = (
            (top, (2, 32, 64, 3), "64, 64, 3)"),
            (top, (2, 3, 64, 64), "64, 64, 3)"),
            (features, (1, 31, 40, 3), "(at least 32, at least 32, 3)"),
        )
        for model, shape, expected in cases:
            with pytest.raises(ValueError, match=r"received|found") as refusal:
                model(np.zeros(shape, np.float32))
            assert expected in str(refusal.value)
            assert ", ".join(map(str, shape[1:])) in str(refusal.value)


def other_heads_are_built(_: Checkpoint) -> None:
    ten = generate(configuration("tiny", classes=10))
    for builder in BUILDERS:
        model = built(builder, ten)
        assert model.output_shape == (None, 10)
        assert keras_impl.to_checkpoint(model).configuration == ten.configuration


def keras_loads_the_files_that_are_written(tiny: Checkpoint) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.weights.h5"
        vgg16_weights.write(tiny, path)
        for builder in BUILDERS:
            for dropout in (0.0, 0.5):
                model = builder("tiny", dropout=dropout, kernel_initializer="zeros")
                model.load_weights(path)
                assert same(keras_impl.to_checkpoint(model), tiny)


def files_that_keras_writes_are_read(tiny: Checkpoint) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for builder in BUILDERS:
            path = Path(folder) / f"{builder.__name__}.weights.h5"
            built(builder, tiny).save_weights(path)
            assert same(vgg16_weights.read(path), tiny)


def a_saved_model_loads_without_this_project(tiny: Checkpoint) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.keras"
        for builder in BUILDERS:
            built(builder, tiny).save(path)
            loaded = keras.saving.load_model(path)
            assert type(loaded).__module__.startswith("keras.")
            assert same(keras_impl.to_checkpoint(loaded), tiny)


def applied_densely_it_holds_at_sizes_that_are_no_multiple_of_32(tiny: Checkpoint) -> None:
    for builder, activation in zip(BUILDERS, ("softmax", None), strict=True):
        dense = keras_impl.DenseVGG(built(builder, tiny, classifier_activation=activation))
        for images, larger in enumerate(LARGER, 1):
            batch = noise_of_size(tiny, larger, images)
            assert_dense_holds(keras_impl.run_densely(dense, batch), tiny, batch)


def applied_densely_at_its_own_size_it_has_the_bits_of_the_plain_model(tiny: Checkpoint) -> None:
    model = built(keras_impl.functional, tiny, classifier_activation=None)
    dense = keras_impl.DenseVGG(model)
    # No variables of its own: the optimiser's and the metrics' are none of these.
    assert {id(value) for value in dense.weights} == {id(value) for value in model.weights}
    for images in (1, 2, 5):
        batch = noise_of_size(tiny, (0, 0), images)
        plain = np.asarray(model.predict_on_batch(batch.transpose(0, 2, 3, 1)))
        assert keras_impl.run_densely(dense, batch).tobytes() == plain.tobytes()


def what_cannot_be_applied_densely_is_refused(tiny: Checkpoint) -> None:
    with pytest.raises(ValueError, match="has no classifier"):
        keras_impl.DenseVGG(built(keras_impl.functional, tiny.without_top()))
    dense = keras_impl.DenseVGG(built(keras_impl.functional, tiny))
    with pytest.raises(ValueError, match=r"shape \(3, 63, 200\), expected \(3, at least 64, at"):
        keras_impl.run_densely(dense, np.zeros((1, 3, 63, 200), np.float32))
    with pytest.raises(ValueError, match=r"at least 64, at least 64, 3"):
        dense(np.zeros((1, 63, 200, 3), np.float32))


CHECKS = (
    both_forms_give_bit_equal_outputs,
    weights_come_back_bit_for_bit,
    taps_agree_with_the_arbiter_layer_by_layer,
    each_layer_alone_is_right_and_reads_what_it_is_given,
    taps_give_logits_of_a_model_with_softmax,
    features_take_any_size_of_at_least_32,
    wrong_sizes_are_refused_with_both_shapes,
    other_heads_are_built,
    keras_loads_the_files_that_are_written,
    files_that_keras_writes_are_read,
    a_saved_model_loads_without_this_project,
    applied_densely_it_holds_at_sizes_that_are_no_multiple_of_32,
    applied_densely_at_its_own_size_it_has_the_bits_of_the_plain_model,
    what_cannot_be_applied_densely_is_refused,
)


def main() -> int:
    """Run every check; the exit status is the number that failed."""
    import traceback

    tiny = generate(configuration("tiny"))
    failed = 0
    for check in CHECKS:
        try:
            check(tiny)
        except Exception:  # every check is run, and each failure shown
            failed += 1
            print(f"FAILED {check.__name__}\n{traceback.format_exc()}")
    print(f"{keras.backend.backend()}: {len(CHECKS) - failed} of {len(CHECKS)} checks passed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
