"""The other side of ``vgg16_parity.runtimes.process``: the process that runs one runtime.

Started as ``python -m vgg16_parity.runtimes.worker JOB.json``. It leaves ``record.json`` in the job's folder,
whatever happens short of being killed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from vgg16_parity.network import expectations, sgd_step
from vgg16_parity.runtimes.adapters import Evaluator, evaluator, trainer
from vgg16_parity.runtimes.devices import unusable
from vgg16_parity.runtimes.exchange import opened
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.process import Depth, Job, Record, peak_memory, read_job, used
from vgg16_parity.runtimes.settings import Unavailable
from vgg16_parity.runtimes.stopwatch import Stopwatch
from vgg16_spec import layouts
from vgg16_spec.checkpoint import open_checkpoint
from vgg16_spec.checkpoint.header import float32_header
from vgg16_spec.errors import BadInput

_DISTRIBUTIONS = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu"), "onnx_ir": ("onnx-ir",)}


def main(job_file: str) -> int:
    """Do the job; the exit status is 1 where it failed."""
    job = read_job(Path(job_file))
    stopwatch = Stopwatch()
    try:
        record = {"export": _export, "gradients": _gradients, "run": _run}[job.task](job, stopwatch)
    except Exception as error:  # whatever a framework raises becomes a row of the report
        first_line = str(error).strip().partition("\n")[0]
        plain = isinstance(error, BadInput | Unavailable)
        message = first_line if plain else f"{type(error).__name__}: {first_line}"
        without = isinstance(error, Unavailable) or unusable(used(job), str(error))
        record = Record(error=message, unavailable=without)
    record = replace(record, seconds=stopwatch.seconds, peak_bytes=peak_memory())
    (Path(job.folder) / "record.json").write_text(json.dumps(asdict(record)), encoding="utf-8")
    return 1 if record.error else 0


def _run(job: Job, stopwatch: Stopwatch) -> Record:
    network = evaluator(job, stopwatch)
    tapped: list[str] = []
    differing: list[str] | None = None
    for case in job.cases:
        images = expectations.images(Path(case))
        with stopwatch.stage("run"):
            taps = _forward(network, images, job.depth)
        tapped = list(taps)
        _save(taps, job.result(case, "accumulated"))
        if job.lane == "strict" and differing is None:
            # Digests, so that not both are in memory.
            first = _digests(taps)
            del taps
            with stopwatch.stage("repeat"):
                again = _digests(_forward(network, images, job.depth))
            differing = [tap for tap in first | again if first.get(tap) != again.get(tap)]
    for case in job.cases if job.depth == "layers" and not job.runtime.port else ():
        given = expectations.given(Path(case), tapped[:-1])
        with stopwatch.stage("layers"):
            layers = network.layers(expectations.images(Path(case)), given)
        if layers:
            _save(layers, job.result(case, "local"))
    return Record(
        versions=_versions(job.runtime.modules),
        device=network.device,
        threads=network.threads,
        flags=network.flags,
        repeats="" if differing is None else "differs" if differing else "equal",
        differs_from=differing[0] if differing else "",
    )


def _forward(network: Evaluator, images: NDArray[Any], depth: Depth) -> Mapping[str, NDArray[Any]]:
    if depth == "logits":
        return {"predictions": network.logits(images)}
    return network.taps(images)


def _digests(taps: Mapping[str, NDArray[Any]]) -> dict[str, bytes]:
    """Tap -> a digest of its type, its shape and its bits."""
    return {
        name: blake2b(
            np.ascontiguousarray(values).data,
            person=f"{values.dtype.str}{values.shape}".encode()[:16],
        ).digest()
        for name, values in taps.items()
    }


def _gradients(job: Job, stopwatch: Stopwatch) -> Record:
    network = trainer(job, stopwatch)
    (case,) = job.cases
    labels = np.load(Path(case) / f"{sgd_step.LABELS}.npy", allow_pickle=False)
    with stopwatch.stage("gradients"):
        taps, gradients = network.gradients(expectations.images(Path(case)), labels)
    _save(taps, job.result(case, "branch"))
    _stream(gradients, job.result(case, "gradients"))
    # As large as the weights: let go of here, and each read back when needed.
    del gradients
    before = sgd_step.velocity(open_checkpoint(job.checkpoint, check_values=False))
    with stopwatch.stage("step"):
        parameters, velocity = network.step(
            _OneByOne(job.result(case, "gradients"), list(before)),
            before,
            learning_rate=sgd_step.LEARNING_RATE,
            momentum=sgd_step.MOMENTUM,
            weight_decay=sgd_step.WEIGHT_DECAY,
        )
    _stream(parameters, job.result(case, "parameters"))
    _stream(velocity, job.result(case, "velocity"))
    return Record(versions=_versions(job.runtime.modules), device=network.device)


@dataclass(frozen=True)
class _OneByOne(Mapping[str, NDArray[Any]]):
    """A file's tensors; it is opened for each, since an open one counts as memory as it is read."""

    path: Path
    names: list[str]

    def __getitem__(self, name: str) -> NDArray[Any]:
        with opened(self.path) as tensors:
            return tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _stream(tensors: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Write float32 tensors that are as large as the weights, without a copy of all of them."""
    with path.open("wb") as file:
        file.write(float32_header({name: values.shape for name, values in tensors.items()}, {}))
        for values in tensors.values():
            file.write(layouts.contiguous(values).astype("<f4", copy=False).data)


def _save(taps: Mapping[str, NDArray[Any]], path: Path) -> None:
    save_file({name: layouts.contiguous(values) for name, values in taps.items()}, path)


def _export(job: Job, stopwatch: Stopwatch) -> Record:
    from vgg16_parity.shadowing import require_own_export

    require_own_export()
    from export import export_onnx

    checkpoint = open_checkpoint(job.checkpoint, check_values=False)
    with stopwatch.stage("import"):
        __import__("tensorflow" if job.runtime.framework == "keras" else "torch")
    precision = "fp16" if LANES[job.lane].precision == "float16" else "fp32"
    with stopwatch.stage("trace"):
        export_onnx(
            job.runtime.framework, checkpoint, job.model, precision=precision, test_data=False
        )
    return Record(versions=_versions(job.runtime.modules))


def _versions(modules: tuple[str, ...]) -> dict[str, str]:
    versions = {}
    for module in modules:
        for distribution in _DISTRIBUTIONS.get(module, (module,)):
            try:
                versions[distribution] = version(distribution)
            except PackageNotFoundError:
                continue
    return versions


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
