"""A user's own port: a function of images and weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Final

import numpy as np

from onnx_arbiter.models.foreign_arrays import array_of
from vgg16_parity.handed import misuse
from vgg16_parity.runtimes.adapters.framework import Taps, Values, cores
from vgg16_parity.runtimes.job import Job
from vgg16_spec.errors import BadInput

_LOGITS: Final = "predictions"
_EXPECTED: Final = "logits, or taps with predictions"


class OwnPort:
    """The function that ``--port FILE.py:FUNCTION`` names."""

    def __init__(self, job: Job) -> None:
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
        self.own_mode = ""
        self.flags: dict[str, str] = {}

    def forward(self, images: Values, *, logits_only: bool) -> Taps:
        """As `Evaluator`, for the taps that the function returns."""
        given = np.array(images)
        taps = port_taps("--port", self._function(given, self._checkpoint))
        for problem in misuse([("its input", given, images)], list(taps.items())):
            raise BadInput("--port", problem, "arrays of its own, and its input left as it was")
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

    Tensors of any framework are taken, with or without gradients and on any device; so are a tuple
    or a list of one, and an object or a mapping with ``logits``.

    Raises:
        BadInput: naming the port, if the logits are missing, or not an array.
    """
    # What Hugging Face's models return; some are mappings too.
    if not isinstance(computed, Mapping):
        computed = {_LOGITS: getattr(computed, "logits", computed)}
    arrays = port_arrays(port, computed)
    if _LOGITS not in arrays:
        raise BadInput(port, "gave no predictions", _EXPECTED)
    return arrays


def port_arrays(port: str, computed: Mapping[Any, Any]) -> dict[str, Values]:
    """What a port computed by name, as arrays; ``logits`` is another name for ``predictions``.

    Raises:
        BadInput: naming the port, if what is there is no array.
    """
    if _LOGITS not in computed and "logits" in computed:
        computed = {_LOGITS if name == "logits" else name: each for name, each in computed.items()}
    return {
        str(name): array_of(port, str(name), values, _EXPECTED) for name, values in computed.items()
    }
