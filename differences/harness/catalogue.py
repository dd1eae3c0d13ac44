"""The experiments by name, in the catalogue's order."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Final

from differences.harness.experiment import Finding
from vgg16_spec.errors import require_one_of

# Each is a module here with a TITLE, a RULE of one sentence and a function ``run``, and a page
# ``docs/differences/<name with hyphens>.md``.
CHAPTERS: Final[dict[str, tuple[str, ...]]] = {
    "Weights": (
        "kernel_layout",
        "dense_layout",
        "flatten_order",
        "tensor_order",
        "keras_files",
        "initialisers",
    ),
    "Layers": (
        "padding",
        "pooling_at_odd_sizes",
        "kinks",
        "dropout",
        "batch_normalisation",
        "adaptive_pooling",
    ),
    "Training": ("softmax_and_loss", "sgd"),
    "Images": ("preprocessing_conventions", "resizing", "jpeg_decoders"),
    "Arithmetic": ("summation_order", "fewer_bits", "float64", "determinism"),
    "ONNX": ("dynamic_batch", "exporters"),
}
NAMES: Final = tuple(name for chapter in CHAPTERS.values() for name in chapter)


def module(name: str) -> ModuleType:
    """An experiment's module. Raises ``BadInput`` for a name that is none."""
    require_one_of("experiment", name, NAMES)
    chapter = next(chapter for chapter, names in CHAPTERS.items() if name in names)
    return import_module(f"differences.{chapter.lower()}.{name}")


def run(name: str) -> Finding:
    """What an experiment finds, on this machine, now."""
    found: Finding = module(name).run()
    return found
