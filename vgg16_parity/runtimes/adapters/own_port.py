"""A user's own port: a function of images and weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np

from vgg16_parity.runtimes.adapters.framework import Taps, Values, cores
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.process import RunJob
from vgg16_parity.runtimes.settings import Unavailable
from vgg16_parity.runtimes.stopwatch import Stopwatch
from vgg16_spec.errors import BadInput


class OwnPort:
    """The function that ``--port FILE.py:FUNCTION`` names."""

    def __init__(self, job: RunJob, stopwatch: Stopwatch) -> None:
        if (precision := LANES[job.lane].precision) != "float32":
            raise Unavailable(f"{job.runtime.name} is judged in float32, not in {precision}")
        file, _, function = job.runtime.port.rpartition(":")
        with stopwatch.stage("import"):
            # The file may import its neighbours. From here on, `export` may be one of them.
            sys.path.insert(0, str(Path(file).parent))
            spec = spec_from_file_location(f"vgg16_port_{Path(file).stem}", file)
            assert spec is not None
            assert spec.loader is not None
            module = module_from_spec(spec)
            # Dataclasses look their module up here.
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
        if not callable(found := getattr(module, function, None)):
            raise BadInput("--port", f"{file} has no function {function}", "FILE.py:FUNCTION")
        self._function = found
        self._checkpoint = Path(job.checkpoint)
        self.device: str = job.device
        self.threads = cores()
        self.flags: dict[str, str] = {}

    def logits(self, images: Values) -> Values:
        """As `Evaluator`."""
        return self.taps(images)["predictions"]

    def taps(self, images: Values) -> Taps:
        """As `Evaluator`, for the taps that the function returns."""
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
        """None: the function is called as a whole."""
        del images, given
        return {}
