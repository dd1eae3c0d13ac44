"""Judges the configuration of a whole Keras model, and reads from it what its weights need.

A model whose weights have a VGG's shapes may compute something else: with average pooling, another
activation, images of another scale. So its configuration is judged first; then it gives the recipe,
the order of the layers and that of the maps' axes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

from vgg16_spec.checkpoint import Tensor
from vgg16_spec.errors import BadInput
from vgg16_spec.images.recipes import Recipe
from vgg16_weights.contents import Contents, DataFormat
from vgg16_weights.keras.whole_model.classifier import Classifier
from vgg16_weights.keras.whole_model.configuration import (
    Config,
    HoldsCode,
    NamesOthers,
    NoChain,
    NotThisNetwork,
    SavedLayer,
)
from vgg16_weights.keras.whole_model.features import Features
from vgg16_weights.keras.whole_model.front import ArraysOf
from vgg16_weights.keras.whole_model.layers import layers, parsed
from vgg16_weights.keras.whole_model.listed_layers import WITHOUT_CODE, ListedLayer, judged
from vgg16_weights.keras.whole_model.settings import ACTIVATION_LAYERS

_EXPECTED: Final = "a model with the layers of a VGG"
_ALONE: Final = "the VGG in it alone: model.get_layer('vgg16').save('vgg16.keras')"
_WEIGHTS_ALONE: Final = "the weights alone: model.save_weights('x.weights.h5')"
_LISTING: Final = "a Sequential or functional model, which says what it computes"
_NO_LAYERS: Final = "read by its weights alone: its configuration lists no layers"
# Layers that do nothing, and layers that do nothing outside training.
_NOTHING: Final = ("InputLayer", "Identity", "ActivityRegularization")
ONLY_IN_TRAINING: Final = (
    *("Dropout", "SpatialDropout2D", "AlphaDropout", "GaussianDropout", "GaussianNoise"),
    *("AugMix", "CutMix", "MixUp", "RandAugment", "RandomBrightness", "RandomColorDegeneration"),
    *("RandomColorJitter", "RandomContrast", "RandomElasticTransform", "RandomErasing"),
    *("RandomFlip", "RandomGaussianBlur", "RandomGrayscale", "RandomHeight", "RandomHue"),
    *("RandomInvert", "RandomPerspective", "RandomPosterization", "RandomRotation"),
    *("RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation", "RandomWidth"),
    "RandomZoom",
)
# Layers with which a classifier begins, whatever comes before them.
_BEGIN_A_CLASSIFIER: Final = (
    *("Flatten", "Reshape", "Dense"),
    *("GlobalAveragePooling2D", "GlobalMaxPooling2D"),
)
# Enough for the statistics of three channels, and for their count.
_MOST_NUMBERS: Final = 3


class ModelConfiguration(NamedTuple):
    """What a model's configuration states.

    Attributes:
        layers: the paths of the layers that have weights, in the order of the data.
        set_aside: the paths of those in front whose numbers belong to the recipe.
        recipe: what the layers in front do to pixels; ``None`` if there are none.
        data_format: the order in which maps are flattened for fc1; ``None`` without a classifier.
        head_problem: why what follows the last pooling is not a VGG's classifier; may be empty.
        steps: what was decided, for the user.
    """

    layers: tuple[str, ...]
    set_aside: tuple[str, ...] = ()
    recipe: Recipe | None = None
    data_format: DataFormat | None = None
    head_problem: str = ""
    steps: tuple[str, ...] = ()


def read_configuration(config: Config, arrays_of: ArraysOf) -> ModelConfiguration:
    """Judge a model's configuration.

    Args:
        config: as `parsed` gives it.
        arrays_of: gives the arrays that the file has for the layer at a path: the mean and the
            variance that ``Normalization`` has learnt.

    Raises `NotThisNetwork`, which names the layer, for a model that is not a VGG up to the last
    pooling, and ``ValueError`` for an invalid configuration.
    """
    features = Features(arrays_of)
    classifier: Classifier | None = None
    problem = ""
    try:
        for layer in layers(config):
            features.note_input(layer)
            if _does_nothing(layer):
                continue
            begins = features.are_complete and layer.kind not in ACTIVATION_LAYERS
            if classifier is None and (begins or layer.kind in _BEGIN_A_CLASSIFIER):
                features.finish()
                classifier = Classifier(features)
            (classifier or features).take(layer)
    except NotThisNetwork as error:
        if classifier is None and not features.are_complete:
            raise
        problem = str(error)
    network = features.finish()
    if classifier is not None:
        classifier.finish(network)
    elif features.lacks_pooling:
        problem = problem or "it ends before the last pooling"
    return ModelConfiguration(
        layers=(*features.weighted, *(classifier.weighted if classifier else ())),
        set_aside=tuple(features.front.set_aside),
        recipe=features.front.recipe(),
        data_format=classifier.data_format if classifier else None,
        head_problem=problem or (classifier.problem if classifier else ""),
        steps=tuple(features.front.steps),
    )


def _does_nothing(layer: SavedLayer) -> bool:
    is_random = layer.in_training and layer.kind in ONLY_IN_TRAINING
    return layer.kind in (*_NOTHING, *ONLY_IN_TRAINING) and not is_random


def described(
    contents: Contents, text: str | bytes | None, path: Path, listed: Sequence[ListedLayer]
) -> Contents:
    """A file's contents, completed and judged by its model's configuration.

    Args:
        contents: the file's contents.
        text: the configuration, JSON; ``None`` if there is none.
        path: the file.
        listed: the layers that a VGG does not have, by which a file without a configuration is
            judged.

    Raises ``BadInput`` for a model that contains code or is not a VGG before its classifier, and
    ``ValueError`` for an invalid configuration.
    """
    if text is None:
        return judged(contents, listed, path)
    config = _without_code(text, path)
    if config is None:
        contents = contents._replace(steps=(*contents.steps, _NO_LAYERS))
        # Such a model states the order in which its layers were made, not that of their calls.
        unplaced = [layer._replace(place="anywhere") for layer in listed]
        return judged(contents, unplaced, path, _LISTING)
    by_layer = _by_layer(contents.tensors)

    def arrays_of(layer: str) -> list[Any]:
        tensors = by_layer.get(_found(layer, by_layer) or "", {}).values()
        return [tensor.view() for tensor in tensors if math.prod(tensor.shape) <= _MOST_NUMBERS]

    try:
        stated = read_configuration(config, arrays_of)
    except NotThisNetwork as problem:
        expected = _ALONE if isinstance(problem, NoChain) else _EXPECTED
        raise BadInput(path, str(problem), expected) from problem
    for layer in filter(None, (_found(path, by_layer) for path in stated.set_aside)):
        del by_layer[layer]
    ordered = [_found(path, by_layer) for path in stated.layers]
    is_ordered = None not in ordered and len(set(ordered)) == len(ordered)
    names = [name for name in ordered if name] if is_ordered else []
    rows = (by_layer[name].items() for name in dict.fromkeys([*names, *by_layer]))
    return contents._replace(
        tensors=dict(chain.from_iterable(rows)),
        is_ordered=contents.is_ordered or is_ordered,
        data_format=stated.data_format or contents.data_format,
        recipe=stated.recipe,
        head_problem=stated.head_problem,
        steps=(*contents.steps, *stated.steps),
    )


def _by_layer(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Path of a layer -> its tensors by key."""
    found: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        found.setdefault(key.rpartition(".")[0], {})[key] = tensor
    return found


def _without_code(text: str | bytes, path: Path) -> Config | None:
    """A configuration, as `parsed` gives it.

    Raises ``BadInput`` for one that contains code or names more than Keras's own classes.
    """
    try:
        return parsed(text)
    except HoldsCode as code:
        raise BadInput(path, str(code), WITHOUT_CODE) from code
    except NamesOthers as others:
        raise BadInput(path, str(others), _WEIGHTS_ALONE) from others


def _found(path: str, by_layer: Mapping[str, object]) -> str | None:
    """The layer at a path, or the only one of that name: some formats store only part of it."""
    if path in by_layer:
        return path
    name = path.rpartition("/")[2]
    same = [known for known in by_layer if known.rpartition("/")[2] == name]
    return same[0] if len(same) == 1 else None
