"""A file's tensors by layer, and the parts of a layer's name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from vgg16_spec.architecture import Shape
from vgg16_weights.matching.layer_names import HEAD_PARTS

# A layer's two tensors.
PARTS: Final = ("weight", "bias")
# What PyTorch's wrappers add to the names of the modules they wrap, at any depth.
_WRAPPERS: Final = frozenset(
    {
        "module",
        "_orig_mod",
        "_fsdp_wrapped_module",
        "_checkpoint_wrapped_module",
        "_forward_module",
        "_fpw_module",
    }
)
# Characters of a name in an error.
_LONGEST: Final = 40
_NORMALISES: Final = frozenset(
    {"running_mean", "running_var", "gamma", "beta", "moving_mean", "moving_variance"}
)


class Layer(NamedTuple):
    """The tensors that share a name up to its last dot.

    Attributes:
        name: the parts of its name, its container's first, without those that wrappers add.
        parts: the same, with those that wrappers add.
        depth: how many of ``parts`` are its container's.
        position: its place in the file.
        keys: ``weight``, ``bias``, … -> key in the file.
        shapes: ``weight``, ``bias``, … -> shape, in canonical order.
    """

    name: tuple[str, ...]
    parts: tuple[str, ...]
    depth: int
    position: int
    keys: dict[str, str]
    shapes: dict[str, Shape]

    @property
    def text(self) -> str:
        """The name as the file has it, for the user."""
        return ".".join(self.parts[self.depth :]) or "/".join((*self.parts, *self.keys))

    @property
    def weight(self) -> Shape:
        """The shape of its weight; empty where it has none."""
        return self.shapes.get("weight", ())

    @property
    def is_kernel(self) -> bool:
        """Whether it may be a convolution."""
        return len(self.weight) == 4

    @property
    def is_dense(self) -> bool:
        """Whether it may be a dense layer, as such or as a convolution."""
        return len(self.weight) in (2, 4)

    @property
    def normalises(self) -> bool:
        """Whether it looks like batch normalisation."""
        return not _NORMALISES.isdisjoint(self.keys)

    def short(self) -> str:
        """Its name for an error: only the end of a long one."""
        text = self.text
        return text if len(text) <= _LONGEST else f"…{text[-_LONGEST:]}"

    def described(self) -> str:
        """Its name and shape, for an error."""
        shape = self.weight or next(iter(self.shapes.values()))
        return f"{self.short()} {shape}".replace(",)", ")")

    def within(self, node: tuple[str, ...]) -> bool:
        """Whether its name begins with these parts."""
        return self.name[: len(node)] == node

    def is_above(self, other: Layer) -> bool:
        """Whether its container is the other's, or encloses it."""
        return other.parts[: self.depth] == self.parts[: self.depth]

    def is_in_head(self, node: tuple[str, ...]) -> bool:
        """Whether a part of its name, below these, is one of a classifier's."""
        below = self.name[len(node) :] if self.within(node) else self.name
        return not HEAD_PARTS.isdisjoint(below)


def layers_of(shapes: Mapping[str, Shape]) -> list[Layer]:
    """The layers of a file's tensors, in the file's order."""
    found: dict[tuple[tuple[str, ...], int, str], Layer] = {}
    clean = len({_without_wrappers(key) for key in shapes}) == len(shapes)
    for key, shape in shapes.items():
        container, _, dotted = key.rpartition("/")
        name, _, part = dotted.rpartition(".")
        above = tuple(filter(None, container.split("/")))
        parts = (*above, *filter(None, name.split(".")))
        short = tuple(p for p in parts if p not in _WRAPPERS) if clean else parts
        # Tensors without a layer's name are one layer each.
        own = part if not name and part not in PARTS else ""
        layer = found.setdefault(
            (parts, len(above), own), Layer(short, parts, len(above), len(found), {}, {})
        )
        layer.keys[part] = key
        layer.shapes[part] = tuple(shape)
    return list(found.values())


def _without_wrappers(key: str) -> tuple[str, ...]:
    return tuple(part for part in re.split(r"[./]", key) if part not in _WRAPPERS)


def natural(text: str) -> list[tuple[int, str]]:
    """A sort key: ``conv2d_9`` comes before ``conv2d_10``, and ``conv2d`` before both."""
    pieces = re.split(r"([0-9]+)", text)
    return [(int(p) if p.isdecimal() else -1, p) for p in pieces]


def are_numbered(names: Iterable[str]) -> bool:
    """Whether names differ only in their numbers; the first may have none."""
    stems = {re.sub(r"[0-9]+", "#", re.sub(r"_[0-9]+$", "", name)) for name in names}
    return len(stems) == 1
