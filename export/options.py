"""What an export can be asked for, and which of it goes together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

from export.constants import OPSET
from vgg16_spec.errors import BadInput, require_one_of
from vgg16_spec.images.preprocessing import Layout

WeightsFile = Literal["shared", "separate", "embedded"]
Output = Literal["logits", "probabilities"]
Input = Literal["float32", "uint8"]
Precision = Literal["fp32", "fp16", "int8"]

# The first opset whose Gemm, Softmax and QuantizeLinear are today's; the first with an antialiased
# Resize.
OLDEST_OPSET: Final = 13
_RESIZE_OPSET: Final = 18
# Of a batch that is fixed: as many images of VGG16's size take half a gigabyte.
LARGEST_BATCH: Final = 1024


@dataclass(frozen=True)
class Options:
    """How an export is written.

    Attributes:
        weights_file: ``separate`` copies the checkpoint beside the graph, ``shared`` points into
            the checkpoint where it lies, ``embedded`` puts the weights into the ONNX file. Empty
            for the default: ``separate`` in a bundle, ``embedded`` in a file of its own.
        opset: the ONNX operator set, 13 or newer.
        batch: the number of images, at most 1024, or ``None`` for any.
        layout: of float images: ``nchw`` for (batch, 3, H, W), ``nhwc`` for (batch, H, W, 3). Empty
            for the default: ``nchw``, and ``nhwc`` for ``uint8``, which has no other.
        output: ``logits`` or ``probabilities``.
        features: without the classifier, for images of any height and width of at least 32; the
            output ``features`` is (batch, C, H // 32, W // 32).
        taps: every layer's output as an output of the graph too, by the layer's name.
        input: ``float32`` for preprocessed images, ``uint8`` for (batch, H, W, 3) raw RGB pixels of
            the network's size; the checkpoint's own preprocessing arithmetic is then in the graph.
        resize: with ``uint8``, images of any size: resized and cropped in the graph as the recipe
            says.
        precision: ``fp32`` as the checkpoint has it, ``fp16``, or ``int8``.
        calibrate: pictures that ``int8`` chooses its scales by.
        test_data: whether a bundle gets ``test_data_set_0``, which ONNX Runtime computes.

    Raises ``BadInput`` for a value that is not known and for values that exclude each other.
    """

    weights_file: WeightsFile | Literal[""] = ""
    opset: int = OPSET
    batch: int | None = None
    layout: Layout | Literal[""] = ""
    output: Output = "logits"
    features: bool = False
    taps: bool = False
    input: Input = "float32"
    resize: bool = False
    precision: Precision = "fp32"
    calibrate: Sequence[Path] = field(default=())
    test_data: bool = True

    def __post_init__(self) -> None:
        for option, allowed in _CHOICES.items():
            require_one_of(f"--{option.replace('_', '-')}", getattr(self, option), allowed)
        if self.batch is not None and not 1 <= self.batch <= LARGEST_BATCH:
            raise BadInput("--batch", f"is {self.batch}", f"dynamic, or 1 to {LARGEST_BATCH}")
        if self.opset < OLDEST_OPSET:
            raise BadInput("--opset", f"is {self.opset}", f"{OLDEST_OPSET} or newer")
        if self.input == "uint8" and self.layout == "nchw":
            raise BadInput("--layout nchw", "excludes --input uint8", "nhwc, as pictures come")
        if self.resize and self.input != "uint8":
            raise BadInput("--resize", "needs --input uint8", "raw pixels to resize")
        if self.resize and self.opset < _RESIZE_OPSET:
            problem = f"needs opset {_RESIZE_OPSET}, which first resizes with antialiasing"
            raise BadInput("--resize", problem, f"--opset {_RESIZE_OPSET} or newer")
        if self.features:
            self._check_features()
        self._check_precision()

    def _check_features(self) -> None:
        for excluded, given in (
            ("--output probabilities", self.output == "probabilities"),
            ("--resize", self.resize),
            ("--precision int8", self.precision == "int8"),
        ):
            if given:
                raise BadInput(excluded, "excludes --features", "one of the two")

    def _check_precision(self) -> None:
        if self.precision == "int8" and not self.calibrate:
            raise BadInput("--precision int8", "needs pictures", "--calibrate DIR with some")
        if self.calibrate and self.precision != "int8":
            raise BadInput("--calibrate", "is for --precision int8", "both or neither")
        if self.precision != "fp32" and self.weights_file == "shared":
            problem = f"excludes --precision {self.precision}, whose weights are others"
            raise BadInput("--weights-file shared", problem, "separate or embedded")
        if self.precision == "int8" and self.taps:
            raise BadInput("--taps", "excludes --precision int8", "fp32 or fp16")

    @property
    def channels_last(self) -> bool:
        """Whether the graph's images are (batch, H, W, 3)."""
        return self.layout == "nhwc" or self.input == "uint8"


_CHOICES: Final[dict[str, tuple[Any, ...]]] = {
    "weights_file": ("", *get_args(WeightsFile)),
    "layout": ("", *get_args(Layout)),
    "output": get_args(Output),
    "input": get_args(Input),
    "precision": get_args(Precision),
}
