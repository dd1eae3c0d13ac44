"""The kernels that a forward pass calls on a GPU, and how TF32 rounds.

    python -m benchmarks.cuda.kernels --out build/cuda/kernels.json

Multiplies numbers that TF32 cannot hold by 1, in the lanes tf32 and strict
(``benchmarks.cuda.rounding``), and copies memory on the card. Then records, of each runtime in each
lane at batch 2, 32 and 256, the name and the microseconds of every kernel of one forward pass, in
order; one process at a time uses the GPU, while the next ones load. A run that fails is left out,
with its reason on stderr. docs/measured/cuda-kernels.json is put together from such records.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.cuda.schedule import ORDER
from benchmarks.cuda.throughput import Exports, work
from benchmarks.harness import command
from benchmarks.harness.measure import Outcome
from benchmarks.harness.pool import at_once
from vgg16_parity.runtimes.lanes import LANES, Device
from vgg16_parity.runtimes.registry import RUNTIMES, Runtime
from vgg16_spec.checkpoint.seeded import seeded_checkpoint
from vgg16_spec.errors import BadInput

_PACKAGE: Final = "benchmarks.cuda.kernels"
# Both exports are the same file.
_DEFAULT: Final = ["torch", "keras-jax", "keras-torch", "onnx-from-torch"]
_ROUNDED: Final = ("tf32", "strict")
_COPIED: Final = 2**32  # bytes


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write; the exit status is 2 if there is no GPU, 1 if a run fails."""
    chosen = _parser().parse_args(arguments)
    with TemporaryDirectory(prefix="vgg16-kernels-") as folder:
        recording = Recording(chosen, "cuda", Path(folder))
        card = recording.work({"task": "card"}, "default", RUNTIMES["torch"])
        if card.error:
            problem = BadInput("the GPU", card.error, "an NVIDIA GPU and PyTorch with CUDA")
            print(f"{_PACKAGE}: {problem}", file=sys.stderr)
            return 2
        document: dict[str, Any] = {
            "what": f"{card.result['card']}, {chosen.date}. kernels: of one forward pass, in "
            "order, [index into names, microseconds]. rounding: what is left of a number "
            "multiplied by 1, in a matrix product and in a convolution. copy: bytes per second, "
            "read and written, of a copy on the card.",
        }
        for found in recording.run():
            command.write(chosen.out, json.dumps(document | found, separators=(",", ":")) + "\n")
    return 1 if recording.failed else 0


def _parser() -> Any:
    parser = command.parser(_PACKAGE)
    add: Callable[..., object] = parser.add_argument
    add("--out", type=Path, default=Path("build/cuda/kernels.json"))
    add("--configuration", default="D", help="the network (default: D)")
    add("--runtimes", type=command.names(list(RUNTIMES)), default=_DEFAULT, help="comma-separated")
    add("--lanes", type=command.names(ORDER), default=list(ORDER), help="comma-separated")
    add("--batches", default="2,32,256", help="batch sizes, comma-separated")
    processors = os.cpu_count() or 1
    add("--at-once", type=command.positive, default=max(1, processors // 3), help="workers")
    command.add_limits(parser)
    return parser


class Recording:
    """The workers' records, put together as they come.

    Args:
        chosen: the command's options.
        device: where to run.
        folder: for the exported graphs.
    """

    def __init__(self, chosen: Any, device: Device, folder: Path) -> None:
        self.failed = False
        self._chosen = chosen
        self._device: Device = device
        self._limits = command.limits(chosen)
        self._folder = folder
        self._checkpoint = str(seeded_checkpoint(chosen.configuration).file.resolve())
        self._exports = Exports(self._checkpoint, self._limits, command.say)

    def run(self) -> Iterator[dict[str, Any]]:
        """Start every worker; yields all that is recorded, whenever it has grown."""
        names: dict[str, int] = {}
        found: dict[str, Any] = {"names": names, "kernels": {}, "rounding": {}}
        with at_once(self._chosen.at_once) as pool:
            torch = RUNTIMES["torch"]
            # The quick ones first: a run that is cut off has them.
            waiting: list[tuple[str, str, Future[Outcome]]] = [
                ("rounding", lane, pool.submit(self.work, {"task": "rounding"}, lane, torch))
                for lane in _ROUNDED
            ]
            job = {"task": "copy", "bytes": _COPIED}
            waiting.append(("copy", "default", pool.submit(self.work, job, "default", torch)))
            waiting += [
                (name, lane, pool.submit(self._kernels, RUNTIMES[name], lane))
                for lane in self._chosen.lanes
                for name in self._chosen.runtimes
                if self._device in LANES[lane].modes
            ]
            for name, lane, future in waiting:
                outcome = future.result()
                if outcome.error:
                    self.failed = True
                    command.say(f"{name} ({lane}): {outcome.error}")
                if name == "rounding":
                    for kind, of_kind in outcome.result.items():
                        by_name = found["rounding"].setdefault(kind, {})
                        by_name |= {f"{lane} {operand}": left for operand, left in of_kind.items()}
                elif name == "copy":
                    found |= outcome.result
                else:
                    found["kernels"].setdefault(name, {}).update(
                        {
                            f"{lane} batch {batch}": [
                                (names.setdefault(kernel, len(names)), round(microseconds, 3))
                                for kernel, microseconds in kernels
                            ]
                            for batch, kernels in outcome.result.items()
                        }
                    )
                yield found | {"names": list(names)}

    def work(self, job: dict[str, Any], lane: str, runtime: Runtime) -> Outcome:
        """Do one job of ``benchmarks.cuda.worker``, which uses the GPU while no other does."""
        alone = {**job, "lock": str(self._folder / "measuring.lock")}
        return work(alone, lane, runtime, self._device, self._limits)

    def _kernels(self, runtime: Runtime, lane: str) -> Outcome:
        if reason := runtime.missing(self._device):
            return Outcome(error=reason)
        model, reason = self._exports.of(runtime, LANES[lane], self._folder)
        if reason:
            return Outcome(error=reason)
        command.say(f"kernels: {runtime.name} ({lane})")
        batches = [int(number) for number in self._chosen.batches.split(",")]
        job = {"task": "kernels", "runtime": runtime.name, "batches": batches}
        return self.work({**job, "checkpoint": self._checkpoint, "model": model}, lane, runtime)


if __name__ == "__main__":
    raise SystemExit(main())
