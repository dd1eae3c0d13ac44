"""The lanes: the numeric mode in which every runtime computes, and what sets it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal

from onnx_arbiter.numeric_modes import MODES, Mode
from vgg16_spec.errors import require_one_of

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Lane:
    """One numeric setting for every runtime.

    Attributes:
        name: its name on the command line and in reports.
        description: what it sets.
        precision: of weights and activations.
        modes: device -> the name of the numeric mode that predicts its errors; a device that lacks
            the lane is left out.
        tf32: whether a GPU's float32 products use TF32; None leaves the framework's default.
        deterministic: whether to require algorithms that give the same bits twice.
        environment: variables of the worker's process.
    """

    name: str
    description: str
    precision: Literal["float32", "bfloat16", "float16"]
    modes: dict[Device, str]
    tf32: bool | None = None
    deterministic: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    def mode(self, device: Device) -> Mode | None:
        """The numeric mode on a device; None if the device lacks the lane."""
        return MODES[self.modes[device]] if device in self.modes else None


# These rule out TF32 and bfloat16 whatever the user's environment says, and make the frameworks'
# deterministic algorithms available.
_STRICT: Final = {
    "NVIDIA_TF32_OVERRIDE": "0",
    "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "XLA_FLAGS": "--xla_gpu_deterministic_ops=true",
}

LANES: Final = MappingProxyType(
    {
        lane.name: lane
        for lane in (
            Lane(
                "strict",
                "IEEE float32 everywhere, algorithms that give the same bits twice",
                "float32",
                {"cpu": "float32", "cuda": "float32"},
                tf32=False,
                deterministic=True,
                environment=_STRICT,
            ),
            Lane(
                "default",
                "the framework's defaults: float32, on a GPU mostly with TF32",
                "float32",
                {"cpu": "float32", "cuda": "tf32"},
            ),
            Lane("tf32", "float32 with TF32 products", "float32", {"cuda": "tf32"}, tf32=True),
            Lane(
                "bfloat16",
                "weights and activations in bfloat16, sums in float32",
                "bfloat16",
                {"cpu": "bfloat16", "cuda": "bfloat16"},
            ),
            Lane(
                "float16",
                "weights and activations in float16, sums in float32",
                "float16",
                {"cpu": "float16", "cuda": "float16"},
            ),
        )
    }
)


def lane(name: str) -> Lane:
    """The lane of that name. Raises ``BadInput`` for an unknown name."""
    return LANES[require_one_of("lane", name, tuple(LANES))]


def port_lane(mode: str, lanes: Sequence[Lane]) -> Lane:
    """The lane of a user's own port, which runs once, in the mode that it is said to compute in.

    A port computes in one way, whatever lanes the runtimes beside it run in. In float32 it takes
    the first of ``lanes`` that is strict or default, or else the strict one; in another mode, the
    lane of that name, whose environment does not rule the mode out.
    """
    if mode == "float32":
        float32 = (lane for lane in lanes if lane.precision == mode and not lane.tf32)
        chosen = next(float32, LANES["strict"])
    else:
        chosen = LANES[mode]
    return replace(chosen, modes={"cpu": mode, "cuda": mode})


# On a CPU their strict and default lanes give the same bits, as test_lanes.py finds of the
# frameworks and test_engines.py of the engines. OpenVINO and ncnn are not among them: by default
# they may compute in fewer bits.
_EQUAL_ON_CPU: Final = frozenset(
    {
        "torch",
        "keras on tensorflow",
        "keras on jax",
        "keras on torch",
        "opencv",
        "opencv-winograd",
        "opencv-direct",
        "mnn",
        "litert",
    }
)


def default_is_strict(devices: Sequence[Device], computed_by: str, *, gradients: bool) -> bool:
    """Whether the default lane gives the bits of the strict lane, so that one run does for both.

    On a CPU there is no TF32, and the frameworks in ``_EQUAL_ON_CPU``, as ``Runtime.computed_by``
    names them, already use their deterministic algorithms, with one exception.
    """
    if "cuda" in devices or computed_by not in _EQUAL_ON_CPU:
        return False
    if gradients and computed_by == "keras on tensorflow":
        # By default its threads add up a convolution's gradient in any order.
        return False
    # What the user's environment sets of that which a CPU reads, and the strict lane overrides.
    # oneDNN reads both names, the newer one first.
    names = ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")
    fpmath = next(filter(None, map(os.environ.get, names)), "STRICT")
    flags = os.environ.get("XLA_FLAGS", "").split()
    return fpmath.upper() == "STRICT" and all(flag.startswith("--xla_gpu_") for flag in flags)
