"""What ends, dense application, half precision and taps add to a canonical graph, node by node."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import numpy as np
import onnx_ir as ir
import pytest

from export.constants import BATCH
from export.graph import canonical, edges, naming, precision, taps
from export.graph.dense import apply_densely
from export.options import Options
from export.weights.link import take_weights
from parity_tests.support.graphs.graphs import attributes, parsed
from vgg16_spec.architecture import Convolution, Dense, MaxPooling
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput


def network(tiny: Checkpoint) -> ir.Model:
    """The tiny network's canonical graph with its weights, from its table."""
    configuration = tiny.configuration
    body, last = [], "images"
    for layer in configuration.layers:
        before, last = last, layer.name
        reads = f"{before}, {layer.name}__weight, {layer.name}__bias"
        match layer:
            case Convolution(padding=p):
                body.append(f"c_{last} = Conv<pads=[{p},{p},{p},{p}]>({reads})")
                body.append(f"{last} = Relu(c_{last})")
            case MaxPooling():
                body.append(f"{last} = MaxPool<kernel_shape=[2,2], strides=[2,2]>({before})")
            case Dense(relu=True):
                body.append(f"g_{last} = Gemm<transB=1>({reads}) {last} = Relu(g_{last})")
            case Dense():
                body.append(f"{last} = Gemm<transB=1>({reads})")
            case _:
                body.append(f"{last} = Flatten({before})")
    weights = ", ".join(
        f"float[{','.join(map(str, shape))}] {name.replace('.', '__')}"
        for name, shape in configuration.weight_shapes.items()
    )
    images = ",".join(map(str, configuration.input_shape))
    signature = f"(float[{BATCH},{images}] images, {weights}) => (float {last})"
    model = parsed(signature, " ".join(body))
    canonical.canonicalise(model)
    naming.name(model)
    take_weights(model, tiny)
    return model


def value(of: ir.Value | None) -> str:
    """A value's name, type and shape; a constant that is not a weight with its numbers."""
    if of is None:
        return "none"
    if of.is_initializer() and "." not in str(of.name):
        assert of.const_value is not None
        constant = of.const_value.numpy()
        return f"{of.name}={constant.tolist()} {constant.dtype}"
    shape = "?" if of.shape is None else ",".join(map(str, of.shape))
    return f"{of.name} {of.dtype}[{shape}]"


def lines(nodes: Iterable[ir.Node]) -> list[str]:
    return [
        f"{node.op_type} {node.name}: {'; '.join(map(value, node.inputs))} -> "
        f"{value(node.outputs[0])} {' '.join(attributes(node))}".rstrip()
        for node in nodes
    ]


@pytest.fixture
def own(tiny: Checkpoint) -> Checkpoint:
    """A checkpoint whose recipe has every step, each number another."""
    arithmetic: dict[str, Any] = {
        "channels": "BGR",
        "scale": 255.0,
        "mean": (1.0, 2.0, 3.0),
        "std": (4.0, 5.0, 6.0),
    }
    return tiny.with_recipe(replace(tiny.recipe, name="own", **arithmetic))


PREPROCESSING: Final = """
Shape pixels_shape: images UINT8[batch,height,width,3] -> pixels_shape INT64[4]
Slice sides: pixels_shape INT64[4]; one=[1] int64; three=[3] int64 -> sides INT64[2]
ReduceMin shortest: sides INT64[2] -> shortest INT64[1] keepdims=1
Mul sides_grown: sides INT64[2]; shorter=[73] int64 -> sides_grown INT64[2]
Div sides_resized: sides_grown INT64[2]; shortest INT64[1] -> sides_resized INT64[2]
Resize pixels_resized: images UINT8[batch,height,width,3]; none; none; sides_resized INT64[2] \
-> pixels_resized UINT8[None,None,None,3] antialias=1 axes=(1, 2) mode=linear
Sub spare: sides_resized INT64[2]; crop=[64, 64] int64 -> spare INT64[2]
Cast spare_float: spare INT64[2] -> spare_float FLOAT[2] to=1
Mul spare_half: spare_float FLOAT[2]; half=0.5 float32 -> spare_half FLOAT[2]
Round crop_offset: spare_half FLOAT[2] -> crop_offset FLOAT[2]
Cast crop_first: crop_offset FLOAT[2] -> crop_first INT64[2] to=7
Add crop_last: crop_first INT64[2]; crop=[64, 64] int64 -> crop_last INT64[2]
Slice pixels_cropped: pixels_resized UINT8[None,None,None,3]; crop_first INT64[2]; \
crop_last INT64[2]; crop_axes=[1, 2] int64 -> pixels_cropped UINT8[None,None,None,None]
Cast pixels: pixels_cropped UINT8[None,None,None,None] -> pixels FLOAT[None,None,None,None] to=1
Gather pixels_bgr: pixels FLOAT[None,None,None,None]; bgr=[2, 1, 0] int64 \
-> pixels_bgr FLOAT[None,None,None,3] axis=3
Div pixels_scaled: pixels_bgr FLOAT[None,None,None,3]; pixel_scale=255.0 float32 \
-> pixels_scaled FLOAT[None,None,None,3]
Sub pixels_centred: pixels_scaled FLOAT[None,None,None,3]; pixel_mean=[1.0, 2.0, 3.0] float32 \
-> pixels_centred FLOAT[None,None,None,3]
Div pixels_normalised: pixels_centred FLOAT[None,None,None,3]; \
pixel_std=[4.0, 5.0, 6.0] float32 -> pixels_normalised FLOAT[None,None,None,3]
Transpose images_nchw: pixels_normalised FLOAT[None,None,None,3] \
-> images_nchw FLOAT[batch,3,64,64] perm=(0, 3, 1, 2)
"""
SOFTMAX: Final = (
    "Softmax probabilities: logits FLOAT[batch,1000] -> probabilities FLOAT[batch,1000] axis=1"
)
_CONV: Final = "dilations=(1, 1) group=1 kernel_shape={} pads=(0, 0, 0, 0) strides=(1, 1)"
DENSE: Final = f"""
Conv fc1: block5_pool FLOAT[batch,12,None,None]; fc1.weight FLOAT[32,12,2,2]; fc1.bias FLOAT[32] \
-> fc1_preactivation FLOAT[batch,32,None,None] {_CONV.format("(2, 2)")}
Relu fc1_relu: fc1_preactivation FLOAT[batch,32,None,None] -> fc1 FLOAT[batch,32,None,None]
Conv fc2: fc1 FLOAT[batch,32,None,None]; fc2.weight FLOAT[32,32,1,1]; fc2.bias FLOAT[32] \
-> fc2_preactivation FLOAT[batch,32,None,None] {_CONV.format("(1, 1)")}
Relu fc2_relu: fc2_preactivation FLOAT[batch,32,None,None] -> fc2 FLOAT[batch,32,None,None]
Conv predictions: fc2 FLOAT[batch,32,None,None]; predictions.weight FLOAT[1000,32,1,1]; \
predictions.bias FLOAT[1000] -> predictions FLOAT[batch,1000,None,None] {_CONV.format("(1, 1)")}
GlobalAveragePool predictions_mean: predictions FLOAT[batch,1000,None,None] \
-> predictions_mean FLOAT[batch,1000,1,1]
Flatten flatten: predictions_mean FLOAT[batch,1000,1,1] -> logits FLOAT[batch,1000] axis=1
"""


def expected(text: str) -> list[str]:
    return text.replace("\\\n", "").strip().splitlines()


def test_pictures_become_what_the_recipe_makes_of_them_node_by_node(own: Checkpoint) -> None:
    model, before = network(own), lines(network(own).graph)
    edges.add_ends(model, own, Options(input="uint8", resize=True, output="probabilities"))
    assert list(map(value, model.graph.inputs)) == ["images UINT8[batch,height,width,3]"]
    assert list(map(value, model.graph.outputs)) == ["probabilities FLOAT[batch,1000]"]
    preprocessing = expected(PREPROCESSING)
    first = before[0].replace("images FLOAT", "images_nchw FLOAT")
    assert lines(model.graph) == [*preprocessing, first, *before[1:], SOFTMAX]


def test_taps_come_before_the_graphs_own_outputs(own: Checkpoint) -> None:
    model = network(own)
    edges.add_ends(model, own, Options(layout="nhwc", taps=True, output="probabilities"))
    assert list(map(value, model.graph.inputs)) == ["images FLOAT[batch,64,64,3]"]
    names = [str(each.name) for each in model.graph.outputs]
    assert names == [*own.configuration.taps[:-1], "logits", "probabilities"]
    transposed = "images_nchw FLOAT[batch,3,64,64] perm=(0, 3, 1, 2)"
    given = f"Transpose images_nchw: images FLOAT[batch,64,64,3] -> {transposed}"
    assert lines(model.graph)[0] == given
    plain = network(own)
    edges.add_ends(plain, own, Options(taps=True))
    assert lines(plain.graph) == lines(network(own).graph)
    assert [each.name for each in plain.graph.outputs] == names[:-1]


def test_a_dense_layer_becomes_a_convolution_and_the_scores_their_mean(own: Checkpoint) -> None:
    model, before = network(own), network(own)
    apply_densely(model)
    model.graph.inputs[0].shape = ir.Shape((BATCH, 3, "height", "width"))
    edges.add_ends(model, own, Options(dense=True))
    dense = expected(DENSE)
    assert lines(model.graph)[-len(dense) :] == dense
    names = [node.name for node in before.graph]
    assert [node.name for node in model.graph][: -len(dense)] == names[: names.index("flatten")]
    assert list(map(value, model.graph.outputs)) == ["logits FLOAT[batch,1000]"]
    for name in own:
        tensors = (each.graph.initializers[name].const_value for each in (model, before))
        one, other = (tensor.numpy() for tensor in tensors if tensor is not None)
        assert one.shape == model.graph.initializers[name].shape
        assert one.tobytes() == other.tobytes()


def test_what_reads_the_scores_reads_their_mean(own: Checkpoint) -> None:
    model = network(own)
    (scores,) = model.graph.outputs
    tape = edges.NamedTape(model.graph)
    model.graph.outputs.append(tape.node("twice", "Add", scores, scores))
    apply_densely(model)
    mean, twice = model.graph.outputs
    assert mean.name == "logits"
    node = twice.producer()
    assert node is not None
    assert [each is mean for each in node.inputs] == [True, True]


def test_half_precision_begins_and_ends_in_float32(own: Checkpoint) -> None:
    model, before = network(own), lines(network(own).graph)
    precision.lower(model, own, Options(precision="fp16"))
    edges.add_ends(model, own, Options(precision="fp16"))
    shape = "batch,3,64,64"
    first = f"Cast images_fp16: images FLOAT[{shape}] -> images_fp16 FLOAT16[{shape}] to=10"
    last = "Cast logits: logits_fp16 FLOAT16[batch,1000] -> logits FLOAT[batch,1000] to=1"
    half = [
        line.replace(" FLOAT[", " FLOAT16[").replace(" logits ", " logits_fp16 ") for line in before
    ]
    half[0] = half[0].replace("images FLOAT16", "images_fp16 FLOAT16")
    assert lines(model.graph) == [first, *half, last]
    for name in own:
        stored = model.graph.initializers[name]
        assert stored.const_value is not None
        values = own[name].astype(np.float16)
        assert (stored.dtype, stored.const_value.dtype) == (ir.DataType.FLOAT16,) * 2
        assert stored.const_value.numpy().tobytes() == values.tobytes()


def test_a_graph_in_one_precision_is_applied_densely_and_then_halved(own: Checkpoint) -> None:
    model = network(own)
    apply_densely(model)
    precision.lower(model, own, Options(precision="fp16", dense=True))
    stored = model.graph.initializers["fc1.weight"].const_value
    assert stored is not None
    assert stored.numpy().shape == (32, 12, 2, 2)
    assert stored.numpy().tobytes() == own["fc1.weight"].astype(np.float16).tobytes()


def largest_half(own: Checkpoint, value: float) -> Checkpoint:
    values = own["fc2.bias"].copy()
    values[3] = -value
    return own.with_tensors({"fc2.bias": values})


def test_the_largest_half_is_held_and_no_larger_value(own: Checkpoint) -> None:
    largest = float(np.finfo(np.float16).max)
    precision.lower(network(own), largest_half(own, largest), Options(precision="fp16"))
    with pytest.raises(BadInput, match=r"beyond float16's 65504: fc2\.bias; expected --precision"):
        beyond = largest_half(own, largest + 1)
        precision.lower(network(own), beyond, Options(precision="fp16"))


def test_a_layer_alone_reads_an_input_of_its_own(own: Checkpoint) -> None:
    alone = taps.layers_alone(network(own))
    names = own.configuration.taps
    channels = {name: shape[0] for name, shape in own.configuration.output_shapes().items()}

    def sized(name: str, tap: str) -> str:
        free = f",{name}_H,{name}_W" if tap.startswith("block") else ""
        return f"{name} FLOAT[{name}_N,{channels[tap]}{free}]"

    given = [sized(f"{tap}_given", tap) for tap in names[:-1]]
    images = "images FLOAT[images_N,3,images_H,images_W]"
    assert list(map(value, alone.graph.inputs)) == [images, *given]
    outputs = [sized(tap, tap) for tap in names[:-1]]
    assert list(map(value, alone.graph.outputs)) == [*outputs, "logits FLOAT[logits_N,1000]"]
    read = {node.name: str(node.inputs[0].name) for node in alone.graph if node.inputs[0]}
    assert read["block1_conv1"] == "images"
    assert read["block1_conv1_relu"] == "block1_conv1_preactivation"
    assert read["flatten"] == "block5_pool_given"
    assert read["fc1"] == "flatten"
    assert read["predictions"] == "fc2_given"


QUANTISED: Final = """
    q = QuantizeLinear(x, scale, zero) d = DequantizeLinear(q, scale, zero) r = Relu(d)
    s = QuantizeLinear(r, scale, zero) e = DequantizeLinear(s, scale, zero)
"""


@pytest.mark.parametrize(
    ("last", "read"),
    [
        ("y = Identity(e)", ["d", "q", "d", "e", "e", "y"]),
        # What two nodes read is not the quantised value alone.
        ("y = Add(r, e)", ["d", "q", "d", "r", "e", "y"]),
    ],
)
def test_a_tap_is_what_the_next_layer_reads(last: str, read: list[str]) -> None:
    signature = "(float[2,3] a, float scale, uint8 zero) => (float[2,3] y)"
    model = parsed(signature, f"x = Neg(a) {QUANTISED} {last}")
    tapped = taps.with_taps(model, ["x", "q", "d", "r", "e", "y"])
    assert [each.name for each in tapped.graph.outputs] == read
