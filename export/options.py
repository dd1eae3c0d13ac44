"""The options of an export, and which of them go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypedDict, get_args, get_origin, get_type_hints

from export.constants import OPSET
from vgg16_spec.errors import BadInput, require_one_of

# Empty for a default that depends on the other options.
WeightsFile = Literal["", "shared", "separate", "embedded"]
ImageLayout = Literal["", "nchw", "nhwc"]

# The oldest opset with today's Gemm, Softmax and QuantizeLinear, and the oldest whose Resize has
# antialiasing.
OLDEST_OPSET: Final = 13
_RESIZE_OPSET: Final = 18
# This many images of VGG16's size take half a gigabyte.
_LARGEST_BATCH: Final = 1024


class OptionKeywords(TypedDict, total=False):
    """The fields of ``Options`` as keywords, all optional."""

    weights_file: WeightsFile
    opset: int
    batch: int | None
    layout: ImageLayout
    output: Literal["logits", "probabilities"]
    features: bool
    dense: bool
    taps: bool
    input: Literal["float32", "uint8"]
    resize: bool
    precision: Literal["fp32", "fp16", "int8"]
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
        dense: applies the network densely (section 3.2 of the paper): images have any height and
            width from the network's own size on, and the class scores are averaged over space. The
            layers of the classifier are convolutions, with the same bytes as weights.
        taps: makes every layer's output an output of the graph too, by the layer's name.
        input: ``float32`` for preprocessed images, ``uint8`` for (batch, H, W, 3) raw RGB pixels of
            the network's size, which the graph preprocesses by the checkpoint's recipe.
        resize: with ``uint8``, takes images of any size and resizes and crops them by the recipe.
        precision: ``fp32``, ``fp16`` or ``int8``.
        calibrate: pictures from which ``int8`` derives its scales.
        test_data: adds ``test_data_set_0`` to a bundle, computed by ONNX Runtime.

    Raises:
        BadInput: for an unknown value, and for values that cannot be combined.
    """

    weights_file: WeightsFile = ""
    opset: int = OPSET
    batch: int | None = None
    layout: ImageLayout = ""
    output: Literal["logits", "probabilities"] = "logits"
    features: bool = False
    dense: bool = False
    taps: bool = False
    input: Literal["float32", "uint8"] = "float32"
    resize: bool = False
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    calibrate: Sequence[Path] = ()
    test_data: bool = True

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(OptionKeywords).items():
            if get_origin(kind) is Literal:
                option = f"--{name.replace('_', '-')}"
                require_one_of(option, getattr(self, name), get_args(kind))
        for refused, *reason in self._refusals():
            if refused:
                raise BadInput(*reason)

    def _refusals(self) -> tuple[tuple[bool, str, str, str], ...]:
        raw, int8 = self.input == "uint8", self.precision == "int8"
        batch = 1 if self.batch is None else self.batch
        shared = self.weights_file == "shared" and self.precision != "fp32"
        others = f"cannot be combined with --precision {self.precision}, whose weights differ"
        antialiasing = f"needs opset {_RESIZE_OPSET}, the oldest that resizes with antialiasing"
        old = self.resize and self.opset < _RESIZE_OPSET
        probable = self.output == "probabilities"
        not_both = "cannot be combined with"
        one = f"{not_both} --features", "one of the two"
        unused = bool(self.calibrate) and not int8
        return (
            (not 1 <= batch <= _LARGEST_BATCH, "--batch", f"is {batch}", "dynamic, or 1 to 1024"),
            (self.opset < OLDEST_OPSET, "--opset", f"is {self.opset}", "13 or newer"),
            (raw and self.layout == "nchw", "--layout nchw", f"{not_both} --input uint8", "nhwc"),
            (self.resize and not raw, "--resize", "needs --input uint8", "raw pixels to resize"),
            (old, "--resize", antialiasing, "--opset 18 or newer"),
            (self.features and probable, "--output probabilities", *one),
            (self.features and self.resize, "--resize", *one),
            (self.features and int8, "--precision int8", *one),
            (self.dense and self.features, "--dense", *one),
            (self.dense and self.resize, "--resize", f"{not_both} --dense", one[1]),
            (self.dense and int8, "--precision int8", f"{not_both} --dense", one[1]),
            (int8 and not self.calibrate, "--precision int8", "needs pictures", "--calibrate DIR"),
            (unused, "--calibrate", "is for --precision int8", "that, or no pictures"),
            (shared, "--weights-file shared", others, "separate or embedded"),
            (self.taps and int8, "--taps", f"{not_both} --precision int8", "fp32 or fp16"),
        )

    @property
    def channels_last(self) -> bool:
        """Whether the graph's images are (batch, H, W, 3)."""
        return self.layout == "nhwc" or self.input == "uint8"
