"""Kill ports at random moments; run as a module with ``OLD NEW FOLDER FORMAT``.

A process of its own, so that each attempt can be a fork: it has its modules already and spends its
time in the port. Prints what it found as JSON.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import vgg16_weights
from parity_tests.support.failing.killing import ATTEMPTS, attempt


def main(old: str, new: str, out: str, name: str) -> None:
    folder = Path(out)
    destination = folder / "weights"

    def port(source: str, kill_after: float | None = None) -> float:
        return attempt(
            lambda: vgg16_weights.write(vgg16_weights.read(source), destination, name), kill_after
        )

    port(old)
    older = destination.read_bytes()
    seconds = port(new)
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
        port(new, moments.uniform(0, 1.1 * seconds))
        if destination.exists():
            found[known.get(destination.read_bytes(), "broken")] += 1
        else:
            found["lost" if over else "absent"] += 1
        strays += len(hidden(folder)) > 0
        # How long it takes changes with what else the machine does.
        seconds = port(new)
        if left := hidden(folder):
            found[f"left: {left}"] += 1
    print(json.dumps({"found": found, "strays": strays, "seconds": seconds}))


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "weights")


if __name__ == "__main__":
    # Imported once, before the forks: every format's module, and PyTorch, or most of the moments
    # would lie within its import.
    vgg16_weights.writable()
    if "torchvision" in sys.argv:
        import_module("torch")
    main(*sys.argv[1:])
