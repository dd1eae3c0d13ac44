"""Damaged files of every format are refused in one line, or read as what they say.

A mutant of a valid file ends in ``BadInput``, or in a checkpoint each tensor of which has the
original's values, or the bytes that stand in their place now, or what the format's own library
reads. Nothing else: no traceback, no crash, no hang, no gigabyte. ``pytest --fuzz N`` reads N of
each form, a tenth of it where a file is read in another process first. A mutant is made from its
number, so ``parity_tests.support.weights.fuzzing`` makes it again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from parity_tests.support.weights.mutants import mutant, places, structure
from parity_tests.support.weights.tiny_files import TINY_FILES
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_weights import read

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no alarm on Windows")

SEED = 16


def smallest() -> Checkpoint:
    return generate(configuration("tiny", classes=7))


@pytest.mark.slow
@pytest.mark.parametrize("form", TINY_FILES)
def test_mutants_are_refused_or_read_as_what_they_say(
    form: str, tmp_path: Path, mutants: int
) -> None:
    file_format, make = TINY_FILES[form]
    if file_format.startswith(("keras", "caffe-h5", "torch-h5", "matconvnet")):
        mutants //= 10
    path = tmp_path / "weights"
    make(smallest(), path)
    problems: list[str] = []
    counts = {"refused": 0, "read": 0}
    start = 0
    while start < mutants:
        numbers = map(str, (SEED, start, mutants))
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "parity_tests.support.weights.fuzzing",
                file_format,
                str(path),
                *numbers,
            ],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd=Path(__file__).parents[2],
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        problems += [f"{line['number']}: {line['problems']}" for line in lines if "number" in line]
        begun = [line["next"] for line in lines if "next" in line]
        assert begun, done.stderr
        if done.returncode == 0:
            counts = {key: counts[key] + lines[-1][key] for key in counts}
            break
        problems.append(f"{begun[-1]}: ended the process with status {done.returncode}")
        start = begun[-1] + 1
    assert problems == []
    # Both happen, or the changes were all too small or all too large.
    # So few of the slow forms are read that all of them may be refused.
    assert counts["refused"] > 0, counts
    assert counts["read"] > 0 or sum(counts.values()) < 100, counts


@pytest.mark.usefixtures("no_first_reading")
@pytest.mark.parametrize("form", TINY_FILES)
def test_values_are_found_in_their_places(form: str, tmp_path: Path) -> None:
    """What a mutant is judged by: without it nearly anything would pass as what the file says."""
    file_format, make = TINY_FILES[form]
    path = tmp_path / "weights"
    make(smallest(), path)
    original, whole = read(path, file_format), path.read_bytes()
    where = places(whole, original)
    if "compressed" not in form and "chunks" not in form:
        assert set(where) == set(original)
    telling = structure(whole, where)
    assert len(telling) == len(whole) - sum(place.end - place.start for place in where.values())
    assert mutant(whole, telling, SEED, 3) == mutant(whole, telling, SEED, 3) != whole
