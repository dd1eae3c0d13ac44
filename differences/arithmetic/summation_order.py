"""One sum in float32, in several orders of summation."""

from __future__ import annotations

import json
import warnings
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from differences.harness.experiment import Claims, Finding
from differences.harness.frameworks import frameworks
from differences.harness.processes import ask
from onnx_arbiter.compare import Verdict, compare_with_arbiter
from onnx_arbiter.numeric_modes import MODES
from vgg16_parity.network import reference
from vgg16_spec.architecture import Convolution, configuration
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.layouts import nchw_to_nhwc, nhwc_to_nchw, oihw_to_hwio

TITLE: Final = "Summation order in float32"
RULE: Final = (
    "Do not expect equal bits from two libraries, or from one with another number of threads or "
    "another layout; bound the difference by the rounding of the sums."
)

Values = NDArray[np.float32]


def run() -> Finding:
    """Add up one sum of fc1's length by hand, then compute a convolution in several ways."""
    asked = ask("arithmetic.summation_order", {"TF_ENABLE_ONEDNN_OPTS": "0"})
    torch, _ = frameworks()
    orders = _orders()
    outputs = {f"PyTorch, {name}": values for name, values in _pytorch(torch).items()}
    outputs["TensorFlow, default"] = _tensorflow()
    outputs["TensorFlow, oneDNN off"] = np.array(asked(), np.float32)
    right, deviation = _predicted()
    verdicts = {
        name: compare_with_arbiter(values, right, deviation) for name, values in outputs.items()
    }
    first = outputs["PyTorch, one thread"]
    exact = float(np.sum(_products(), dtype=np.float64))
    return Finding(
        {
            **{
                f"one sum of fc1, {name}: error": (abs(total - exact) / abs(exact), "of the sum")
                for name, total in orders.items()
            },
            **{
                f"block5_conv1, {name}: other bits than PyTorch's on one thread": (
                    100 * float(np.mean(values != first)),
                    "% of the values",
                )
                for name, values in outputs.items()
                if values is not first
            },
            **{
                f"block5_conv1, {name}: rms error over predicted": verdict.ratio
                for name, verdict in verdicts.items()
            },
        },
        _claims(orders, outputs, verdicts),
    )


def _claims(
    orders: dict[str, float], outputs: dict[str, Values], verdicts: dict[str, Verdict]
) -> Claims:
    return {
        "The same 25,088 products added up forwards, backwards and in 512 parts give three "
        "different float32 numbers.": len(set(orders.values())) == len(orders),
        "Every way of computing the convolution is within the limits of predicted rounding.": all(
            verdict.passed for verdict in verdicts.values()
        ),
        "Not all of them give the same bits.": (
            len({values.tobytes() for values in outputs.values()}) > 1
        ),
    }


def _layer() -> tuple[Convolution, Values, Values]:
    """VGG16's block5_conv1, its seeded weights, and a plausible input (1, 512, 14, 14)."""
    network = configuration("D")
    layer = next(each for each in network.convolutions if each.name == "block5_conv1")
    shape = (1, *network.output_shapes()["block4_pool"])
    draws = np.random.Generator(np.random.Philox(5)).standard_normal(shape, np.float32)
    return layer, generate(network)[f"{layer.name}.weight"], np.maximum(draws, 0)


def _predicted() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The layer's output in float64, and the predicted standard deviation of a float32 one."""
    layer, weight, inputs = _layer()
    right = reference.multiply(layer, weight, inputs.astype(np.float64))
    squares = reference.multiply(layer, weight, np.square(inputs, dtype=np.float64), squared=True)
    length = weight[0].size
    variance = squares * (1 + length / 6) + np.square(right) * length / 3
    return right, MODES["float32"].sums * np.sqrt(variance / 3)


def _products() -> Values:
    """As many products as one unit of VGG16's fc1 adds up."""
    shape = configuration("D").weight_shapes["fc1.weight"]
    draws = np.random.Generator(np.random.Philox(16)).standard_normal((2, *shape[1:]), np.float32)
    products: Values = draws[0] * np.maximum(draws[1], 0)
    return products


def _orders() -> dict[str, float]:
    """Their sum in float32 in three orders; a cumulative sum adds in sequence on every machine."""
    products = _products()

    def added(values: Values) -> Values:
        totals: Values = np.cumsum(values, axis=-1, dtype=np.float32)[..., -1]
        return totals

    return {
        "forwards": float(added(products)),
        "backwards": float(added(products[::-1])),
        "in 512 parts": float(added(added(products.reshape(512, -1)))),
    }


def _pytorch(torch: Any) -> dict[str, Values]:
    """With one and two threads, channels first and last, with oneDNN and without."""
    layer, weight, inputs = _layer()
    kernels, images = torch.tensor(weight), torch.tensor(inputs)

    def answer(threads: int, **move: Any) -> Values:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            found = torch.nn.functional.conv2d(
                images.to(**move), kernels.to(**move), padding=layer.padding
            )
        finally:
            torch.set_num_threads(before)
        return np.ascontiguousarray(found.numpy())

    found = {
        "one thread": answer(1, copy=True),
        "two threads": answer(2, copy=True),
        "channels last": answer(1, memory_format=torch.channels_last),
    }
    with warnings.catch_warnings():
        # The switch sets oneDNN's TF32 as well, by what PyTorch itself has deprecated.
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False):
            found["oneDNN off"] = answer(1, copy=True)
    return found


def _tensorflow() -> Values:
    import tensorflow as tf

    _, weight, inputs = _layer()
    found = tf.nn.conv2d(nchw_to_nhwc(inputs), oihw_to_hwio(weight), 1, "SAME").numpy()
    return np.ascontiguousarray(nhwc_to_nchw(found))


if __name__ == "__main__":
    print(json.dumps(_tensorflow().tolist()))
