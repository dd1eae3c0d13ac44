"""The networks, from the libraries that people take them from, with seeded weights."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np

Library = Literal["torchvision", "timm", "keras"]
# Images that the running statistics are taken from.
_CALIBRATING: Final = 4
_PASSES: Final = 3


@dataclass(frozen=True)
class Sibling:
    """A network.

    Attributes:
        name: in the tables.
        library: where it comes from.
        model: its name there.
        size: of the images, in pixels: small where size proves nothing more.
        family: what networks are alike.
        options: of the function that makes it.
    """

    name: str
    library: Library
    model: str
    size: int
    family: str
    options: tuple[tuple[str, Any], ...] = ()


_NO_AUXILIARY: Final = (("aux_logits", False), ("init_weights", True))
SIBLINGS: Final = MappingProxyType(
    {
        sibling.name: sibling
        for sibling in (
            Sibling("AlexNet", "torchvision", "alexnet", 96, "plain"),
            Sibling("VGG19-BN", "torchvision", "vgg19_bn", 64, "plain"),
            Sibling("SqueezeNet", "torchvision", "squeezenet1_1", 96, "plain"),
            Sibling("ResNet-18", "torchvision", "resnet18", 96, "residual"),
            Sibling("ResNet-50", "torchvision", "resnet50", 96, "residual"),
            Sibling("RegNetY-400MF", "torchvision", "regnet_y_400mf", 96, "residual"),
            Sibling("DenseNet-121", "torchvision", "densenet121", 64, "dense"),
            Sibling("GoogLeNet", "torchvision", "googlenet", 96, "inception", _NO_AUXILIARY),
            Sibling("Inception v3", "torchvision", "inception_v3", 139, "inception", _NO_AUXILIARY),
            Sibling("MobileNetV2", "torchvision", "mobilenet_v2", 96, "mobile"),
            Sibling("MobileNetV3-L", "torchvision", "mobilenet_v3_large", 96, "mobile"),
            Sibling("EfficientNet-B0", "timm", "efficientnet_b0", 96, "mobile"),
            Sibling("ConvNeXt-Tiny", "torchvision", "convnext_tiny", 64, "transformer"),
            Sibling(
                "ViT-B/16", "torchvision", "vit_b_16", 64, "transformer", (("image_size", 64),)
            ),
            Sibling("Swin-T", "torchvision", "swin_t", 64, "transformer"),
            Sibling(
                "DeiT-Tiny", "timm", "deit_tiny_patch16_224", 64, "transformer", (("img_size", 64),)
            ),
            Sibling("ResNet50, Keras", "keras", "ResNet50", 64, "residual"),
            Sibling("MobileNetV2, Keras", "keras", "MobileNetV2", 64, "mobile"),
            Sibling("Xception, Keras", "keras", "Xception", 96, "mobile"),
            Sibling("EfficientNetB0, Keras", "keras", "EfficientNetB0", 64, "mobile"),
            Sibling("NASNetMobile, Keras", "keras", "NASNetMobile", 64, "mobile"),
        )
    }
)


def images(sibling: Sibling, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """One image of the network's size, normal with a deviation of 1: (1, 3, H, W)."""
    rng = np.random.Generator(np.random.PCG64([seed, 1]))
    return rng.standard_normal((1, 3, sibling.size, sibling.size), np.float32)


def torch_model(sibling: Sibling, seed: int) -> Any:
    """A PyTorch network in inference mode, with seeded weights.

    Running statistics are those of seeded images, then changed by as much as other images would
    change them, so that no normalisation is an identity and no activation vanishes.
    """
    import torch

    torch.manual_seed(seed)
    made = _from_torch(sibling)
    norms = [m for m in made.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    generator = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        # Scales and biases are ones and zeros to begin with, and some heads are zeros.
        if parameter.ndim == 1 or not parameter.any():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data += 0.1 * noise
    if norms:
        made.train()
        for module in made.modules():
            if isinstance(module, torch.nn.modules.dropout._DropoutNd):
                module.eval()
        size = (_CALIBRATING, 3, sibling.size, sibling.size)
        with torch.no_grad():
            for _ in range(_PASSES):
                made(torch.randn(size, generator=generator))
        for norm in norms:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            spread = norm.running_var.sqrt()
            norm.running_mean += 0.1 * spread * torch.randn(spread.shape, generator=generator)
            norm.running_var *= 0.75 + 0.5 * torch.rand(spread.shape, generator=generator)
    return made.eval()


def _from_torch(sibling: Sibling) -> Any:
    options = dict(sibling.options)
    if sibling.library == "timm":
        import timm

        return timm.create_model(sibling.model, pretrained=False, **options)
    import torchvision

    return getattr(torchvision.models, sibling.model)(weights=None, **options)


def keras_model(sibling: Sibling, seed: int) -> Any:
    """A Keras network with seeded weights; running statistics as in `torch_model`."""
    import keras

    keras.utils.set_random_seed(seed)
    shape = (sibling.size, sibling.size, 3)
    made = getattr(keras.applications, sibling.model)(
        weights=None, input_shape=shape, classes=100, classifier_activation=None
    )
    rng = np.random.default_rng(seed)
    for weight in made.weights:
        if len(weight.shape) == 1:
            changed = np.asarray(weight) + 0.1 * rng.standard_normal(weight.shape)
            weight.assign(np.abs(changed) if "variance" in weight.path else changed)
    return made
