"""Read damaged files: ``python -m parity_tests.support.weights.fuzzing FORMAT FILE SEED FROM TO``.

A process of its own, since the libraries underneath could end it: what it was about to read is
said before, so that who started it knows what ended it. A reader that hangs is ended by an alarm.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import tempfile
import traceback
from pathlib import Path

from parity_tests.support.structured import structured
from parity_tests.support.weights.mutants import by_library, mutant, places, structure, unlike
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_weights import detect, read

# For one file, on a machine that is busy with other tests.
SECONDS = 30
# What one file may make the process take, beside what it has taken by reading the valid one.
MEMORY = 600 << 20


def main(name: str, file: str, seed: int, start: int, stop: int) -> None:
    path = Path(file)
    whole, original = path.read_bytes(), read(path, name)
    where = places(whole, original)
    telling = structure(whole, where)
    counts = {"refused": 0, "read": 0}
    before = _peak()
    with tempfile.TemporaryDirectory() as folder:
        damaged = Path(folder) / f"mutant{path.suffix}"
        for number in range(start, stop):
            print(json.dumps({"next": number}), flush=True)
            content = structured(name, whole, seed, number) if number % 2 else None
            content = content or mutant(whole, telling, seed, number)
            damaged.write_bytes(content)
            signal.alarm(SECONDS)
            outcome = "read"
            problems: list[str] = []
            try:
                # What is told from the content alone now and then, since it asks every format.
                checkpoint = read_whole(damaged, name if number % 4 else detect(damaged))
                for tensor, orders in unlike(original, checkpoint, where, content):
                    if not any(order in by_library(damaged, name) for order in orders):
                        problems.append(f"{tensor} has other values than the file")
            except BadInput as error:
                outcome = "refused"
                if "\n" in str(error) or not str(error).startswith(f"{damaged}: "):
                    problems.append(f"not one line about the file: {error}")
            except BaseException:
                problems.append(traceback.format_exc())
            signal.alarm(0)
            if (now := _peak()) > before + MEMORY:
                problems.append(f"took {(now - before) >> 20} MiB")
                before = now
            counts[outcome] += 1
            if problems:
                print(json.dumps({"number": number, "problems": problems}), flush=True)
    print(json.dumps(counts), flush=True)


def read_whole(path: Path, name: str) -> Checkpoint:
    checkpoint = read(path, name)
    checkpoint.check_values()
    for tensor in checkpoint:
        assert checkpoint[tensor].shape == checkpoint.configuration.weight_shapes[tensor]
    return checkpoint


def _peak() -> int:
    """The most memory that the process has taken, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


if __name__ == "__main__":
    name, file, *numbers = sys.argv[1:]
    main(name, file, *map(int, numbers))
