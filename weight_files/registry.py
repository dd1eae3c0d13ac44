"""Every file format there is: one literal table."""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import Final, cast

from vgg16.errors import choice
from weight_files.interface import FormatModule

# Format -> its module here.
MODULES: Final = MappingProxyType(
    {
        "safetensors": "canonical",
        "torchvision": "torchvision",
        "torchvision-safetensors": "torchvision_safetensors",
        "timm": "timm_safetensors",
        "keras-h5": "keras_legacy_h5",
        "keras-weights-h5": "keras_weights_h5",
        "keras": "keras_archive",
        "npz": "npz",
        "caffemodel": "caffemodel",
        "matconvnet": "matconvnet",
    }
)
# Every format's name on the command line.
FORMATS: Final = tuple(MODULES)
# These take every file of their container, so that the error of a damaged one says how: they are
# asked last.
LAST: Final = ("safetensors", "keras-weights-h5")


def module(name: str) -> FormatModule:
    """The module of a format. Raises ``BadInput`` for an unknown one."""
    known = choice("format", name, tuple(MODULES))
    return cast(FormatModule, import_module(f"weight_files.{MODULES[known]}"))
