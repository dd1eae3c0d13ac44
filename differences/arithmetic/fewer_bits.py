"""TF32, bfloat16 and float16 through the layers, compared with the error model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from differences.arithmetic import tf32
from differences.harness import tiny
from differences.harness.experiment import Claims, Finding
from differences.harness.frameworks import frameworks
from onnx_arbiter.compare import Verdict, compare_with_arbiter
from onnx_arbiter.expectations import Prediction
from onnx_arbiter.numeric_modes import MODES, TRUNCATED_TF32
from vgg16_parity.network.prediction import predict

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

TITLE: Final = "TF32, bfloat16 and float16"
RULE: Final = (
    "State the numeric mode of both sides, set TF32 explicitly, and judge errors by the bits "
    "that the mode keeps."
)

TRUNCATED: Final = "TF32, truncated"
# Run -> the numeric mode that predicts it.
MODE_OF: Final = {
    "float32": "float32",
    "TF32": "tf32",
    TRUNCATED: TRUNCATED_TF32.name,
    "float16": "float16",
    "bfloat16": "bfloat16",
}


def run() -> Finding:
    """Run the small network in each mode: in PyTorch, and in NumPy for TF32."""
    torch, _ = frameworks()
    modes = [*MODES.values(), TRUNCATED_TF32]
    predictions = list(predict(tiny.checkpoint(), tiny.images(), modes))
    observed = {
        "float32": _pytorch(torch, "float32"),
        "TF32": tf32.run_with_operands(tiny.checkpoint(), tiny.images(), tf32.nearest),
        TRUNCATED: tf32.run_with_operands(tiny.checkpoint(), tiny.images(), tf32.truncated),
        "float16": _pytorch(torch, "float16"),
        "bfloat16": _pytorch(torch, "bfloat16"),
    }
    verdicts = {
        name: [_judged(prediction, taps, MODE_OF[name]) for prediction in predictions]
        for name, taps in observed.items()
    }
    last = {name: found[-1] for name, found in verdicts.items()}
    size = float(np.sqrt(np.mean(np.square(predictions[-1].values))))
    relative = {name: found.rms_error / size for name, found in last.items()}
    worst = {name: max(each.ratio for each in found) for name, found in verdicts.items()}
    unforeseen = [_judged(prediction, observed[TRUNCATED], "tf32") for prediction in predictions]
    logits = predictions[-1].values
    shrunk = 1 - float(
        np.sum(observed[TRUNCATED]["predictions"] * logits) / np.sum(np.square(logits))
    )
    return Finding(
        {
            **{
                f"{name}: rms error of the logits": (relative[name], "of their rms")
                for name in MODE_OF
            },
            **{f"{name}: rms error over predicted, worst layer": worst[name] for name in MODE_OF},
            f"{TRUNCATED}: the logits shrink by": (100 * shrunk, "%"),
            f"{TRUNCATED}: rms error over a prediction of variances alone, worst layer": max(
                verdict.ratio for verdict in unforeseen
            ),
        },
        _claims(torch, predictions, observed, verdicts, unforeseen, shrunk),
        draw=lambda picture: _draw(picture, verdicts, predictions),
    )


def _claims(
    torch: Any,
    predictions: list[Prediction],
    observed: dict[str, dict[str, Any]],
    verdicts: dict[str, list[Verdict]],
    unforeseen: list[Verdict],
    shrunk: float,
) -> Claims:
    with np.errstate(over="ignore"):
        beyond = np.float16(70000.0)
    return {
        "In each mode every layer's error is within the limits of that mode's prediction.": all(
            verdict.passed for found in verdicts.values() for verdict in found
        ),
        "None of the other modes' logits is within the limits of float32.": not any(
            _judged(predictions[-1], observed[name], "float32").passed
            for name in MODE_OF
            if name != "float32"
        ),
        "In the geometric mean over the layers, bfloat16's error is four to sixteen times "
        "float16's: it keeps three bits less, which is a factor of eight.": (
            4 < _times(verdicts, "bfloat16", "float16") < 16
        ),
        "Rounded to nearest, TF32's error is within a factor of two of float16's, which keeps "
        "as many bits.": 0.5 < _times(verdicts, "TF32", "float16") < 2,
        "With truncation, every layer's outputs shrink, and these biases add up: the error of "
        "the logits is more than three times that of rounding.": (
            shrunk > 0 and verdicts[TRUNCATED][-1].rms_error > 3 * verdicts["TF32"][-1].rms_error
        ),
        "A prediction from variances alone, without the bias of truncation, would report a "
        "mistake.": not any(verdict.passed for verdict in unforeseen[-3:]),
        "float16 ends at 65,504; bfloat16 and TF32 have the range of float32.": (
            bool(np.isinf(beyond)) and bool(torch.tensor(7e4).bfloat16().isfinite())
        ),
    }


def _times(verdicts: dict[str, list[Verdict]], one: str, other: str) -> float:
    """The ratio of two modes' errors, in the geometric mean over the layers."""
    pairs = zip(verdicts[one], verdicts[other], strict=True)
    return float(np.exp(np.mean([np.log(a.rms_error / b.rms_error) for a, b in pairs])))


def _judged(prediction: Prediction, taps: dict[str, Any], mode: str) -> Verdict:
    return compare_with_arbiter(
        taps[prediction.tap],
        prediction.preactivation,
        prediction.accumulated[mode],
        relu=prediction.relu,
    )


def _pytorch(torch: Any, precision: str) -> dict[str, Any]:
    """Run with weights and activations in that precision, on the CPU."""
    from torch_impl import VGG, run_with_taps

    model = VGG("tiny", weights=tiny.checkpoint()).to(getattr(torch, precision))
    return run_with_taps(model, tiny.images())


def _draw(
    picture: Picture, verdicts: dict[str, list[Verdict]], predictions: list[Prediction]
) -> None:
    axes = picture.subplots()
    names = [prediction.tap for prediction in predictions]
    sizes = [float(np.sqrt(np.mean(np.square(each.values)))) for each in predictions]
    for index, (name, found) in enumerate(verdicts.items()):
        observed = [each.rms_error / size for each, size in zip(found, sizes, strict=True)]
        predicted = [each.rms_predicted / size for each, size in zip(found, sizes, strict=True)]
        axes.semilogy(names, observed, "o-", color=f"C{index}", markersize=4, label=name)
        axes.semilogy(names, predicted, ":", color=f"C{index}")
    axes.plot([], [], ":", color="grey", label="predicted")
    axes.set_ylabel("rms error over rms value")
    axes.tick_params(axis="x", rotation=90, labelsize=7)
    picture.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
