"""Kill an export at random moments: ``python -m parity_tests.killed_export TRACE CHECKPOINT OUT``.

A process of its own, which holds nothing with threads, so that each attempt can be a fork: it has
its modules already and spends its time in the export. Prints what it found as JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import onnx
import onnx_ir as ir

from export import export_onnx, from_keras
from parity_tests.exports import files
from vgg16.checkpoint import Checkpoint, open_checkpoint

ATTEMPTS = 20


def main(trace: str, checkpoint_file: str, out: str) -> None:
    proto = onnx.load(trace)
    from_keras.trace = lambda _: ir.from_proto(proto)  # type: ignore[assignment]
    checkpoint, folder = open_checkpoint(checkpoint_file), Path(out)
    seconds = attempt(checkpoint, folder, None)
    whole = files(folder)
    moments = random.Random(16)
    found = []
    for index in range(ATTEMPTS):
        # Over an earlier export and into nothing, in turns.
        if index % 2 and folder.exists():
            folder.rename(folder.with_name(f"aside-{index}"))
        attempt(checkpoint, folder, moments.uniform(0, 1.1 * seconds))
        found.append("absent" if not folder.exists() else same(files(folder), whole))
        if not folder.exists():
            attempt(checkpoint, folder, None)
    print(json.dumps({"seconds": seconds, "found": found}))


def same(found: dict[str, bytes], whole: dict[str, bytes]) -> str:
    return "whole" if found == whole else f"broken: {sorted(found)}"


def attempt(checkpoint: Checkpoint, folder: Path, kill_after: float | None) -> float:
    """One export in a fork; its seconds."""
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            export_onnx("keras", checkpoint, folder)
            status = 0
        finally:
            os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if kill_after is None and status != 0:
        raise RuntimeError(f"the export itself failed with status {status}")
    return time.perf_counter() - start


if __name__ == "__main__":
    main(*sys.argv[1:])
