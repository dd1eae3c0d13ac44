"""Finds a VGG's convolutions and classifier among layers, by name or else by order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise, permutations
from typing import Final, NamedTuple

from vgg16_spec.architecture import CONFIGURATIONS, Configuration
from vgg16_spec.names import HEAD, same_values
from vgg16_weights.matching.layer_names import AUTHORS, CANONICAL, HEADS, NUMBERS, convolution_names
from vgg16_weights.matching.layers import Layer, are_numbered, natural

FEATURES: Final = "features"
BY_ORDER: Final = "layers matched by order"
# From a block's last convolution to the next, over the activation and the pooling.
_TO_NEXT: Final = 3


class Chain(NamedTuple):
    """The convolutions of one VGG.

    Attributes:
        node: the parts that their names begin with.
        configuration: the network that they belong to.
        layers: canonical name -> layer.
        step: how they were matched, for the user.
        problem: what makes the match uncertain; empty if nothing does.
    """

    node: tuple[str, ...]
    configuration: Configuration
    layers: Mapping[str, Layer]
    step: str = ""
    problem: str = ""

    @property
    def base(self) -> tuple[str, ...]:
        """The parts in front of the names of the whole network."""
        return self.node[:-1] if self.node[-1:] == (FEATURES,) else self.node

    @property
    def first(self) -> Layer:
        """The first convolution."""
        return next(iter(self.layers.values()))

    @property
    def depth(self) -> int:
        """How many parts of its names are its container's."""
        return self.first.depth

    def is_followed_by(self, layer: Layer) -> bool:
        """Whether a layer comes after the convolutions in the Sequential that they are in."""
        place = len(self.node)
        numbers = [each.name[place:] for each in self.layers.values()]
        if not layer.within(self.node) or not all(map(_is_number, numbers)):
            return False
        below = layer.name[place : place + 1]
        return _is_number(below) and int(below[0]) >= int(numbers[-1][0]) + _TO_NEXT

    def around(self) -> tuple[str, str, str]:
        """Its container, the prefix of its names, and the wrappers within them."""
        left = list(self.first.name[len(self.base) :])
        prefix: list[str] = []
        within: list[str] = []
        for part in reversed(self.first.parts):
            if left and left[-1] == part:
                left.pop()
            else:
                (within if left else prefix).insert(0, part)
        container, dotted = prefix[: self.depth], prefix[self.depth :]
        return (
            "/".join(container),
            "".join(f"{p}." for p in dotted),
            "".join(f"{p}." for p in within),
        )


def chain_of(layers: Sequence[Layer], node: tuple[str, ...], *, is_ordered: bool) -> Chain | None:
    """The VGG whose convolutions are the layers below a node; ``None`` if they are not a VGG's."""
    those = [layer for layer in layers if layer.is_kernel and not layer.is_in_head(node)]
    kernels = {".".join(layer.name[len(node) :]): layer for layer in those}
    last = {name.rpartition(".")[2] for name in kernels}
    if len(last) == len(those) and any(map(_says_where, last)):
        # The name of the block comes first: `conv1.conv1_1`.
        kernels = {name.rpartition(".")[2]: layer for name, layer in kernels.items()}
    for scheme in (CANONICAL, AUTHORS, NUMBERS):
        theirs = {n for n in kernels if scheme.fullmatch(n)}
        for known in CONFIGURATIONS.values():
            table = convolution_names(known, scheme)
            if scheme is NUMBERS:
                # Other layers may follow in the Sequential, as in SSD.
                end = max(map(int, table)) + _TO_NEXT
                theirs = {n for n in kernels if scheme.fullmatch(n) and int(n) < end}
            fits = table.keys() == theirs and all(
                kernels[n].weight == layer.weight_shape
                for n, layer in zip(table, known.convolutions, strict=True)
            )
            if fits:
                return Chain(node, known, {ours: kernels[n] for n, ours in table.items()})
        if theirs and scheme is not NUMBERS:
            return None
    # Numbered modules of a Sequential and named ones are not one chain.
    if len({NUMBERS.fullmatch(name) is not None for name in last}) > 1:
        return None
    return _by_order(kernels, node, is_ordered=is_ordered)


def _is_number(name: tuple[str, ...]) -> bool:
    return len(name) == 1 and NUMBERS.fullmatch(name[0]) is not None


def _says_where(name: str) -> bool:
    return any(scheme.fullmatch(name) for scheme in (CANONICAL, AUTHORS))


def _by_order(
    kernels: Mapping[str, Layer], node: tuple[str, ...], *, is_ordered: bool
) -> Chain | None:
    shapes = Counter(layer.weight for layer in kernels.values())
    for known in CONFIGURATIONS.values():
        expected = [layer.weight_shape for layer in known.convolutions]
        if shapes != Counter(expected):
            continue
        orders = []
        stored = sorted(kernels, key=lambda name: kernels[name].position)
        # Alphabetical order says nothing about the order in the network.
        if is_ordered and (are_numbered(kernels) or stored != sorted(kernels)):
            orders.append(stored)
        if are_numbered(kernels):
            orders.append(sorted(kernels, key=natural))
        fitting = [o for o in orders if [kernels[n].weight for n in o] == expected]
        problem = ""
        if not fitting:
            problem = "neither the names nor the order of its convolutions shows which is which"
            fitting = [list(kernels)]
        elif any(order != fitting[0] for order in fitting):
            problem = "the order of its convolutions contradicts their names"
        elif not _may_pool_where(known, fitting[0]):
            problem = "the numbers of its convolutions do not leave room for VGG's poolings"
        names = [layer.name for layer in known.convolutions]
        matched = {ours: kernels[n] for ours, n in zip(names, fitting[0], strict=True)}
        return Chain(node, known, matched, BY_ORDER, problem)
    return None


def _may_pool_where(known: Configuration, order: Sequence[str]) -> bool:
    """Whether module numbers leave room for a pooling after each block, or count no poolings."""
    if not all(NUMBERS.fullmatch(name) for name in order):
        return True
    within: list[int] = []
    between: list[int] = []
    blocks = [layer.name.partition("_")[0] for layer in known.convolutions]
    for (block, one), (following, other) in pairwise(zip(blocks, map(int, order), strict=True)):
        (within if block == following else between).append(other - one)
    return max(within) < min(between) or len({*within, *between}) == 1


def head_of(
    rest: Sequence[Layer], configuration: Configuration, *, is_ordered: bool
) -> tuple[dict[str, Layer], str] | None:
    """The classifier among the layers after the convolutions: canonical name -> layer.

    The second result tells the user how it was matched. ``None`` for a head that is not VGG16's.
    """
    named, is_twice = named_head(rest)
    slots = [name for name in HEAD if name not in named]
    unnamed = [layer for layer in rest if layer.is_dense and layer not in named.values()]
    if is_twice or not _fit(named, configuration):
        return None
    if not slots or not unnamed:
        return named, ""
    if len(unnamed) != len(slots):
        return None
    matches = [
        match
        for order in permutations(unnamed)
        if _fit(named | (match := dict(zip(slots, order, strict=True))), configuration)
    ]
    tells = len(matches) == 1 or is_ordered
    if len(matches) > 1 and are_numbered(layer.text for layer in unnamed):
        numbered = sorted(unnamed, key=lambda layer: natural(layer.text))
        matches, tells = [match for match in matches if list(match.values()) == numbered], True
    if is_ordered:
        matches = [match for match in matches if _is_in_order(named | match)]
    if not tells or len(matches) != 1:
        return None
    taken = ", ".join(f"`{layer.text}` read as {name}" for name, layer in matches[0].items())
    return named | matches[0], taken


def _is_in_order(head: Mapping[str, Layer]) -> bool:
    """Whether the layers have the same order in the file as in the network."""
    positions = [head[name].position for name in HEAD if name in head]
    return positions == sorted(positions)


def named_head(rest: Sequence[Layer]) -> tuple[dict[str, Layer], bool]:
    """The head's layers by the scheme that names most of them; whether a name occurs twice."""
    best: dict[str, Layer] = {}
    is_twice = False
    for scheme in HEADS:
        found: dict[str, Layer] = {}
        twice = False
        for ours, theirs in zip(HEAD, scheme, strict=True):
            ends = [layer for layer in rest if layer.name[-len(theirs) :] == theirs]
            twice |= len(ends) > 1
            if ends:
                found[ours] = ends[0]
        if len(found) > len(best):
            best, is_twice = found, twice
    return best, is_twice


def _fit(head: Mapping[str, Layer], configuration: Configuration) -> bool:
    """Whether layers have the classifier's shapes, for any number of classes."""
    expected = configuration.weight_shapes
    for name, layer in head.items():
        if not layer.weight:
            continue
        wanted = expected[f"{name}.weight"]
        if name == "predictions":
            wanted = (layer.weight[0], *wanted[1:])
        if not same_values(wanted, layer.weight, configuration.feature_shape):
            return False
    return True
