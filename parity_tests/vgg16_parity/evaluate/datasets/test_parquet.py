"""Parquet files with images in them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from parity_tests.support.datasets import CLASSES, labelled, parquet, picture, write
from vgg16_parity.evaluate.datasets.items import Dataset
from vgg16_parity.evaluate.datasets.opening import open_dataset
from vgg16_parity.evaluate.datasets.parquet import ParquetPlace
from vgg16_spec.errors import BadInput


def labels(dataset: Dataset) -> list[int | None]:
    return [item.label for item in dataset.items]


def table(path: Path, columns: dict[str, Any], metadata: dict[str, str] | None = None) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    return path


IMAGES = [picture(seed) for seed in range(3)]


def test_numbers_in_hugging_faces_files_are_those_of_its_names(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", IMAGES, [0, 2, -1], ("owl", "bee", "Ant"))
    dataset = open_dataset(path, class_names=CLASSES)
    assert labels(dataset) == [2, 0, None]
    assert dataset.classes == ("owl", "bee", "Ant")
    assert dataset.mapping.startswith("class names of the Parquet file are the names")
    assert [item.name for item in dataset.items] == [f"a.parquet/{n}" for n in range(3)]


def test_as_many_other_names_are_in_their_own_order(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", IMAGES, [2, 0, 2], ("z", "y", "x"))
    assert labels(open_dataset(path, class_names=CLASSES)) == [2, 0, 2]
    with pytest.raises(
        BadInput, match=r"has 3 class names of the Parquet file, where .* 2 classes"
    ):
        open_dataset(path, class_names=("a", "b"))


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("label", [2, None, -1], [2, None, None]),
        ("Class_ID", [2, 0, 1], [2, 0, 1]),
        ("category", ["owl", "", "ANT"], [2, None, 0]),
        ("weight", [2, 0, 1], [None, None, None]),
    ],
)
def test_labels_without_names(
    tmp_path: Path, column: str, values: list[Any], expected: list[int | None]
) -> None:
    path = table(tmp_path / "a.parquet", {"jpg": IMAGES, column: values})
    assert labels(open_dataset(path, class_names=CLASSES)) == expected


def test_the_schema_says_which_of_several_columns(tmp_path: Path) -> None:
    columns = {"a": IMAGES[::-1], "b": IMAGES, "label": [0, 0, 0], "kind": [2, 1, 0]}
    with pytest.raises(BadInput, match=r"has 2 columns of images \(a, b\)"):
        open_dataset(table(tmp_path / "a.parquet", columns), class_names=CLASSES)
    features = {"b": {"_type": "Image"}, "kind": {"_type": "ClassLabel", "names": list(CLASSES)}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    path = table(tmp_path / "a.parquet", columns, metadata)
    dataset = open_dataset(path, class_names=CLASSES)
    assert labels(dataset) == [2, 1, 0]
    assert [item.place.read() for item in dataset.items] == IMAGES


@pytest.mark.parametrize(
    "metadata",
    ["", "{", "[1]", '{"info": 3}', "[" * 9999, '{"info": {"features": {"label": {"names": 7}}}}'],
)
def test_a_description_that_means_nothing_is_passed_over(tmp_path: Path, metadata: str) -> None:
    columns = {"image": IMAGES, "label": [0, 1, 2]}
    path = table(tmp_path / "a.parquet", columns, {"huggingface": metadata})
    assert labels(open_dataset(path, class_names=CLASSES)) == [0, 1, 2]


def test_a_folder_has_its_files_in_order(tmp_path: Path) -> None:
    write(tmp_path / "data", {})
    for number in (1, 0):
        name = f"test-0000{number}-of-00002.parquet"
        parquet(tmp_path / "data" / name, IMAGES[number : number + 1], [number])
    write(tmp_path, {"README.md": b"x"})
    dataset = open_dataset(tmp_path, class_names=CLASSES)
    assert labels(dataset) == [0, 1]
    assert dataset.ignored == 1
    pattern = open_dataset(f"{tmp_path}/data/test-*.parquet", class_names=CLASSES)
    assert labelled(pattern) == labelled(dataset)


def test_splits_are_not_mixed(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        parquet(tmp_path / f"{split}-00000-of-00001.parquet", IMAGES, [0, 1, 2])
    match = re.escape("has the splits train, validation; expected the files of one, as train-*")
    with pytest.raises(BadInput, match=match):
        open_dataset(tmp_path, class_names=CLASSES)
    assert open_dataset(f"{tmp_path}/validation-*.parquet", class_names=CLASSES).items


def test_files_of_other_classes_are_refused(tmp_path: Path) -> None:
    parquet(tmp_path / "0.parquet", IMAGES[:1], [0], CLASSES)
    parquet(tmp_path / "1.parquet", IMAGES[1:], [0, 1], CLASSES[::-1])
    with pytest.raises(BadInput, match=r"1\.parquet: has other classes than the files before it"):
        open_dataset(tmp_path, class_names=CLASSES)


def test_rows_without_an_image_are_told(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", [IMAGES[0], None, b"", IMAGES[1]], [0, 1, 2, 1])
    dataset = open_dataset(path, class_names=CLASSES)
    assert [item.name for item in dataset.items] == ["a.parquet/0", "a.parquet/3"]
    assert {one.name: one.reason for one in dataset.unreadable} == {
        "a.parquet/1": "has no bytes in this row",
        "a.parquet/2": "is empty",
    }


@pytest.mark.parametrize("group", [1, 2, 5, 100])
def test_row_groups_do_not_matter(tmp_path: Path, group: int) -> None:
    images = [picture(seed) for seed in range(7)]
    path = parquet(tmp_path / "a.parquet", images, [n % 3 for n in range(7)], group=group)
    dataset = open_dataset(path, class_names=CLASSES)
    assert [item.place.read() for item in dataset.items] == images
    assert [item.place.read() for item in dataset.items[::-1]] == images[::-1]


def test_broken_files_are_refused_and_told(tmp_path: Path) -> None:
    whole = parquet(tmp_path / "a.parquet", IMAGES, [0, 1, 2]).read_bytes()
    for number, content in enumerate(
        [b"", b"PAR1", whole[:-9], whole[: len(whole) // 2], b"x" * 99]
    ):
        folder = write(tmp_path / str(number), {"b.parquet": content})
        with pytest.raises(BadInput, match=r"b\.parquet: cannot be read") as refusal:
            open_dataset(folder / "b.parquet", class_names=CLASSES)
        assert "\n" not in str(refusal.value)
        write(folder, {"c.parquet": whole})
        dataset = open_dataset(folder, class_names=CLASSES)
        assert [item.name for item in dataset.items] == [f"c.parquet/{n}" for n in range(3)]
        assert [one.name for one in dataset.unreadable] == ["b.parquet"]


def test_damaged_pages_cost_only_their_images(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = parquet(tmp_path / "a.parquet", IMAGES, [0, 1, 2], group=1)
    content = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(1).column(0).dictionary_page_offset
    content[start : start + 8] = b"\xff" * 8
    path.write_bytes(content)
    dataset = open_dataset(path, class_names=CLASSES)
    assert [item.name for item in dataset.items] == ["a.parquet/0", "a.parquet/2"]
    assert [one.name for one in dataset.unreadable] == ["a.parquet/1"]


def test_labels_without_a_name_are_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", IMAGES, [0, 1, 7], CLASSES)
    with pytest.raises(BadInput, match="has the label 7, and 3 names of labels"):
        open_dataset(path, class_names=CLASSES)


def test_files_without_images_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", {"text": ["a"], "label": [0]})
    with pytest.raises(BadInput, match=r"a\.parquet: has no column of images"):
        open_dataset(path, class_names=CLASSES)
    path = table(tmp_path / "b.parquet", {"image": IMAGES[:0], "label": [0][:0]})
    with pytest.raises(BadInput, match=r"has no images|has no column"):
        open_dataset(path, class_names=CLASSES)


def test_more_rows_than_bytes_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa

    # The same empty image over and over: some bytes for a million rows.
    columns = {"image": pa.array([b""] * 1_000_000)}
    with pytest.raises(BadInput, match="claims 1,000,000 rows in"):
        open_dataset(table(tmp_path / "a.parquet", columns), class_names=CLASSES)


def test_rows_that_are_one_image_over_and_over_end(tmp_path: Path) -> None:
    import pyarrow as pa

    columns = {"image": pa.array([picture(0) + bytes(1 << 20)] * 100)}
    path = table(tmp_path / "a.parquet", columns)
    assert path.stat().st_size < 1 << 16
    dataset = open_dataset(path, class_names=CLASSES)
    (first,) = dataset.items
    reasons = [one.reason for one in dataset.unreadable]
    assert sum("over 100 times its size" in reason for reason in reasons) > 90
    assert first.place.read() == columns["image"][0].as_py()


def test_a_table_of_labels_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", IMAGES, [0, 1, 2])
    write(tmp_path, {"l.csv": b"x.png,1"})
    with pytest.raises(BadInput, match=r"l\.csv: is for images that have names"):
        open_dataset(path, class_names=CLASSES, labels_csv=tmp_path / "l.csv")


def test_a_row_that_has_gone_since_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", IMAGES, [0, 1, 2])
    for place in (
        ParquetPlace(str(tmp_path), path.name, 9, 0, "image.bytes"),
        ParquetPlace(str(tmp_path), path.name, 0, 9, "image.bytes"),
    ):
        with pytest.raises(BadInput, match=r"a\.parquet: cannot be read"):
            place.read()


def test_without_pyarrow_the_remedy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = parquet(tmp_path / "a.parquet", IMAGES, [0, 1, 2])
    for module in ("pyarrow", "pyarrow.fs", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, module, None)
    for location in (str(path), str(tmp_path), "s3://bucket/set"):
        with pytest.raises(BadInput) as refusal:
            open_dataset(location, class_names=CLASSES)
        assert str(refusal.value).endswith('expected pip install "vgg16-parity[datasets]"')
    write(tmp_path / "set", {"ant/1.png": picture(0)})
    assert open_dataset(tmp_path / "set", class_names=CLASSES).items
