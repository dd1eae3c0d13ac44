"""Whatever the command line cannot use ends in exit status 2 and one line: what, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from parity_tests.support.helpers import Command, same
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, open_checkpoint, write_checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.images.photographs import PHOTOGRAPHS

CAT = str(PHOTOGRAPHS[0].path)


def damaged(folder: Path, change: Callable[[dict[str, np.ndarray]], object]) -> Path:
    """The tiny checkpoint with its tensors changed."""
    source = write_checkpoint(generate(configuration("tiny")), folder / "source").file
    tensors = {name: values.copy() for name, values in load_file(source).items()}
    change(tensors)
    metadata = {"format": "vgg16-checkpoint/1", "configuration": "tiny", "recipe": "caffe"}
    save_file(tensors, folder / "damaged.safetensors", metadata=metadata)
    return folder / "damaged.safetensors"


@pytest.fixture
def bad(tmp_path: Path, tiny: Checkpoint) -> dict[str, Path]:
    """Files that cannot be used, by what is wrong with them."""
    files = {
        "missing": tmp_path / "missing.safetensors",
        "text": tmp_path / "text.safetensors",
        "truncated": tmp_path / "truncated.safetensors",
        "truncated pth": tmp_path / "truncated.pth",
        "truncated h5": tmp_path / "truncated.weights.h5",
        "zip": tmp_path / "other.zip",
        "shape": damaged(tmp_path, lambda t: t.update({"fc2.bias": np.ones(3, np.float32)})),
        "folder": tmp_path,
    }
    files["text"].write_text("these are not weights")
    whole = tiny.file.read_bytes()
    files["truncated"].write_bytes(whole[: len(whole) // 2])
    torch.save({"x": torch.ones(4000)}, files["truncated pth"])
    files["truncated pth"].write_bytes(files["truncated pth"].read_bytes()[:4000])
    files["truncated h5"].write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    import zipfile

    with zipfile.ZipFile(files["zip"], "w") as archive:
        archive.writestr("readme.txt", "no weights")
    return files


BAD_WEIGHTS = {
    "missing": "no such file; expected a weights file",
    "text": "not a weights file; expected one of the 15 formats that docs/weights.md lists",
    "truncated": "is truncated",
    "truncated pth": "is truncated",
    "truncated h5": "cannot be used",
    "zip": "not a weights file",
    "shape": "wrong shape: fc2.bias is (3,) instead of (32,); "
    "expected the tensors of configuration tiny",
    "folder": "is a folder; expected a file: ",
}


@pytest.mark.parametrize("kind", BAD_WEIGHTS)
@pytest.mark.parametrize("command", ["parity", "port", "predict", "export"])
def test_weights_that_cannot_be_used_are_one_line(
    vgg16: Command, bad: dict[str, Path], tmp_path: Path, command: str, kind: str
) -> None:
    out = tmp_path / "out.weights.h5"
    arguments: dict[str, list[str | Path]] = {
        "parity": ["--weights", bad[kind]],
        "port": [bad[kind], out],
        "predict": [CAT, "--weights", bad[kind]],
        "export": ["--framework", "torch", "--out", out, "--weights", bad[kind]],
    }
    done = vgg16(command, *arguments[command])
    last = done.err.strip().splitlines()[-1]
    assert done.status == 2
    assert last.startswith(f"vgg16: {bad[kind]}: {BAD_WEIGHTS[kind]}")
    assert done.out == ""
    assert "Traceback" not in done.err
    assert not out.exists()
    assert not list(tmp_path.glob(".*.tmp"))


BAD_ARGUMENTS = {
    "unknown runtime": (["parity", "--runtimes", "torch,theano"], "runtime: 'theano' is unknown"),
    "empty weights": (["parity", "--weights", ""], ".: is a folder; expected a weights file"),
    "empty configuration": (["parity", "--configuration", ""], "configuration: '' is unknown"),
    "no runtime": (["parity", "--runtimes", ""], "runtime: '' is unknown"),
    "unknown configuration": (
        ["parity", "--configuration", "F"],
        "configuration: 'F' is unknown",
    ),
    "unknown summary": (["summary", "--configuration", "F"], "configuration: 'F' is unknown"),
    "empty configuration of a summary": (
        ["summary", "--configuration", ""],
        "configuration: '' is unknown",
    ),
    "empty lanes": (["parity", "--lanes", ""], "lane: '' is unknown; expected one of strict, "),
    "quick gradients": (
        ["parity", "--quick", "--gradients"],
        "--quick: cannot be combined with --gradients; expected one of the two",
    ),
    "unknown seed of a port": (
        ["port", "seeded:x", "w.pth"],
        "--weights: the seed is 'x'; expected a whole number",
    ),
    "unknown device": (
        ["parity", "--device", "tpu"],
        "--device: 'tpu' is unknown; expected one of",
    ),
    "unknown seed": (
        ["parity", "--weights", "seeded:x"],
        "--weights: the seed is 'x'; expected a w",
    ),
    "huge seed": (["parity", "--weights", f"seeded:{2**64}"], f"seed: is {2**64}; expected 0 to"),
    "folder for an image": (
        ["parity", "--images", ".", "--configuration", "tiny"],
        ".: is a folder; expected",
    ),
    "missing image": (["predict", "none.png", "--configuration", "tiny"], "none.png: no such file"),
    "not an image": (
        ["parity", "--configuration", "tiny", "--images", __file__],
        f"{__file__}: not a picture; expected a picture",
    ),
    "unknown framework": (
        ["export", "--framework", "mxnet", "--out", "x"],
        "--framework: 'mxnet' is unknown; expected one of keras, torch",
    ),
    "unknown layout": (
        ["export", "--framework", "torch", "--out", "x", "--layout", "chwn"],
        "--layout: 'chwn' is unknown; expected one of nchw, nhwc",
    ),
    "unknown backend": (
        ["export", "--framework", "keras", "--out", "x", "--backend", "numpy"],
        "--backend: 'numpy' is unknown; expected one of tensorflow, jax, torch",
    ),
    "unknown batch": (
        ["export", "--framework", "keras", "--out", "x", "--batch", "many"],
        "--batch: is 'many'; expected dynamic or a whole number",
    ),
    "old opset": (
        ["export", "--framework", "keras", "--out", "x", "--opset", "9"],
        "--opset: is 9; expected 13 or newer",
    ),
    "new opset": (
        ["export", "--framework", "keras", "--out", "x", "--opset", "99"],
        "--opset: is 99; expected 13 to",
    ),
    "int8 without pictures": (
        ["export", "--framework", "keras", "--out", "x", "--precision", "int8"],
        "--precision int8: needs pictures; expected --calibrate DIR",
    ),
    "shared in a folder": (
        ["export", "--framework", "keras", "--out", "x", "--weights-file", "shared"],
        "--weights-file shared: needs a file, not the folder x; expected --out FILE.onnx",
    ),
    "unknown format": (["port", CAT, "x.pth", "--from", "gif"], "format: 'gif' is unknown"),
    "unknown recipe": (["port", CAT, "x.pth", "--recipe", "x"], "--recipe: 'x' is unknown"),
    "report in no folder": (
        ["parity", "--configuration", "tiny", "--report", "none/r.json"],
        "none: no such folder; expected an existing folder to write to",
    ),
    "unknown option": (["parity", "--nonsense"], "No such option: --nonsense"),
    "unknown command": (["train"], "No such command 'train'"),
    "missing argument": (["port", CAT], "Missing argument 'DESTINATION'"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_bad_usage_is_one_line(vgg16: Command, arguments: list[str], message: str) -> None:
    done = vgg16(*arguments)
    last = done.err.strip().splitlines()[-1]
    assert done.status == 2
    assert last.startswith(f"vgg16: {message}")
    assert done.out == ""
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "command", [["parity", "--images"], ["predict"], ["check", CAT, "--images"]]
)
def test_a_picture_that_is_not_there_is_told_before_the_weights_are_made(
    vgg16: Command, command: list[str]
) -> None:
    done = vgg16(*command, "none.png")
    assert done.status == 2
    assert done.err.splitlines() == [
        "vgg16: none.png: no such file; expected a picture (JPEG, PNG, WebP, …)"
    ]


def test_values_that_are_not_finite_are_one_line(vgg16: Command, tmp_path: Path) -> None:
    path = damaged(tmp_path, lambda tensors: tensors["fc1.weight"].fill(np.nan))
    done = vgg16("parity", "--weights", path)
    assert done.status == 2
    assert done.err.strip().endswith(
        "not finite (NaN or infinity): fc1.weight; expected finite values"
    )


def test_a_checkpoint_of_another_configuration_is_one_line(
    vgg16: Command, tiny: Checkpoint
) -> None:
    done = vgg16("parity", "--weights", tiny.file, "--configuration", "D")
    assert done.status == 2
    assert done.err.strip().splitlines()[-1] == (
        f"vgg16: {tiny.file}: holds configuration tiny; expected configuration D"
    )


def test_an_export_into_a_used_folder_is_one_line(vgg16: Command, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    done = vgg16("export", "--framework", "torch", "--configuration", "tiny", "--out", tmp_path)
    assert done.status == 2
    assert f"{tmp_path}: holds thesis.tex; expected a new folder" in done.err


def test_what_is_not_installed_is_one_line_with_the_remedy(
    vgg16: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from vgg16_parity.runtimes import registry

    monkeypatch.setattr(registry, "find_spec", lambda _: None)
    done = vgg16("export", "--framework", "keras", "--out", tmp_path / "out")
    assert done.status == 2
    assert "--framework keras on tensorflow: keras and tensorflow and " in done.err
    assert 'are not installed: pip install "vgg16-parity[keras]"' in done.err
    done = vgg16("predict", CAT)
    assert done.status == 2
    assert 'none is installed; expected pip install "vgg16-parity[torch]"' in done.err
    done = vgg16("predict", CAT, "--runtime", "keras-jax")
    assert 'pip install "vgg16-parity[jax]"' in done.err


def test_without_pytorch_a_pth_file_is_read_and_writing_one_is_one_line_with_the_remedy(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vgg16_weights import formats

    assert vgg16("port", tiny.file, tmp_path / "w.pth").status == 0
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    done = vgg16("port", tiny.file, tmp_path / "x.pth")
    assert done.status == 2
    remedy = 'needs PyTorch, which is not installed; expected pip install "vgg16-parity[torch]"'
    assert remedy in done.err
    assert not (tmp_path / "x.pth").exists()
    assert vgg16("port", tmp_path / "w.pth", tmp_path / "x.safetensors").status == 0
    assert same(open_checkpoint(tmp_path / "x.safetensors"), tiny)
