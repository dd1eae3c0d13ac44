"""Kill ports at random moments: ``python -m parity_tests.killed_port OLD NEW FOLDER FORMAT``.

A process of its own, so that each attempt can be a fork: it has its modules already and spends its
time in the port. Prints what it found as JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import weight_files

ATTEMPTS = 20


def main(old: str, new: str, out: str, name: str) -> None:
    folder = Path(out)
    destination = folder / "weights"
    attempt(old, destination, name, None)
    older = destination.read_bytes()
    seconds = attempt(new, destination, name, None)
    newer = destination.read_bytes()
    known = {older: "old", newer: "new"}
    moments = random.Random(16)
    found: Counter[str] = Counter()
    strays = 0
    for index in range(ATTEMPTS):
        # Over an earlier file and into nothing, in turns.
        over = index % 2 == 0
        destination.unlink()
        if over:
            destination.write_bytes(older)
        attempt(new, destination, name, moments.uniform(0, 1.1 * seconds))
        if destination.exists():
            found[known.get(destination.read_bytes(), "broken")] += 1
        else:
            found["lost" if over else "absent"] += 1
        strays += len(hidden(folder)) > 0
        attempt(new, destination, name, None)
        if left := hidden(folder):
            found[f"left: {left}"] += 1
    print(json.dumps({"found": found, "strays": strays, "seconds": seconds}))


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "weights")


def attempt(source: str, destination: Path, name: str, kill_after: float | None) -> float:
    """One port in a fork; its seconds."""
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            weight_files.write(weight_files.read(source), destination, name)
            status = 0
        finally:
            os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if kill_after is None and status != 0:
        raise RuntimeError(f"the port itself failed with status {status}")
    return time.perf_counter() - start


if __name__ == "__main__":
    # Imported once, before the forks: every format's module.
    weight_files.writable()
    main(*sys.argv[1:])
