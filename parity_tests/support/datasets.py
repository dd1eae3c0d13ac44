"""The same images in each layout of data sets, and files that mean harm."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from vgg16_parity.evaluate.datasets.items import Dataset

CLASSES: Final = ("ant", "great white shark", "owl")


def picture(seed: int, form: str = "PNG") -> bytes:
    """A small encoded picture, another for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def write(root: Path, files: dict[str, bytes]) -> Path:
    """Files below a folder, which is made."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def tar(
    path: Path, members: Iterable[tuple[str | tarfile.TarInfo, bytes]], mode: str = "w"
) -> Path:
    """A tar file of members in this order; a header of one's own may claim anything."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member, content in members:
            if isinstance(member, str):
                member = tarfile.TarInfo(member)
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def parquet(
    path: Path,
    images: Sequence[bytes | None],
    labels: Sequence[Any] | None,
    names: Sequence[str] = (),
    *,
    group: int = 2,
    plain: bool = False,
) -> Path:
    """A Parquet file as Hugging Face's library writes it, or with a plain binary column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns: dict[str, Any] = {
        "image": pa.array(images, pa.binary())
        if plain
        else pa.array([{"bytes": i, "path": "x.png"} for i in images], image)
    }
    if labels is not None:
        columns["label"] = pa.array(labels)
    table = pa.table(columns)
    if names:
        features = {
            "image": {"_type": "Image"},
            "label": {"names": list(names), "_type": "ClassLabel"},
        }
        document = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": document})
    pq.write_table(table, path, row_group_size=group)
    return path


Labelled = Sequence[tuple[bytes, int]]


def _folder(root: Path, images: Labelled) -> Path:
    names = [name.replace(" ", "_").upper() for name in CLASSES]
    return write(root, {f"{names[c]}/{i:03}.png": image for i, (image, c) in enumerate(images)})


def _nested(root: Path, images: Labelled) -> Path:
    return write(root, {f"{c}/a/b/{i:03}.PNG": image for i, (image, c) in enumerate(images)})


def _table(root: Path, images: Labelled) -> Path:
    write(root, {f"{i:03}.png": image for i, (image, _) in enumerate(images)})
    rows = [f"{i:03}.png,{CLASSES[c]}\n" for i, (_, c) in enumerate(images)]
    (root / "labels.csv").write_text("file,label\n" + "".join(rows))
    return root


def _list(root: Path, images: Labelled) -> Path:
    write(root, {f"some where/{i:03}.png": image for i, (image, _) in enumerate(images)})
    rows = [f"some where/{i:03}.png {c}\n" for i, (_, c) in enumerate(images)]
    (root / "val.txt").write_text("".join(rows))
    return root / "val.txt"


def _members(images: Labelled) -> Iterable[tuple[str, bytes]]:
    for i, (image, c) in enumerate(images):
        yield f"{i:03}.png", image
        yield f"{i:03}.cls", str(c).encode()


def _shards(root: Path, images: Labelled) -> Path:
    root.mkdir(parents=True)
    half = len(images) // 2
    tar(root / "s-00.tar", _members(images[:half]))
    tar(root / "s-01.tar", _members(images[half:]))
    return root / "s-{00..01}.tar"


def _compressed(root: Path, images: Labelled) -> Path:
    root.mkdir(parents=True)
    return tar(root / "s.tar.gz", _members(images), "w:gz")


def _hugging_face(root: Path, images: Labelled) -> Path:
    root.mkdir(parents=True)
    # Other names' order than the checkpoint's: its labels are not the checkpoint's.
    names = CLASSES[::-1]
    labels = [names.index(CLASSES[c]) for _, c in images]
    return parquet(root / "a.parquet", [image for image, _ in images], labels, names)


def _binary(root: Path, images: Labelled) -> Path:
    root.mkdir(parents=True)
    half = len(images) // 2
    for number, part in enumerate((images[:half], images[half:])):
        path = root / f"{number}.parquet"
        parquet(path, [i for i, _ in part], [c for _, c in part], plain=True)
    return root


LAYOUTS: Final[dict[str, Callable[[Path, Labelled], Path]]] = {
    "folder": _folder,
    "nested": _nested,
    "table": _table,
    "list": _list,
    "shards": _shards,
    "compressed shard": _compressed,
    "hugging face": _hugging_face,
    "binary column": _binary,
}


def labelled(dataset: Dataset) -> dict[str, int | None]:
    """Digest -> label."""
    return {item.sha256: item.label for item in dataset.items}


def skipped(dataset: Dataset) -> dict[str, str]:
    """Name -> why an image is left out."""
    return {one.name: one.reason for one in dataset.unreadable}


def member(
    name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tarfile.TarInfo:
    """A header of a tar file."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info
