"""The options of an export, and which of them go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, get_args

from export.constants import OPSET
from vgg16_spec.errors import BadInput, require_one_of
from vgg16_spec.images.preprocessing import Layout

WeightsFile = Literal["shared", "separate", "embedded"]
Output = Literal["logits", "probabilities"]
Input = Literal["float32", "uint8"]
Precision = Literal["fp32", "fp16", "int8"]

# The oldest opset with today's Gemm, Softmax and QuantizeLinear, and the oldest whose Resize has
# antialiasing.
OLDEST_OPSET: Final = 13
_RESIZE_OPSET: Final = 18
# This many images of VGG16's size take half a gigabyte.
LARGEST_BATCH: Final = 1024


class OptionKeywords(TypedDict, total=False):
    """The fields of ``Options`` as keywords, all optional."""

    weights_file: WeightsFile | Literal[""]
    opset: int
    batch: int | None
    layout: Layout | Literal[""]
    output: Output
    features: bool
    taps: bool
    input: Input
    resize: bool
    precision: Precision
    calibrate: Sequence[Path]
    test_data: bool


@dataclass(frozen=True)
class Options:
    """How an export is written.

    Attributes:
        weights_file: ``separate`` copies the checkpoint beside the graph, ``shared`` points to the
            checkpoint where it is, ``embedded`` puts the weights into the ONNX file. Empty for the
            default: ``separate`` in a bundle, ``embedded`` in a single file.
        opset: the ONNX operator set, 13 or newer.
        batch: the number of images, at most 1024, or ``None`` for any.
        layout: of float images: ``nchw`` for (batch, 3, H, W), ``nhwc`` for (batch, H, W, 3). Empty
            for the default: ``nhwc`` for ``uint8``, which has no other, and ``nchw`` otherwise.
        output: ``logits`` or ``probabilities``.
        features: leaves out the classifier; images then have any height and width of at least 32,
            and the output ``features`` is (batch, C, H // 32, W // 32).
        taps: makes every layer's output an output of the graph too, by the layer's name.
        input: ``float32`` for preprocessed images, ``uint8`` for (batch, H, W, 3) raw RGB pixels of
            the network's size, which the graph preprocesses by the checkpoint's recipe.
        resize: with ``uint8``, takes images of any size and resizes and crops them by the recipe.
        precision: ``fp32``, ``fp16`` or ``int8``.
        calibrate: pictures from which ``int8`` derives its scales.
        test_data: adds ``test_data_set_0`` to a bundle, computed by ONNX Runtime.

    Raises:
        BadInput: for an unknown value, and for values that exclude each other.
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
    calibrate: Sequence[Path] = ()
    test_data: bool = True

    def __post_init__(self) -> None:
        for option, allowed in _CHOICES.items():
            require_one_of(f"--{option.replace('_', '-')}", getattr(self, option), allowed)
        for refused, *reason in self._refusals():
            if refused:
                raise BadInput(*reason)

    def _refusals(self) -> tuple[tuple[bool, str, str, str], ...]:
        raw, int8 = self.input == "uint8", self.precision == "int8"
        batch = 1 if self.batch is None else self.batch
        shared = self.weights_file == "shared" and self.precision != "fp32"
        others = f"excludes --precision {self.precision}, whose weights differ"
        antialiasing = f"needs opset {_RESIZE_OPSET}, the oldest that resizes with antialiasing"
        old = self.resize and self.opset < _RESIZE_OPSET
        probable = self.output == "probabilities"
        one = "excludes --features", "one of the two"
        return (
            (not 1 <= batch <= LARGEST_BATCH, "--batch", f"is {batch}", "dynamic, or 1 to 1024"),
            (self.opset < OLDEST_OPSET, "--opset", f"is {self.opset}", "13 or newer"),
            (raw and self.layout == "nchw", "--layout nchw", "excludes --input uint8", "nhwc"),
            (self.resize and not raw, "--resize", "needs --input uint8", "raw pixels to resize"),
            (old, "--resize", antialiasing, "--opset 18 or newer"),
            (self.features and probable, "--output probabilities", *one),
            (self.features and self.resize, "--resize", *one),
            (self.features and int8, "--precision int8", *one),
            (int8 and not self.calibrate, "--precision int8", "needs pictures", "--calibrate DIR"),
            (bool(self.calibrate) and not int8, "--calibrate", "is for --precision int8", "both"),
            (shared, "--weights-file shared", others, "separate or embedded"),
            (self.taps and int8, "--taps", "excludes --precision int8", "fp32 or fp16"),
        )

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
