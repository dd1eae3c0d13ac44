"""The network in each framework, ready to be run: what a worker's process holds.

Each class sets its framework up for the job's lane, loads the weights, and then answers the same
three questions. Everything in and out is NumPy, maps as (N, C, H, W).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vgg16_parity.runtimes import settings
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.process import Depth, Job
from vgg16_parity.runtimes.sessions import cuda_libraries, open_session
from vgg16_parity.runtimes.settings import Unavailable
from vgg16_parity.runtimes.stopwatch import Stopwatch
from vgg16_spec import layouts
from vgg16_spec.checkpoint import open_checkpoint
from vgg16_spec.errors import BadInput

Values = NDArray[Any]
Taps = Mapping[str, Values]


class Evaluator(Protocol):
    """The network in one framework.

    ``device``, ``threads`` and ``flags`` are what ``vgg16_parity.runtimes.process.Record`` says of them.
    """

    device: str
    threads: int
    flags: dict[str, str]

    def logits(self, images: Values) -> Values:
        """(N, classes) of preprocessed images, (N, 3, H, W)."""

    def taps(self, images: Values) -> Taps:
        """The output of every tap by name; the last, ``predictions``, are the logits."""

    def layers(self, images: Values, given: Taps) -> Taps:
        """What every layer makes of what it is given; empty where that cannot be had."""


def trainer(job: Job, stopwatch: Stopwatch) -> Implemented:
    """The job's runtime, one of a framework, loaded; raises what :func:`evaluator` does."""
    return _implemented(job, stopwatch)


def evaluator(job: Job, stopwatch: Stopwatch) -> Evaluator:
    """The job's runtime, loaded.

    Raises ``Unavailable`` for a device or a precision that is not there, and whatever a framework
    raises.
    """
    if job.runtime.port:
        return _Port(job, stopwatch)
    if job.runtime.onnx:
        return _Onnx(job, stopwatch)
    return _implemented(job, stopwatch)


def _implemented(job: Job, stopwatch: Stopwatch) -> _Torch | _Keras:
    chosen = _Torch if job.runtime.framework == "torch" else _Keras
    return chosen(job, stopwatch)


class Implemented:
    """The network in one of our two implementations, which, being twins, are asked alike."""

    device: str
    _impl: Any
    _model: Any

    @property
    def network(self) -> Any:
        """The framework's own model."""
        return self._model

    def taps(self, images: Values) -> Taps:
        """As of every evaluator."""
        taps: Taps = self._impl.run_with_taps(self._model, images)
        return taps

    def layers(self, images: Values, given: Taps) -> Taps:
        """As of every evaluator."""
        layers: Taps = self._impl.run_layers_locally(self._model, images, given)
        return layers

    def gradients(self, images: Values, labels: Values) -> tuple[Taps, Taps]:
        """The taps that a ReLU ends, and the gradients of the images and of every parameter."""
        found: tuple[Taps, Taps] = self._impl.run_with_gradients(self._model, images, labels)
        return found

    def step(self, gradients: Taps, velocity: Taps, **figures: float) -> tuple[Taps, Taps]:
        """Every parameter and its velocity after a step of SGD."""
        found: tuple[Taps, Taps] = self._impl.sgd_step(self._model, gradients, velocity, **figures)
        return found


class _Torch(Implemented):
    def __init__(self, job: Job, stopwatch: Stopwatch) -> None:
        lane = LANES[job.lane]
        with stopwatch.stage("import"):
            import torch

            import torch_impl
        self.flags = settings.configure_torch(lane, job.device)
        with stopwatch.stage("load"):
            checkpoint = open_checkpoint(job.checkpoint, check_values=False)
            configuration = checkpoint.configuration
            with torch.device("meta"):
                model = torch_impl.VGG(configuration.name, classes=configuration.classes)
            torch_impl.load_checkpoint(model, checkpoint)
            self._model = model.to(job.device, getattr(torch, lane.precision)).eval()
        self._impl = torch_impl
        self.device = torch.cuda.get_device_name() if job.device == "cuda" else "cpu"
        self.threads = torch.get_num_threads()

    def logits(self, images: Values) -> Values:
        import torch

        parameter = next(self._model.parameters())
        with torch.inference_mode():
            values = self._model(
                torch.tensor(images, dtype=parameter.dtype, device=parameter.device)
            )
        logits: Values = values.float().cpu().numpy()
        return logits


class _Keras(Implemented):
    def __init__(self, job: Job, stopwatch: Stopwatch) -> None:
        lane = LANES[job.lane]
        with stopwatch.stage("import"):
            import keras

            import keras_impl
        configure = {
            "tensorflow": settings.configure_tensorflow,
            "jax": settings.configure_jax,
            "torch": settings.configure_torch,
        }
        self.flags = configure[keras.backend.backend()](lane, job.device)
        # Whatever the user's Keras configuration says: the checkpoint is float32.
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy(lane.precision)
        with stopwatch.stage("load"):
            checkpoint = open_checkpoint(job.checkpoint, check_values=False)
            self._model = keras_impl.functional(
                checkpoint.configuration.name,
                classes=checkpoint.configuration.classes,
                classifier_activation=None,
                kernel_initializer="zeros",
            )
            keras_impl.load_checkpoint(self._model, checkpoint)
        self._impl = keras_impl
        self.device = settings.keras_device(self._model.weights[0].value, job.device)
        self.threads = _cores()

    def logits(self, images: Values) -> Values:
        batch = layouts.contiguous(layouts.nchw_to_nhwc(images))
        return np.asarray(self._model.predict_on_batch(batch)).astype(np.float32)


class _Onnx:
    """The exported file; its taps and layers are of copies of its graph beside it.

    One session at a time, since each holds the weights.
    """

    def __init__(self, job: Job, stopwatch: Stopwatch) -> None:
        lane = LANES[job.lane]
        if lane.precision == "bfloat16":
            raise Unavailable("ONNX Runtime has no convolution in bfloat16")
        with stopwatch.stage("import"):
            import onnxruntime

            from export import MODEL_FILE
        if job.device == "cuda":
            cuda_libraries(onnxruntime)
        self._runtime = onnxruntime
        self._strict = lane.name == "strict"
        self._providers, self.flags = settings.onnx_providers(lane, job.device)
        self._path = Path(job.model) / MODEL_FILE
        self._kind = ""
        self._session: Any = None
        with stopwatch.stage("load"):
            self._open("logits" if job.depth == "logits" else "taps")
        session: Any = self._session
        self.device: str = session.get_providers()[0]
        self.threads = _cores()

    @property
    def network(self) -> Any:
        """The session that is open."""
        return self._session

    def logits(self, images: Values) -> Values:
        return self._run("logits", [images])["predictions"]

    def taps(self, images: Values) -> Taps:
        return self._run("taps", [images])

    def layers(self, images: Values, given: Taps) -> Taps:
        return self._run("layers", [images, *given.values()])

    def _run(self, kind: Depth, inputs: list[Values]) -> Taps:
        self._open(kind)
        feeds = {
            feed.name: np.asarray(values, np.float16 if "float16" in feed.type else np.float32)
            for feed, values in zip(self._session.get_inputs(), inputs, strict=True)
        }
        names = [output.name for output in self._session.get_outputs()]
        # The last is called for what it holds, logits; everything else has its tap's name.
        return dict(zip([*names[:-1], "predictions"], self._session.run(None, feeds), strict=True))

    def _open(self, kind: Depth) -> None:
        if kind == self._kind:
            return
        self._kind, self._session = kind, None
        path = self._path if kind == "logits" else self._written(kind)
        self._session = open_session(self._runtime, path, self._providers, strict=self._strict)

    def _written(self, kind: Depth) -> Path:
        import onnx_ir as ir

        from export.graph import naming
        from export.graph.taps import layers_alone, with_taps
        from export.load import open_model

        model = open_model(self._path)
        if kind == "taps":
            changed = with_taps(model, [str(value.name) for value in naming.taps(model)])
        else:
            changed = layers_alone(model)
        path = self._path.with_name(f"{kind}.onnx")
        path.write_bytes(ir.to_proto(changed).SerializeToString())
        return path


class _Port:
    """Somebody's own port: a function of images and weights."""

    def __init__(self, job: Job, stopwatch: Stopwatch) -> None:
        if LANES[job.lane].precision != "float32":
            raise Unavailable(f"{job.runtime.name} says nothing of {LANES[job.lane].precision}")
        file, _, function = job.runtime.port.rpartition(":")
        with stopwatch.stage("import"):
            # What lies beside the file can be imported from it.
            sys.path.insert(0, str(Path(file).parent))
            spec = spec_from_file_location(f"vgg16_port_{Path(file).stem}", file)
            assert spec is not None
            assert spec.loader is not None
            module = module_from_spec(spec)
            # Where its classes are looked up by name.
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
        if not callable(found := getattr(module, function, None)):
            raise BadInput("--port", f"{file} has no function {function}", "FILE.py:FUNCTION")
        self._function = found
        self._checkpoint = Path(job.checkpoint)
        self.device: str = job.device
        self.threads = _cores()
        self.flags: dict[str, str] = {}

    def logits(self, images: Values) -> Values:
        return self.taps(images)["predictions"]

    def taps(self, images: Values) -> Taps:
        found = self._function(np.array(images), self._checkpoint)
        taps = found if isinstance(found, Mapping) else {"predictions": found}
        if "predictions" not in taps:
            raise BadInput("--port", "gave no predictions", "logits, or taps with predictions")
        arrays = {str(name): np.asarray(values) for name, values in taps.items()}
        for name, values in arrays.items():
            if values.dtype.kind not in "fiu":
                problem = f"gave {values.dtype} as {name}"
                raise BadInput("--port", problem, "real numbers in an array")
        return arrays

    def layers(self, images: Values, given: Taps) -> Taps:
        del images, given
        return {}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0
