"""``python -m benchmarks.cuda``: measure on a GPU, write reports as the results come."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from benchmarks.cuda.output import Output
from benchmarks.cuda.schedule import ORDER, Schedule
from benchmarks.harness import command
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_spec.errors import BadInput

_PACKAGE: Final = "benchmarks.cuda"
_MOST_AT_ONCE, _PROCESSORS_EACH = 5, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report.

    Returns:
        1 if parity or a target is missed or the run was stopped, 2 if nothing can be measured.
    """
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.markdown is not None and chosen.device != "cuda":
            raise BadInput("--markdown", "is for figures of a GPU", "--device cuda")
        output = Output(chosen.out, chosen.markdown, command.line(_PACKAGE, arguments))
        schedule = Schedule(chosen, output)
        with _interrupted_by_sigterm():
            try:
                schedule.run()
            except KeyboardInterrupt:
                schedule.stop()
            print(output.publish(schedule.results, draw=True), end="")
    except BadInput as refusal:
        print(f"{_PACKAGE}: {refusal}", file=sys.stderr)
        return 2
    return 0 if schedule.results.passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = command.parser(_PACKAGE)
    add: Callable[..., object] = parser.add_argument
    runtimes = list(RUNTIMES)
    add("--out", type=Path, default=Path("build/cuda"), help="write everything into this folder")
    add("--device", choices=("cuda", "cpu"), default="cuda", help="where to measure")
    add("--configuration", default="D", help="the network (default: D)")
    add("--runtimes", type=command.names(runtimes), default=runtimes, help="comma-separated")
    add("--lanes", type=command.names(ORDER), default=list(ORDER), help="comma-separated")
    add("--batches", default="1,32,256", help="batch sizes, comma-separated")
    add("--each", type=float, default=1.0, help="seconds per measurement, at most 50 runs")
    add("--side", type=int, default=0, help="of the matrices whose product is timed")
    add(
        "--tests",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="run the tests that need a GPU",
    )
    processors = os.cpu_count() or 1
    add(
        "--at-once",
        type=command.positive,
        default=max(1, min(_MOST_AT_ONCE, processors // _PROCESSORS_EACH)),
        help="workers at a time, of which one measures throughput (default: by processors)",
    )
    add(
        "--at-most",
        type=float,
        default=150.0,
        help="seconds that a process may take, without waiting",
    )
    add("--seconds", type=float, default=450.0, help="start nothing after this time")
    add("--memory-limit", type=float, default=64.0, help="GiB that a process may hold")
    return parser


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` on the first SIGTERM or Ctrl-C, and ignore later ones."""
    signals = (signal.SIGTERM, signal.SIGINT)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


if __name__ == "__main__":
    raise SystemExit(main())
