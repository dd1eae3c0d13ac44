"""TF32, bfloat16 and float16 through the layers, beside what the error model predicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from differences import tiny
from differences.experiment import Claim, Figure, Finding
from differences.frameworks import frameworks
from parity import reference
from parity.compare import Verdict, judge
from parity.tolerance import MODES, Prediction, predict
from vgg16.architecture import Convolution, Dense, Flatten, MaxPooling

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

TITLE: Final = "TF32, bfloat16 and float16"
RULE: Final = (
    "State the numeric mode of both sides, switch TF32 by name, and judge errors by the bits that "
    "the mode keeps."
)

Values = NDArray[np.float32]
_NAMES: Final = {
    "float32": "float32",
    "tf32": "TF32",
    "float16": "float16",
    "bfloat16": "bfloat16",
}


def run() -> Finding:
    """Run the small network in each mode: PyTorch, and NumPy for TF32."""
    torch, _ = frameworks()
    modes = [MODES[name] for name in _NAMES]
    predictions = list(predict(tiny.checkpoint(), tiny.images(), modes))
    observed = {
        name: _rounded_operands(_tf32) if name == "tf32" else _pytorch(torch, name)
        for name in _NAMES
    }
    verdicts = {
        name: [_judged(prediction, taps, name) for prediction in predictions]
        for name, taps in observed.items()
    }
    last = {name: found[-1] for name, found in verdicts.items()}
    size = float(np.sqrt(np.mean(np.square(predictions[-1].values))))
    relative = {name: found.rms_error / size for name, found in last.items()}
    worst = {name: max(each.ratio for each in found) for name, found in verdicts.items()}
    return Finding(
        (
            *(
                Figure(f"{shown}: rms error of the logits", relative[name], "of their rms")
                for name, shown in _NAMES.items()
            ),
            *(
                Figure(f"{shown}: rms error over predicted, worst layer", worst[name])
                for name, shown in _NAMES.items()
            ),
        ),
        _claims(torch, predictions, observed, verdicts),
        draw=lambda picture: _draw(picture, verdicts, predictions),
    )


def _claims(
    torch: Any,
    predictions: list[Prediction],
    observed: dict[str, dict[str, Any]],
    verdicts: dict[str, list[Verdict]],
) -> tuple[Claim, ...]:
    with np.errstate(over="ignore"):
        beyond = np.float16(70000.0)
    return (
        Claim(
            "In each mode every layer's error is within the limits of what is predicted for "
            "that mode.",
            all(verdict.passed for found in verdicts.values() for verdict in found),
        ),
        Claim(
            "By the limits of float32, the logits of none of the other three pass.",
            not any(
                _judged(predictions[-1], observed[name], name, by="float32").passed
                for name in _NAMES
                if name != "float32"
            ),
        ),
        Claim(
            "Over the layers, by the geometric mean, bfloat16's error is four to sixteen times "
            "float16's: it keeps three bits less, which is eight times.",
            4 < _times(verdicts, "bfloat16", "float16") < 16,
        ),
        Claim(
            "TF32's is within a factor of two of float16's, which keeps as many bits.",
            0.5 < _times(verdicts, "tf32", "float16") < 2,
        ),
        Claim(
            "float16 ends at 65,504, where bfloat16 and TF32 have the range of float32.",
            bool(np.isinf(beyond)) and bool(torch.tensor(7e4).bfloat16().isfinite()),
        ),
    )


def _times(verdicts: dict[str, list[Verdict]], one: str, other: str) -> float:
    """How large a mode's errors are against another's, by the geometric mean over the layers."""
    pairs = zip(verdicts[one], verdicts[other], strict=True)
    return float(np.exp(np.mean([np.log(a.rms_error / b.rms_error) for a, b in pairs])))


def _judged(prediction: Prediction, taps: dict[str, Any], mode: str, by: str = "") -> Verdict:
    return judge(
        taps[prediction.tap],
        prediction.before,
        prediction.accumulated[by or mode],
        relu=prediction.relu,
    )


def _pytorch(torch: Any, precision: str) -> dict[str, Any]:
    """Weights and activations in that precision, on the CPU."""
    from torch_impl import VGG, run_with_taps

    model = VGG("tiny", weights=tiny.checkpoint()).to(getattr(torch, precision))
    return run_with_taps(model, tiny.images())


def _tf32(values: Values) -> Values:
    """The nearest numbers with 10 bits after the leading one: what TF32's multipliers are given."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    nearest = (bits + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)
    return nearest.view(np.float32)


def _rounded_operands(rounded: Callable[[Values], Values]) -> dict[str, Any]:
    """Every tap of a float32 run whose products are of rounded operands, by NumPy."""
    checkpoint = tiny.checkpoint()
    values: Any = tiny.images()
    taps: dict[str, Any] = {}
    for layer in checkpoint.configuration.layers:
        match layer:
            case Convolution() | Dense():
                weight = rounded(checkpoint[f"{layer.name}.weight"])
                values = reference.multiply(layer, weight, rounded(values))
                bias = checkpoint[f"{layer.name}.bias"]
                values += bias.reshape(1, -1, *[1] * (values.ndim - 2))
                if isinstance(layer, Convolution) or layer.relu:
                    values = np.maximum(values, 0)
            case MaxPooling():
                values = reference.windows(values).max(axis=-1)
            case Flatten():
                values = reference.flatten(values)
        taps[layer.name] = values
    return taps


def _draw(
    picture: Picture, verdicts: dict[str, list[Verdict]], predictions: list[Prediction]
) -> None:
    axes = picture.subplots()
    names = [prediction.tap for prediction in predictions]
    sizes = [float(np.sqrt(np.mean(np.square(each.values)))) for each in predictions]
    for index, (mode, found) in enumerate(verdicts.items()):
        seen = [each.rms_error / size for each, size in zip(found, sizes, strict=True)]
        told = [each.rms_predicted / size for each, size in zip(found, sizes, strict=True)]
        axes.semilogy(names, seen, "o-", color=f"C{index}", markersize=4, label=_NAMES[mode])
        axes.semilogy(names, told, ":", color=f"C{index}")
    axes.plot([], [], ":", color="grey", label="predicted")
    axes.set_ylabel("rms error over rms value")
    axes.tick_params(axis="x", rotation=90, labelsize=7)
    picture.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
