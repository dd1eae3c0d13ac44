"""The other side of ``parity.runtimes``: the process that runs one runtime.

Started as ``python -m parity.worker JOB.json``. It leaves ``record.json`` in the job's folder,
whatever happens short of being killed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from parity.runtimes import RUNTIMES, Job, Record, peak_memory
from vgg16 import layouts
from vgg16.checkpoint import Checkpoint, open_checkpoint
from vgg16.errors import BadInput

_DISTRIBUTIONS = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu"), "onnx_ir": ("onnx-ir",)}


class Unavailable(Exception):
    """A device that was asked for is not there."""


class Stopwatch:
    """Seconds spent in each named stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time inside to the stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + spent


def main(job_file: str) -> int:
    """Do the job; the exit status is 1 where it failed."""
    job = Job(**json.loads(Path(job_file).read_text(encoding="utf-8")))
    stopwatch = Stopwatch()
    try:
        record = _export(job, stopwatch) if job.task == "export" else _run(job, stopwatch)
    except Exception as error:  # whatever a framework raises becomes a row of the report
        first_line = str(error).strip().partition("\n")[0]
        plain = isinstance(error, BadInput | Unavailable)
        message = first_line if plain else f"{type(error).__name__}: {first_line}"
        record = Record(error=message, unavailable=isinstance(error, Unavailable))
    record = replace(record, seconds=stopwatch.seconds, peak_bytes=peak_memory())
    (Path(job.folder) / "record.json").write_text(json.dumps(asdict(record)), encoding="utf-8")
    return 1 if record.error else 0


def _run(job: Job, stopwatch: Stopwatch) -> Record:
    runtime = RUNTIMES[job.runtime]
    images = load_file(job.images)["images"]
    if runtime.onnx:
        logits, details = _run_onnx(job, images, stopwatch)
    else:
        checkpoint = open_checkpoint(job.checkpoint, check_values=False)
        run = _run_torch if runtime.framework == "torch" else _run_keras
        logits, details = run(job, checkpoint, images, stopwatch)
    save_file({"predictions": layouts.contiguous(logits)}, Path(job.folder) / "taps.safetensors")
    return Record(versions=_versions(runtime.modules), **details)


def _export(job: Job, stopwatch: Stopwatch) -> Record:
    from export import export_onnx

    runtime = RUNTIMES[job.runtime]
    checkpoint = open_checkpoint(job.checkpoint, check_values=False)
    with stopwatch.stage("import"):
        __import__("tensorflow" if runtime.framework == "keras" else "torch")
    with stopwatch.stage("trace"):
        export_onnx(runtime.framework, checkpoint, job.model, layout=job.layout, test_data=False)
    return Record(versions=_versions(runtime.modules))


def _run_torch(
    job: Job, checkpoint: Checkpoint, images: NDArray[np.float32], stopwatch: Stopwatch
) -> tuple[NDArray[Any], dict[str, Any]]:
    with stopwatch.stage("import"):
        import torch

        from torch_impl import VGG, load_checkpoint
    mode = _strict_torch(job)
    with stopwatch.stage("load"):
        with torch.device("meta"):
            model = VGG(checkpoint.configuration.name, classes=checkpoint.configuration.classes)
        load_checkpoint(model, checkpoint)
        model.to(job.device).eval()
    with stopwatch.stage("run"), torch.inference_mode():
        logits = model(torch.from_numpy(images).to(job.device)).cpu().numpy()
    device = torch.cuda.get_device_name() if job.device == "cuda" else "cpu"
    return logits, {"device": device, "threads": torch.get_num_threads(), "mode": mode}


def _run_keras(
    job: Job, checkpoint: Checkpoint, images: NDArray[np.float32], stopwatch: Stopwatch
) -> tuple[NDArray[Any], dict[str, Any]]:
    with stopwatch.stage("import"):
        import keras

        from keras_impl import functional, load_checkpoint
    backend = keras.backend.backend()
    strict = {"tensorflow": _strict_tensorflow, "jax": _strict_jax, "torch": _strict_torch}
    mode = strict[backend](job)
    # Whatever the user's Keras configuration says: the checkpoint is float32.
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    with stopwatch.stage("load"):
        model = functional(
            checkpoint.configuration.name,
            classes=checkpoint.configuration.classes,
            classifier_activation=None,
            kernel_initializer="zeros",
        )
        load_checkpoint(model, checkpoint)
    with stopwatch.stage("run"):
        logits = model.predict_on_batch(layouts.contiguous(layouts.nchw_to_nhwc(images)))
    return np.asarray(logits), {"device": job.device, "threads": _cores(), "mode": mode}


def _run_onnx(
    job: Job, images: NDArray[np.float32], stopwatch: Stopwatch
) -> tuple[NDArray[Any], dict[str, Any]]:
    with stopwatch.stage("import"):
        import onnxruntime

        from export import MODEL_FILE
    wanted: list[Any] = ["CPUExecutionProvider"]
    if job.device == "cuda":
        # In IEEE float32: TF32 is ONNX Runtime's default on a GPU.
        onnxruntime.preload_dlls()
        wanted = [("CUDAExecutionProvider", {"use_tf32": "0"}), "CPUExecutionProvider"]
    with stopwatch.stage("load"):
        session = onnxruntime.InferenceSession(Path(job.model) / MODEL_FILE, providers=wanted)
    provider = session.get_providers()[0]
    if job.device == "cuda" and provider != "CUDAExecutionProvider":
        raise Unavailable(f"ONNX Runtime finds no usable GPU and offers {provider}")
    (graph_input,) = session.get_inputs()
    inputs = images if graph_input.shape[1] == images.shape[1] else layouts.nchw_to_nhwc(images)
    with stopwatch.stage("run"):
        (logits,) = session.run(None, {graph_input.name: layouts.contiguous(inputs)})
    return logits, {"device": provider, "threads": _cores(), "mode": "float32"}


def _strict_torch(job: Job) -> str:
    """IEEE float32: TF32 is PyTorch's default for convolutions on a GPU."""
    import torch

    if job.device == "cuda":
        if not torch.cuda.is_available():
            raise Unavailable("PyTorch finds no usable GPU")
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
    return "float32"


def _strict_tensorflow(job: Job) -> str:
    """IEEE float32: TF32 is TensorFlow's default on a GPU."""
    import tensorflow as tf

    if job.device == "cuda":
        if not tf.config.list_physical_devices("GPU"):
            raise Unavailable("TensorFlow finds no usable GPU")
        tf.config.experimental.enable_tensor_float_32_execution(False)
    return "float32"


def _strict_jax(job: Job) -> str:
    """IEEE float32: JAX's default precision on a GPU is TF32."""
    import jax

    if job.device == "cuda" and jax.default_backend() != "gpu":
        raise Unavailable("JAX finds no usable GPU")
    jax.config.update("jax_default_matmul_precision", "highest")
    return "float32"


def _versions(modules: tuple[str, ...]) -> dict[str, str]:
    versions = {}
    for module in modules:
        for distribution in _DISTRIBUTIONS.get(module, (module,)):
            try:
                versions[distribution] = version(distribution)
            except PackageNotFoundError:
                continue
    return versions


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
