"""``docs/how-to/port-my-weights.md``: its lines for refused files save their weights."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vgg16_weights
from vgg16_spec.checkpoint.seeded import seeded_checkpoint
from vgg16_spec.errors import BadInput

torch = pytest.importorskip("torch")

import torch_impl  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "port-my-weights.md"


def lines(what: str) -> str:
    """The code in the row of a kind of file."""
    (row,) = [
        line
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| {what}")
    ]
    return "\n".join(re.findall(r"`([^`]+)`", row.rpartition(" | ")[2]))


def model() -> Any:
    return torch_impl.VGG("tiny", weights=seeded_checkpoint("tiny", 7)).eval()


def state() -> dict[str, Any]:
    return dict(model().state_dict())


def pickled_module() -> Path:
    torch.save(model(), "mine.pth")
    return Path("mine.pth")


def script() -> Path:
    torch.jit.save(torch.jit.trace(model(), torch.zeros(1, 3, 64, 64)), "mine.pt")
    return Path("mine.pt")


def program() -> Path:
    torch.export.save(torch.export.export(model(), (torch.zeros(1, 3, 64, 64),)), "mine.pt2")
    return Path("mine.pt2")


def shards(ending: str, save: Callable[[dict[str, Any], str], None]) -> Path:
    values = list(state().items())
    for number, part in enumerate((values[:9], values[9:]), 1):
        save(dict(part), f"model-{number:05}-of-00002.{ending}")
    return Path(f"model-00001-of-00002.{ending}")


def bin_shards() -> Path:
    return shards("bin", torch.save)


def safetensors_shards() -> Path:
    from safetensors.torch import save_file

    return shards("safetensors", save_file)


def pickled_arrays() -> Path:
    arrays = {name: tensor.numpy() for name, tensor in state().items()}
    Path("mine.pkl").write_bytes(pickle.dumps(arrays))
    return Path("mine.pkl")


@pytest.mark.parametrize(
    ("what", "make"),
    [
        ("a whole pickled PyTorch model", pickled_module),
        ("TorchScript", script),
        ("a program of `torch.export`", program),
        ("shards, `…-00001-of-00002.bin`", bin_shards),
        ("shards, `…-00001-of-00002.safetensors`", safetensors_shards),
        ("a pickle of NumPy arrays", pickled_arrays),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_the_lines_for_a_refused_file_save_its_weights(
    what: str, make: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file, save_file

    monkeypatch.chdir(tmp_path)
    path = make()
    with pytest.raises(BadInput):
        vgg16_weights.read(path)
    names = {"torch": torch, "pickle": pickle, "glob": glob}
    exec(lines(what), names | {"load_file": load_file, "save_file": save_file})
    (saved,) = tmp_path.glob("weights.*")
    found, expected = vgg16_weights.read(saved), seeded_checkpoint("tiny", 7)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
