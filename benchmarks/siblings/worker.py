"""The worker that judges one network with one seed."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness.worker import Recorder, serve


def judge(job: dict[str, Any], recorder: Recorder) -> None:
    """Judge the network of a job: ``name`` and ``seed``."""
    from benchmarks.siblings.measure import measure

    logging.disable(logging.WARNING)  # exporters tell of each step
    with tempfile.TemporaryDirectory(prefix="siblings-") as folder:
        recorder.result = measure(job["name"], job["seed"], Path(folder))


if __name__ == "__main__":
    raise SystemExit(serve(sys.argv[1], {"judge": judge}))
