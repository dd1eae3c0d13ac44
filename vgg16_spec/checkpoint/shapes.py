"""Finds the network that tensors belong to, by name and shape, and lists what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vgg16_spec.architecture import CONFIGURATIONS, Configuration, Shape
from vgg16_spec.errors import BadInput, counted, few

_CLASSIFIER: Final = ("fc1", "fc2", "predictions")
# An error is one line: if it is longer than this, it names fewer tensors.
_MOST_LISTED: Final = 160


def misfits(expected: Mapping[str, Shape], found: Mapping[str, Shape]) -> list[str]:
    """How ``found`` differs from ``expected``, in words; empty if it does not.

    Of each kind of problem it names the first few tensors and how many more there are.
    """
    problems = {
        "missing": [name for name in expected if name not in found],
        "unexpected": [name for name in found if name not in expected],
        "wrong shape": [
            f"{name} is {found[name]} instead of {shape}"
            for name, shape in expected.items()
            if name in found and tuple(found[name]) != tuple(shape)
        ],
    }
    for most in (3, 2, 1):
        listed = [f"{kind}: {few(those, most)}" for kind, those in problems.items() if those]
        if sum(map(len, listed)) <= _MOST_LISTED:
            break
    return listed


def configuration_of(shapes: Mapping[str, Shape], label: str) -> Configuration:
    """The configuration that tensors of these canonical names and shapes belong to.

    Convolutions, in the order given, decide which one; the other tensors decide about the
    classifier and its number of classes. ``label`` is what the error calls their file.

    Raises ``BadInput`` if the convolutions match no configuration.
    """
    convolutions = [tuple(shape) for shape in shapes.values() if len(shape) == 4]
    for known in CONFIGURATIONS.values():
        if [layer.weight_shape for layer in known.convolutions] == convolutions:
            return with_shown_head(known, shapes)
    found = counted(len(convolutions), "convolution matches", "convolutions match")
    raise BadInput(label, f"its {found} no configuration", f"one of {', '.join(CONFIGURATIONS)}")


def with_shown_head(configuration: Configuration, shapes: Mapping[str, Shape]) -> Configuration:
    """The configuration with the classifier, or the lack of one, that the tensors show."""
    include_top = any(name.partition(".")[0] in _CLASSIFIER for name in shapes)
    # Where this says nothing of use (missing, a scalar, empty), it is a misshapen tensor later.
    classes = next(iter(shapes.get("predictions.bias", ())), 0)
    return configuration.with_head(include_top=include_top, classes=classes or None)
