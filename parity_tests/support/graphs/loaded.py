"""An ONNX file with its weights in a file beside it, and what a command says of one."""

from __future__ import annotations

from pathlib import Path

import onnx

from parity_tests.support.helpers import Command

DATA = "weights.bin"


def change(path: Path, key: str, value: str) -> None:
    """Have the first weight say something else about where its bytes are."""
    model = onnx.load(path, load_external_data=False)
    tensor = model.graph.initializer[0]
    kept = [entry for entry in tensor.external_data if entry.key != key]
    kept.append(onnx.StringStringEntryProto(key=key, value=value))
    tensor.ClearField("external_data")
    tensor.external_data.extend(kept)
    path.write_bytes(model.SerializeToString())


def refused(vgg16: Command, path: Path) -> str:
    """What the command line says of a file, after its name."""
    done = vgg16("check", path, "--configuration", "tiny")
    last = done.err.strip().splitlines()[-1]
    assert done.status == 2, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    assert last.startswith(f"vgg16: {path}: ")
    return last.removeprefix(f"vgg16: {path}: ")
