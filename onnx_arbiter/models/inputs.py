"""A network's inputs: seeded ones of the shapes that it declares, or those that people give."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from onnx_arbiter.graph import Array, Graph, Input
from onnx_arbiter.models.onnx_file import printable
from onnx_arbiter.numeric_modes import is_float
from vgg16_spec.errors import BadInput, few, require_file

_NO_SHAPES: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType({})
# Operators that look up rows by their second input, and those that an index may pass before.
_LOOKS_UP: Final = frozenset({"Gather", "GatherElements"})
_PASSES: Final = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"})
# The first bytes of .npy files, and of .npz files with arrays and without.
_STARTS: Final = (b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06")
# How many axes images have.
_IMAGES: Final = 4
_SIZES: Final = re.compile(r"[0-9]{1,9}([,x×][0-9]{1,9})*")


def seeded_inputs(
    graph: Graph, seed: int = 0, shapes: Mapping[str, tuple[int, ...]] = _NO_SHAPES
) -> dict[str, Array]:
    """Inputs of the declared types and shapes.

    Floats are normal with a standard deviation of 1, as images are after normalisation. Integers
    that look up rows of a table are uniform over its rows; others, such as masks, are 1.

    Args:
        graph: the network.
        seed: of the generator.
        shapes: of inputs whose axes are open, or to use in place of the declared ones.

    Raises:
        BadInput: an input's shape is open and not in ``shapes``, or one of ``shapes`` is of no
            input or does not fit.
    """
    if unknown := sorted(set(shapes) - set(graph.inputs)):
        expected = f"one of its inputs: {few(map(printable, graph.inputs), 8)}"
        raise BadInput(f"--shape {few(unknown)}", "is no input of the network", expected)
    rng = np.random.Generator(np.random.PCG64(seed))
    made = {}
    for name, declared in graph.inputs.items():
        shape = _shape(name, declared, shapes.get(name))
        dtype = declared.dtype
        if is_float(dtype):
            made[name] = rng.standard_normal(shape, np.float32).astype(dtype)
        elif dtype.kind in "iu":
            rows = _rows_looked_up(graph, name)
            made[name] = (
                rng.integers(0, rows, shape).astype(dtype) if rows else np.ones(shape, dtype)
            )
        elif dtype.kind == "b":
            made[name] = np.ones(shape, dtype)
        else:
            problem = f"is of the type {dtype}, for which no values can be made"
            raise BadInput(f"the input {printable(name)}", problem, "--inputs FILE.npz")
    return made


def _shape(name: str, declared: Input, given: tuple[int, ...] | None) -> tuple[int, ...]:
    option, shape = f"--shape {printable(name)}", declared.shape
    if given is None:
        if shape is None:
            raise BadInput(option, "the model does not say how many axes it has", f"{option}=SIZES")
        if all(isinstance(axis, int) for axis in shape):
            return tuple(int(str(axis)) for axis in shape)
        stated = ", ".join("?" if axis is None else printable(str(axis)) for axis in shape)
        likely = ("1", *["224" if len(shape) == _IMAGES else "16"] * len(shape))
        sizes = zip(shape, likely, strict=False)
        example = ",".join(str(a) if isinstance(a, int) else size for a, size in sizes)
        problem = f"the model leaves sizes open: ({stated})"
        raise BadInput(option, problem, f"{option}={example}, say")
    if shape is not None and (
        len(shape) != len(given)
        or any(isinstance(a, int) and a != b for a, b in zip(shape, given, strict=True))
    ):
        stated = ", ".join("?" if axis is None else printable(str(axis)) for axis in shape)
        raise BadInput(option, f"{given} does not fit", f"({stated})")
    return given


def _rows_looked_up(graph: Graph, name: str) -> int:
    """How many rows the smallest constant table has in which values are looked up; 0 if none."""
    passed, rows = {name}, list[int]()
    for node in graph.nodes:
        if node.operator in _PASSES and node.inputs and node.inputs[0] in passed:
            passed.update(node.outputs)
        if node.operator in _LOOKS_UP and node.inputs[1] in passed:
            table = graph.constants.get(node.inputs[0])
            if table is not None:
                rows.append(table.shape[node.get("axis", 0)])
    return min(rows, default=0)


def parse_shapes(texts: list[str]) -> dict[str, tuple[int, ...]]:
    """Shapes from the command line, ``name=1,3,224,224`` each.

    Raises ``BadInput`` for a text of another form, and for a name that is there twice.
    """
    shapes = dict[str, tuple[int, ...]]()
    for text in texts:
        name, _, sizes = text.rpartition("=")
        if not name or not _SIZES.fullmatch(sizes):
            raise BadInput(f"--shape {text}", "is not NAME=SIZES", "x=1,3,224,224, say")
        if name in shapes:
            raise BadInput(f"--shape {text}", f"{name} is given twice", "each input once")
        shapes[name] = tuple(map(int, re.split("[,x×]", sizes)))
    return shapes


def read_arrays(path: Path, what: str) -> dict[str, Array]:
    """The arrays of an ``.npz`` file, or of an ``.npy`` file under the name ``""``.

    Raises ``BadInput`` where there is none, or one needs code to be read.
    """
    require_file(path, f"{what}: an .npz or .npy file of NumPy")
    try:
        with path.open("rb") as file:  # of a damaged one, np.load leaves its own open
            if not file.read(len(_STARTS[0])).startswith(_STARTS):
                raise BadInput(path, "is no .npz or .npy file", "what numpy.savez or save wrote")
            file.seek(0)
            found: Any = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return {"": found}
            return {name: found[name] for name in found.files}
    except BadInput:
        raise
    except Exception as error:  # zipfile, zlib and NumPy share no base for their refusals
        reason = printable((str(error).strip() or type(error).__name__).splitlines()[0])
        raise BadInput(path, f"cannot be read ({reason})", "an .npz or .npy file") from error


def checked_inputs(graph: Graph, given: Mapping[str, Array], source: str) -> dict[str, Array]:
    """Inputs that people gave, in the network's order and types.

    Args:
        graph: the network.
        given: by name; the only input may have the name ``""``.
        source: where they come from, for messages.

    Raises:
        BadInput: one is missing or of no input, has another shape or another kind of type, or is
            not finite.
    """
    names = list(graph.inputs)
    if set(given) == {""} and len(names) == 1:
        given = {names[0]: given[""]}
    if missing := [name for name in names if name not in given]:
        problem = f"the input {few(map(printable, missing))} is missing"
        raise BadInput(source, problem, f"one of each: {few(map(printable, names), 8)}")
    if unknown := sorted(set(given) - set(names)):
        problem = f"{few(map(printable, unknown))} is no input of the network"
        raise BadInput(source, problem, few(map(printable, names), 8))
    return {name: _checked(name, graph.inputs[name], given[name], source) for name in names}


def _checked(name: str, declared: Input, values: Array, source: str) -> Array:
    what, shape = f"the input {printable(name)}", declared.shape
    if shape is not None:
        fits = len(shape) == values.ndim and all(
            not isinstance(axis, int) or axis == size
            for axis, size in zip(shape, values.shape, strict=True)
        )
        if not fits:
            stated = ", ".join("?" if axis is None else printable(str(axis)) for axis in shape)
            raise BadInput(source, f"{what} has the shape {values.shape}", f"({stated})")
    if is_float(declared.dtype) != is_float(values.dtype):
        raise BadInput(source, f"{what} is {values.dtype}", str(declared.dtype))
    converted = values.astype(declared.dtype, copy=False)
    if is_float(values.dtype):
        if not np.isfinite(values.astype(np.float64)).all():
            raise BadInput(source, f"{what} has values that are not finite", "finite values")
        if values.dtype == np.float64 and not np.array_equal(converted, values):
            problem = f"{what} is float64 and changes where it is made {declared.dtype}"
            raise BadInput(source, problem, f"{declared.dtype}, as the runtime read it")
    elif not np.array_equal(converted, values):
        raise BadInput(source, f"{what} does not fit into {declared.dtype}", str(declared.dtype))
    return converted
