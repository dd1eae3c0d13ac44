"""Published sets of weights as they are, but of the tiny network and from a server of our own."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from parity_tests.support.weights.server import WeightServer
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.names import torchvision_keys
from vgg16_weights import write
from vgg16_weights.published.pretrained import PUBLISHED, Digest, Published


def publish(tiny: Checkpoint, server: WeightServer, folder: Path) -> dict[str, Published]:
    """The records, with the files of the exact formats on the server.

    The files are what the publishers' are: nobody's metadata of ours in them, the features' file
    with a classifier of NaN.
    """
    records: dict[str, Published] = {}
    for name, record in PUBLISHED.items():
        content = _content(name, tiny, folder)
        server.files[record.file] = content
        digest = hashlib.new(record.digest.algorithm, content).hexdigest()
        records[name] = replace(
            record,
            url=f"{server.url}/{record.file}",
            digest=Digest(record.digest.algorithm, digest[: len(record.digest.value)]),
            size=len(content),
            configuration="tiny",
            repository="",
        )
    return records


def _content(name: str, tiny: Checkpoint, folder: Path) -> bytes:
    path = folder / "published"
    match name:
        case "keras-imagenet" | "keras-imagenet-notop":
            import h5py

            write(tiny.without_top() if name.endswith("notop") else tiny, path, "keras-h5")
            with h5py.File(path, "r+") as file:
                file.attrs.pop("vgg16", None)
        case "timm-tv-in1k":
            from safetensors.numpy import load_file, save_file

            write(tiny, path, "timm")
            save_file(load_file(path), path, metadata={"format": "pt"})
        case _:
            state = {
                key: torch.from_numpy(np.array(tiny[ours]))
                for ours, key in torchvision_keys(tiny.configuration).items()
            }
            if name == "torchvision-imagenet1k-features":
                for key in state:
                    if key.startswith("classifier."):
                        state[key] = torch.full_like(state[key], torch.nan)
            buffer = io.BytesIO()
            torch.save(state, buffer)
            return buffer.getvalue()
    return path.read_bytes()
