"""Lists of images and tables of labels, as people have them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from parity_tests.support.datasets import CLASSES, picture, write
from vgg16_parity.evaluate.datasets.items import Dataset
from vgg16_parity.evaluate.datasets.opening import open_dataset
from vgg16_parity.evaluate.datasets.tables import read_table
from vgg16_spec.errors import BadInput
from vgg16_spec.labels import class_names, imagenet_classes

ROWS = [("a b.png", "great white shark"), ("c/d.JPEG", "owl"), ("e, f.png", "")]


def labels(dataset: Dataset) -> dict[str, int | None]:
    return {item.name: item.label for item in dataset.items}


def rows(tmp_path: Path, name: str, text: str | bytes) -> list[tuple[str, str]]:
    content = text if isinstance(text, bytes) else text.encode()
    write(tmp_path, {name: content})
    return [(row.file, row.label) for row in read_table(str(tmp_path), name)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.txt", "a b.png great white shark\nc/d.JPEG owl\ne, f.png\n"),
        ("t.txt", "a b.png\tgreat white shark\r\nc/d.JPEG\towl\r\n\r\ne, f.png\t\r\n"),
        ("t.txt", "\ufeffa b.png, great white shark\nc/d.JPEG , owl\ne, f.png,-1"),
        ("t.tsv", "a b.png\tgreat white shark\nc/d.JPEG\towl\ne, f.png\n"),
        ("t.csv", 'a b.png,great white shark\nc/d.JPEG,owl\n"e, f.png",\n'),
        ("t.csv", "file;label\na b.png;great white shark\nc/d.JPEG;owl\ne, f.png;-1\n"),
        ("t.csv", 'label,size,path\ngreat white shark,1,a b.png\nowl,2,c/d.JPEG\n,3,"e, f.png"\n'),
        ("T.CSV", 'great white shark,a b.png\nowl,c/d.JPEG\n,"e, f.png"\n'),
        ("t.csv", 'Image_ID,Class\n\na b.png,great white shark\nc/d.JPEG,owl\n"e, f.png"\n'),
    ],
)
def test_files_and_labels_are_told_apart(tmp_path: Path, name: str, text: str) -> None:
    assert rows(tmp_path, name, text) == ROWS


def test_the_last_suffix_of_an_image_ends_the_file(tmp_path: Path) -> None:
    text = "a.jpg copy.png 3\nb.png.jpg 4\nno suffix 5\nplain 6\nalone\n"
    assert rows(tmp_path, "t.txt", text) == [
        ("a.jpg copy.png", "3"),
        ("b.png.jpg", "4"),
        ("no suffix", "5"),
        ("plain", "6"),
        ("alone", ""),
    ]


def test_kaggles_solution_has_the_synset_before_the_boxes(tmp_path: Path) -> None:
    text = "ImageId,PredictionString\nval_1,n03995372 85 1 499 272\nval_2,n0 1 2 3 4 n0 5 6 7 8 \n"
    assert rows(tmp_path, "t.csv", text) == [("val_1", "n03995372"), ("val_2", "n0")]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("t.txt", b"", "has no lines"),
        ("t.txt", b"\n \n", "has no lines"),
        ("t.csv", b"file,label\n", "has no lines"),
        ("t.txt", b"\x89PNG\xff\xd8", "is not UTF-8 text"),
        ("t.txt", b"a\0b.png 1\n", "line 1 has a NUL character"),
        ("t.csv", b"a.png,1\n" + b"x" * 9000, "line 2 has more than 8,192 characters"),
        ("t.csv", b'a.png,"1\n', "is no table"),
        ("t.csv", b'a.png,"1"2\n', "is no table"),
    ],
)
def test_what_is_no_table_is_refused(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    with pytest.raises(BadInput, match=problem) as refusal:
        rows(tmp_path, name, content)
    assert "\n" not in str(refusal.value)


def test_a_list_is_read_below_its_own_folder(tmp_path: Path) -> None:
    write(tmp_path, {"l/x y/1.png": picture(0), "2.png": picture(1), "3.png": picture(2)})
    text = f"x y/1.png 2\n../2.png 0\n{tmp_path}/3.png 1\n"
    write(tmp_path, {"l/val.txt": text.encode()})
    dataset = open_dataset(tmp_path / "l/val.txt", class_names=CLASSES)
    assert dataset.kind == "list"
    assert labels(dataset) == {"x y/1.png": 2, "../2.png": 0, f"{tmp_path}/3.png": 1}


def test_a_list_tells_what_is_missing_and_what_is_there_twice(tmp_path: Path) -> None:
    text = "1.png 0\n2.png 1\n1.png 2\n1.png 0\n/dev/zero 1\nz.png\n"
    write(tmp_path, {"1.png": picture(0), "z.png": picture(1), "val.txt": text.encode()})
    dataset = open_dataset(tmp_path / "val.txt", class_names=CLASSES)
    assert labels(dataset) == {"1.png": 0, "z.png": None}
    assert [one.reason for one in dataset.duplicates] == [
        "has the bytes of 1.png, and another label",
        "has the bytes of 1.png",
    ]
    assert {one.name: one.reason for one in dataset.unreadable} == {
        "2.png": "no such file",
        "/dev/zero": "is not a regular file",
    }


def test_a_list_that_names_no_images_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"notes.txt": b"hello\nworld\n", "gone.txt": b"a.png 0\nb.png 1\n"})
    with pytest.raises(BadInput, match=r"notes\.txt: names no images"):
        open_dataset(tmp_path / "notes.txt", class_names=CLASSES)
    with pytest.raises(BadInput, match=r"2 images, none of which .*\(a\.png: no such file\)"):
        open_dataset(tmp_path / "gone.txt", class_names=CLASSES)


def flat(tmp_path: Path, *names: str) -> Path:
    return write(tmp_path / "val", {name: picture(i) for i, name in enumerate(names)})


@pytest.mark.parametrize("written", ["{}.png", "{}", "./{}.png", "val/{}.png", "val\\{}.png"])
def test_a_table_labels_a_flat_folder_however_it_names_files(tmp_path: Path, written: str) -> None:
    root = flat(tmp_path, "v1.png", "v2.png")
    text = f"image,label\n{written.format('v2')},0\n{written.format('v1')},2\n"
    table = write(tmp_path, {"labels.csv": text.encode()}) / "labels.csv"
    dataset = open_dataset(root, class_names=CLASSES, labels_csv=table)
    assert labels(dataset) == {"v1.png": 2, "v2.png": 0}
    assert dataset.mapping == "labels in labels.csv are the numbers of the checkpoint's classes"


def test_images_that_a_table_lacks_have_no_label_and_are_told(tmp_path: Path) -> None:
    root = flat(tmp_path, "1.png", "2.png", "3.png")
    table = write(tmp_path, {"labels.csv": b"2.png,owl\n9.png,ant\n"}) / "labels.csv"
    dataset = open_dataset(root, class_names=CLASSES, labels_csv=table)
    assert labels(dataset) == {"1.png": None, "2.png": 2, "3.png": None}
    assert dataset.mapping.endswith("2 images without a label in labels.csv")


def test_a_tables_labels_go_before_the_folders(tmp_path: Path) -> None:
    root = write(tmp_path / "set", {"ant/1.png": picture(0), "owl/1.png": picture(1)})
    table = write(tmp_path, {"l.csv": b"ant/1.png,owl\nowl/1.png,ant\n"}) / "l.csv"
    dataset = open_dataset(root, class_names=CLASSES, labels_csv=table)
    assert labels(dataset) == {"ant/1.png": 2, "owl/1.png": 0}


def test_a_name_in_two_folders_is_not_a_label_for_either(tmp_path: Path) -> None:
    root = flat(tmp_path, "1.png", "2.png")
    table = write(tmp_path, {"l.csv": b"a/1.png,owl\nb/1.png,ant\nb/2.png,ant\n"}) / "l.csv"
    dataset = open_dataset(root, class_names=CLASSES, labels_csv=table)
    assert labels(dataset) == {"1.png": None, "2.png": 0}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1.png,ant\n1.png,owl\n", "has two labels for 1.png"),
        ("x.png,ant\ny.png,owl\n", "has a label for none of the 2 images; expected files as 1.png"),
        ("ant\nowl\nowl\n", "has 3 labels for 2 images"),
        ("1.png,cat\n2.png,dog\n", "none is called cat, dog"),
        ("1.png,1\n2.png,3\n", "has numbers from 1 to 3, where the checkpoint has 3 classes"),
    ],
)
def test_tables_of_other_images_or_classes_are_refused(
    tmp_path: Path, text: str, problem: str
) -> None:
    root = flat(tmp_path, "1.png", "2.png")
    table = write(tmp_path, {"l.csv": text.encode()}) / "l.csv"
    with pytest.raises(BadInput, match=rf"l\.csv: .*{re.escape(problem)}"):
        open_dataset(root, class_names=CLASSES, labels_csv=table)


def test_labels_alone_are_in_the_order_of_names(tmp_path: Path) -> None:
    root = flat(tmp_path, "b.png", "a.png", "c.png")
    table = write(tmp_path, {"l.txt": b"2\n0\n1\n"}) / "l.txt"
    dataset = open_dataset(root, class_names=class_names(3), labels_csv=table)
    assert labels(dataset) == {"a.png": 2, "b.png": 0, "c.png": 1}


KIT = "ILSVRC2012_validation_ground_truth.txt"


def test_the_development_kits_numbers_are_not_taken_for_a_networks(tmp_path: Path) -> None:
    root = flat(tmp_path, "a.png", "b.png")
    for name, text in ((KIT, b"490\n361\n"), ("truth.txt", b"490\n1000\n")):
        table = write(tmp_path, {name: text}) / name
        with pytest.raises(BadInput, match=r"order is not that of networks; expected .*meta\.mat"):
            open_dataset(root, class_names=imagenet_classes(), labels_csv=table)


def test_the_development_kits_numbers_are_read_with_its_own_table(tmp_path: Path) -> None:
    from scipy.io import savemat

    root = flat(tmp_path, "a.png", "b.png")
    kit = write(tmp_path / "data", {KIT: b"2\n1\n"})
    synsets = np.zeros(3, [("ILSVRC2012_ID", "i4"), ("WNID", "O"), ("words", "O")])
    synsets[:] = [(1, "n03888257", "x"), (2, "n01440764", "y"), (1001, "n00000000", "z")]
    savemat(kit / "meta.mat", {"synsets": synsets})
    dataset = open_dataset(root, class_names=imagenet_classes(), labels_csv=kit / KIT)
    assert labels(dataset) == {"a.png": 0, "b.png": 701}
    (kit / KIT).write_text("3\n1\n")
    with pytest.raises(BadInput, match="has the number 3"):
        open_dataset(root, class_names=imagenet_classes(), labels_csv=kit / KIT)


def test_kaggles_solution_labels_imagenets_validation_images(tmp_path: Path) -> None:
    names = [f"ILSVRC2012_val_0000000{n}.JPEG" for n in (1, 2)]
    root = flat(tmp_path, *names)
    text = "ImageId,PredictionString\nILSVRC2012_val_00000002,n01440764 1 2 3 4 \n"
    text += "ILSVRC2012_val_00000001,n03888257 85 1 499 272 n03888257 1 2 3 4 \n"
    table = write(tmp_path, {"LOC_val_solution.csv": text.encode()}) / "LOC_val_solution.csv"
    dataset = open_dataset(root, class_names=imagenet_classes(), labels_csv=table)
    assert labels(dataset) == {names[0]: 701, names[1]: 0}
    assert "synsets" in dataset.mapping
