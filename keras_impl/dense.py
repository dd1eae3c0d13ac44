"""The network applied densely to images of any size: section 3.2 of the paper.

The fully connected layers become convolutions: fc1 of 7×7, fc2 and predictions of 1×1. At every
position of a 7×7 window on the last maps they give a score of each class, and the scores are
averaged over the positions.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_impl.taps import before_softmax, to_keras
from keras_impl.weights import configuration_of


class DenseVGG(keras.Model):  # type: ignore[misc]  # Keras has no type information
    """A model applied densely; it shares the model's variables, and has none of its own.

    Args:
        model: of either form, with its classifier. What becomes of its variables later holds here
            too.

    Raises:
        ValueError: the model has no classifier.
    """

    def __init__(self, model: keras.Model) -> None:
        super().__init__(name=f"{model.name}_dense", dtype=model.dtype_policy)
        self.configuration = configuration_of(model)
        if not self.configuration.include_top:
            raise ValueError("the model has no classifier to apply densely")
        self.model = model

    def call(self, images: Any) -> Any:
        """Logits (N, classes) of images (N, H, W, 3), averaged over space.

        Also of a model that ends in a softmax. On images of the model's own size there is one
        position, and the logits are the model's: on TensorFlow, JAX and PyTorch bit for bit.

        Raises:
            ValueError: a side is smaller than the model's own input size.
        """
        self.configuration.check_input(tuple(images.shape[1:]), channels_last=True, dense=True)
        _, height, width = self.configuration.feature_shape
        values, count = images, keras.ops.shape(images)[0]
        for layer in self.model.layers:
            match layer:
                case keras.layers.InputLayer() | keras.layers.Dropout():
                    continue
                case keras.layers.Flatten():
                    # A convolution would add up in another order and give other bits than the
                    # model. The same products are those of every window with fc1, whose inputs are
                    # in HWC order: nothing of fc1's 411 MB is copied.
                    values = _windows(values, height, width)
                case _:
                    values = before_softmax(layer, values, layer(values))
        classes = self.configuration.classes
        scores = keras.ops.reshape(values, (count, -1, classes))  # (N * H' * W', K) -> (N, H'W', K)
        return keras.ops.mean(scores, axis=1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(N, H, W, 3) -> (N, classes)"""
        return (input_shape[0], self.configuration.classes)


def run_densely(dense: DenseVGG, images: NDArray[np.floating[Any]]) -> NDArray[Any]:
    """Logits (N, classes) of images of any size, averaged over space.

    Args:
        dense: runs as ``predict_on_batch`` runs it: compiled by the backend, on JAX once for each
            shape of images.
        images: (N, 3, H, W), preprocessed, no side smaller than the model's own input size; cast to
            the model's float type.

    Raises:
        ValueError: the images are too small.
    """
    dense.configuration.check_input(images.shape[1:], dense=True)
    values = np.asarray(dense.predict_on_batch(to_keras(dense.model, images)))
    # Exact for bfloat16, which NumPy does not have.
    return values if values.dtype.kind == "f" else values.astype(np.float32)


def _windows(maps: Any, height: int, width: int) -> Any:
    """Every window, flattened: (N, H, W, C) -> (N * H' * W', height * width * C).

    Keras's own ``extract_patches`` is a convolution with as many kernels as a window has values,
    which would take 2.5 GB.
    """

    def shifted(first: int, size: int) -> slice:
        return slice(first, first - size + 1 or None)

    parts = [
        maps[:, shifted(top, height), shifted(left, width), :]
        for top in range(height)
        for left in range(width)
    ]
    windows = keras.ops.stack(parts, axis=3)  # (N, H', W', height * width, C)
    return keras.ops.reshape(windows, (-1, height * width * maps.shape[-1]))
