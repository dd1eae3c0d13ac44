"""What people have in place of weights: called by its name, with the way to the weights."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from vgg16_spec.errors import BadInput
from vgg16_weights.signatures import (
    DOWNLOAD_AGAIN,
    JSON,
    MADE_FROM,
    TAR,
    UNPACK,
    kind_of,
)

_KERAS: Final = "weights; in Keras 2: keras.models.load_model(FOLDER).save_weights('weights.h5')"
_JIT: Final = "a state dict: m = torch.jit.load(FILE); torch.save(m.state_dict(), 'weights.pth')"
_EXPORTED: Final = (
    "a state dict: p = torch.export.load(FILE); torch.save(dict(p.state_dict), 'weights.pth')"
)
TO_TENSORS: Final = (
    "tensors: torch.save({k: torch.from_numpy(v) for k, v in arrays.items()}, 'weights.pth')"
)
_STATE: Final = "torch.save(model.state_dict(), 'weights.pth')"
# Endings of files that may have weights in them, for folders and archives.
_ENDINGS: Final = (
    *(".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".h5", ".keras", ".npz", ".npy"),
    *(".caffemodel", ".mat", ".onnx", ".tar", ".index"),
)
# More than the description of a model in TF.js takes, without the weights.
_MOST_JSON: Final = 1 << 22
_END_OF_ZIP: Final = b"PK\x05\x06"
_MOST_END: Final = (1 << 16) + 22
# Hugging Face's name of one of several files.
_ONE_OF_SEVERAL: Final = re.compile(r".*-(\d{5})-of-(\d{5})\.\w+")
_JOINED: Final = (
    "one file of all of them: load each as a dictionary, join these, and save with torch.save"
)
_SHARD: Final = re.compile(r"group\d+-shard\d+of\d+(\.bin)?")
# Of files whose content does not tell.
_NAMED: Final = {
    ".mlmodel": ("a Core ML model", MADE_FROM),
    ".engine": ("a TensorRT engine", MADE_FROM),
    ".plan": ("a TensorRT engine", MADE_FROM),
    ".params": ("MXNet's parameters", MADE_FROM),
    ".onnx": ("an ONNX graph", "a weights file, or the graph with vgg16 port"),
    ".pb": ("a TensorFlow graph", _KERAS),
}


def check(path: Path, start: bytes) -> None:
    """Raise ``BadInput`` for a file that begins like something else than weights, by its name."""
    if not start:
        raise BadInput(path, "is empty", DOWNLOAD_AGAIN)
    if (part := _ONE_OF_SEVERAL.fullmatch(path.name)) and int(part[2]) > 1:
        raise BadInput(path, f"is a shard, {int(part[1])} of {int(part[2])}", _JOINED)
    kind = kind_of(start)
    if kind is None or not kind.to_weights:
        return
    if kind.what == JSON:
        raise _json(path)
    if kind.what == TAR:
        raise _tar(path)
    raise BadInput(path, f"is {kind.what}", kind.to_weights)


def check_name(path: Path) -> None:
    """The same by a file's name, where its content tells nothing."""
    if _SHARD.fullmatch(path.name):
        raise BadInput(path, "is a part of a TF.js model", _way_from_js())
    if found := _NAMED.get(path.suffix.lower()):
        raise BadInput(path, f"is {found[0]}", found[1])


def check_folder(path: Path) -> None:
    """Raise ``BadInput`` for a folder that is a model, or has weights in it: it says which."""
    if not path.is_dir():
        return
    names = sorted(entry.name for entry in path.iterdir())
    if "saved_model.pb" in names:
        raise BadInput(path, "is a folder: TensorFlow's SavedModel", _KERAS)
    if {"config.json", "model.weights.h5"} <= set(names):
        raise BadInput(path, "is a folder, an unpacked .keras", f"its {path / 'model.weights.h5'}")
    if "model.json" in names:
        raise BadInput(path, "is a folder with a TF.js model", _way_from_js())
    if found := [name for name in names if name.endswith(_ENDINGS)]:
        raise BadInput(path, "is a folder", f"a file: {_listed(found)}")


def archive(path: Path, names: Collection[str]) -> BadInput | None:
    """What a zip archive is that has no weights in it to read; ``None`` where it may have."""
    last = {name.partition("/")[2] for name in names}
    if "constants.pkl" in last or any(name.startswith("code/") for name in last):
        return BadInput(path, "is TorchScript", _JIT)
    if last & {"archive_format", "models/model.json"} or any(
        name.rpartition("/")[2] == "serialized_exported_program.json" for name in names
    ):
        return BadInput(path, "is a program of torch.export", _EXPORTED)
    if any("/data.pkl" in f"/{name}" for name in names):
        return None
    found = [name for name in names if name.endswith(_ENDINGS) and not name.endswith(".npy")]
    if found and not {"config.json", "model.weights.h5"} <= set(names):
        return BadInput(path, f"is a zip archive with {_listed(found)} in it", UNPACK)
    return None


def truncated(path: Path, start: bytes) -> BadInput | None:
    """What a file is that begins as weights do and ends before its end; ``None`` for another."""
    size = path.stat().st_size
    refusal = is_truncated(path)
    if start.startswith(b"PK\x03\x04"):
        with path.open("rb") as file:
            file.seek(max(0, size - _MOST_END))
            return None if _END_OF_ZIP in file.read() else refusal
    if start[8:9] == b"{":
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _MOST_JSON:
                return None
            text = file.read(length)
        try:
            header = json.loads(text)
            ends = [one["data_offsets"][1] for one in header.values() if "data_offsets" in one]
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
            return refusal if len(text) < length else None
        is_short = (
            all(isinstance(end, int) for end in ends) and 8 + length + max(ends, default=0) > size
        )
        return refusal if is_short else None
    return None


def is_truncated(path: Path) -> BadInput:
    """A file that ends too soon."""
    size = path.stat().st_size
    return BadInput(path, f"is truncated after {size:,} bytes", DOWNLOAD_AGAIN)


def a_module(path: Path, key: str, kind: str) -> BadInput:
    """A model saved as the object that it is, which only its own program can load."""
    begin, where = ("holds", f" under {key!r}") if key else ("is", "")
    name = kind.rpartition(".")[2][:40]
    way = f"a state dict, saved where the module can be loaded: {_STATE}"
    return BadInput(
        path, f"{begin} a whole pickled module ({name}){where}, which contains code", way
    )


def numpy_arrays(path: Path) -> BadInput:
    """A pickle of arrays."""
    return BadInput(path, "is a pickle of NumPy arrays", TO_TENSORS)


def other_arrays(path: Path, names: list[str]) -> BadInput:
    """A NumPy archive whose arrays are not called as Frossard's."""
    way = f"conv1_1_W … fc8_b; of PyTorch's arrays, {TO_TENSORS}"
    return BadInput(path, f"holds {_listed(names) or 'nothing'}", way)


def an_optimizer(path: Path) -> BadInput:
    """A file that a training script wrote beside the weights."""
    return BadInput(path, "holds only an optimiser's state", f"a state dict: {_STATE}")


def a_pickle(path: Path) -> BadInput:
    """A pickle that PyTorch did not write."""
    return BadInput(
        path, "is a plain pickle, which torch.save did not write", f"a state dict: {_STATE}"
    )


_KERAS_INDEX: Final = ".weights.json"


def _json(path: Path) -> BadInput:
    """TF.js's description of a model, or what a server answered instead of a file."""
    if path.stat().st_size <= _MOST_JSON:
        try:
            found = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and {"weightsManifest", "modelTopology"} & set(found):
            return BadInput(path, "describes a TF.js model", _way_from_js())
        if isinstance(found, dict) and "weight_map" in found:
            is_keras = path.name.endswith(_KERAS_INDEX)
            way = "one file: model.save_weights('x.weights.h5')" if is_keras else _JOINED
            return BadInput(path, "is the index of several shards, not weights", way)
    return BadInput(path, f"is {JSON}, not weights", DOWNLOAD_AGAIN)


def _tar(path: Path) -> BadInput:
    """A tar archive, which PyTorch 0.1 wrote too."""
    first = None
    with suppress(tarfile.TarError), tarfile.open(path, "r:") as archive:
        first = archive.next()
    if first is not None and first.name in ("sys_info", "pickle", "tensors", "storages"):
        problem = "is in the tar format of PyTorch 0.1"
        return BadInput(path, problem, f"a file saved again: {_STATE}")
    return BadInput(path, f"is {TAR}", UNPACK)


def _way_from_js() -> str:
    return (
        "an .h5: tensorflowjs_converter --input_format=tfjs_layers_model --output_format=keras "
        "model.json weights.h5"
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(name[:60] for name in names[:3]) + more
