"""TensorFlow's checkpoints, read by TensorFlow: TF-Slim's ``vgg_16.ckpt``, Keras's, and others.

TF-Slim's variables are ``vgg_16/conv1/conv1_1/weights`` and ``biases``, kernels as HWIO; fc6 is a
convolution over the whole map, (7, 7, 512, 4096), fc7 and fc8 are of 1x1. Its network reads RGB and
subtracts the means 123.68, 116.779 and 103.939: the first kernel is the authors' with its input
channels reversed, and is reversed again here, a pure move of values. Keras's ``save_weights`` of
TensorFlow 2 names variables by the objects that hold them, ``layer_with_weights-0/kernel``, in the
order of the layers. Other checkpoints do not tell which images their network expects. Source:
``research/slim`` of tensorflow/models, ``nets/vgg.py`` and ``preprocessing/vgg_preprocessing.py``.

A checkpoint is one file (version 1), or an ``.index`` and a ``.data-00000-of-00001``, which
TensorFlow names by their common prefix.
"""

from __future__ import annotations

import json
import math
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from vgg16_spec.checkpoint import Tensor
from vgg16_spec.files.apart import run_apart
from vgg16_weights.contents import Contents
from vgg16_weights.matching.layers import natural
from vgg16_weights.tf.names import part_of, stored_shape

# The last bytes of a table: of a whole checkpoint or of an index.
_MAGIC: Final = bytes.fromhex("57fb808b247547db")
_GRAPH: Final = b"_CHECKPOINTABLE_OBJECT_GRAPH"
_SLIM: Final = b"conv1_1/"
INDEX: Final = ".index"
_BESIDE_AN_INDEX: Final = re.compile(r"\.(?:meta|index|data-\d{5}-of-\d{5})")
# In the text file `checkpoint`: the name of the newest one, which is in the same folder.
_NEWEST: Final = re.compile(rb'^model_checkpoint_path: "([^"\n]+)"', re.MULTILINE)
_MOST_TEXT: Final = 1 << 16
# Importing TensorFlow takes 5 s, or 30 on a busy machine, and 0.3 GB on two cores; fc1 in float64
# takes 0.8 GB.
_SECONDS: Final = 300
_MOST_MEMORY: Final = 2 << 30
# The weights of VGG19 in float64.
_MOST_BYTES: Final = 1_200_000_000
_MOST_VARIABLES: Final = 1 << 12
# Characters of TensorFlow's text in an error.
_LONGEST: Final = 120

# Type of a variable -> type of its values here. NumPy has no bfloat16; float32 is exact.
_FLOATS: Final[Mapping[str, str]] = MappingProxyType(
    {name: name for name in ("float16", "float32", "float64")} | {"bfloat16": "float32"}
)

_OBJECT: Final = re.compile(r"(.+)/\.ATTRIBUTES/VARIABLE_VALUE")
_NO_LAYER: Final = re.compile(r"(?:optimizer|keras_api|save_counter|_CHECKPOINTABLE)|.*\.OPTIMIZER")
_ORDERED: Final = re.compile(r"(?:.+/)?layer_with_weights-\d+")
_AVERAGE: Final = "ExponentialMovingAverage"
# What optimisers store for each variable, under any scope, and the images' mean.
_NO_WEIGHT: Final = re.compile(
    rf"(?:.*/)?(?:(?:Momentum|Adam|RMSProp|Adagrad|Adadelta|Ftrl|{_AVERAGE})(?:_\d+)?|mean_rgb)"
)


def file_named(path: Path) -> Path:
    """The file to read for a TensorFlow checkpoint's name; any other path is returned unchanged.

    A checkpoint is named by the prefix of its files (``vgg_16.ckpt`` for ``vgg_16.ckpt.index``), by
    any of these files, or by the text file ``checkpoint`` in their folder.
    """
    if path.name == "checkpoint" and path.is_file() and path.stat().st_size < _MOST_TEXT:
        if newest := _NEWEST.search(path.read_bytes()):
            path = path.with_name(Path(newest[1].decode(errors="replace")).name)
    elif beside := _BESIDE_AN_INDEX.search(path.name):
        prefix = path.with_name(path.name[: beside.start()])
        path = prefix if _index(prefix).is_file() or prefix.is_file() else path
    return path if path.exists() or not _index(path).is_file() else _index(path)


def format_of(path: Path) -> str:
    """The format of a file, told from its last bytes; empty if it is not a table."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - len(_MAGIC)))
        if file.read() != _MAGIC:
            return ""
        file.seek(0)
        start = file.read(_MOST_TEXT)
    # A table stores names without the beginning that they share with the one before; each of
    # these names is the first with its beginning.
    is_slim = _SLIM in start and not (path.suffix == INDEX and _GRAPH in start)
    return "tf-slim" if is_slim else "tf-checkpoint"


def read(path: Path) -> Contents:
    """The variables that are weights, read in another process into a file that is mapped."""
    if not format_of(path):
        raise ValueError("it does not end as TensorFlow's checkpoints do")
    with tempfile.TemporaryFile() as output:
        try:
            run_apart(
                write_variables,
                str(path),
                doing="reading it",
                seconds=_SECONDS,
                memory=_MOST_MEMORY,
                output=output,
            )
        except ValueError as error:  # TensorFlow's own text repeats the folder
            raise ValueError(str(error).replace(f"{path.parent}/", "")[:_LONGEST]) from error
        output.seek(0)
        listed = json.loads(output.readline())
        content = np.memmap(output, np.uint8, mode="r", offset=output.tell())
    tensors: dict[str, Tensor] = {}
    start = 0
    for key, dtype, stored in listed["tensors"]:
        shape = stored_shape(key, tuple(stored))
        end = start + math.prod(shape) * np.dtype(dtype).itemsize
        piece = content[start:end].view(dtype)
        tensors[key], start = Tensor(shape, dtype, partial(piece.reshape, shape)), end
    layers = [key.rpartition(".")[0] for key in tensors]
    return Contents(
        tensors,
        is_ordered=all(map(_ORDERED.fullmatch, layers)),
        data_format="channels_last",
        steps=tuple(listed["steps"]),
    )


def write_variables(path: str) -> None:
    """Write the weights' keys, types and shapes as a line of JSON, and their values, to stdout.

    Raises ``ValueError`` for a checkpoint larger than any VGG's.
    """
    import tensorflow as tf

    reader = tf.train.load_checkpoint(path.removesuffix(INDEX))
    shapes = reader.get_variable_to_shape_map()
    types = {name: dtype.name for name, dtype in reader.get_variable_to_dtype_map().items()}
    if len(shapes) > _MOST_VARIABLES:
        raise ValueError(f"it has {len(shapes):,} variables, more than {_MOST_VARIABLES:,}")
    keys = weights_among(n for n, dtype in types.items() if dtype in _FLOATS and shapes[n])
    rows = [(key, _FLOATS[types[name]], shapes[name]) for name, key in keys.items()]
    size = sum(math.prod(shape) * np.dtype(dtype).itemsize for _, dtype, shape in rows)
    if size > _MOST_BYTES:
        raise ValueError(f"its variables take {size:,} bytes, more than {_MOST_BYTES:,}")
    left_out = any(name.endswith(f"/{_AVERAGE}") for name in types)
    steps = [f"moving averages ({_AVERAGE}) ignored"] * left_out
    steps += ["widened from bfloat16"] * ("bfloat16" in map(types.get, keys))
    output = sys.stdout.buffer
    output.write(json.dumps({"tensors": rows, "steps": steps}).encode() + b"\n")
    for name, (_, dtype, _) in zip(keys, rows, strict=True):
        output.write(np.ascontiguousarray(reader.get_tensor(name), dtype).data.cast("B"))
    output.flush()


def weights_among(names: Iterable[str]) -> dict[str, str]:
    """Variable -> ``<scope>/…/<layer>.<part>``, layer by layer, without an optimiser's.

    A scope that only repeats the beginning of its layer's name is dropped:
    ``vgg_16/conv1/conv1_1/weights`` is ``vgg_16/conv1_1.weight``.
    """
    every = set(names)
    found: dict[str, str] = {}
    for name in every:
        is_object = _OBJECT.fullmatch(name)
        path = is_object[1] if is_object else name
        above, _, part = path.rpartition("/")
        # An optimizer's slot is named after its variable.
        if _NO_WEIGHT.fullmatch(path) or above in every or (is_object and _NO_LAYER.match(name)):
            continue
        *scopes, layer = above.split("/")
        if scopes and layer.startswith(f"{scopes[-1]}_"):
            scopes.pop()
        found[name] = f"{'/'.join([*scopes, layer])}.{part_of(part)}"
    return dict(sorted(found.items(), key=lambda item: _in_order(item[1])))


def _in_order(key: str) -> tuple[list[tuple[int, str]], bool, str]:
    """A sort key: conv2d_10 comes after conv2d_9, and a kernel before its bias."""
    layer, _, part = key.rpartition(".")
    return natural(layer), part != "weight", part


def _index(prefix: Path) -> Path:
    return prefix.with_name(prefix.name + INDEX)
