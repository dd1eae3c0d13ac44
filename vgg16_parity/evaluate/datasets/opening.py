"""Open a data set, however it is kept."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from vgg16_parity.evaluate.datasets import parquet, tables, webdataset
from vgg16_parity.evaluate.datasets.classes import map_classes
from vgg16_parity.evaluate.datasets.digests import Entry, digest_entries
from vgg16_parity.evaluate.datasets.images import add_labels, scan_folder, scan_list
from vgg16_parity.evaluate.datasets.items import Dataset
from vgg16_parity.evaluate.datasets.scans import Scan, several_files
from vgg16_parity.evaluate.datasets.storage import (
    Listing,
    is_url,
    listing,
    normal,
    parted,
    shown,
    what_is,
)
from vgg16_spec.errors import BadInput, counted, few

Progress = Callable[[str], AbstractContextManager[object]]

_EXPECTED: Final = (
    "a folder of images, a list of them (.txt, .csv, .tsv), tar shards, or Parquet files"
)
# What Hugging Face calls the files of each split.
_SPLIT: Final = re.compile(r"(train|validation|val|test)-[0-9]+-of-[0-9]+")


def open_dataset(
    path: str | os.PathLike[str],
    *,
    class_names: Sequence[str] | None,
    labels_csv: str | os.PathLike[str] | None = None,
    keep_copies: bool = False,
    progress: Progress = nullcontext,
    advance: Callable[[int, int], None] | None = None,
) -> Dataset:
    """The images of a data set, their labels as the checkpoint's classes, and their digests.

    Args:
        path: a folder whose folders are classes, or that has images, tar shards or Parquet files; a
            list file with a path and a label a line, below its own folder; a tar or Parquet file,
            or several as ``shards-{000..146}.tar`` or ``test-*.parquet``. Also a URL of object
            storage (``s3://…``).
        class_names: the checkpoint's, by index; None to leave labels out.
        labels_csv: a table of files and labels, which goes before other labels; not for Parquet.
        keep_copies: whether an image with the bytes of an earlier one is an item as well.
        progress: called with the name of each stage, and entered while it is under way.
        advance: called with how many images have been read, and how many there are.

    Raises ``BadInput`` where there is no data set or no image that can be read, and for labels that
    are no classes of the checkpoint or may be several.
    """
    location = normal(os.fspath(path))
    with progress("list images"):
        scan = _scan(location)
    if not scan.found:
        reason = f" ({scan.skipped[0].name}: {scan.skipped[0].reason})" if scan.skipped else ""
        raise BadInput(shown(location), f"has no images{reason}", _EXPECTED)
    labels: dict[str, int] = {}
    mapping = "labels are left out"
    if class_names is not None:
        with progress("labels"):
            labels, mapping = _labels(scan, location, class_names, labels_csv)
    entries = (Entry(f.name, labels.get(f.label), f.place) for f in scan.found)
    total = len(scan.found)
    with progress("digests"):
        digested = digest_entries(
            entries, total, advance, remote=is_url(location), keep_copies=keep_copies
        )
    if not digested.items:
        first = digested.unreadable[0]
        problem = f"has {counted(total, 'image')}, none of which can be read"
        raise BadInput(shown(location), f"{problem} ({first.name}: {first.reason})", _EXPECTED)
    return Dataset(
        label=shown(os.fspath(path)),
        kind=scan.kind,
        items=tuple(digested.items),
        classes=scan.own or (),
        duplicates=tuple(digested.duplicates),
        unreadable=(*scan.skipped, *digested.unreadable),
        mapping=mapping,
        ignored=scan.ignored,
    )


def _labels(
    scan: Scan,
    location: str,
    class_names: Sequence[str],
    labels_csv: str | os.PathLike[str] | None,
) -> tuple[dict[str, int], str]:
    given = shown(location)
    if labels_csv is not None:
        given = shown(normal(os.fspath(labels_csv)))
        if scan.kind == "parquet":
            raise BadInput(given, "is for images that have names", "labels in the Parquet file")
        add_labels(scan, normal(os.fspath(labels_csv)), class_names)
    names = sorted({found.label for found in scan.found} - {""})
    labels, how = map_classes(names, class_names, given=given, own=scan.own, what=scan.what)
    return labels, "; ".join((how, *scan.notes))


def _scan(location: str) -> Scan:
    lower = shown(location).lower()
    kind = what_is(location)
    if kind == "folder":
        return _scan_contents(location)
    if kind == "other":
        raise BadInput(shown(location), "is a device or a pipe", _EXPECTED)
    shards = lower.endswith(webdataset.SUFFIXES)
    if shards or lower.endswith(parquet.SUFFIXES):
        files = [parted(location)] if kind == "file" else several_files(location)
        return webdataset.scan_shards(files) if shards else parquet.scan_parquet(files)
    if kind == "missing":
        raise BadInput(shown(location), "no such file or folder", _EXPECTED)
    if lower.endswith(tables.SUFFIXES):
        return scan_list(location)
    if tables.is_image(lower):
        raise BadInput(shown(location), "is one image", _EXPECTED)
    raise BadInput(shown(location), "is a file of another kind", _EXPECTED)


def _scan_contents(root: str) -> Scan:
    """A folder: of images if it has any, else of tar shards, else of Parquet files."""
    below = listing(root)
    images = [name for name in below.files if tables.is_image(name)]
    if images:
        others = [
            n for n in below.files if n.lower().endswith((*webdataset.SUFFIXES, *parquet.SUFFIXES))
        ]
        # Beside class folders there may be the archive that they come from.
        if others and not any("/" in name for name in images):
            problem = f"has images ({images[0]}) and data sets in files ({others[0]})"
            raise BadInput(
                shown(root), problem, f"one of both, as the pattern *{_suffix(others[0])}"
            )
        return scan_folder(root, below)
    for suffixes, scan in (
        (webdataset.SUFFIXES, webdataset.scan_shards),
        (parquet.SUFFIXES, parquet.scan_parquet),
    ):
        if files := [name for name in below.files if name.lower().endswith(suffixes)]:
            _require_one_split(root, files)
            found = scan([(root, name) for name in files])
            found.ignored += len(below.files) - len(files)
            found.skipped = [*below.skipped, *found.skipped]
            return found
    raise _no_images(root, below)


def _suffix(name: str) -> str:
    return f".{name.rpartition('/')[2].partition('.')[2]}"


def _require_one_split(root: str, files: Sequence[str]) -> None:
    splits = {match[1]: name for name in files if (match := _SPLIT.search(name))}
    if len(splits) > 1:
        name = next(iter(splits.values()))
        pattern = _SPLIT.sub(lambda match: f"{match[1]}-*", name)
        problem = f"has the splits {few(sorted(splits))}"
        raise BadInput(shown(root), problem, f"the files of one, as {pattern}")


def _no_images(root: str, below: Listing) -> BadInput:
    if below.skipped:
        first = below.skipped[0]
        problem = f"has no images that can be read ({first.name}: {first.reason})"
    elif below.files:
        problem = f"has no images, but {counted(len(below.files), 'file')} of other kinds"
    else:
        problem = "is empty" if not below.folders else "has only empty folders"
    return BadInput(shown(root), problem, _EXPECTED)
