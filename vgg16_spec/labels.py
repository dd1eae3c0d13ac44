"""The names of the 1000 classes of ILSVRC 2012, in the order of the network's outputs.

A name is the first word that WordNet lists for the class's synset; the two cranes and the two
maillots are told apart in brackets.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Output index -> name."""
    table = files("vgg16_spec").joinpath("imagenet_classes.tsv").read_text(encoding="utf-8")
    return tuple(line.partition("\t")[2] for line in table.splitlines())


def class_name(index: int, classes: int) -> str:
    """The name of an output; its number where the network has other classes than ImageNet's."""
    names = imagenet_classes()
    return names[index] if classes == len(names) else f"class {index}"
