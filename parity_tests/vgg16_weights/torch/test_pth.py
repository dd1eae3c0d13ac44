"""torchvision's ``.pth``: what PyTorch saves is read, what is written PyTorch loads."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision as library

import vgg16_weights
from parity_tests.support.helpers import same
from parity_tests.support.weights.tiny_files import state_dict
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, Metadata, digest
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput
from vgg16_spec.names import torchvision_keys
from vgg16_weights.archives import stored

FORMAT = "torchvision"


@pytest.mark.full
def test_torchvisions_model_loads_the_file_strictly(tmp_path: Path) -> None:
    # Column A with 10 classes: torchvision's smallest whole network.
    checkpoint = generate(configuration("A", classes=10))
    vgg16_weights.write(checkpoint, tmp_path / "w.pth", FORMAT)
    with torch.device("meta"):
        model = library.models.vgg11(weights=None, num_classes=10)
    state = torch.load(tmp_path / "w.pth", weights_only=True)
    model.load_state_dict(state, strict=True, assign=True)
    assert np.array_equal(model.classifier[0].weight.numpy(force=True), checkpoint["fc1.weight"])
    assert same(vgg16_weights.read(tmp_path / "w.pth", FORMAT), checkpoint)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older format"])
def test_a_state_dict_that_pytorch_saves_is_read(
    tiny: Checkpoint, tmp_path: Path, zipped: bool
) -> None:
    path = tmp_path / "w.pth"
    torch.save(state_dict(tiny), path, _use_new_zipfile_serialization=zipped)
    read = vgg16_weights.read(path, FORMAT)
    assert same(read, tiny)
    assert read.metadata == Metadata("torchvision", "w.pth", "torchvision", digest(path))


def test_a_state_dict_in_another_order_is_read(tiny: Checkpoint, tmp_path: Path) -> None:
    torch.save(dict(reversed(state_dict(tiny).items())), tmp_path / "w.pth")
    assert same(vgg16_weights.read(tmp_path / "w.pth", FORMAT), tiny)


def test_a_damaged_entry_with_our_metadata_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    vgg16_weights.write(tiny, tmp_path / "w.pth", FORMAT)
    stored = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(stored.replace(b'"CC0-1.0"', b'"CC0-9.0"'))
    with pytest.raises(BadInput, match=r"vgg16.json is damaged: its checksum does not fit"):
        vgg16_weights.read(tmp_path / "w.pth", FORMAT)


STRANGE_STATE_DICTS = {
    "keys that do not sort": {"features.0.weight": torch.ones(1), "features.x.y": torch.ones(1)},
    "a superscript": {"features.².weight": torch.ones(1)},
    "sparse": {"features.0.weight": torch.ones(2).to_sparse()},
    "scalar": {"features.0.weight": torch.tensor(1.0)},
    "numbers for names": {1: torch.ones(1)},
    "empty": {},
}


@pytest.mark.parametrize("state", STRANGE_STATE_DICTS.values(), ids=STRANGE_STATE_DICTS)
def test_strange_state_dicts_are_refused(state: dict[Any, torch.Tensor], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(BadInput, match=r"has no convolutions|not named tensors|cannot be used"):
        vgg16_weights.read(tmp_path / "w.pth", FORMAT)


def test_problems_of_a_state_dict_stand_in_one_error(tiny: Checkpoint, tmp_path: Path) -> None:
    state = state_dict(tiny)
    del state["classifier.3.bias"]
    state["extra"] = torch.ones(1)
    state["classifier.0.bias"] = state["classifier.0.bias"].to(torch.int8)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(BadInput, match=r"missing: fc2.bias; unexpected: extra; wrong type: fc1.b"):
        vgg16_weights.read(tmp_path / "w.pth", FORMAT)


def test_nothing_in_a_pickle_is_executed(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(tmp_path / "executed"), "w"))

    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("w/data.pkl", pickle.dumps(Malicious(), protocol=2))
        archive.writestr("w/version", "3")
        archive.writestr("w/byteorder", "little")
    with pytest.raises(BadInput, match="cannot be used"):
        vgg16_weights.read(tmp_path / "w.pth", FORMAT)
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Malicious(), protocol=2))
    with pytest.raises(BadInput, match="is a plain pickle"):
        vgg16_weights.read(tmp_path / "old.pth", FORMAT)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("mapped", [True, False])
def test_pytorch_loads_what_is_written(tiny: Checkpoint, tmp_path: Path, mapped: bool) -> None:
    path = tmp_path / "w.pth"
    vgg16_weights.write(tiny, path, FORMAT)
    state = torch.load(path, weights_only=True, mmap=mapped)
    keys = torchvision_keys(tiny.configuration)
    assert list(state) == list(keys.values())
    for name, key in keys.items():
        assert state[key].is_contiguous()
        assert state[key].numpy().tobytes() == tiny[name].tobytes()
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


def test_values_in_the_archive_are_aligned_and_stored(tiny: Checkpoint, tmp_path: Path) -> None:
    vgg16_weights.write(tiny, tmp_path / "w.pth", FORMAT)
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        offsets = [stored(tmp_path / "w.pth", member)[0] for member in archive.infolist()]
    assert len(offsets) > len(tiny)
    assert all(offset % 64 == 0 for offset in offsets)


def test_the_same_values_give_the_same_bytes(tiny: Checkpoint, tmp_path: Path) -> None:
    for name in ("a.pth", "b.pth"):
        vgg16_weights.write(tiny, tmp_path / name, FORMAT)
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()


def test_a_state_dict_of_views_is_read(tiny: Checkpoint, tmp_path: Path) -> None:
    state = state_dict(tiny)
    state["classifier.3.weight"] = state["classifier.3.weight"].T.contiguous().T
    torch.save(state, tmp_path / "w.pth")
    assert same(vgg16_weights.read(tmp_path / "w.pth", FORMAT), tiny)
