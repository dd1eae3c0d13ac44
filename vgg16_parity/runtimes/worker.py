"""The process that runs one runtime, started by ``vgg16_parity.runtimes.process``.

``python -m vgg16_parity.runtimes.worker JOB.json`` leaves ``record.json`` in the job's folder
unless it is killed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from onnx_arbiter import expectations
from vgg16_parity.network import sgd_step
from vgg16_parity.runtimes.adapters import Evaluator, evaluator, framework_model
from vgg16_parity.runtimes.devices import unusable
from vgg16_parity.runtimes.exchange import StoredTensors
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.process import (
    AnyJob,
    Depth,
    ExportJob,
    GradientJob,
    Job,
    Record,
    RunJob,
    peak_memory,
    read_job,
)
from vgg16_parity.runtimes.settings import Unavailable
from vgg16_parity.runtimes.stopwatch import Stopwatch
from vgg16_spec import layouts
from vgg16_spec.checkpoint import open_checkpoint
from vgg16_spec.checkpoint.header import float32_header
from vgg16_spec.errors import BadInput

Arrays = Mapping[str, NDArray[Any]]

# Module -> the distributions that may bring it, if their names differ.
_DISTRIBUTIONS: Final = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "onnx_ir": ("onnx-ir",),
}


def main(job_file: str) -> int:
    """Do the job; the exit status is 1 if it failed."""
    job = read_job(Path(job_file))
    stopwatch = Stopwatch()
    try:
        record = _do(job, stopwatch)
    except Exception as error:  # whatever a framework raises becomes a row of the report
        first_line = str(error).strip().partition("\n")[0]
        plain = isinstance(error, BadInput | Unavailable)
        message = first_line if plain else f"{type(error).__name__}: {first_line}"
        without = isinstance(error, Unavailable) or unusable(job.device, str(error))
        record = Record(error=message, unavailable=without)
    record = replace(record, seconds=stopwatch.seconds, peak_bytes=peak_memory())
    (Path(job.folder) / "record.json").write_text(json.dumps(asdict(record)), encoding="utf-8")
    return 1 if record.error else 0


def _do(job: AnyJob, stopwatch: Stopwatch) -> Record:
    match job:
        case RunJob():
            return _run(job, stopwatch)
        case GradientJob():
            return _gradients(job, stopwatch)
        case ExportJob():
            return _export(job, stopwatch)


def _run(job: RunJob, stopwatch: Stopwatch) -> Record:
    network = evaluator(job, stopwatch)
    tapped: list[str] = []
    differing: list[str] | None = None
    for case in job.cases:
        images = expectations.images(Path(case))
        with stopwatch.stage("run"):
            taps = _forward(network, images, job.depth)
        tapped = list(taps)
        _save(taps, job.result(case, "accumulated"))
        if LANES[job.lane].deterministic and differing is None:
            # Digests, so that only one of both is in memory.
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
        versions=_versions(job),
        device=network.device,
        threads=network.threads,
        flags=network.flags,
        repeats="" if differing is None else "differs" if differing else "equal",
        differs_from=differing[0] if differing else "",
    )


def _forward(network: Evaluator, images: NDArray[Any], depth: Depth) -> Arrays:
    if depth == "logits":
        return {"predictions": network.logits(images)}
    return network.taps(images)


def _digests(taps: Arrays) -> dict[str, bytes]:
    """Tap -> a digest of its type, its shape and its bits."""
    return {
        name: blake2b(
            np.ascontiguousarray(values).data,
            person=f"{values.dtype.str}{values.shape}".encode()[:16],
        ).digest()
        for name, values in taps.items()
    }


def _gradients(job: GradientJob, stopwatch: Stopwatch) -> Record:
    network = framework_model(job, stopwatch)
    labels = np.load(Path(job.case) / f"{sgd_step.LABELS}.npy", allow_pickle=False)
    with stopwatch.stage("gradients"):
        taps, gradients = network.gradients(expectations.images(Path(job.case)), labels)
    _save(taps, job.result(job.case, "branch"))
    _stream(gradients, job.result(job.case, "gradients"))
    # As large as the weights: released here, and read back one by one.
    del gradients
    before = sgd_step.velocity(open_checkpoint(job.checkpoint, check_values=False))
    with stopwatch.stage("step"):
        parameters, velocity = network.step(
            StoredTensors(job.result(job.case, "gradients")),
            before,
            learning_rate=sgd_step.LEARNING_RATE,
            momentum=sgd_step.MOMENTUM,
            weight_decay=sgd_step.WEIGHT_DECAY,
        )
    _stream(parameters, job.result(job.case, "parameters"))
    _stream(velocity, job.result(job.case, "velocity"))
    return Record(versions=_versions(job), device=network.device)


def _stream(tensors: Arrays, path: Path) -> None:
    """Write float32 tensors as large as the weights, without a copy of all of them."""
    with path.open("wb") as file:
        file.write(float32_header({name: values.shape for name, values in tensors.items()}, {}))
        for values in tensors.values():
            file.write(layouts.contiguous(values).astype("<f4", copy=False).data)


def _save(taps: Arrays, path: Path) -> None:
    save_file({name: layouts.contiguous(values) for name, values in taps.items()}, path)


def _export(job: ExportJob, stopwatch: Stopwatch) -> Record:
    from vgg16_parity.shadowing import require_own_export

    require_own_export()
    from export import export_onnx

    checkpoint = open_checkpoint(job.checkpoint, check_values=False)
    with stopwatch.stage("import"):
        __import__(job.runtime.keras_backend or "torch")
    precision: Literal["fp16", "fp32"] = (
        "fp16" if LANES[job.lane].precision == "float16" else "fp32"
    )
    with stopwatch.stage("trace"):
        export_onnx(
            job.runtime.framework, checkpoint, job.model, precision=precision, test_data=False
        )
    return Record(versions=_versions(job))


def _versions(job: Job) -> dict[str, str]:
    versions = {}
    for module in job.runtime.requirement.modules:
        for distribution in _DISTRIBUTIONS.get(module, (module,)):
            try:
                versions[distribution] = version(distribution)
            except PackageNotFoundError:
                continue
    return versions


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
