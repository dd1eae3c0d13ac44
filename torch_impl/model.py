"""Every configuration of Table 1 as a ``torch.nn.Module``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vgg16_spec import architecture
from vgg16_spec.names import torchvision_keys
from vgg16_weights.open import Weights, checkpoint_for


class VGG(nn.Module):
    """One configuration of Simonyan & Zisserman (2014), section 2.1 and Table 1.

    The keys of ``state_dict()`` are those of torchvision's ``vgg11``, ``vgg13``, ``vgg16`` and
    ``vgg19`` for A, B, D and E. Without ``weights``, weights are Glorot uniform and biases zero:
    Keras's default, which the paper (section 3.1) found as good as its own pre-training.

    Args:
        configuration: ``A``, ``B``, ``C``, ``D`` (VGG16), ``E`` or ``tiny``.
        include_top: whether to include the classifier.
        classes: the number of outputs of the classifier.
        dropout: the probability that training drops an activation of fc1 and fc2.
        weights: a published set's name (``vgg16 weights list``), a weights file of any format, or a
            checkpoint. Its classifier is left out if ``include_top`` is false. Prepare images by
            its own recipe: ``vgg16_weights.open_weights(weights).recipe``.

    Raises:
        ValueError: the configuration is unknown.
        BadInput: the weights are not those of this network; also a ``ValueError``.
    """

    def __init__(
        self,
        configuration: str = "D",
        *,
        include_top: bool = True,
        classes: int = architecture.IMAGENET_CLASSES,
        dropout: float = 0.5,
        weights: Weights | None = None,
    ) -> None:
        super().__init__()
        self.configuration = architecture.configuration(
            configuration, include_top=include_top, classes=classes
        )
        checkpoint = None if weights is None else checkpoint_for(weights, self.configuration)
        # Tap -> the module whose output it is: a layer's ReLU, if it has one.
        self.tap_modules: dict[str, str] = {}
        features: list[nn.Module] = []
        classifier: list[nn.Module] = []
        for layer in self.configuration.layers:
            match layer:
                case architecture.Convolution():
                    channels = layer.in_channels, layer.out_channels
                    kernels = nn.Conv2d(*channels, layer.kernel_size, padding=layer.padding)
                    features += [kernels, nn.ReLU()]
                    self.tap_modules[layer.name] = f"features.{len(features) - 1}"
                case architecture.MaxPooling():
                    features.append(nn.MaxPool2d(architecture.POOLING_SIZE))
                    self.tap_modules[layer.name] = f"features.{len(features) - 1}"
                case architecture.Dense():
                    classifier.append(nn.Linear(layer.in_features, layer.out_features))
                    if layer.relu:
                        classifier.append(nn.ReLU())
                    self.tap_modules[layer.name] = f"classifier.{len(classifier) - 1}"
                    if layer.relu:
                        # Even if dropout is 0: torchvision's keys count it.
                        classifier.append(nn.Dropout(dropout))
        self.features = nn.Sequential(*features)
        if include_top:
            self.classifier = nn.Sequential(*classifier)
        if checkpoint is None:
            self.apply(_initialise)
        else:
            assign_parameters(self, checkpoint, torchvision_keys(self.configuration))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, 3, H, W); without the classifier, the last maps.

        Raises:
            ValueError: the network does not take images of that size.
        """
        self.configuration.check_input(images.shape[1:])
        maps: torch.Tensor = self.features(images)  # (N, C, H, W)
        if not self.configuration.include_top:
            return maps
        logits: torch.Tensor = self.classifier(torch.flatten(maps, 1))  # (N, C * H * W) -> (N, K)
        return logits


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def assign_parameters(
    model: nn.Module, values: Mapping[str, NDArray[np.float32]], keys: Mapping[str, str]
) -> None:
    """Copy values into parameters; a float32 model holds them exactly.

    A parameter on the ``meta`` device gets its memory here, on the CPU. ``keys`` gives for the
    canonical name of each value to assign the parameter's name.
    """
    parameters = dict(model.named_parameters())
    # One tensor at a time: a checkpoint reads each when asked for it.
    for name, key in keys.items():
        # NumPy's copy, because PyTorch does not take read-only memory.
        state = {key: torch.from_numpy(np.array(values[name]))}
        model.load_state_dict(state, strict=False, assign=parameters[key].is_meta)
