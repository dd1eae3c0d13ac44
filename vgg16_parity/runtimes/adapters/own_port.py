"""A user's own port: a function of images and weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np

from vgg16_parity.runtimes.adapters.framework import Taps, Values, cores
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.process import Job
from vgg16_parity.runtimes.settings import Unavailable
from vgg16_spec.errors import BadInput


class OwnPort:
    """The function that ``--port FILE.py:FUNCTION`` names."""

    def __init__(self, job: Job) -> None:
        if (precision := LANES[job.lane].precision) != "float32":
            raise Unavailable(f"{job.runtime.name} is judged in float32, not in {precision}")
        file, _, function = job.runtime.port.rpartition(":")
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

    def forward(self, images: Values, *, logits_only: bool) -> Taps:
        """As `Evaluator`, for the taps that the function returns."""
        taps = port_taps("--port", self._function(np.array(images), self._checkpoint))
        for name, values in taps.items():
            # Others cannot go from this process to the one that judges.
            if values.dtype.kind not in "fiu":
                raise BadInput("--port", f"gave {values.dtype} as {name}", "real numbers")
        return {"predictions": taps["predictions"]} if logits_only else taps

    def layers(self, images: Values, given: Taps) -> Taps:
        """None: the function is called as a whole."""
        del images, given
        return {}


def port_taps(port: str, computed: object) -> dict[str, Values]:
    """What a port computed, logits or taps by name, as arrays by name.

    Raises:
        BadInput: naming the port, if the logits are missing.
    """
    taps = computed if isinstance(computed, Mapping) else {"predictions": computed}
    if "predictions" not in taps:
        raise BadInput(port, "gave no predictions", "logits, or taps with predictions")
    return {str(name): np.asarray(values) for name, values in taps.items()}
