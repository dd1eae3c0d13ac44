"""Kill an evaluation or its worker at random moments; run as a module with ``PORT FOLDER [views]``.

A process of its own, so that each attempt can be a fork: it has its modules already and spends its
time in the evaluation. Prints what it found as JSON.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

from parity_tests.support.evaluation.images import dataset, jpegs
from parity_tests.support.failing.killing import ATTEMPTS, attempt
from vgg16_parity.evaluate.run import evaluate
from vgg16_parity.runtimes.registry import own_port
from vgg16_spec.checkpoint.seeded import seeded_checkpoint
from vgg16_spec.images.views import CROPS, Views


def main(port: str, out: str, viewed: str = "") -> None:
    folder, scratch = Path(out) / "run", Path(out) / "scratch"
    scratch.mkdir()
    tempfile.tempdir = str(scratch)
    pictures, runtime = dataset([*jpegs(200), b""]), own_port(port)
    checkpoint = seeded_checkpoint("tiny")
    size = checkpoint.configuration.input_size
    views = Views((size, size + 32), size, crops=CROPS) if viewed else None

    def run() -> None:
        evaluate(pictures, checkpoint, [runtime], folder, views=views)

    def whole(kill_after: float | None = None) -> float:
        return attempt(run, kill_after)

    seconds = whole()
    right = results(folder)
    shutil.rmtree(folder)
    moments, found = random.Random(16), Counter[str]()
    for index in range(ATTEMPTS):
        moment = moments.uniform(0, seconds)
        if index % 2:
            whole(moment)
        else:
            whole_but_for_the_worker(run, moment)
        kept = results(folder)
        assert kept.items() <= right.items()
        done = sum(name.startswith("results") for name in kept)
        found["none" if not done else "some" if kept != right else "all"] += 1
        found["strays"] += bool(hidden(folder) or any(scratch.iterdir()))
        if kept == right:
            shutil.rmtree(folder)
    whole()
    print(
        json.dumps(
            {
                "found": found,
                "equal": results(folder) == right,
                "results": len(right),
                "left": [*hidden(folder), *map(str, scratch.iterdir())],
                "pixels": (folder / "pixels").exists(),
            }
        )
    )


def whole_but_for_the_worker(run: Callable[[], object], moment: float) -> None:
    """Kill the evaluation's worker alone: it ends by itself."""
    killed: list[int] = []

    def kill() -> None:
        time.sleep(moment)
        for task in Path("/proc/self/task").iterdir():
            with suppress(OSError):
                killed.extend(map(int, (task / "children").read_text().split()))
        for process in killed:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def work() -> None:
        Thread(target=kill, daemon=True).start()
        run()

    attempt(work, None)


def results(folder: Path) -> dict[str, bytes]:
    """Every file that two runs of the same have alike."""
    places = ("run.json", "results/*/*.npy", "shards/*.json")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for place in places
        for path in folder.glob(place)
        if not path.name.startswith(".")
    }


def hidden(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob(".*")] if folder.exists() else []


if __name__ == "__main__":
    main(*sys.argv[1:])
