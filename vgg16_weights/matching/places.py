"""Where the layers belong that are not a VGG's convolutions: apart from, after or between these."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from vgg16_spec.architecture import IMAGE_CHANNELS
from vgg16_weights.matching.changes import is_changed
from vgg16_weights.matching.image_statistics import are_statistics
from vgg16_weights.matching.layers import PARTS, Layer
from vgg16_weights.matching.naming import FEATURES, Chain

# Saved along with a network's own layers: losses, metrics, statistics and counters.
_BESIDE: Final = re.compile(
    r"(.*_)?(criterion|loss|losses|metrics?|confusion|accuracy|acc|optimizer)(_.*)?"
    r"|(train|val|valid|test)_.+|n_averaged|num_updates|num_batches_tracked|class_weights?"
    r"|pos_weight|decay|epoch|step|global_step|iteration|version|_extra_state"
)


def sorted_by_place(
    chain: Chain, rest: Sequence[Layer], *, is_ordered: bool
) -> tuple[list[Layer], list[Layer], list[Layer]]:
    """The other layers: those that compute nothing, those after the convolutions, the rest."""
    beside: list[Layer] = []
    behind: list[Layer] = []
    within: list[Layer] = []
    for layer in rest:
        if _is_beside(layer, chain):
            beside.append(layer)
        elif _is_behind(layer, chain, is_ordered=is_ordered):
            behind.append(layer)
        else:
            within.append(layer)
    between = _between(behind, chain)
    behind = [layer for layer in behind if layer not in between]
    return beside, behind, [*within, *between]


def _between(behind: Sequence[Layer], chain: Chain) -> list[Layer]:
    """Layers stored after the convolutions that may nevertheless be applied between them.

    A program may define its normalisations after its convolutions, and use them in between.
    """
    units = {layer.weight[0] for layer in behind if layer.is_dense}
    widths = {convolution.out_channels for convolution in chain.configuration.convolutions}
    earlier = widths - {chain.configuration.convolutions[-1].out_channels}
    found = []
    for layer in behind:
        if layer.is_in_head(chain.node):
            continue
        # One number per channel of a block before the last, or the single one of an activation.
        sizes = {
            max(shape, default=0)
            for shape in layer.shapes.values()
            if math.prod(shape) == max(shape, default=0)
        }
        is_activation = layer.keys.keys() == {"weight"} and sizes == {1}
        if not layer.is_dense and (is_activation or not sizes.isdisjoint(earlier - units)):
            found.append(layer)
    for one, other in pairwise(behind):
        if _excites(one, other) and one.weight[1] in earlier:
            found += [one, other]
    return found


def _excites(one: Layer, other: Layer) -> bool:
    """Whether two layers reduce channels and restore their number: squeeze and excitation."""
    shapes = one.weight, other.weight
    if not all(layer.is_dense and set(layer.weight[2:]) <= {1} for layer in (one, other)):
        return False
    return shapes[0][:2] == shapes[1][1::-1] and shapes[0][0] < shapes[0][1]


def _is_beside(layer: Layer, chain: Chain) -> bool:
    """Whether a layer certainly computes nothing in the network."""
    is_inside = layer.within(chain.node) and chain.node[-1:] == (FEATURES,)
    if is_inside or layer.normalises or layer.is_dense or layer.keys.keys() >= set(PARTS):
        return False
    if are_statistics(layer) or not any(map(math.prod, layer.shapes.values())):
        return True
    below = layer.name[len(chain.base) :] if layer.within(chain.base) else layer.name
    return any(_BESIDE.fullmatch(part.lower()) for part in below or layer.keys)


def _is_behind(layer: Layer, chain: Chain, *, is_ordered: bool) -> bool:
    """Whether a layer certainly comes after the convolutions."""
    if layer.is_in_head(chain.node):
        return True
    is_inside = layer.within(chain.node)
    if chain.is_followed_by(layer):
        return True
    if is_changed(layer) or (is_inside and chain.node[-1:] == (FEATURES,)):
        return False
    outputs = {shape[0] for shape in layer.shapes.values() if shape}
    positions = [convolution.position for convolution in chain.layers.values()]
    widths = {convolution.out_channels for convolution in chain.configuration.convolutions}
    if len(layer.weight) == 2:
        # Between convolutions, only squeeze and excitation has dense layers; its second one widens.
        if is_ordered:
            return not min(positions) < layer.position < max(positions)
        return not is_inside or layer.weight[0] < layer.weight[1] or outputs.isdisjoint(widths)
    if layer.is_kernel and layer.weight[1] == IMAGE_CHANNELS:
        return False
    if is_ordered:
        return layer.position > max(positions)
    return outputs.isdisjoint({IMAGE_CHANNELS} | (widths if is_inside else set()))
