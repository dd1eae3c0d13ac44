"""Which VGG a file's tensors are, and which tensor is which, by their keys, order and shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from vgg16_spec.architecture import CONFIGURATIONS, Configuration, Shape
from vgg16_spec.checkpoint import configuration_of
from vgg16_spec.names import torchvision_keys
from vgg16_weights.layer_names import canonical_name

_KERNEL: Final = re.compile(r"block[1-9]_conv[1-9]\.weight")


class Identity(NamedTuple):
    """What a file's tensors are.

    Attributes:
        configuration: the network, with the head that the tensors show.
        keys: canonical tensor name -> key in the file.
        steps: how they were matched, for the user.
    """

    configuration: Configuration
    keys: Mapping[str, str]
    steps: tuple[str, ...] = ()


def identify(
    shapes: Mapping[str, Shape],
    *,
    label: str,
    is_ordered: bool = False,  # noqa: ARG001
    key: str | None = None,  # noqa: ARG001
    include_top: bool = True,  # noqa: ARG001
) -> Identity:
    """The configuration that tensors belong to, and the key of each of its tensors.

    Args:
        shapes: ``<container>/…/<layer>.<part>``, as the file calls them -> shape, its axes in
            canonical order.
        label: what errors call the file.
        is_ordered: whether the tensors stand in the order of the network's layers.
        key: the path or prefix of the set of weights to read, where there are several.
        include_top: whether the classifier is wanted; without it, any head is ignored.

    Raises ``BadInput`` for tensors that are not those of a VGG, or not certainly.
    """
    dense = {theirs: name for name, theirs in torchvision_keys(CONFIGURATIONS["D"]).items()}
    named: dict[str, str] = {}
    for stored in sorted(shapes, key=_order):
        layer, _, part = stored.rpartition(".")
        canonical = canonical_name(layer)
        named[stored] = stored if "'" in canonical else f"{canonical}.{part}"
        named[stored] = dense.get(stored, named[stored])
    is_named = any(map(_KERNEL.fullmatch, named.values()))
    deciding = {
        name: shapes[stored]
        for stored, name in sorted(named.items(), key=lambda item: _order(item[1]))
        if not is_named or len(shapes[stored]) != 4 or _KERNEL.fullmatch(name)
    }
    configuration = configuration_of(deciding, label)
    torchvision = {theirs: name for name, theirs in torchvision_keys(configuration).items()}
    keys = {torchvision.get(stored, name): stored for stored, name in named.items()}
    return Identity(configuration, keys)


def _order(key: str) -> list[tuple[int, str]]:
    """Sorts numbers as numbers, so that features.10 comes after features.2."""
    return [(int(part) if part.isdecimal() else -1, part) for part in key.split(".")]
