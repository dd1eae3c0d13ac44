"""What the rewrites of feature maps are for, and what they refuse: small graphs as data.

Every size differs from every other, so that a wrong permutation shows in shapes or in values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from onnxscript.rewriter import RewriteRuleClassBase

from export.graph import rewrites


@dataclass(frozen=True)
class Case:
    rule: type[RewriteRuleClassBase]
    title: str
    signature: str
    body: str
    constants: Mapping[str, list[int]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.rule.__name__}-{self.title.replace(' ', '_')}"


@dataclass(frozen=True)
class Rewrite(Case):
    """A graph that a rule fits once, and the expression afterwards."""

    after: str = ""


@dataclass(frozen=True)
class Refusal(Case):
    """A graph that a rule does not fit: what its check says, or empty where the pattern differs."""

    reason: str = ""


# --- MoveTransposeBelowRelu ---

_RELU: Final = rewrites.MoveTransposeBelowRelu
_IMAGES: Final = "(float[N,4,5,3] x) => (float y)"

# --- GiveConvolutionItsBias ---

_BIAS: Final = rewrites.GiveConvolutionItsBias
_NO_VECTOR: Final = "what is added is not one value for each output channel"
_NOT_ALONG: Final = "what is added does not lie along the channels"


def _biased(
    title: str,
    *,
    bias: str = "float[4] b",
    weight: str = "float[4,3,3,2] w",
    shape: list[int] | None = None,
    perm: str = "0,2,3,1",
    addition: str = "Add(t, r)",
    convolution: str = "Conv(x, w)",
    reason: str = "",
) -> Refusal:
    """The rule's own graph but for what is given; 4 channels, and maps of 4 x 4."""
    return Refusal(
        _BIAS,
        title,
        f"(float[N,3,6,5] x, {weight}, {bias}) => (float y)",
        f"c = {convolution} t = Transpose<perm=[{perm}]>(c) r = Reshape(b, s) y = {addition}",
        {"s": shape or [1, 1, 1, 4]},
        reason,
    )


_STRIDED: Final = "c = Conv<pads=[1,0,1,1], strides=[2,1], group=1>(x, w)"
_ALONG: Final = "t = Transpose<perm=[0,2,3,1]>(c) r = Reshape(b, s)"
_AFTER_BIAS: Final = (
    "Transpose(Conv(x, w, b, group=1, pads=(1, 0, 1, 1), strides=(2, 1)), perm=(0, 2, 3, 1))"
)
_WITH_BIAS: Final = "(float[N,3,6,5] x, float[4,3,3,2] w, float[4] b) => (float y)"

# --- PoolOverTwoAxes ---

_POOL: Final = rewrites.PoolOverTwoAxes
_CHANNELS_LAST: Final = "(float[N,6,7,3] x) => (float y)"
_OTHER_AXES: Final = "the axes added and removed are not the first two"
_UNKNOWN_ATTRIBUTE: Final = "the pooling has attributes that this rule does not know"
_OTHER_WINDOWS: Final = "the pooling's windows take in several images or channels"


def _pooled(attributes: str) -> str:
    return f"u = Unsqueeze(x, a) v = Unsqueeze(u, b) p = MaxPool<{attributes}>(v) y = Squeeze(p, c)"


def _window(title: str, attributes: str, reason: str = _OTHER_WINDOWS) -> Refusal:
    return Refusal(
        _POOL, title, _CHANNELS_LAST, _pooled(attributes), {"a": [0], "b": [0], "c": [0, 1]}, reason
    )


def _axes(title: str, a: list[int], b: list[int], c: list[int], kernel: str = "1,2,2,1") -> Refusal:
    body = _pooled(f"kernel_shape=[{kernel}]")
    return Refusal(_POOL, title, _CHANNELS_LAST, body, {"a": a, "b": b, "c": c}, _OTHER_AXES)


# --- DropRoundTrip ---

_TRIP: Final = rewrites.DropRoundTrip
_CHANGED: Final = "the shape is not what it was"

REWRITES: Final = (
    Rewrite(
        _RELU,
        "to channels first",
        _IMAGES,
        "t = Transpose<perm=[0,3,1,2]>(x) y = Relu(t)",
        after="Transpose(Relu(x), perm=(0, 3, 1, 2))",
    ),
    Rewrite(
        _RELU,
        "any permutation",
        _IMAGES,
        "t = Transpose<perm=[2,0,3,1]>(x) y = Relu(t)",
        after="Transpose(Relu(x), perm=(2, 0, 3, 1))",
    ),
    Rewrite(
        _BIAS,
        "bias after",
        _WITH_BIAS,
        f"{_STRIDED} {_ALONG} y = Add(t, r)",
        {"s": [1, 1, 1, 4]},
        _AFTER_BIAS,
    ),
    Rewrite(
        _BIAS,
        "bias before",
        _WITH_BIAS,
        f"{_STRIDED} {_ALONG} y = Add(r, t)",
        {"s": [1, 1, 1, 4]},
        _AFTER_BIAS,
    ),
    Rewrite(
        _POOL,
        "defaults",
        _CHANNELS_LAST,
        _pooled("kernel_shape=[1,3,2,1]"),
        {"a": [0], "b": [0], "c": [0, 1]},
        "Transpose(MaxPool(Transpose(x, perm=(0, 3, 1, 2)), kernel_shape=(3, 2)), "
        "perm=(0, 2, 3, 1))",
    ),
    Rewrite(
        _POOL,
        "every attribute",
        _CHANNELS_LAST,
        _pooled(
            "kernel_shape=[1,2,3,1], strides=[1,3,2,1], dilations=[1,2,1,1], "
            "pads=[0,1,0,0,0,0,2,0], ceil_mode=0"
        ),
        {"a": [0], "b": [1], "c": [0, 1]},
        "Transpose(MaxPool(Transpose(x, perm=(0, 3, 1, 2)), ceil_mode=0, dilations=(2, 1), "
        "kernel_shape=(2, 3), pads=(1, 0, 0, 2), strides=(3, 2)), perm=(0, 2, 3, 1))",
    ),
    Rewrite(
        _TRIP,
        "vector",
        "(float[5] x) => (float y)",
        "r = Reshape(x, s) y = Squeeze(r)",
        {"s": [1, 5, 1, 1]},
        "Identity(x)",
    ),
    Rewrite(
        _TRIP,
        "axes given",
        "(float[5,3] x) => (float y)",
        "r = Reshape(x, s) y = Squeeze(r, a)",
        {"s": [5, 1, 3], "a": [1]},
        "Identity(x)",
    ),
)

REFUSALS: Final = (
    Refusal(
        _RELU, "read twice", _IMAGES, "t = Transpose<perm=[0,3,1,2]>(x) r = Relu(t) y = Add(r, t)"
    ),
    Refusal(_RELU, "another function", _IMAGES, "t = Transpose<perm=[0,3,1,2]>(x) y = Tanh(t)"),
    _biased("one value", bias="float[1] b", shape=[1, 1, 1, 1], reason=_NO_VECTOR),
    _biased("matrix", bias="float[2,2] b", reason=_NO_VECTOR),
    _biased("unknown length", bias="float[M] b", reason=_NO_VECTOR),
    _biased("unknown channels", weight="float[M,3,3,2] w", reason=_NO_VECTOR),
    _biased(
        "nothing known",
        bias="float[M] b",
        weight="float[M,3,3,2] w",
        shape=[1, 1, 1],
        reason=_NO_VECTOR,
    ),
    _biased("along the width", shape=[1, 1, 4, 1], reason=_NOT_ALONG),
    _biased("along the height", shape=[1, 4, 1, 1], reason=_NOT_ALONG),
    _biased("another rank", shape=[4], reason=_NOT_ALONG),
    _biased("channels in the middle", perm="0,3,1,2"),
    _biased("height and width swapped", perm="0,3,2,1"),
    _biased("convolution with a bias", convolution="Conv(x, w, b)"),
    _biased("convolution read twice", addition="Add(t, r) z = Relu(c)"),
    _biased("a product", addition="Mul(t, r)"),
    Refusal(
        _BIAS,
        "computed shape",
        "(float[N,3,6,5] x, float[4,3,3,2] w, float[4] b, int64[4] s) => (float y)",
        f"c = Conv(x, w) {_ALONG} y = Add(t, r)",
        reason=_NOT_ALONG,
    ),
    _axes("first added behind", [1], [0], [0, 1]),
    _axes("second added behind", [0], [2], [0, 1]),
    _axes("others removed", [0], [0], [0, 2], "1,1,1,1"),
    Refusal(
        _POOL,
        "computed axes",
        "(float[N,6,7,3] x, int64[1] a) => (float y)",
        _pooled("kernel_shape=[1,2,2,1]"),
        {"b": [0], "c": [0, 1]},
        _OTHER_AXES,
    ),
    _window("storage order", "kernel_shape=[1,2,2,1], storage_order=1", _UNKNOWN_ATTRIBUTE),
    _window("auto_pad", 'kernel_shape=[1,2,2,1], auto_pad="SAME_UPPER"', _UNKNOWN_ATTRIBUTE),
    Refusal(
        _POOL,
        "three axes",
        "(float[N,6,3] x) => (float y)",
        _pooled("kernel_shape=[1,2,1]"),
        {"a": [0], "b": [0], "c": [0, 1]},
        "the pooling is not over four axes",
    ),
    _window("over images", "kernel_shape=[2,2,2,1]"),
    _window("over channels", "kernel_shape=[1,2,2,2]"),
    _window("strides over images", "kernel_shape=[1,2,2,1], strides=[2,2,2,1]"),
    _window("strides over channels", "kernel_shape=[1,2,2,1], strides=[1,2,2,2]"),
    _window("dilated over images", "kernel_shape=[1,2,2,1], dilations=[2,1,1,1]"),
    _window("dilated over channels", "kernel_shape=[1,2,2,1], dilations=[1,1,1,2]"),
    *(
        _window(
            f"padding {place}",
            f"kernel_shape=[1,2,2,1], pads={[int(i == place) for i in range(8)]}",
        )
        for place in (0, 3, 4, 7)
    ),
    Refusal(
        _TRIP,
        "another shape",
        "(float[5,3] x) => (float y)",
        "r = Reshape(x, s) y = Squeeze(r)",
        {"s": [1, 3, 5]},
        _CHANGED,
    ),
    Refusal(
        _TRIP,
        "an axis lost",
        "(float[1,5] x) => (float y)",
        "r = Reshape(x, s) y = Squeeze(r)",
        {"s": [1, 5, 1]},
        _CHANGED,
    ),
    Refusal(
        _TRIP,
        "unknown shape",
        "(float[N,5] x) => (float y)",
        "r = Reshape(x, s) y = Squeeze(r, a)",
        {"s": [-1, 1, 5], "a": [1]},
        _CHANGED,
    ),
)
