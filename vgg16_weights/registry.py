"""Every file format there is: one literal table."""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import Final, cast

from vgg16_spec.errors import require_one_of
from vgg16_weights.formats import FormatModule

# Format -> its module here.
MODULES: Final = MappingProxyType(
    {
        "safetensors": "safetensors.canonical",
        "torchvision": "torch.pth",
        "torchvision-safetensors": "safetensors.torchvision",
        "timm": "safetensors.timm",
        "keras-h5": "keras.legacy_h5",
        "keras-weights-h5": "keras.weights_h5",
        "keras": "keras.archive",
        "npz": "legacy.npz",
        "caffemodel": "legacy.caffemodel",
        "matconvnet": "legacy.matconvnet",
    }
)
# Every format's name on the command line.
FORMATS: Final = tuple(MODULES)
# These take every file of their container, so that the error of a damaged one says how: they are
# asked last.
LAST: Final = ("safetensors", "keras-weights-h5")


def module(name: str) -> FormatModule:
    """The module of a format. Raises ``BadInput`` for an unknown one."""
    known = require_one_of("format", name, tuple(MODULES))
    return cast(FormatModule, import_module(f"vgg16_weights.{MODULES[known]}"))
