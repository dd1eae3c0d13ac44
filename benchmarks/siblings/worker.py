"""The worker that judges one network with one seed."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness.worker import Recorder, serve


def judge(job: dict[str, Any], recorder: Recorder) -> None:
    """Judge the network of a job: ``name``, ``seed`` and the fields of a ``Plan``."""
    from benchmarks.siblings.measure import Plan, measure

    logging.disable(logging.WARNING)  # exporters tell of each step
    plan = Plan(tuple(job["runtimes"]), job["device"], job["mistakes"])
    with tempfile.TemporaryDirectory(prefix="siblings-") as folder:
        recorder.result = measure(job["name"], job["seed"], Path(folder), plan)


if __name__ == "__main__":
    raise SystemExit(serve(sys.argv[1], {"judge": judge}))
