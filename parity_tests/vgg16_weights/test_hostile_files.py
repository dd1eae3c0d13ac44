"""Files that mean harm are refused in one line: nothing runs, nothing appears, little is taken."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from parity_tests.support.failing.measured import measured
from parity_tests.support.helpers import Command, same
from parity_tests.support.weights.hostile.archives import ARCHIVES
from parity_tests.support.weights.hostile.common import CANARY
from parity_tests.support.weights.hostile.files import FILES, TOLD
from parity_tests.support.weights.hostile.hdf5 import HDF5, SECRET
from parity_tests.support.weights.hostile.npy import NPY
from parity_tests.support.weights.hostile.pth import PTH
from parity_tests.support.weights.hostile.safetensors import SAFETENSORS
from vgg16_spec.checkpoint import Checkpoint, open_checkpoint

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows"),
]

HOSTILE: Final = PTH | ARCHIVES | SAFETENSORS | HDF5 | FILES | NPY
CASES: Final = [*HOSTILE, *(f"{name} as {told}" for name, all_ in TOLD.items() for told in all_)]
# For any one file, beside what the libraries take.
MOST_BYTES: Final = 600 << 20
# For a process in which a file is read first: its limit, and what it maps of libraries.
MOST_APART: Final = 1_100_000_000 + (200 << 20)
MOST_SECONDS: Final = 30


@pytest.fixture(scope="module")
def ported(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``vgg16 port`` made of each hostile file."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "out").mkdir()
    paths: dict[str, str] = {}
    ports: list[tuple[str, list[str]]] = []
    for number, (name, (make, _)) in enumerate(HOSTILE.items()):
        place = folder / str(number)
        place.mkdir()
        make(place / "weights", tiny)
        path = str(place / "weights")
        port = ["port", path, str(folder / "out" / "ported.safetensors")]
        named = [(name, port)]
        named += [(f"{name} as {told}", [*port, "--from", told]) for told in TOLD.get(name, ())]
        ports += named
        paths |= dict.fromkeys(dict(named), path)
    (folder / "out" / "ported.safetensors").write_text("old")
    results = measured(ports, folder / "out")
    for name, path in paths.items():
        beside = {entry.name for entry in Path(path).parent.iterdir()}
        results[name]["beside"] = sorted(beside - {"weights", SECRET})
        results[name]["path"] = path
    # Terabytes, if only by their names.
    shutil.rmtree(folder)
    return results


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_in_one_line(ported: dict[str, Any], name: str) -> None:
    result = ported[name]
    assert result["status"] == 2, result
    lines = result["text"].strip().splitlines()
    assert lines[-1].startswith(f"vgg16: {result['path']}: "), result
    assert HOSTILE.get(name, ("", ""))[1] in lines[-1]
    assert "Traceback" not in result["text"]


@pytest.mark.parametrize("name", CASES)
def test_it_runs_nothing_and_leaves_nothing(ported: dict[str, Any], name: str) -> None:
    assert CANARY not in ported[name]["beside"]
    assert ported[name]["beside"] == []
    assert ported[name]["left"] == {"ported.safetensors": "old"}


@pytest.mark.parametrize("name", CASES)
def test_it_takes_little(ported: dict[str, Any], name: str) -> None:
    assert 0 <= ported[name]["memory"] < MOST_BYTES, ported[name]
    assert ported[name]["memory apart"] < MOST_APART, ported[name]
    assert ported[name]["seconds"] < MOST_SECONDS, ported[name]


def test_the_canary_sings(tmp_path: Path) -> None:
    """What the hostile pickles hold does run where somebody lets it."""
    import torch

    names = ("a call in a .pth", "an evaluation in an older .pth", "a tensor's class in a .pth")
    for name in names:
        PTH[name][0](tmp_path / "w", None)  # type: ignore[arg-type]
        torch.load(tmp_path / "w", weights_only=False)
        (tmp_path / CANARY).unlink()


def test_a_link_to_a_weights_file_is_followed(
    tiny: Checkpoint, tmp_path: Path, vgg16: Command
) -> None:
    """As the caches of the hub have them, and people who keep one copy."""
    (tmp_path / "link").symlink_to(tiny.file)
    done = vgg16("port", tmp_path / "link", tmp_path / "w.safetensors")
    assert done.status == 0, done.err
    assert same(open_checkpoint(tmp_path / "w.safetensors"), tiny)
