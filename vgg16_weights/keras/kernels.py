"""How files of Keras before version 3 store kernels, and which arrays are kernels.

Theano convolves: it turns a kernel by half a turn before it slides it over the maps. The other
backends correlate, so Keras turns the kernels of a file that was saved on another kind of backend,
by the attribute ``backend`` (``_need_convert_kernel`` of Keras 2.3's ``engine/saving.py``). Before
Keras wrote that attribute, the published files said it in their names, ``th_kernels`` and
``tf_kernels``. Keras 1 with the image ordering ``th`` kept kernels as (out, in, kH, kW).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from vgg16_spec.architecture import Shape
from vgg16_spec.blocks import Array

# The backends of Keras and its forks that correlate.
_CORRELATE: Final = frozenset(
    {"tensorflow", "cntk", "jax", "torch", "numpy", "openvino", "mxnet", "plaidml"}
)
_IN_NAME: Final = re.compile(r"(th|tf)_kernels")
_AMBIGUOUS: Final = (
    "its kernels are (out, in, kH, kW), but nothing tells whether they are turned by half a turn:"
    " set its attribute 'backend', to 'theano' if they are, else to 'tensorflow'"
)
_SIDES: Final = (1, 3, 5, 7)
# Keras 1: block1_conv1_W_1:0. Keras 2: block1_conv1/kernel:0. A trailing number counts repetitions.
_STORED: Final = re.compile(
    r"(?:(?P<layer>.*?)_)?(?P<part>kernel|W|weights?|bias(?:es)?|b|gamma|beta"
    r"|moving_mean|moving_variance|running_mean|running_std)(?:_[0-9]+)?"
)
_PARTS: Final = {
    "kernel": "weight",
    "W": "weight",
    "weights": "weight",
    "b": "bias",
    "biases": "bias",
}
_OUTPUT: Final = re.compile(r":[0-9]+$")


class Stored(NamedTuple):
    """The parts of an array's stored name.

    Attributes:
        layer: the layer, or the path to it, that the name begins with; empty if there is none.
        part: ``weight``, ``bias``, or the rest of the name.
    """

    layer: str
    part: str


def stored(name: str, rank: int) -> Stored:
    """``vgg16/fc1/kernel:0`` -> ``vgg16/fc1``, ``weight``; only if the rank fits the part."""
    path, _, last = _OUTPUT.sub("", name).rpartition("/")
    match = _STORED.fullmatch(last)
    if match is None:
        return Stored(path, last)
    part = _PARTS.get(match["part"], match["part"])
    if (part == "weight" and rank < 2) or (part != "weight" and rank > 1):
        part = last
    return Stored(path or match["layer"] or "", part)


class Kernels(NamedTuple):
    """How to read the kernels of a file.

    Attributes:
        arrange: turns a stored kernel into a view in Keras's order, (kH, kW, in, out).
        steps: what was decided.
    """

    arrange: Callable[[Array], Array] | None
    steps: tuple[str, ...]


def kernels(
    *, are_oihw: bool, backend: str, names: Collection[str], file_name: str, is_keras_1: bool
) -> Kernels:
    """How to read kernels.

    Args:
        are_oihw: whether they are (out, in, kH, kW).
        backend: the attribute of that name; empty where there is none.
        names: the stored names of the arrays; TensorFlow's variables end in ``:0``.
        file_name: the name of the file.
        is_keras_1: whether the arrays are called as Keras 1 calls them.

    Raises ``ValueError`` if the axes are Keras 1's but nothing else is.
    """
    turned, step = False, ""
    if backend:
        turned = backend == "theano"
        if turned:
            step = "kernels turned back: saved on Theano"
        elif backend not in _CORRELATE:
            step = f"kernels read as they are: unknown backend {backend[:40]!r}"
    elif match := _IN_NAME.search(file_name):
        turned = match[1] == "th"
        step = "kernels turned back: th_kernels in the file's name" if turned else ""
    elif any(_OUTPUT.search(name) for name in names):
        pass
    elif are_oihw and not is_keras_1:
        raise ValueError(_AMBIGUOUS)
    elif is_keras_1:
        turned = are_oihw
        if turned:
            step = "kernels turned back: assumed to be Theano's, no attribute 'backend'"
        else:
            step = "kernels assumed to be TensorFlow's, no attribute 'backend'"
    arrange = _ARRANGE[are_oihw, turned]
    return Kernels(arrange, (step,) if step else ())


# (whether it is (out, in, kH, kW), whether it is turned) -> what turns it into (kH, kW, in, out).
_ARRANGE: Final[dict[tuple[bool, bool], Callable[[Array], Array] | None]] = {
    (False, False): None,
    (False, True): lambda kernel: kernel[::-1, ::-1],
    (True, False): lambda kernel: kernel.transpose(2, 3, 1, 0),
    (True, True): lambda kernel: kernel[:, :, ::-1, ::-1].transpose(2, 3, 1, 0),
}


def are_oihw(shapes: Collection[Shape]) -> bool:
    """Whether kernels of these shapes are (out, in, kH, kW), and could not be (kH, kW, in, out)."""
    kernels = [shape for shape in shapes if len(shape) == 4]
    last = all(_is_square(*shape[2:]) for shape in kernels)
    return bool(kernels) and last and not all(_is_square(*shape[:2]) for shape in kernels)


def _is_square(height: int, width: int) -> bool:
    return height == width and height in _SIDES
