"""Which VGG a file's tensors are, and which tensor is which, by their names, order and shapes.

One set of weights is chosen, parts of names that all its layers share are dropped, and the layers
are matched by the names of a known scheme, else by their order and shapes. What could be read in
two ways is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from vgg16_spec.architecture import IMAGE_CHANNELS, Configuration, Shape
from vgg16_spec.errors import BadInput, few
from vgg16_spec.names import HEAD
from vgg16_weights.matching import refusals
from vgg16_weights.matching.layers import PARTS, Layer, layers_of
from vgg16_weights.matching.naming import FEATURES, Chain, head_of
from vgg16_weights.matching.selection import chosen, one_of, scope_of, sets_of

# What is saved beside a network's own layers: losses, metrics, statistics and counters.
_BESIDE: Final = re.compile(
    r"(.*_)?(criterion|loss|losses|metrics?|confusion|accuracy|acc|optimizer)(_.*)?"
    r"|(train|val|valid|test)_.+|n_averaged|num_updates|num_batches_tracked|class_weights?"
    r"|pos_weight|decay|epoch|step|global_step|iteration|version"
)
# What images are normalised with, where it is kept as a buffer.
_STATISTICS: Final = frozenset({"mean", "std", "pixel_mean", "pixel_std"})


class Identity(NamedTuple):
    """What a file's tensors are.

    Attributes:
        configuration: the network, with the head that the tensors show.
        keys: canonical tensor name -> key in the file; a tensor that fits nowhere has its own name.
        steps: how they were matched, for the user.
    """

    configuration: Configuration
    keys: Mapping[str, str]
    steps: tuple[str, ...] = ()


def identify(
    shapes: Mapping[str, Shape],
    *,
    label: str,
    is_ordered: bool = False,
    key: str | None = None,
    include_top: bool = True,
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
    layers = layers_of(shapes)
    if key is not None:
        layers = chosen(layers, key, label)
    sets = sets_of(layers, is_ordered=is_ordered)
    if not sets:
        raise refusals.no_network(layers, label)
    chain, steps = one_of(sets, label)
    beside, behind, within = _sorted(chain, scope_of(chain, layers, sets), is_ordered=is_ordered)
    if any(layer.normalises for layer in within):
        raise refusals.normalised(within, label)
    if chain.problem:
        raise BadInput(label, chain.problem, "names that tell it, as PyTorch or Keras give")
    steps += (*_dropped(chain), *filter(None, [chain.step]))
    configuration, matched = chain.configuration.with_head(include_top=False), dict(chain.layers)
    if include_top and behind:
        head, step = head_of(behind, chain.configuration, is_ordered=is_ordered) or refusals.head(
            behind, chain.configuration, label
        )
        matched |= head
        left = [layer for layer in behind if layer not in head.values()]
        if left and _is_whole(head):
            raise refusals.foreign(left, label)
        within += left
        configuration = _with_head(chain.configuration, head)
        steps += (step,) if step and not chain.step else ()
    if beside:
        steps += (f"ignored {few(f'`{layer.text}`' for layer in beside)}",)
    return Identity(configuration, _keys(matched, within), steps)


def _with_head(configuration: Configuration, head: Mapping[str, Layer]) -> Configuration:
    """The configuration with as many classes as the classifier that was found has."""
    bias = head["predictions"].shapes.get("bias", ()) if "predictions" in head else ()
    classes = next(iter(bias), 0) or None
    return configuration.with_head(include_top=bool(head), classes=classes)


def _is_whole(head: Mapping[str, Layer]) -> bool:
    return len(head) == len(HEAD) and all(
        {"weight", "bias"} <= layer.keys.keys() for layer in head.values()
    )


def _keys(matched: Mapping[str, Layer], unexpected: Sequence[Layer]) -> dict[str, str]:
    """Canonical tensor name -> key in the file, and every other tensor by its key."""
    keys = {
        f"{name}.{part}": layer.keys[part]
        for name, layer in matched.items()
        for part in PARTS
        if part in layer.keys
    }
    others = [
        key
        for layer in (*matched.values(), *unexpected)
        for part, key in layer.keys.items()
        if part not in PARTS or layer in unexpected
    ]
    # One that is called as a tensor that was found elsewhere is a second of its kind.
    return keys | {f"another {key}" if key in keys else key: key for key in others}


def _sorted(
    chain: Chain, rest: Sequence[Layer], *, is_ordered: bool
) -> tuple[list[Layer], list[Layer], list[Layer]]:
    """The other layers: those that compute nothing, those behind the convolutions, the rest."""
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
    return beside, behind, within


def _is_beside(layer: Layer, chain: Chain) -> bool:
    """Whether a layer surely computes nothing in the network."""
    is_inside = layer.within(chain.node) and chain.node[-1:] == (FEATURES,)
    if is_inside or layer.normalises or layer.is_dense or layer.keys.keys() >= set(PARTS):
        return False
    if layer.keys.keys() <= _STATISTICS:
        return all(math.prod(shape) == IMAGE_CHANNELS for shape in layer.shapes.values())
    below = layer.name[len(chain.base) :] if layer.within(chain.base) else layer.name
    return any(_BESIDE.fullmatch(part.lower()) for part in below or layer.keys)


def _is_behind(layer: Layer, chain: Chain, *, is_ordered: bool) -> bool:
    """Whether a layer surely stands behind the convolutions."""
    if layer.is_in_head(chain.node):
        return True
    is_inside = layer.within(chain.node)
    if is_inside and chain.node[-1:] == (FEATURES,):
        return False
    outputs = {shape[0] for shape in layer.shapes.values() if shape}
    positions = [convolution.position for convolution in chain.layers.values()]
    widths = {convolution.out_channels for convolution in chain.configuration.convolutions}
    if len(layer.weight) == 2:
        # One between convolutions excites channels: the second of its two layers widens.
        if is_ordered:
            return not min(positions) < layer.position < max(positions)
        return not is_inside or layer.weight[0] < layer.weight[1] or outputs.isdisjoint(widths)
    if layer.is_kernel and layer.weight[1] == IMAGE_CHANNELS:
        return False
    if is_ordered:
        return layer.position > max(positions)
    return outputs.isdisjoint({IMAGE_CHANNELS} | (widths if is_inside else set()))


def _dropped(chain: Chain) -> Iterable[str]:
    """What was left out of the names, for the user."""
    container, prefix, within = chain.around()
    if container:
        yield f"read under `{container}`"
    if prefix:
        yield f"prefix `{prefix}` dropped"
    if within:
        yield f"`{within}` within names dropped"
