"""Folders of images, lists of them, and tables of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from sys import intern
from typing import Any, Final

from vgg16_parity.evaluate.datasets.classes import is_imagenet
from vgg16_parity.evaluate.datasets.places import FilePlace
from vgg16_parity.evaluate.datasets.scans import Found, Scan
from vgg16_parity.evaluate.datasets.storage import Listing, is_url, opened, parted, shown
from vgg16_parity.evaluate.datasets.tables import Row, is_image, only_labels, read_table
from vgg16_spec.errors import BadInput, counted

_META: Final = "meta.mat"
_LARGEST_META: Final = 1 << 24
_DEVKIT: Final = "ground_truth"


def scan_folder(root: str, below: Listing) -> Scan:
    """The images below a folder; the folders directly in it are their classes.

    Images beside these folders have no label, and neither have those of a folder without folders.
    """
    names = [name for name in below.files if is_image(name)]
    ignored = len(below.files) - len(names)
    found = [
        # One string for all images of a class: there may be a million.
        Found(name, intern(name.partition("/")[0]) if "/" in name else "", FilePlace(root, name))
        for name in names
    ]
    scan = Scan("folder", found, skipped=list(below.skipped), ignored=ignored)
    outside = sum("/" not in name for name in names)
    if outside < len(names):
        scan.own, scan.what = tuple(below.folders), "class folders"
        if outside:
            scan.notes.append(f"{counted(outside, 'image')} outside of them without a label")
    return scan


def scan_list(location: str) -> Scan:
    """The images that a text file names, below the folder that it is in.

    Raises ``BadInput`` for a file that is none, or has labels only.
    """
    root, name = parted(location)
    rows = read_table(root, name)
    if only_labels(rows):
        problem = "names no images"
        raise BadInput(shown(location), problem, "a line for each image: its file, then its label")
    found: list[Found] = []
    for row in rows:
        place = FilePlace(*parted(row.file)) if is_url(row.file) else FilePlace(root, row.file)
        found.append(Found(shown(row.file), intern(row.label), place))
    return Scan("list", found)


def add_labels(scan: Scan, location: str, class_names: Sequence[str]) -> None:
    """Give images the labels that a table has for them, in place of any others.

    The table names files as the data set does, or without folders, or without suffixes; or it has
    labels alone, which belong to the images in the order of their names.

    Raises ``BadInput`` where it cannot be meant for these images.
    """
    root, name = parted(location)
    rows = read_table(root, name)
    if only_labels(rows):
        labels = _labels_in_order(rows, location, len(scan.found), class_names)
    else:
        labels = _labels_by_name(scan, rows, location)
    missing = sum(not label for label in labels)
    if missing:
        scan.notes.append(f"{counted(missing, 'image')} without a label in {name}")
    scan.found = [
        Found(found.name, label, found.place)
        for found, label in zip(scan.found, labels, strict=True)
    ]
    scan.own, scan.what = None, f"labels in {name}"


def _labels_by_name(scan: Scan, rows: Sequence[Row], location: str) -> list[str]:
    full: dict[str, str] = {}
    short: dict[str, str | None] = {}
    for row in rows:
        name = _plain(row.file)
        if full.setdefault(name, row.label) != row.label:
            problem = f"has two labels for {name:.99}"
            raise BadInput(shown(location), problem, "one label for each image")
        for key in {_base(name), _stem(name), _stem(_base(name))} - {name}:
            # Two images of one name in different folders are told apart by their folders only.
            if short.setdefault(key, row.label) != row.label:
                short[key] = None
    labels: list[str] = []
    matched = 0
    for found in scan.found:
        name = _plain(found.name)
        keys = (name, _stem(name), _base(name), _stem(_base(name)))
        label = next((full[key] for key in keys if key in full), None)
        if label is None:
            label = next((short[key] for key in keys if key in short), None)
        matched += label is not None
        labels.append(label or "")
    if not matched:
        problem = f"has a label for none of the {len(scan.found)} images"
        example = scan.found[0].name if scan.found else "cat.jpg"
        raise BadInput(shown(location), problem, f"files as {example}")
    return labels


def _plain(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _stem(name: str) -> str:
    return name.rpartition(".")[0] if is_image(name) else name


def _labels_in_order(
    rows: Sequence[Row], location: str, images: int, class_names: Sequence[str]
) -> list[str]:
    labels = [row.file for row in rows]
    if len(labels) != images:
        problem = f"has {counted(len(labels), 'label')} for {counted(images, 'image')}"
        raise BadInput(shown(location), problem, "a label for each, or files beside the labels")
    numbers = all(label.isascii() and label.isdigit() for label in labels)
    largest = str(len(class_names))
    if not numbers:
        return labels
    if _DEVKIT not in location and not (is_imagenet(class_names) and largest in labels):
        return labels
    synsets = _devkit_synsets(location)
    unknown = next((label for label in labels if int(label) not in synsets), "")
    if unknown:
        raise BadInput(shown(location), f"has the number {unknown:.20}", f"those of {_META}")
    return [synsets[int(label)] for label in labels]


def _devkit_synsets(location: str) -> dict[int, str]:
    """ImageNet's numbers of its classes -> synset, from the file beside that says it."""
    root, _ = parted(location)
    expected = (
        f"the kit's {_META} beside it (pip install scipy), or synsets, as in LOC_val_solution.csv"
    )
    problem = "has the numbers of ImageNet's development kit, whose order is not that of networks"
    try:
        from scipy.io import loadmat

        with opened(root, _META) as file:
            if len(content := file.read(_LARGEST_META + 1)) > _LARGEST_META:
                raise ValueError
        table: Any = loadmat(BytesIO(content), squeeze_me=True)["synsets"]
        return {
            int(number): str(synset)
            for number, synset in zip(table["ILSVRC2012_ID"], table["WNID"], strict=True)
        }
    except Exception as error:  # it is not there, or is another file
        raise BadInput(shown(location), problem, expected) from error
