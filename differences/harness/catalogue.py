"""The experiments by name, in the catalogue's order."""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import Final

from differences.harness.experiment import Finding
from vgg16_spec.errors import require_one_of

# Chapter -> its experiments. For example, ``flatten-order`` has the page
# ``docs/differences/flatten-order.md`` and the module ``differences/weights/flatten_order.py`` with
# a TITLE, a RULE of one sentence, and a function ``run``. PACKAGES, if there, lists the packages
# besides the frameworks that its figures depend on.
CHAPTERS: Final = MappingProxyType(
    {
        "Weights": (
            *("kernel-layout", "dense-layout", "flatten-order", "tensor-order"),
            *("keras-files", "initialisers"),
        ),
        "Layers": (
            *("padding", "pooling-at-odd-sizes", "kinks", "dropout", "batch-normalisation"),
            "adaptive-pooling",
        ),
        "Training": ("softmax-and-loss", "sgd"),
        "Images": ("preprocessing-conventions", "resizing", "jpeg-decoders"),
        "Arithmetic": ("summation-order", "fewer-bits", "float64", "determinism"),
        "ONNX": ("dynamic-batch", "exporters"),
        "Accuracy": ("accuracy",),
    }
)
NAMES: Final = tuple(name for chapter in CHAPTERS.values() for name in chapter)


def module(name: str) -> ModuleType:
    """An experiment's module.

    Args:
        name: the experiment's name, with hyphens or underscores.

    Raises:
        BadInput: there is no such experiment.
    """
    name = name.replace("_", "-")
    require_one_of("experiment", name, NAMES)
    chapter = next(chapter for chapter, names in CHAPTERS.items() if name in names)
    return import_module(f"differences.{chapter.lower()}.{name.replace('-', '_')}")


def run(name: str) -> Finding:
    """Run an experiment on this machine."""
    found: Finding = module(name).run()
    return found
