"""A network's inputs, seeded or given: shapes, types and what is refused, from arrays alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest

from onnx_arbiter.graph import Constant, Graph, Input, Node
from onnx_arbiter.models.foreign_arrays import array_of, is_tensor
from onnx_arbiter.models.inputs import checked_inputs, parse_shapes, read_arrays, seeded_inputs
from vgg16_spec.errors import BadInput

Axes = tuple[int | str | None, ...]

FLOAT: Final = np.dtype(np.float32)


def graph(*nodes: Node, constants: dict[str, Any] | None = None, **inputs: Input) -> Graph:
    held = {name: Constant.of(values) for name, values in (constants or {}).items()}
    return Graph(nodes, inputs, (), held)


def node(operator: str, read: tuple[str, ...], made: str, **attributes: Any) -> Node:
    return Node(made, operator, read, (made,), attributes, version=21)


def test_floats_are_standard_normal_by_the_seed() -> None:
    given = graph(x=Input(FLOAT, (40, 50)), y=Input(np.dtype(np.float16), (3,)))
    first, again, other = (seeded_inputs(given, seed) for seed in (0, 0, 1))
    assert [each.dtype.name for each in first.values()] == ["float32", "float16"]
    assert np.array_equal(first["x"], again["x"])
    assert not np.array_equal(first["x"], other["x"])
    expected = np.random.Generator(np.random.PCG64(7)).standard_normal((40, 50), np.float32)
    assert np.array_equal(seeded_inputs(given, 7)["x"], expected)


def test_masks_are_one_and_indices_are_rows_of_the_smallest_table() -> None:
    integers = np.dtype(np.int64)
    given = graph(
        node("Cast", ("ids",), "cast"),
        node("Unsqueeze", ("cast", "axes"), "tall"),
        node("Gather", ("large", "tall"), "a"),
        node("Gather", ("small", "cast"), "b", axis=1),
        node("Gather", ("computed", "cast"), "c"),
        node("Gather", ("tiny", "mask2"), "d"),
        node("Add", ("mask", "cast"), "sum"),
        node("Gather", ("tiny", "sum"), "e"),
        constants={
            "large": np.zeros((9, 2)), "small": np.zeros((2, 7)), "tiny": np.zeros((1, 4)),
            "axes": np.array([0]),
        },
        ids=Input(integers, (500,)),
        mask=Input(np.dtype(np.int32), (2, 3)),
        truth=Input(np.dtype(bool), (4,)),
    )  # fmt: skip
    made = seeded_inputs(given)
    assert sorted(set(made["ids"].tolist())) == list(range(7))
    assert made["ids"].dtype == np.int64
    assert (made["mask"].tolist(), made["mask"].dtype.name) == ([[1] * 3] * 2, "int32")
    assert (made["truth"].tolist(), made["truth"].dtype.name) == ([True] * 4, "bool")


@pytest.mark.parametrize("kind", ["complex64", "datetime64[s]"])
def test_other_types_are_given_by_the_user(kind: str) -> None:
    with pytest.raises(BadInput, match=r"the input x: is of the type .* no values can be made"):
        seeded_inputs(graph(x=Input(np.dtype(kind), (2,))))


def test_an_open_axis_needs_a_size_and_a_stated_one_keeps_it() -> None:
    open_batch = graph(x=Input(FLOAT, ("N", 3, None, None)))
    message = r"--shape x: the model leaves sizes open: \(N, 3, \?, \?\); expected "
    with pytest.raises(BadInput, match=message + r"--shape x=1,3,224,224, say$"):
        seeded_inputs(open_batch)
    tokens = graph(x=Input(np.dtype(np.int64), (None, "length")))
    with pytest.raises(BadInput, match=r"expected --shape x=1,16, say$"):
        seeded_inputs(tokens)
    assert seeded_inputs(open_batch, shapes={"x": (2, 3, 5, 7)})["x"].shape == (2, 3, 5, 7)
    for shape in ((2, 4, 5, 7), (2, 3, 5), ()):
        with pytest.raises(BadInput, match=r"--shape x: .* does not fit; expected \(N, 3, \?, \?"):
            seeded_inputs(open_batch, shapes={"x": shape})
    unknown = graph(x=Input(FLOAT, None))
    with pytest.raises(BadInput, match="does not say how many axes it has; expected --shape x=S"):
        seeded_inputs(unknown)
    assert seeded_inputs(unknown, shapes={"x": (2,)})["x"].shape == (2,)
    with pytest.raises(BadInput, match="--shape y: is no input of the network; expected one of i"):
        seeded_inputs(unknown, shapes={"x": (2,), "y": (3,)})


def test_shapes_are_read_from_words() -> None:
    words = ["x=1,3,224,224", "a=b=2x3", "y=4×5", "z=7"]
    expected = {"x": (1, 3, 224, 224), "a=b": (2, 3), "y": (4, 5), "z": (7,)}
    assert parse_shapes(words) == expected
    for wrong in ("x", "=1,2", "x=", "x=1,,2", "x=1,-2", "x=1.5", "x=1234567890", "x=1,2,"):
        with pytest.raises(BadInput, match="is not NAME=SIZES; expected x=1,3,224,224, say"):
            parse_shapes([wrong])
    with pytest.raises(BadInput, match="--shape x=3: x is given twice"):
        parse_shapes(["x=2", "x=3"])


def test_arrays_are_read_from_either_file_of_numpys(tmp_path: Path) -> None:
    values = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "one.npy", values)
    np.savez(tmp_path / "two.npz", a=values, b=-values)
    np.savez(tmp_path / "none.npz")
    assert read_arrays(tmp_path / "one.npy", "--inputs")[""].tolist() == values.tolist()
    found = read_arrays(tmp_path / "two.npz", "--inputs")
    assert {name: each.tolist() for name, each in found.items()} == {
        "a": values.tolist(),
        "b": (-values).tolist(),
    }
    assert read_arrays(tmp_path / "none.npz", "--inputs") == {}


def test_other_files_are_refused_and_nothing_in_them_runs(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"missing|no such file|does not exist"):
        read_arrays(tmp_path / "nowhere.npz", "--inputs")
    (tmp_path / "text").write_text("no array")
    with pytest.raises(BadInput, match=r"is no \.npz or \.npy file; expected what numpy\.savez"):
        read_arrays(tmp_path / "text", "--inputs")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04" + bytes(20))
    for name in ("objects.npy", "damaged.npz"):
        with pytest.raises(BadInput, match=r"cannot be read \(.+\); expected an .npz or .npy"):
            read_arrays(tmp_path / name, "--inputs")


ONE: Final = graph(x=Input(FLOAT, ("N", 2)))
TWO: Final = graph(x=Input(FLOAT, ("N", 2)), n=Input(np.dtype(np.int64), None))
X: Final = np.ones((3, 2), np.float32)


def test_given_inputs_are_in_the_networks_order_and_types() -> None:
    assert list(checked_inputs(ONE, {"": X}, "file")) == ["x"]
    found = checked_inputs(TWO, {"n": np.array([1, 2], np.int32), "x": X.astype(float)}, "file")
    assert [(name, each.dtype.name) for name, each in found.items()] == [
        ("x", "float32"),
        ("n", "int64"),
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": X}, "file: the input n is missing; expected one of each: x, n"),
        ({"": X}, "file: the input x, n is missing"),
        ({"x": X, "n": X, "a": X, "b": X}, "file: a, b is no input of the network; expected x, n"),
        ({"x": X[:, :1], "n": X}, r"the input x has the shape \(3, 1\); expected \(N, 2\)"),
        ({"x": X[0], "n": X}, r"the input x has the shape \(2,\); expected \(N, 2\)"),
        ({"x": X.astype(int), "n": X}, "the input x is int64; expected float32"),
        ({"x": X, "n": X}, "the input n is float32; expected int64"),
        ({"x": X * np.inf, "n": 1}, "the input x has values that are not finite"),
        ({"x": X.astype(float) / 3, "n": 1}, "is float64 and changes where it is made float32"),
        ({"x": X, "n": np.array([2**63], np.uint64)}, "the input n does not fit into int64"),
    ],
)
def test_inputs_that_are_not_the_networks_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        checked_inputs(TWO, {name: np.asarray(each) for name, each in given.items()}, "file")


class Tensor:
    """One of a framework, on a device and with a gradient."""

    def __init__(self, values: Any, dtype: str = "torch.float32") -> None:
        self.values, self.dtype, self.shape = np.asarray(values), dtype, np.shape(values)
        self.steps: list[str] = []

    def detach(self) -> Tensor:
        self.steps.append("detached")
        return self

    def cpu(self) -> Any:
        self.steps.append("on the CPU")
        return self

    def float(self) -> Any:
        self.steps.append("float32")
        return self.values

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.values


def test_a_frameworks_tensor_is_an_array_whatever_it_is_on() -> None:
    plain, half = Tensor([[1.0, 2.0]]), Tensor([[1.0, 2.0]], "torch.bfloat16")
    for tensor in (plain, half, (plain,), [half]):
        assert array_of("port", "y", tensor, "arrays").tolist() == [[1.0, 2.0]]
    assert plain.steps == ["detached", "on the CPU"] * 2
    assert half.steps == ["detached", "on the CPU", "float32"] * 2
    # A list of numbers, or of rows, is an array.
    assert array_of("port", "y", [[1, 2], [3, 4]], "arrays").tolist() == [[1, 2], [3, 4]]
    assert array_of("port", "y", [np.arange(2)], "arrays").tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((X, X), "port: gave 2 arrays as y: which one"),
        ("text", "port: gave a str as y, which is not an array of numbers; expected arrays"),
        ([None], "gave a list as y, which is not an array of numbers"),
        ([[1], [2, 3]], "gave a list as y, which is not an array; expected arrays of numbers"),
        (np.array(["2020"], "M8[Y]"), "gave a ndarray as y, which is not an array of numbers"),
    ],
)
def test_what_is_no_array_is_refused(values: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        array_of("port", "y", values, "arrays")


def test_a_tensor_has_more_than_one_axis() -> None:
    assert [is_tensor(each) for each in (X, X[0], 1.0, SimpleNamespace(shape=(1, 2)))] == [
        True, False, False, True,
    ]  # fmt: skip
