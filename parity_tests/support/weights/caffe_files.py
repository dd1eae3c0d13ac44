"""Caffe's own files of a checkpoint, built by the protobuf library from a schema of the test's own.

The numbers are those of ``caffe.proto``; the reader under test has its own table of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from vgg16_spec.architecture import Convolution, Dense, MaxPooling
from vgg16_spec.checkpoint import Checkpoint

KINDS = descriptor_pb2.FieldDescriptorProto
AUTHORS_DENSE = {"fc1": "fc6", "fc2": "fc7", "predictions": "fc8"}


def authors_layer(name: str) -> str:
    if name in AUTHORS_DENSE:
        return AUTHORS_DENSE[name]
    block, convolution = name.removeprefix("block").split("_conv")
    return f"conv{block}_{convolution}"


@cache
def schema() -> dict[str, Any]:
    """The messages of caffe.proto, with what a weights file has of them."""
    file = descriptor_pb2.FileDescriptorProto(name="caffe_test.proto", package="t", syntax="proto2")
    optional, repeated = KINDS.LABEL_OPTIONAL, KINDS.LABEL_REPEATED
    rows: dict[str, tuple[tuple[Any, ...], ...]] = {
        "BlobShape": (("dim", 1, KINDS.TYPE_INT64, repeated, True),),
        "BlobProto": (
            ("num", 1, KINDS.TYPE_INT32, optional),
            ("channels", 2, KINDS.TYPE_INT32, optional),
            ("height", 3, KINDS.TYPE_INT32, optional),
            ("width", 4, KINDS.TYPE_INT32, optional),
            ("data", 5, KINDS.TYPE_FLOAT, repeated, True),
            ("diff", 6, KINDS.TYPE_FLOAT, repeated, True),
            ("shape", 7, "BlobShape", optional),
            ("double_data", 8, KINDS.TYPE_DOUBLE, repeated, True),
        ),
        "V0LayerParameter": (
            ("name", 1, KINDS.TYPE_STRING, optional),
            ("blobs", 50, "BlobProto", repeated),
        ),
        "V1LayerParameter": (
            ("layer", 1, "V0LayerParameter", optional),
            ("bottom", 2, KINDS.TYPE_STRING, repeated),
            ("top", 3, KINDS.TYPE_STRING, repeated),
            ("name", 4, KINDS.TYPE_STRING, optional),
            ("type", 5, KINDS.TYPE_INT32, optional),
            ("blobs", 6, "BlobProto", repeated),
        ),
        "LayerParameter": (
            ("name", 1, KINDS.TYPE_STRING, optional),
            ("type", 2, KINDS.TYPE_STRING, optional),
            ("bottom", 3, KINDS.TYPE_STRING, repeated),
            ("top", 4, KINDS.TYPE_STRING, repeated),
            ("blobs", 7, "BlobProto", repeated),
        ),
        "NetParameter": (
            ("name", 1, KINDS.TYPE_STRING, optional),
            ("layers", 2, "V1LayerParameter", repeated),
            ("input", 3, KINDS.TYPE_STRING, repeated),
            ("layer", 100, "LayerParameter", repeated),
        ),
    }
    for name, fields in rows.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, label, *packed in fields:
            field = message.field.add(name=field_name, number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = KINDS.TYPE_MESSAGE, f".t.{kind}"
            else:
                field.type = kind
            if packed:
                field.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    described = pool.FindFileByName(file.name).message_types_by_name
    return {name: message_factory.GetMessageClass(described[name]) for name in rows}


def net(checkpoint: Checkpoint, *, v1: bool, layers: Iterable[str] | None = None) -> Any:
    """A ``NetParameter`` with the checkpoint's weights, in the old or the new layer message.

    ``layers`` are those that it has, in order; all, in the network's, unless given. The old form
    has four axes for every blob, as Caffe wrote them then.
    """
    message = schema()["NetParameter"](name="VGG_ILSVRC_16_layers", input=["data"])
    known = {layer.name: layer for layer in checkpoint.configuration.weighted_layers}
    (message.layers if v1 else message.layer).add(name="relu_without_blobs")
    for name in known if layers is None else layers:
        layer = (message.layers if v1 else message.layer).add(name=authors_layer(name))
        dense = isinstance(known[name], Dense)
        layer.type = (14 if dense else 4) if v1 else "InnerProduct" if dense else "Convolution"
        for part in ("weight", "bias"):
            values = checkpoint[f"{name}.{part}"]
            blob = layer.blobs.add()
            blob.data.extend(values.ravel())
            if v1:
                shape = (1,) * (4 - values.ndim) + values.shape
                blob.num, blob.channels, blob.height, blob.width = shape
            else:
                blob.shape.dim.extend(values.shape)
    return message


def prototxt(checkpoint: Checkpoint, batch: int) -> str:
    """The network without its weights, as Caffe's text, up to the logits."""
    sizes = (batch, *checkpoint.configuration.input_shape)
    text = 'name: "VGG"\ninput: "data"\n' + "".join(f"input_dim: {size}\n" for size in sizes)
    bottom = "data"

    def layer(name: str, kind: str, rest: str = "", top: str = "") -> str:
        nonlocal bottom
        below, bottom = bottom, top or name
        return (
            f'layer {{ name: "{name}" type: "{kind}" bottom: "{below}" top: "{bottom}" {rest} }}\n'
        )

    for part in checkpoint.configuration.layers:
        match part:
            case Convolution():
                name = authors_layer(part.name)
                rest = (
                    f"convolution_param {{ num_output: {part.out_channels} pad: {part.padding} "
                    f"kernel_size: {part.kernel_size} }}"
                )
                text += layer(name, "Convolution", rest) + layer(f"relu_{name}", "ReLU", top=name)
            case MaxPooling():
                rest = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
                text += layer(part.name.replace("_", ""), "Pooling", rest)
            case Dense():
                name = authors_layer(part.name)
                rest = f"inner_product_param {{ num_output: {part.out_features} }}"
                text += layer(name, "InnerProduct", rest)
                if part.relu:
                    text += layer(f"relu_{name}", "ReLU", top=name)
    return text
