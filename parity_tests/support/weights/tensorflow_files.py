"""Files of TensorFlow's networks, in the layouts of the public ones."""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from parity_tests.support.weights.caffe_files import authors_layer
from vgg16_spec.checkpoint import Checkpoint

Array: TypeAlias = NDArray[np.float32]
Layers: TypeAlias = dict[str, list[Array]]


def layers(checkpoint: Checkpoint, *, slim: bool = False) -> Layers:
    """The authors' name -> [kernel HWIO or (in, out), biases], fc6's rows in H, W, C order.

    TF-Slim's first kernel reads RGB, and its dense layers are convolutions.
    """
    found: Layers = {}
    channels, height, width = checkpoint.configuration.feature_shape
    for layer in checkpoint.configuration.weighted_layers:
        kernel, bias = checkpoint[f"{layer.name}.weight"], checkpoint[f"{layer.name}.bias"]
        if layer.name == "fc1":
            kernel = np.moveaxis(kernel.reshape(-1, channels, height, width), 1, 3)
            size = (height, width, channels) if slim else (height * width * channels,)
            kernel = np.moveaxis(kernel, 0, -1).reshape(*size, len(kernel))
        elif kernel.ndim == 2:
            kernel = kernel.T[np.newaxis, np.newaxis] if slim else kernel.T
        else:
            kernel = np.einsum("oihw->hwio", kernel)
        if layer.name == "block1_conv1" and slim:
            kernel = np.stack([kernel[:, :, 2], kernel[:, :, 1], kernel[:, :, 0]], axis=2)
        found[authors_layer(layer.name)] = [np.ascontiguousarray(kernel), np.array(bias)]
    return found


def boxed(value: object) -> NDArray[Any]:
    """The array of one object that ``numpy.save`` makes of anything else than an array."""
    box = np.empty((), object)
    box[()] = value
    return box


def header(shape: tuple[int, ...] = ()) -> bytes:
    """The beginning of a ``.npy`` of Python's objects."""
    text = io.BytesIO()
    described = {"descr": "|O", "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(text, described)
    return text.getvalue()


def save(path: Path, value: object, protocol: int) -> None:
    """What ``numpy.save`` writes, in any of pickle's protocols."""
    path.write_bytes(header() + pickle.dumps(boxed(value), protocol))


def save_as_python_2(path: Path, named: Mapping[str, list[Array]]) -> None:
    """What ``numpy.save`` wrote under Python 2: texts are bytes, and arrays' values are texts."""
    path.write_bytes(header() + b"\x80\x02" + b"".join(_box(_dictionary(named))) + b".")


def _dictionary(named: Mapping[str, list[Array]]) -> Iterator[bytes]:
    yield b"}("
    for name, arrays in named.items():
        yield from (_short(name.encode()), b"](")
        for array in arrays:
            order, values = array.flags.f_contiguous and array.ndim > 1, array.tobytes("A")
            shape = b"(" + b"".join(map(_number, array.shape)) + b"t"
            yield from _array(shape, b"f4", b"<", order, b"T" + struct.pack("<i", len(values)))
            yield from (values, b"tb")
        yield b"e"
    yield b"u"


def _box(pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield from _array(b")", b"O8", b"|", False, b"]")
    yield from (*pieces, b"atb")


def _array(
    shape: bytes, kind: bytes, order: bytes, fortran: bool, values: bytes
) -> Iterator[bytes]:
    """An array up to the beginning of its values; what follows them is ``tb``."""
    yield b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
    yield from (shape, b"cnumpy\ndtype\n", _short(kind), b"K\x00K\x01\x87R(K\x03", _short(order))
    flags = b"\x3f" if kind == b"O8" else b"\x00"  # objects are counted, and pickled in a list
    yield from (b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK", flags, b"tb")
    yield b"\x88" if fortran else b"\x89"
    yield values


def _short(text: bytes) -> bytes:
    return b"U" + bytes([len(text)]) + text


def _number(value: int) -> bytes:
    # Python 2 pickled sizes as long integers.
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def slim_variables(checkpoint: Checkpoint, scope: str = "") -> dict[str, Any]:
    """Name -> array, as TF-Slim's network has them."""
    found: dict[str, Any] = {}
    for name, (kernel, bias) in layers(checkpoint, slim=True).items():
        within = f"{name.partition('_')[0]}/" if name.startswith("conv") and scope else ""
        found[f"{scope}{within}{name}/weights"], found[f"{scope}{within}{name}/biases"] = (
            kernel,
            bias,
        )
    return found


def save_slim(path: Path, variables: Mapping[str, Any], *, version: int) -> None:
    """A checkpoint in TensorFlow's first form, one file, or its second, an index and its data."""
    import tensorflow as tf

    names, values = list(variables), [tf.constant(value) for value in variables.values()]
    if version == 1:
        tf.raw_ops.Save(filename=str(path), tensor_names=names, data=values)
    else:
        whole = [""] * len(names)
        tf.raw_ops.SaveV2(
            prefix=str(path), tensor_names=names, shape_and_slices=whole, tensors=values
        )


def save_keras(path: Path, checkpoint: Checkpoint) -> None:
    """What Keras 2's ``save_weights`` writes in TensorFlow's form, an optimizer's state with it."""
    import tensorflow as tf

    names: dict[str, Any] = {}
    for number, (kernel, bias) in enumerate(layers(checkpoint).values()):
        layer = tf.train.Checkpoint(kernel=tf.Variable(kernel), bias=tf.Variable(bias))
        names[f"layer_with_weights-{number}"] = layer
    step = tf.train.Checkpoint(iter=tf.Variable(7), learning_rate=tf.Variable([0.1]))
    tf.train.Checkpoint(**names, optimizer=step).write(str(path))
