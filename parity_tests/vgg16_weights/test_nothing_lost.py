"""A port that is killed, or that finds no room, loses nothing and leaves nothing for long."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vgg16_weights
from parity_tests.support.failing import killing
from parity_tests.support.helpers import full_disk, same
from parity_tests.support.weights.tiny_files import TINY_FILES
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, write_checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput

pytestmark = pytest.mark.slow

WRITTEN = vgg16_weights.writable()


@killing.needs_fork
@pytest.mark.parametrize("name", WRITTEN)
def test_a_killed_port_leaves_the_old_file_or_the_new_and_the_next_clears_up(
    tiny: Checkpoint, tmp_path: Path, name: str
) -> None:
    older = write_checkpoint(generate(configuration("tiny"), 5), tmp_path / "older.safetensors")
    (tmp_path / "out").mkdir()
    report = killing.report("weights.killed_port", older.file, tiny.file, tmp_path / "out", name)
    assert set(report["found"]) <= {"old", "new", "absent"}, report
    assert sum(report["found"].values()) == killing.ATTEMPTS
    # Some of the moments lie within the writing, or nothing was cleared up.
    assert report["strays"] > 0, report


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with less room than a tiny checkpoint takes."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip(reason="only root mounts a file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(reason=f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_full_disk_keeps_the_old_file_and_is_one_line(
    tiny: Checkpoint, small_disk: Path, name: str
) -> None:
    destination = small_disk / "weights"
    destination.write_text("old")
    done = subprocess.run(
        [sys.executable, "-m", "vgg16_parity", "port", tiny.file, destination, "--to", name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"vgg16: {destination}: cannot be written (No space left on device)")
    assert "Traceback" not in done.stderr
    assert destination.read_text() == "old"
    assert list(small_disk.iterdir()) == [destination]


def test_a_port_onto_its_own_source_keeps_it_until_it_is_whole(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "weights"
    for name in WRITTEN:
        vgg16_weights.write(tiny, path, name)
        vgg16_weights.write(vgg16_weights.read(path), path, name)
        assert same(vgg16_weights.read(path), tiny)
        with pytest.raises(BadInput, match="is unknown"):
            vgg16_weights.write(vgg16_weights.read(path), path, "gif")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("form", ["torchvision, among others", "torchvision, older, among others"])
def test_a_port_onto_a_file_with_more_in_it_keeps_it_until_it_is_whole(
    tiny: Checkpoint, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "weights"
    TINY_FILES[form][1](tiny, path)
    whole = path.read_bytes()
    checkpoint = vgg16_weights.read(path)
    with full_disk(), pytest.raises(BadInput, match="cannot be written"):
        vgg16_weights.write(checkpoint, path, "torchvision")
    assert path.read_bytes() == whole
    vgg16_weights.write(checkpoint, path, "torchvision")
    assert same(vgg16_weights.read(path), tiny)
    assert list(tmp_path.iterdir()) == [path]
