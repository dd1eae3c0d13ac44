"""The orders that class folders may come in, and what a perfect network scores in each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from differences.harness.experiment import Finding, Table
from vgg16_parity.evaluate.datasets.classes import map_classes, synsets
from vgg16_spec.labels import imagenet_classes

CLASSES: Final = len(imagenet_classes())
SYNSETS: Final = "synsets (`n01440764`), sorted"
AS_TEXT: Final = "numbers (`7`), sorted as text: `10` before `2`"
NAMES: Final = "class names, sorted"
ANY_CASE: Final = "class names, sorted without regard to case"
_COLUMNS: Final = ("folders", "classes with another index", "right of a perfect network, %")
_NUMBERS: Final = tuple(map(str, range(CLASSES)))
# Folders in the order of the network's outputs -> the same folders as they are numbered.
_Order = tuple[Sequence[str], Sequence[str]]


def orders() -> dict[str, _Order]:
    """The folder of each output, and the folders in the order in which they are numbered."""
    ids, names = tuple(synsets()), imagenet_classes()
    distinct = sorted(set(names))
    padded = tuple(f"{number:03}" for number in range(CLASSES))
    return {
        SYNSETS: (ids, sorted(ids)),
        "numbers with zeros in front (`007`), sorted": (padded, sorted(padded)),
        AS_TEXT: (_NUMBERS, sorted(_NUMBERS)),
        NAMES: (names, distinct),
        ANY_CASE: (names, sorted(distinct, key=str.lower)),
        "an output for the background before the others": (ids, ("background", *sorted(ids))),
    }


def moved(order: _Order) -> int:
    """How many classes get another number than their output's."""
    outputs, numbered = order
    number = {folder: index for index, folder in enumerate(numbered)}
    return sum(number[folder] != index for index, folder in enumerate(outputs))


def mapped_right(folders: Sequence[str]) -> bool:
    """Whether ``vgg16 evaluate`` gives each folder its output's index, whatever their order."""
    found, _ = map_classes(sorted(folders), imagenet_classes(), given="folder", own=sorted(folders))
    return found == {folder: index for index, folder in enumerate(folders)}


def alike() -> int:
    """How many classes share their name with another in a list of the first words of synsets."""
    bare = [name.partition(" (")[0] for name in imagenet_classes()]
    return sum(bare.count(name) > 1 for name in bare)


def finding() -> Finding:
    """What each order costs a network that is always right."""
    apart = {name: moved(order) for name, order in orders().items()}
    shown = {name: (count, 100 * (1 - count / CLASSES)) for name, count in apart.items()}
    folders = [outputs for outputs, _ in orders().values()]
    return Finding(
        {},
        {
            "Sorted synsets are in the order of the network's outputs.": apart[SYNSETS] == 0,
            "Numbers that are sorted as text leave a perfect network less than 2 % right, names "
            "less than 1 %.": CLASSES - apart[AS_TEXT] < CLASSES / 50
            and CLASSES - max(apart[NAMES], apart[ANY_CASE]) < CLASSES / 100,
            "`vgg16 evaluate` goes by what a folder is called, a synset, a name or a number, and "
            "is right in whatever order folders sort.": all(map(mapped_right, folders)),
        },
        tables=(
            Table("Labels: the order of class folders", _COLUMNS, shown),
            Table(
                "Labels: classes of one name",
                ("list", "classes"),
                {"first words of ImageNet's synsets, shared with another class": (alike(),)},
            ),
        ),
    )
