"""Names of classes come from every file that people have them in, in the order of the outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vgg16_spec import labels
from vgg16_spec.errors import BadInput
from vgg16_spec.labels import class_names, imagenet_classes, read_labels

NAMES = ("tench", "crane", "grüne Mamba", "crane")
DISTINCT = ("tench", "crane", "grüne Mamba", "3")
FILES: dict[str, tuple[str, bytes]] = {
    "lines": ("l.txt", "tench\ncrane\ngrüne Mamba\ncrane\n".encode()),
    "no last line's end": ("l.txt", "tench\ncrane\ngrüne Mamba\ncrane".encode()),
    "Windows": ("l.txt", "\ufefftench\r\ncrane\r\ngrüne Mamba\r\ncrane\r\n\r\n".encode()),
    "no ending": ("labels", "tench\ncrane \n grüne Mamba\ncrane\n".encode()),
    "list": ("l.json", json.dumps(NAMES).encode()),
    "a list in another file": ("l.txt", json.dumps(NAMES, indent=1).encode()),
    "index -> name": (
        "l.json",
        json.dumps({str(i): NAMES[i] for i in (3, 0, 2, 1)}, ensure_ascii=False).encode(),
    ),
    "Keras's class index": (
        "l.json",
        json.dumps({str(i): [f"n0{i}", name] for i, name in enumerate(NAMES)}).encode(),
    ),
    "Hugging Face's config.json": (
        "config.json",
        json.dumps(
            {
                "model_type": "vgg",
                "id2label": {str(i): name for i, name in enumerate(NAMES)},
                "label2id": {name: i for i, name in enumerate(NAMES)},
            }
        ).encode(),
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_the_names_stand_in_the_order_of_the_outputs(tmp_path: Path, case: str) -> None:
    name, content = FILES[case]
    (tmp_path / name).write_bytes(content)
    assert read_labels(tmp_path / name) == NAMES


def test_name_to_index_is_put_in_order(tmp_path: Path) -> None:
    to_index = {name: DISTINCT.index(name) for name in sorted(DISTINCT)}
    for document in (to_index, {"label2id": to_index}):
        (tmp_path / "class_to_idx.json").write_text(json.dumps(document), encoding="utf-8")
        assert read_labels(tmp_path / "class_to_idx.json") == DISTINCT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "it has no names"),
        ("\n\n", "it has no names"),
        ("\na\n", "line 1 is empty"),
        ("a\n\nb\n", "line 2 is empty"),
        ("a\nb\x1b[2J\n", r"class 1 has the character U\+001B in its name"),
        ("a\tb\nc", r"class 0 has the character U\+0009"),
        ("a\nb\u202eevil\n", r"class 1 has the character U\+202E"),
        ("a\u2028b\n", r"class 0 has the character U\+2028"),
        ("a" * 201, "class 0 has a name of 201 characters"),
        ("2 owl\n0 cat\n1 dog\n", "its lines begin with numbers that are not in order"),
        ("[]", "it has no names"),
        ('["a", 3]', "the name of class 1 is not text"),
        ('["a", " "]', "class 1 has an empty name"),
        ('["\\u0000"]', r"class 0 has the character U\+0000"),
        ('["\\ud800"]', r"class 0 has the character U\+D800"),
        ('{"0": "a", "2": "b"}', "its indices are not 0 to 1, each once"),
        ('{"0": "a", "00": "b"}', "its indices are not 0 to 1, each once"),
        ('{"0": "a", "0": "b"}', "it has the key '0' twice"),
        ('{"a": 1, "b": 2}', "its indices are not 0 to 1, each once"),
        ('{"a": true, "b": false}', "neither its keys nor its values are indices"),
        ('{"a": 0.5}', "neither its keys nor its values are indices"),
        ('{"id2label": {"1": "a"}}', "its indices are not 0 to 0, each once"),
    ],
)
def test_what_cannot_be_names_is_refused_in_one_line(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "labels"
    path.write_text(content, encoding="utf-8", errors="surrogatepass", newline="")
    with pytest.raises(BadInput, match=message) as refusal:
        read_labels(path)
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).isprintable()


def test_lines_with_their_numbers_in_order_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("0 cat\n1 dog\n2 owl\n")
    assert read_labels(tmp_path / "l.txt") == ("0 cat", "1 dog", "2 owl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfea\x00", "is not UTF-8 text"),
        (b"a\n" * (1 << 21) + b"a", "has more than 4,194,304 bytes"),
        (b"{", "Expecting"),
        (b"3", "it is neither a list nor an object"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_another_or_too_large_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "l.json").write_bytes(content)
    path = tmp_path / ("l.txt" if b"\n" in content else "l.json")
    path.write_bytes(content)
    with pytest.raises(BadInput, match=message):
        read_labels(path)


def test_a_text_of_names_is_read_again_and_no_other() -> None:
    assert labels.from_json(labels.to_json(NAMES)) == NAMES
    for text in ("{", "3", '{"a": 0}', "[]", '[["n01", "tench"]]', "[" * 100_000):
        with pytest.raises(ValueError, match=r"."):
            labels.from_json(text)


def test_without_names_they_are_imagenets_where_there_are_as_many() -> None:
    assert class_names(1000) == imagenet_classes()
    assert class_names(2) == ("class 0", "class 1")
