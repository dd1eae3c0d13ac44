"""Which class of the checkpoint each class of a data set is.

The same folders mean other classes to another network: a network of 1000 classes knows the ten
folders of Imagenette by their names alone, and ``10`` sorts before ``2``. What can be understood in
two ways is refused.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from vgg16_spec.errors import BadInput, counted, few
from vgg16_spec.labels import imagenet_classes

# ``n02085620-Chihuahua`` too, as Stanford Dogs has it.
_SYNSET: Final = re.compile(r"(n[0-9]{8})(?:[\W_].*)?", re.DOTALL)
_NUMBER: Final = re.compile("[0-9]{1,9}")
_SEPARATORS: Final = re.compile(r"[\s_()\[\],.'’\"-]+")
_BRACKETS: Final = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
# Lists of ImageNet's names differ in some: Keras's has two cranes, torchvision's a sunglass.
_AGREEING: Final = 0.9
_SPLITS: Final = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


def map_classes(
    names: Sequence[str],
    class_names: Sequence[str],
    *,
    given: str,
    own: Sequence[str] | None = None,
    what: str = "labels",
) -> tuple[dict[str, int], str]:
    """Each name's index among the checkpoint's classes, and how it was found in one line.

    Names are those of the checkpoint's classes, whatever their case and separators; or WordNet's
    synsets (``n01440764``); or the classes' numbers.

    Args:
        names: those that the data set uses, each once.
        class_names: the checkpoint's, by index.
        given: what messages call the data set.
        own: all classes that the data set has, in its own order; where nothing else tells and there
            are as many as the checkpoint has, that is the checkpoint's order. None where the data
            set has no order.
        what: what messages call the names.

    Raises ``BadInput`` where a name is none or two of the checkpoint's classes.
    """
    if not names:
        return {}, f"no {what}"
    total = len(class_names)
    found, unclear = _by_name(names, class_names)
    numbers = _by_number(names, total)
    if len(found) == len(names):
        if own is None and numbers and numbers != found:
            problem = f"has {what} that are numbers and names of other classes ({few(names)})"
            raise BadInput(given, problem, "labels that are not both")
        return found, f"{what} are the names of the checkpoint's classes"
    by_synset = _by_synset(names, class_names)
    if by_synset and len(by_synset) == len(names):
        return by_synset, f"{what} are WordNet's synsets, {len(names)} of ImageNet's 1000"
    if numbers:
        return numbers, f"{what} are the numbers of the checkpoint's classes"
    if own is not None and len(own) == total and len(set(own)) == total:
        return _by_order(own, found, unclear, given, what)
    if unclear:
        name, indices = next(iter(unclear.items()))
        problem = f"{name!r} may be class {' or '.join(map(str, indices))} of the checkpoint"
        raise BadInput(given, problem, "synsets (n01440764, …), or the classes' numbers")
    raise _nothing_fits(names, found | by_synset, own, total, given, what)


def _nothing_fits(
    names: Sequence[str],
    found: dict[str, int],
    own: Sequence[str] | None,
    total: int,
    given: str,
    what: str,
) -> BadInput:
    expected = f"the names of the checkpoint's classes, synsets, or numbers from 0 to {total - 1}"
    if own is not None:
        if {name.lower() for name in own} <= _SPLITS:
            problem = f"has no classes but the splits {few(own)}"
            return BadInput(given, problem, "one of these folders")
        problem = f"has {len(own)} {what}, where the checkpoint has {total} classes"
        expected = f"{total} {what}, or {expected}"
    elif all(_NUMBER.fullmatch(name) for name in names):
        values = sorted(map(int, names))
        problem = (
            f"has numbers from {values[0]} to {values[-1]}, where the checkpoint has "
            f"{counted(total, 'class', 'classes')}"
        )
        return BadInput(given, problem, f"numbers from 0 to {total - 1}")
    else:
        problem = f"has {len(names)} different {what}, where the checkpoint has {total} classes"
    unknown = [f"{name:.60}" for name in names if name not in found]
    return BadInput(given, f"{problem}, and none is called {few(unknown)}", expected)


def _by_order(
    own: Sequence[str],
    found: dict[str, int],
    unclear: dict[str, tuple[int, ...]],
    given: str,
    what: str,
) -> tuple[dict[str, int], str]:
    """The data set's own order as the checkpoint's, unless a name says otherwise."""
    numeric = all(_NUMBER.fullmatch(name) for name in own)
    ordered = sorted(own, key=int) if numeric else own
    for index, name in enumerate(ordered):
        known = (found[name],) if name in found else unclear.get(name, (index,))
        if index not in known:
            problem = f"has {name!r} as class {index}, which is the name of class {known[0]}"
            raise BadInput(given, problem, f"{what} that are all names of the checkpoint's classes")
    order = "in the order of their numbers" if numeric else "in their order"
    return {name: index for index, name in enumerate(ordered)}, (
        f"{what} are the checkpoint's {len(own)} classes {order}, whose names differ"
    )


def _by_name(
    names: Sequence[str], class_names: Sequence[str]
) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
    """The names that are a class's, and those of several classes with their indices.

    Exact names go before equal letters, and these before a part of a name: one of its synonyms, or
    what is before brackets.
    """
    exact, letters, parts, bare = (defaultdict[str, set[int]](set) for _ in range(4))
    for index, name in enumerate(class_names):
        exact[name].add(index)
        letters[_letters(name)].add(index)
        for part in name.split(","):
            parts[_letters(part)].add(index)
        if _BRACKETS.search(name):
            bare[_letters(_BRACKETS.sub("", name))].add(index)
    full = {name: exact.get(name) or letters.get(_letters(name)) or set() for name in names}
    mentioned = set[int]().union(*full.values())
    found: dict[str, int] = {}
    unclear: dict[str, tuple[int, ...]] = {}
    for name, indices in full.items():
        # "maillot" beside "maillot (tank suit)" may be either, unless both are there.
        others = bare.get(_letters(name), set()) - mentioned
        if not indices and not others:
            first = _letters(name.partition(",")[0])
            others = parts.get(_letters(name)) or parts.get(first) or bare.get(first) or set()
        if len(either := indices | others) == 1:
            found[name] = next(iter(either))
        elif either:
            unclear[name] = tuple(sorted(either))
    return found, unclear


def _letters(name: str) -> str:
    """A name without case and separators; as it is if it has nothing else."""
    return _SEPARATORS.sub(" ", name).strip().casefold() or name


def _by_number(names: Sequence[str], total: int) -> dict[str, int]:
    """The names as indices; empty unless all are."""
    if all(_NUMBER.fullmatch(name) and int(name) < total for name in names):
        return {name: int(name) for name in names}
    return {}


def _by_synset(names: Sequence[str], class_names: Sequence[str]) -> dict[str, int]:
    """The names that are synsets of classes; empty unless all have a synset's form."""
    matches = {name: _SYNSET.fullmatch(name) for name in names}
    indices = synsets()
    known = {name: indices.get(match[1]) for name, match in matches.items() if match}
    if len(known) < len(names):
        return {}
    if is_imagenet(class_names):
        return {name: index for name, index in known.items() if index is not None}
    imagenet = imagenet_classes()
    called = {name: imagenet[index] for name, index in known.items() if index is not None}
    found, _ = _by_name(list(called.values()), class_names)
    return {name: found[word] for name, word in called.items() if word in found}


def is_imagenet(class_names: Sequence[str]) -> bool:
    """Whether these are ImageNet's classes in their usual order, by whatever list of names."""
    imagenet = imagenet_classes()
    if len(class_names) != len(imagenet):
        return False
    pairs = zip(class_names, imagenet, strict=True)
    same = sum(_letters(a.partition(",")[0]) == _letters(b) for a, b in pairs)
    return same >= _AGREEING * len(imagenet)


@cache
def synsets() -> dict[str, int]:
    """WordNet's synset of each of ImageNet's classes -> index."""
    table = files("vgg16_spec").joinpath("imagenet_classes.tsv").read_text(encoding="utf-8")
    return {line.partition("\t")[0]: index for index, line in enumerate(table.splitlines())}
