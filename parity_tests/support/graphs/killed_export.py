"""Kill an export at random moments.

``python -m parity_tests.support.graphs.killed_export TRACE CHECKPOINT OUT``

A process of its own, which holds nothing with threads, so that each attempt can be a fork: it has
its modules already and spends its time in the export. Prints what it found as JSON.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import onnx
import onnx_ir as ir

from export import export_onnx
from export.trace import from_keras
from parity_tests.support.failing.killing import ATTEMPTS, attempt
from parity_tests.support.graphs.exports import files
from vgg16_spec.checkpoint import open_checkpoint


def main(trace: str, checkpoint_file: str, out: str) -> None:
    proto = onnx.load(trace)
    from_keras.trace = lambda _: ir.from_proto(proto)  # type: ignore[assignment]
    checkpoint, folder = open_checkpoint(checkpoint_file), Path(out)

    def export(kill_after: float | None = None) -> float:
        return attempt(lambda: export_onnx("keras", checkpoint, folder), kill_after)

    seconds = export()
    whole = files(folder)
    moments = random.Random(16)
    found = []
    for index in range(ATTEMPTS):
        # Over an earlier export and into nothing, in turns.
        if index % 2 and folder.exists():
            folder.rename(folder.with_name(f"aside-{index}"))
        export(moments.uniform(0, 1.1 * seconds))
        found.append("absent" if not folder.exists() else same(files(folder), whole))
        # How long it takes changes with what else the machine does.
        seconds = export()
    print(json.dumps({"seconds": seconds, "found": found}))


def same(found: dict[str, bytes], whole: dict[str, bytes]) -> str:
    return "whole" if found == whole else f"broken: {sorted(found)}"


if __name__ == "__main__":
    main(*sys.argv[1:])
