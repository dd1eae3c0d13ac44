"""A pickle is read as data: plain values as they are, anything else as what it would have been."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import time
from argparse import Namespace
from collections import OrderedDict, defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from vgg16_weights.pickles import Record, entries, load, raw, sizes

PLAIN = {
    "text": "é",
    "bytes": b"\x00\xff",
    "array": bytearray(b"ab"),
    "numbers": [0, -1, 255, 65_536, -(1 << 31), 1 << 70, 1.5, True, False, None],
    "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    "nested": {"a": {"b": [{}, [], {"c": "d"}]}},
    7: "a number for a key",
}


def loaded(content: bytes) -> Any:
    return load(io.BytesIO(content), lambda reference: reference)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_are_what_python_makes_of_them(protocol: int) -> None:
    plain = {key: value for key, value in PLAIN.items() if protocol == 5 or key != "array"}
    if protocol < 3:  # before there were bytes
        del plain["bytes"]
    assert loaded(pickle.dumps(plain, protocol)) == plain


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_stands_twice_is_the_same_object(protocol: int) -> None:
    once = [1]
    first, second = loaded(pickle.dumps([once, once], protocol))
    assert first is second


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_dictionaries_of_the_standard_library_are_dictionaries(protocol: int) -> None:
    assert entries(loaded(pickle.dumps(OrderedDict(a=1, b=2), protocol))) == {"a": 1, "b": 2}
    assert entries(loaded(pickle.dumps(defaultdict(list, a=1), protocol))) == {"a": 1}
    # As Python 2 wrote them: with the pairs as an argument.
    text = b"ccollections\nOrderedDict\n((lp0\n(lp1\nS'a'\naI1\naatR."
    assert entries(loaded(text)) == {"a": 1}


def test_no_entry_hides_another_of_its_key() -> None:
    for twice in (b"}(X\x01\x00\x00\x00aK\x01U\x01aK\x02u.", b"(K\x07NK\x07Nd."):
        with pytest.raises(ValueError, match=r"it has the key '[a7]' twice"):
            loaded(twice)


def test_what_python_2_wrote_is_text_and_bytes() -> None:
    assert loaded(b"U\x02\xc3\xa9.") == "é"
    for values in (b"\xc3\xa9", b"\xff\x00\xe9"):
        assert raw(loaded(b"T" + struct.pack("<I", len(values)) + values + b".")) == values


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_objects_are_records_of_their_class_and_state(protocol: int) -> None:
    record = loaded(pickle.dumps(Namespace(lr=0.1), protocol))
    assert isinstance(record, Record)
    assert record.state == {"lr": 0.1}
    assert loaded(pickle.dumps(date(2020, 1, 2), protocol)).name == "datetime.date"


class Calls:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_call_is_a_record_and_happens_not(tmp_path: Path, protocol: int) -> None:
    record = loaded(pickle.dumps(Calls(tmp_path / "called"), protocol))
    assert record.name.endswith(".system")
    assert record.args == (f"touch {tmp_path / 'called'}",)
    assert not (tmp_path / "called").exists()


def test_no_class_in_a_pickle_is_imported() -> None:
    assert loaded(b"cthis.is.no.module\nName\n)\x81.").name == "this.is.no.module.Name"


DAMAGED = {
    "nothing": b"",
    "no end": b"]",
    "an empty stack": b"0.",
    "a call of a number": b"K\x01)R.",
    "a number that is filled": b"K\x01K\x02a.",
    "a mark that is missing": b"e.",
    "what was not remembered": b"h\x07.",
    "an extension": b"\x82\x01.",
    "a buffer from outside": b"\x97.",
    "bytes that are not there": b"\x8e" + struct.pack("<Q", 1 << 62) + b"ab.",
    "an array that is not there": b"\x96" + struct.pack("<Q", 1 << 40) + b"ab.",
    "a name of lists": b"]]\x93.",
    "an unknown opcode": b"\xff.",
    "a pair of one": b"K\x01\x86.",
    "three of two": b"K\x01K\x02\x87.",
    "an entry without a key": b"}K\x01s.",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_pickle_is_one_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="its pickle") as error:
        loaded(content)
    assert len(str(error.value)) < 200


def test_numbers_that_share_a_hash_are_not_compared_with_each_other() -> None:
    shared = [number * sys.hash_info.modulus for number in range(1, 40_000)]
    start = time.monotonic()
    entry = b"".join(b"\x8a\x0a" + number.to_bytes(10, "little") + b"N" for number in shared)
    assert len(loaded(b"}(" + entry + b"u.")) == len(shared)
    with pytest.raises(ValueError, match="a memo of too large a number"):
        loaded(b"}" + b"".join(b"p%d\n" % number for number in shared) + b".")
    assert time.monotonic() - start < 10


def test_a_pickle_that_means_harm_takes_no_time_and_no_room() -> None:
    start = time.monotonic()
    # Remembered under a number that Python's own unpickler makes room for.
    assert loaded(b"]r\xff\xff\xff\xff.") == []
    # A key of tuples in tuples, which takes a machine's age to hash.
    doubled = b")" + b"2\x86" * 60
    assert list(loaded(b"}" + doubled + b"K\x01s.").values()) == [1]
    # Deeper than the stack of the processor.
    assert loaded(b")" + b"\x85" * 300_000 + b".") != ()
    assert time.monotonic() - start < 10


# What Python's own pickler seldom or never writes.
BY_HAND = {
    "a set": (b"\x8f(K\x01K\x02\x90.", [1, 2]),
    "a frozen set": (b"(K\x01K\x02\x91.", [1, 2]),
    "a value twice": (b"K\x01K\x072\x87.", (1, 7, 7)),
    "a value too many": (b"K\x01K\x020.", 1),
    "values too many": (b"K\x01(K\x02K\x031.", 1),
    "a mark too many": (b"K\x01(0.", 1),
    "a list at once": (b"(K\x01K\x02l.", [1, 2]),
    "a dictionary at once": (b"(K\x01K\x02K\x03K\x04d.", {1: 2, 3: 4}),
    "one entry": (b"}K\x01K\x02s.", {1: 2}),
    "a state of what has none": (b"]K\x01b.", []),
    "what lies outside": (b"K\x05Q.", ("outside", 5)),
    "bytes in Python 2's form": (
        b"c_codecs\nencode\nX\x02\x00\x00\x00\xc3\xa9X\x06\x00\x00\x00latin1\x86R.",
        b"\xe9",
    ),
}


@pytest.mark.parametrize(("content", "value"), BY_HAND.values(), ids=BY_HAND)
def test_every_instruction_does_what_python_does(content: bytes, value: object) -> None:
    found = load(io.BytesIO(content), lambda reference: ("outside", reference))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "content",
    [
        b"(K\x01K\x02iargparse\nNamespace\n.",
        b"(cargparse\nNamespace\nK\x01K\x02o.",
        b"cargparse\nNamespace\nK\x01K\x02\x86R.",
        b"cargparse\nNamespace\nK\x01K\x02\x86\x81.",
        b"cargparse\nNamespace\nK\x01K\x02\x86}\x92.",
        b"X\x08\x00\x00\x00argparseX\x09\x00\x00\x00Namespace\x93K\x01K\x02\x86R.",
    ],
)
def test_every_way_to_call_is_a_record_of_the_call(content: bytes) -> None:
    record = loaded(content)
    assert (record.name, record.args) == ("argparse.Namespace", (1, 2))


def test_entries_of_an_object_are_kept_and_items_of_one_are_not() -> None:
    record = loaded(b"cargparse\nNamespace\n)R(K\x01K\x02K\x03K\x04u.")
    assert record.entries == {1: 2, 3: 4}
    record = loaded(b"cargparse\nNamespace\n)RK\x01a.")
    assert (record.args, record.entries, record.state) == ((), {}, None)


def encoded(times: int) -> bytes:
    """A text of three characters that is encoded so many times."""
    call = b"c_codecs\nencode\n"
    first = call + b"X\x03\x00\x00\x00abcq\x00X\x06\x00\x00\x00latin1q\x01\x86R"
    return b"(" + first + (times - 1) * (call + b"h\x00h\x01\x86R") + b"l."


def test_a_text_is_encoded_as_often_as_texts_stand_in_the_file() -> None:
    # Nine characters stand there: those of the text and of the encoding's name.
    assert loaded(encoded(3)) == [b"abc"] * 3
    with pytest.raises(ValueError, match="encoded again and again"):
        loaded(encoded(4))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((2, 3), (2, 3)), ([0], (0,)), ((), ()), ("ab", None), ({}, None), ((1.0,), None),
        ((True,), None), ((-1,), None), ((1 << 48,), None), (((1 << 48) - 1,), ((1 << 48) - 1,)),
        ([1] * 64, (1,) * 64), ([1] * 65, None),
    ],
)  # fmt: skip
def test_a_shape_is_a_few_whole_numbers(value: object, expected: tuple[int, ...] | None) -> None:
    assert sizes(value) == expected
