"""Layers that a VGG does not have, in files that have weights but no model's configuration.

Keras 3 keeps a group for each layer, named after its class, and Keras before version 3 lists the
names of all layers, which show the class where Keras chose them. So a file without a configuration
may still show that its model has a ``LeakyReLU`` or a ``Rescaling``, but not its settings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from vgg16_spec.errors import BadInput
from vgg16_weights.contents import Contents
from vgg16_weights.keras.whole_model.configuration import SavedLayer

# Where a layer is: before, among or after the convolutions; in their model, at an unknown place; or
# in another model, before or after theirs.
Place = Literal["front", "among", "behind", "anywhere", "outside"]

_PREPARE: Final = ("Resizing", "CenterCrop", "Rescaling", "Normalization")
_FUNCTIONS: Final = ("Lambda", "TFOpLambda", "SlicingOpLambda")
_GLOBAL: Final = ("GlobalAveragePooling2D", "GlobalMaxPooling2D")
# Keras's layers that change what a model computes but have no weights that would show it.
_FOREIGN: Final = (
    *(*_PREPARE, *_FUNCTIONS, *_GLOBAL),
    *("LeakyReLU", "ELU", "ThresholdedReLU", "UnitNormalization"),
    *("AveragePooling2D", "AdaptiveAveragePooling2D", "AdaptiveMaxPooling2D"),
    *("Permute", "Cropping2D", "UpSampling2D", "RepeatVector", "Masking", "TimeDistributed"),
    *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot"),
    *("Solarization", "Equalization", "AutoContrast"),
)
_WHOLE: Final = "the whole model, model.save('x.keras'), which shows where that is and what it does"
WITHOUT_CODE: Final = (
    "the model without it (load it with safe_mode=False, then"
    " save_weights('x.weights.h5')), and --recipe for what it did"
)


def _snake_case(kind: str) -> str:
    """``LeakyReLU`` -> ``leaky_re_lu``, as Keras names its layers."""
    kind = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", kind).lower()


_CLASSES: Final = {_snake_case(kind): kind for kind in _FOREIGN}


class ListedLayer(NamedTuple):
    """A layer that a VGG does not have.

    Attributes:
        kind: its class.
        path: its path, as in the keys of `Contents`.
        place: where it is.
    """

    kind: str
    path: str
    place: Place

    def __str__(self) -> str:
        return str(SavedLayer(self.kind, self.path.rpartition("/")[2], self.path, {}))


def foreign_kind(*names: str) -> str:
    """The class of a layer that a VGG does not have, from Keras's default names; else empty."""
    for name in names:
        if kind := _CLASSES.get(re.sub(r"_[0-9]+$", "", name)):
            return kind
        if name.startswith("tf."):  # tf.math.truediv_1, as Keras 2 names operators
            return "TFOpLambda"
    return ""


def judged(
    contents: Contents, listed: Sequence[ListedLayer], path: Path, expected: str = _WHOLE
) -> Contents:
    """The contents of a file without a configuration, judged by the layers that it lists.

    Args:
        contents: the file's contents.
        listed: the layers that a VGG does not have.
        path: the file.
        expected: what would show more of the model.

    Raises ``BadInput`` for one that changes what the convolutions compute.
    """
    aside: set[str] = set()
    head_problem, steps = contents.head_problem, list(contents.steps)
    for layer in listed:
        if _changes_images(layer):
            aside.add(layer.path)
            steps.append(f"{layer} ignored: the file does not say what it does (see --recipe)")
        elif layer.place in ("behind", "outside") or layer.kind in _GLOBAL:
            head_problem = head_problem or f"its model has {layer}, which no VGG has"
        else:
            way_out = WITHOUT_CODE if layer.kind == "Lambda" else expected
            raise BadInput(path, f"its model has {layer}, which no VGG has", way_out)
    return contents._replace(
        tensors={k: t for k, t in contents.tensors.items() if k.rpartition(".")[0] not in aside},
        head_problem=head_problem,
        steps=tuple(steps),
    )


def _changes_images(layer: ListedLayer) -> bool:
    """Whether a layer is in front of the convolutions, or certainly belongs there."""
    if layer.kind in _FUNCTIONS:
        return layer.place in ("front", "outside")
    return layer.kind in _PREPARE and layer.place not in ("among", "behind")
