"""Calls that would build NumPy's arrays, one by one, and what they are read from."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pytest

from vgg16_weights.pickles import Record
from vgg16_weights.tf import names, pickled_arrays
from vgg16_weights.tf.pickled_arrays import array, load, text

VALUES: Final = np.arange(6, dtype=np.float32).reshape(2, 3)


def dtype_of(code: str = "f4", order: str = "<") -> Record:
    return Record("numpy.dtype", (code, False, True), (3, order, None, None, None, -1, -1, 0))


def reconstructed(
    data: object, shape: object = (2, 3), dtype: object = None, fortran: int = 0, core: str = "core"
) -> Record:
    args = (Record("numpy.ndarray"), (0,), b"b")
    state = (1, shape, dtype or dtype_of(), fortran, data)
    return Record(f"numpy.{core}.multiarray._reconstruct", args, state)


@pytest.mark.parametrize("core", ["core", "_core"])
@pytest.mark.parametrize("fortran", [0, 1])
def test_an_array_is_read_in_either_order_and_of_either_numpy(core: str, fortran: int) -> None:
    data = VALUES.tobytes("F" if fortran else "C")
    found = array(reconstructed(data, fortran=fortran, core=core))
    assert found.dtype == np.float32
    assert found.tolist() == VALUES.tolist()


@pytest.mark.parametrize("core", ["core", "_core"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_buffer_is_read_in_either_order(core: str, order: Any) -> None:
    args = (memoryview(VALUES.tobytes(order)), dtype_of(), (2, 3), order)
    found = array(Record(f"numpy.{core}.numeric._frombuffer", args))
    assert found.tolist() == VALUES.tolist()


@pytest.mark.parametrize("order", ["<", ">", "="])
@pytest.mark.parametrize("code", ["f2", "f4", "f8", "i4", "i8", "u2"])
def test_numbers_are_read_in_either_order_of_bytes(code: str, order: Any) -> None:
    kind = np.dtype(code).newbyteorder("<" if order == "=" else order)
    found = array(reconstructed(VALUES.astype(kind).tobytes(), dtype=dtype_of(code, order)))
    assert found.dtype == kind
    assert found.tolist() == VALUES.tolist()


def test_bytes_and_truths_have_no_order_and_objects_are_a_list() -> None:
    data = bytes([1, 0, 1, 1, 0, 0])
    for code in ("b1", "u1", "i1"):
        found = array(reconstructed(data, dtype=dtype_of(code, "|")))
        assert found.astype(int).ravel().tolist() == list(data)
    listed = array(reconstructed(["a", 1, None], (3,), dtype_of("O8", "|")))
    assert listed.tolist() == ["a", 1, None]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (Record("os.system", ("true",)), "it refers to os.system, not as arrays do"),
        (Record("numpy.core.multiarray._reconstruct", ()), "not as arrays do"),
        (reconstructed(VALUES.tobytes()[:-1]), r"its array of shape \(2, 3\) is incomplete"),
        (reconstructed(["a"], (2,), dtype_of("O8", "|")), r"of shape \(2,\) is incomplete"),
        (reconstructed(["a"], (1,)), r"of shape \(1,\) is incomplete"),
        (reconstructed(VALUES.tobytes(), shape="23"), "of a shape that is not understood"),
        (reconstructed(VALUES.tobytes(), dtype="f4"), "of a type that is not understood"),
        (reconstructed(VALUES.tobytes(), dtype=dtype_of(order="!")), "is not understood"),
        (reconstructed(VALUES.tobytes(), dtype=dtype_of("U4")), "it has an array of type 'U4'"),
        (reconstructed(VALUES.tobytes(), dtype=dtype_of("f3")), "it has an array of type 'f3'"),
    ],
)
def test_any_other_call_is_refused(record: Record, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        array(record)


def test_names_are_printable_texts_or_their_bytes() -> None:
    assert text("fc6") == text(b"fc6") == "fc6"
    for value in (6, None, "a\nb", b"\x00"):
        with pytest.raises(ValueError, match="a name that is not text"):
            text(value)


@pytest.mark.parametrize("protocol", range(6))
def test_what_python_pickles_is_read_and_large_values_stay_views(protocol: int) -> None:
    content = {"name": ["a", 1, (2.5, None)], "large": b"x" * 5000}
    if protocol < 3:
        del content["large"]
    mapped = memoryview(pickle.dumps(content, protocol))
    found = load(mapped)
    if "large" in content:
        assert isinstance(found["large"], memoryview)
        found["large"] = bytes(found["large"])
    assert found == content


def test_pieces_of_4096_bytes_are_copied_and_larger_ones_are_not() -> None:
    for size, kind in ((4096, bytes), (4097, memoryview)):
        found = load(memoryview(pickle.dumps(b"x" * size, 4)))
        assert type(found) is kind
        assert bytes(found) == b"x" * size


def test_lines_have_256_characters_at_most() -> None:
    fits, beyond = (b"c" + b"m" * size + b"\nname\n." for size in (255, 256))
    assert load(memoryview(fits)).name == f"{'m' * 255}.name"
    with pytest.raises(ValueError, match="a name that is too long"):
        load(memoryview(beyond))


def test_a_file_that_is_short_or_endless_or_refers_outside_is_refused() -> None:
    with pytest.raises(ValueError, match="it ends too soon"):
        load(memoryview(b"X\x05\x00\x00\x00abc"))
    # Each instruction is a read, and the number that it takes another.
    most = pickled_arrays._MOST_READS
    assert load(memoryview(b"N" * (most - 1) + b".")) is None
    with pytest.raises(ValueError, match="more instructions than the weights of a VGG take"):
        load(memoryview(b"N" * most + b"."))
    with pytest.raises(ValueError, match="what lies outside of it"):
        load(memoryview(b"K\x01Q."))
    assert io.BytesIO(b"").read(1) == b""


@pytest.mark.parametrize(
    ("part", "theirs"),
    [("weight", "weights weight kernel W w"), ("bias", "biases bias b"), ("scale", "scale")],
)
def test_the_parts_of_a_layer_have_several_names(part: str, theirs: str) -> None:
    assert {names.part_of(name) for name in theirs.split()} == {part}


@pytest.mark.parametrize(
    ("key", "shape", "stored"),
    [
        ("vgg_16/fc6.weight", (7, 7, 512, 4096), (25088, 4096)),
        ("fc8.weight", (1, 1, 4096, 1000), (4096, 1000)),
        ("fc6.weight", (25088, 4096), (25088, 4096)),
        ("fc/conv1_1.weight", (3, 3, 3, 64), (3, 3, 3, 64)),
        ("fc6.bias", (4096,), (4096,)),
    ],
)
def test_a_dense_layer_may_be_a_convolution(
    key: str, shape: Sequence[int], stored: Sequence[int]
) -> None:
    assert names.stored_shape(key, tuple(shape)) == tuple(stored)
