"""What the rewrites at and after flattening are for, and what they refuse: small graphs as data."""

from __future__ import annotations

from typing import Final

from export.graph import rewrites
from parity_tests.support.graphs.rewrite_cases import Refusal, Rewrite

# --- FlattenChannelsFirst ---

_MAPS: Final = rewrites.FlattenChannelsFirst
_OTHER_ROWS: Final = "the weight's rows are not in the order of the maps"


def _dense(flatten: str = "1", images: str = "0,2,3,1", kernel: str = "2,3,1,0") -> str:
    return (
        f"t = Transpose<perm=[{images}]>(x) f = Flatten<axis={flatten}>(t) "
        f"m = Reshape(w, maps) k = Transpose<perm=[{kernel}]>(m) r = Reshape(k, rows) "
        "y = MatMul(f, r)"
    )


def _rows(
    title: str,
    maps: list[int],
    rows: list[int],
    *,
    body: str = "",
    reason: str = _OTHER_ROWS,
    x: str = "N,3,2,4",
    w: str = "5,24",
) -> Refusal:
    signature = f"(float[{x}] x, float[{w}] w) => (float y)"
    return Refusal(_MAPS, title, signature, body or _dense(), {"maps": maps, "rows": rows}, reason)


# --- FlattenByName ---

_FLAT: Final = rewrites.FlattenByName
_FEATURES: Final = "(float[N,3,2,4] x) => (float y)"
_NOT_FLAT: Final = "the shape is not (N, all of an image's values)"


def _reshaped(title: str, shape: list[int], signature: str = _FEATURES) -> Refusal:
    return Refusal(_FLAT, title, signature, "y = Reshape(x, s)", {"s": shape}, _NOT_FLAT)


def _joined(title: str, concat: str, **constants: list[int]) -> Refusal:
    body = f"n = Shape<start=0, end=1>(x) s = Concat<axis=0>({concat}) y = Reshape(x, s)"
    return Refusal(_FLAT, title, _FEATURES, body, constants, _NOT_FLAT)


# --- DenseWithoutBias ---

_DENSE: Final = rewrites.DenseWithoutBias
_NO_MATRIX: Final = "an operand is not a matrix"
_PRODUCT: Final = "t = Transpose<perm=[1,0]>(w) y = MatMul(x, t)"

REWRITES: Final = (
    Rewrite(
        _MAPS,
        "maps",
        "(float[N,3,2,4] x, float[5,24] w) => (float y)",
        _dense(),
        {"maps": [5, 3, 2, 4], "rows": [24, 5]},
        "MatMul(Flatten(x, axis=1), Transpose(w, perm=(1, 0)))",
    ),
    *(
        Rewrite(_FLAT, title, _FEATURES, "y = Reshape(x, s)", {"s": shape}, "Flatten(x, axis=1)")
        for title, shape in (("number", [2, 24]), ("inferred", [-1, 24]), ("copied", [0, 24]))
    ),
    Rewrite(
        _FLAT,
        "computed",
        _FEATURES,
        "n = Shape<start=0, end=1>(x) s = Concat<axis=0>(n, last) y = Reshape(x, s)",
        {"last": [24]},
        "Flatten(x, axis=1)",
    ),
    Rewrite(
        _FLAT,
        "computed and cast",
        _FEATURES,
        "n = Shape<start=0, end=1>(x) i = Concat<axis=0>(n, last) "
        "j = Cast<to=6>(i) s = Cast<to=7>(j) y = Reshape(x, s)",
        {"last": [24]},
        "Flatten(x, axis=1)",
    ),
    Rewrite(
        _DENSE,
        "product",
        "(float[N,3] x, float[4,3] w) => (float y)",
        _PRODUCT,
        after="Gemm(x, w, transB=1)",
    ),
)

REFUSALS: Final = (
    _rows("maps in another order", [5, 2, 3, 4], [24, 5]),
    _rows("rows inferred", [5, 3, 2, 4], [-1, 5]),
    _rows("rows of another rank", [5, 3, 2, 4], [1, 24, 5]),
    _rows("outputs not in front", [3, 5, 2, 4], [24, 5]),
    _rows(
        "no feature maps",
        [5, 3, 2, 4],
        [24, 5],
        x="N,3,H,4",
        reason="the input of Flatten is not a feature map",
    ),
    _rows(
        "no matrix",
        [5, 3, 2, 4],
        [24, 5],
        w="5,24,1",
        reason="the weight is not a matrix",
    ),
    _rows("all images in one", [5, 3, 2, 4], [24, 5], body=_dense("0"), x="1,3,2,4", reason=""),
    _rows("other images", [5, 3, 2, 4], [24, 5], body=_dense(images="0,3,2,1"), reason=""),
    _rows("another kernel", [5, 3, 2, 4], [24, 5], body=_dense(kernel="3,2,1,0"), reason=""),
    _reshaped("values of several images", [1, 48]),
    _reshaped("rows", [-1, 8]),
    _reshaped("everything inferred", [2, -1]),
    _reshaped("a third axis", [2, 24, 1]),
    _reshaped("two axes kept", [2, 3, 8]),
    _reshaped("unknown size", [-1, 24], "(float[N,3,2,W] x) => (float y)"),
    _reshaped("a vector", [-1, 1], "(float[M] x) => (float y)"),
    _joined("three joined", "n, one, last", one=[1], last=[24]),
    _joined("one behind the last", "n, last, one", one=[1], last=[24]),
    _joined("last of two values", "n, last", last=[24, 1]),
    _joined("last inferred", "n, last", last=[-1]),
    _joined("last of fewer values", "n, last", last=[8]),
    _joined("last computed", "n, n"),
    Refusal(
        _FLAT,
        "shape given from outside",
        "(float[N,3,2,4] x, int64[2] s) => (float y)",
        "y = Reshape(x, s)",
        reason=_NOT_FLAT,
    ),
    Refusal(
        _DENSE,
        "several matrices",
        "(float[N,2,3] x, float[4,3] w) => (float y)",
        _PRODUCT,
        reason=_NO_MATRIX,
    ),
    Refusal(
        _DENSE, "unknown rank", "(float x, float[4,3] w) => (float y)", _PRODUCT, reason=_NO_MATRIX
    ),
    Refusal(
        _DENSE,
        "unknown size",
        "(float[N,3] x, float[M,3] w) => (float y)",
        _PRODUCT,
        reason=_NO_MATRIX,
    ),
    Refusal(
        _DENSE, "no transpose", "(float[N,3] x, float[3,4] w) => (float y)", "y = MatMul(x, w)"
    ),
)
