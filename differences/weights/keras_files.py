"""Keras's legacy ``.h5`` and ``.weights.h5``: how tensors are matched, and what is refused."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import keras_impl
import vgg16_weights
from differences.harness import tiny
from differences.harness.experiment import Finding
from differences.harness.frameworks import frameworks
from vgg16_spec.layouts import canonical_to_keras

TITLE = "Keras's two HDF5 files"
RULE = (
    "Keep a file's ending, load without `by_name` and `skip_mismatch`, and compare the loaded "
    "values with the file's: a load that raises no error proves nothing."
)
PACKAGES = ("h5py",)


def run() -> Finding:
    """Write the weights of ``tiny`` in both formats and load them into models built differently."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        new, old = folder / "new.weights.h5", folder / "old.h5"
        tiny.keras_model().save_weights(new)
        vgg16_weights.write(tiny.checkpoint(), old, "keras-h5")
        in_place = _in_place(new)
        whole = [_loaded(_sequential(), new), _loaded(_sequential(), old)]
        renamed = [_loaded(_renamed(), new), _loaded(_renamed(), old)]
        by_name = _loaded(_renamed(), old, by_name=True)
        skipped = _loaded(_nested(), new, skip_mismatch=True)
        refused = [_loaded(_nested(), path) for path in (new, old)]
        refused += [
            _loaded(_sequential(), new.replace(folder / "new.h5")),
            _loaded(_sequential(), old.replace(folder / "old.weights.h5")),
        ]
    return Finding(
        {
            "convolutions in the model's order in .weights.h5": (in_place, "of 13"),
            "tensors loaded, every layer renamed, .weights.h5": (renamed[0] or 0, "of 32"),
            "tensors loaded, every layer renamed, .h5": (renamed[1] or 0, "of 32"),
            "tensors loaded, every layer renamed, .h5 by name": (by_name or 0, "of 32"),
            "tensors loaded, model nested in another, skip_mismatch": (skipped or 0, "of 32"),
        },
        {
            "Both formats load completely into a Sequential twin of the model.": whole == [32] * 2,
            "Neither format matches layers by name: with every layer renamed, all tensors load.": (
                renamed == [32, 32]
            ),
            "With `by_name=True` no tensor of the renamed layers loads, with "
            "`skip_mismatch=True` none of a nested model, and no error is raised.": (
                by_name == 0 and skipped == 0
            ),
            "The ending decides which loader reads a file: with endings swapped, both are "
            "refused. Both loaders refuse a model that is nested in another.": (
                refused == [None] * 4
            ),
            "A .weights.h5 lists conv2d_10 before conv2d_2: read in the file's order, most "
            "convolutions get another's kernel.": in_place < 7,
        },
    )


def _in_place(path: Path) -> int:
    """How many convolutions a ``.weights.h5`` lists in the model's order."""
    with h5py.File(path) as file:
        listed = [group["vars"].attrs["name"] for group in file["layers"].values()]
    expected = [layer.name for layer in tiny.checkpoint().configuration.convolutions]
    convolutions = [layer for layer in listed if layer in expected]
    return sum(a == b for a, b in zip(convolutions, expected, strict=True))


def _sequential() -> Any:
    return keras_impl.sequential("tiny")


def _renamed() -> Any:
    _, keras = frameworks()

    def renamed(layer: Any) -> Any:
        return type(layer).from_config(layer.get_config() | {"name": f"my_{layer.name}"})

    return keras.models.clone_model(keras_impl.functional("tiny"), clone_function=renamed)


def _nested() -> Any:
    _, keras = frameworks()
    inputs = keras.Input((64, 64, 3))
    return keras.Model(inputs, keras_impl.functional("tiny")(inputs))


def _loaded(model: Any, path: Path, **options: bool) -> int | None:
    """How many tensors of the model have the file's values after loading; none if it refuses."""
    shape = tiny.checkpoint().configuration.feature_shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a refusal, or of what was skipped
        try:
            model.load_weights(path, **options)
        except ValueError:
            return None
    return sum(
        np.array_equal(canonical_to_keras(name, tiny.checkpoint()[name], shape), np.asarray(values))
        for name, values in zip(tiny.checkpoint(), model.weights, strict=True)
    )
