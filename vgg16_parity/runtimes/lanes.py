"""The lanes: which numeric mode a runtime computes in, and what decides that."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from onnx_arbiter.numeric_modes import MODES, Mode
from vgg16_spec.errors import require_one_of

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Lane:
    """One way of setting up every runtime's arithmetic.

    Attributes:
        name: what it is called on the command line and in reports.
        description: what is set.
        precision: of weights and activations.
        modes: device -> the name of the numeric mode that errors are judged by; a device that is
            not there is one that the lane does not exist on.
        environment: variables of the worker's process.
    """

    name: str
    description: str
    precision: Literal["float32", "bfloat16", "float16"]
    modes: dict[Device, str]
    environment: dict[str, str]

    def mode(self, device: Device) -> Mode | None:
        """The numeric mode on a device; none where the lane does not exist there."""
        return MODES[self.modes[device]] if device in self.modes else None


# What forbids TF32 and bfloat16 from outside, whatever the user's environment says, and what the
# frameworks want set for algorithms that give the same bits twice.
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
                _STRICT,
            ),
            Lane(
                "default",
                "as the framework comes: float32, where a GPU has TF32 by that",
                "float32",
                {"cpu": "float32", "cuda": "tf32"},
                {},
            ),
            Lane("tf32", "float32 with TF32 products", "float32", {"cuda": "tf32"}, {}),
            Lane(
                "bfloat16",
                "weights and activations in bfloat16, sums in float32",
                "bfloat16",
                {"cpu": "bfloat16", "cuda": "bfloat16"},
                {},
            ),
            Lane(
                "float16",
                "weights and activations in float16, sums in float32",
                "float16",
                {"cpu": "float16", "cuda": "float16"},
                {},
            ),
        )
    }
)


def lane(name: str) -> Lane:
    """The lane of that name. Raises ``BadInput`` for another name."""
    return LANES[require_one_of("lane", name, tuple(LANES))]
