"""Finds which VGG a file's tensors belong to, and which tensor is which.

One set of weights is chosen, and the parts of names that all its layers share are dropped. Layers
are matched by the names of a known scheme, or else by order and shape. A file that matches in more
than one way is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from vgg16_spec.architecture import Configuration, Shape
from vgg16_spec.checkpoint.shapes import with_shown_head
from vgg16_spec.errors import few
from vgg16_spec.names import HEAD
from vgg16_weights.matching import refusals
from vgg16_weights.matching.changes import changed
from vgg16_weights.matching.image_statistics import are_statistics
from vgg16_weights.matching.layers import PARTS, Layer, layers_of
from vgg16_weights.matching.naming import Chain, head_of
from vgg16_weights.matching.places import sorted_by_place
from vgg16_weights.matching.selection import chosen, one_of, scope_of, sets_of


class Identity(NamedTuple):
    """What a file's tensors are.

    Attributes:
        configuration: the network, with the head that the tensors show.
        keys: canonical tensor name -> key in the file; a tensor that fits nowhere keeps its name.
        steps: how they were matched, for the user.
        statistics: keys of the numbers with which the network normalises images itself.
    """

    configuration: Configuration
    keys: Mapping[str, str]
    steps: tuple[str, ...] = ()
    statistics: tuple[str, ...] = ()


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

    Raises ``BadInput`` for tensors that are not a VGG's, or that match in more than one way.
    """
    layers = layers_of(shapes)
    if key is not None:
        layers = chosen(layers, key, label)
    sets = sets_of(layers, is_ordered=is_ordered)
    if not sets:
        raise changed(layers, label) or refusals.no_network(layers, label)
    chain, others = one_of(sets, label)
    scope = scope_of(chain, layers, sets)
    beside, behind, within = sorted_by_place(chain, scope, is_ordered=is_ordered)
    if refusal := refusals.within(within, behind if include_top else (), chain, label):
        raise refusal
    steps = (*_dropped(chain), *filter(None, [chain.step]), *others)
    configuration, matched = chain.configuration.with_head(include_top=False), dict(chain.layers)
    if include_top and behind:
        head, left, step = _head(behind, chain.configuration, label, is_ordered=is_ordered)
        matched |= head
        within += left
        biases = {f"{name}.bias": layer.shapes.get("bias", ()) for name, layer in head.items()}
        configuration = with_shown_head(chain.configuration, biases)
        steps += (step,) if step and not chain.step else ()
    steps += _said("ignored", [layer for layer in beside if not are_statistics(layer)])
    if not include_top:
        # A tensor that is not the head's may be used anywhere, and its name does not tell where.
        steps += _said("left out", [x for x in behind if not (x.is_dense or x.is_in_head(()))])
    around = (layer for layer in layers if layer in scope or layer.is_above(chain.first))
    statistics = tuple(key for x in around if are_statistics(x) for key in x.keys.values())
    return Identity(configuration, _keys(matched, within), steps, statistics)


def _said(what: str, layers: Sequence[Layer]) -> tuple[str, ...]:
    return (f"{what} {few(f'`{layer.text}`' for layer in layers)}",) if layers else ()


def _head(
    behind: Sequence[Layer], configuration: Configuration, label: str, *, is_ordered: bool
) -> tuple[dict[str, Layer], list[Layer], str]:
    """The classifier's layers by name, those that fit nowhere, and how they were matched.

    Raises ``BadInput`` for a head of another network, also where a VGG's is whole beside it.
    """
    head, step = head_of(behind, configuration, is_ordered=is_ordered) or refusals.head(
        behind, configuration, label
    )
    left = [layer for layer in behind if layer not in head.values()]
    whole = [layer for layer in head.values() if layer.keys.keys() >= set(PARTS)]
    if left and len(whole) == len(HEAD):
        raise refusals.foreign(left, label)
    return head, left, step


def _keys(matched: Mapping[str, Layer], unexpected: Sequence[Layer]) -> dict[str, str]:
    """Canonical tensor name -> key in the file; every other tensor under its own key."""
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
    # A key that is another tensor's canonical name must not replace that tensor.
    return keys | {f"another {key}" if key in keys else key: key for key in others}


def _dropped(chain: Chain) -> Iterable[str]:
    """The parts of names that were dropped, for the user."""
    container, prefix, within = chain.around()
    if container:
        yield f"read under `{container}`"
    if prefix:
        yield f"prefix `{prefix}` dropped"
    if within:
        yield f"`{within}` within names dropped"
