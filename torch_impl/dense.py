"""The network applied densely to images of any size: section 3.2 of the paper.

The fully connected layers become convolutions: fc1 of 7×7, fc2 and predictions of 1×1. At every
position of a 7×7 window on the last maps they give a score of each class, and the scores are
averaged over the positions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from torch_impl.model import VGG


class DenseVGG(nn.Module):
    """A model applied densely; it shares the model's parameters, and has none of its own.

    Args:
        model: with its classifier, on any device. What becomes of its parameters later holds here
            too.

    Raises:
        ValueError: the model has no classifier.
    """

    def __init__(self, model: VGG) -> None:
        super().__init__()
        if not model.configuration.include_top:
            raise ValueError("the model has no classifier to apply densely")
        self.model = model
        self.train(model.training)  # a new module is in training mode

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, 3, H, W), averaged over space.

        On images of the model's own size there is one position, and the logits are the model's, bit
        for bit.

        Raises:
            ValueError: a side is smaller than the model's own input size.
        """
        configuration = self.model.configuration
        configuration.check_input(images.shape[1:], dense=True)
        maps = self.model.features(images)  # (N, C, H, W)
        _, height, width = configuration.feature_shape
        # A convolution would add up in another order and give other bits than the model. The same
        # products are those of every window with fc1, whose inputs are in CHW order: nothing of
        # fc1's 411 MB is copied, and the windows of a picture take 100 KB each.
        windows = maps.unfold(2, height, 1).unfold(3, width, 1)  # (N, C, H', W', h, w)
        windows = windows.permute(0, 2, 3, 1, 4, 5)  # (N, H', W', C, h, w)
        # With more than two axes PyTorch would add the bias by itself: other bits again.
        scores: torch.Tensor = self.model.classifier(windows.flatten(3).flatten(0, 2))
        scores = scores.reshape(len(images), -1, scores.shape[-1])  # (N, H' * W', K)
        return scores.mean(1)


def run_densely(dense: DenseVGG, images: NDArray[np.floating[Any]]) -> NDArray[Any]:
    """Logits (N, classes) of images of any size, averaged over space.

    Args:
        dense: on any device. Its model runs in evaluation mode, and is left in the mode it was in.
        images: (N, 3, H, W), preprocessed, no side smaller than the model's own input size; cast to
            the model's float type.

    Raises:
        ValueError: the images are too small.
    """
    # The model's mode: it may have been put into another since.
    parameter, training = next(dense.parameters()), dense.model.training
    try:
        dense.model.eval()
        with torch.inference_mode():
            given = torch.tensor(images, dtype=parameter.dtype, device=parameter.device)
            # NumPy has no bfloat16; float32 holds its values exactly.
            logits = dense(given)
            values = logits.float() if logits.dtype == torch.bfloat16 else logits
            computed: NDArray[Any] = values.cpu().numpy()
    finally:
        dense.model.train(training)
    return computed
