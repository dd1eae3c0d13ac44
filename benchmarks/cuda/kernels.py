"""The kernels that a forward pass calls on a GPU, and how TF32 rounds.

    python -m benchmarks.cuda.kernels --out build/cuda/kernels.json

Records, of PyTorch in every lane at batch 2, 32 and 256 and of ONNX Runtime's graph from PyTorch at
batch 2 and 32, the name and the microseconds of every kernel of one forward pass, in order. And
multiplies numbers that TF32 cannot hold by 1, in matrix products and in convolutions: the result
tells how an operand was rounded. The figures of docs/measured/cuda-kernels.json are of this kind.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

import numpy as np

from benchmarks.harness import command
from vgg16_parity.runtimes import settings
from vgg16_parity.runtimes.lanes import LANES, Device
from vgg16_spec.checkpoint.seeded import seeded_checkpoint
from vgg16_spec.errors import BadInput

_PACKAGE: Final = "benchmarks.cuda.kernels"
# A lane leaves settings behind: the one that sets nothing comes first, deterministic ones last.
_ORDER: Final = ("default", "tf32", "bfloat16", "float16", "strict")
# Between and beside two numbers of TF32, whose gap is 2^-10 above 1.
NUMBERS: Final = {
    "1+0.75*2^-10": 1 + 0.75 * 2**-10,
    "1+0.25*2^-10": 1 + 0.25 * 2**-10,
    "1+2^-11": 1 + 2**-11,
    "1+3*2^-11": 1 + 3 * 2**-11,
    "-(1+0.75*2^-10)": -(1 + 0.75 * 2**-10),
    "1+2^-11+2^-20": 1 + 2**-11 + 2**-20,
}
# Rows of a product, and its columns; channels, the side of a map and images of a convolution.
_PRODUCTS: Final = ((256, 256), (4096, 4096), (2, 4096))
_CONVOLUTIONS: Final = ((3, 224, 2), (64, 224, 2), (256, 56, 2), (512, 14, 2), (512, 14, 32))
# A lane of ONNX Runtime, and the precision of its graph.
_GRAPHS: Final[tuple[tuple[str, Literal["fp32", "fp16"]], ...]] = (
    ("strict", "fp32"),
    ("default", "fp32"),
    ("float16", "fp16"),
)
Kernels = list[tuple[str, float]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write; the exit status is 2 if there is no GPU."""
    parser = command.parser(_PACKAGE)
    parser.add_argument("--out", type=Path, default=Path("build/cuda/kernels.json"))
    chosen = parser.parse_args(arguments)
    try:
        settings.configure_torch(LANES["default"], "cuda")
    except settings.Unavailable as refusal:
        problem = BadInput("the GPU", str(refusal), "an NVIDIA GPU and PyTorch with CUDA")
        print(f"{_PACKAGE}: {problem}", file=sys.stderr)
        return 2
    document = {
        "kernels": {"torch": dict(of_torch("D", (2, 32, 256))), "onnxruntime": dict(of_onnx("D"))},
        "rounding": rounding("cuda", _PRODUCTS, _CONVOLUTIONS),
    }
    command.write(chosen.out, json.dumps(document, indent=1) + "\n")
    return 0


def of_torch(
    name: str, batches: Sequence[int], device: Device = "cuda"
) -> Iterator[tuple[str, Kernels]]:
    """Lane and batch -> the kernels of PyTorch's forward pass, in every lane of the device."""
    import torch

    import torch_impl

    checkpoint = seeded_checkpoint(name)
    size = checkpoint.configuration.input_size
    for lane in (LANES[each] for each in _ORDER):
        if device not in lane.modes:
            continue
        settings.configure_torch(lane, device)
        kind = getattr(torch, lane.precision)
        model = torch_impl.VGG(name, weights=checkpoint).to(device, kind).eval()
        for batch in batches:
            images = torch.randn(batch, 3, size, size, device=device, dtype=kind)
            with torch.inference_mode():
                yield f"{lane.name} batch {batch}", profiled(lambda: model(images))  # noqa: B023


def of_onnx(
    name: str, batches: Sequence[int] = (2, 32), device: Device = "cuda"
) -> Iterator[tuple[str, Kernels]]:
    """The same of the graph exported from PyTorch, with the copies from and to the host."""
    from export import MODEL_FILE, export_onnx
    from vgg16_parity.runtimes.adapters.onnx import load_cuda_libraries, open_session

    if device == "cuda":
        load_cuda_libraries()
    checkpoint = seeded_checkpoint(name)
    size = checkpoint.configuration.input_size
    generator = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        for lane, precision in _GRAPHS:
            place = Path(folder) / precision
            if not place.exists():
                export_onnx("torch", checkpoint, place, precision=precision, test_data=False)
            providers, _ = settings.onnx_providers(LANES[lane], device)
            deterministic = LANES[lane].deterministic
            session = open_session(providers, place / MODEL_FILE, deterministic=deterministic)
            (feed,) = session.get_inputs()
            kind = np.float16 if "float16" in feed.type else np.float32
            for batch in batches:
                images = generator.standard_normal((batch, 3, size, size)).astype(kind)
                run = session.run
                yield (
                    f"{lane} batch {batch}",
                    profiled(lambda: run(None, {feed.name: images})),  # noqa: B023
                )


def profiled(run: Callable[[], object]) -> Kernels:
    """Each kernel that the second of two runs calls on the GPU, and its microseconds, in order."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    def whole() -> None:
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    whole()
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    with profile(activities=activities) as found:
        whole()
    events: list[Any] = list(found.events())
    return [
        (event.name, event.device_time_total)
        for event in events
        if event.device_type.name == "CUDA"
    ]


def rounding(
    device: Device,
    products: Sequence[tuple[int, int]],
    convolutions: Sequence[tuple[int, int, int]],
) -> dict[str, dict[str, dict[str, float]]]:
    """Each of ``NUMBERS`` after it was multiplied by 1, as either operand, in TF32 and without.

    Args:
        device: ``cuda``; on ``cpu`` nothing is rounded.
        products: rows and columns of matrix products.
        convolutions: channels, side and images of 3x3 convolutions.
    """
    found: dict[str, dict[str, dict[str, float]]] = {"product": {}, "convolution": {}}
    for lane in ("tf32", "strict"):
        if device == "cuda":
            settings.configure_torch(LANES[lane], device)
        for kind, operands in (
            ("product", _products(device, products)),
            ("convolution", _convolutions(device, convolutions)),
        ):
            for name, multiplied in operands:
                by_number = {each: multiplied(number) for each, number in NUMBERS.items()}
                found[kind][f"{lane} {name}"] = by_number
    return found


def _products(
    device: Device, shapes: Sequence[tuple[int, int]]
) -> Iterator[tuple[str, Callable[[float], float]]]:
    import torch

    for rows, columns in shapes:
        one = torch.eye(rows, columns, device=device)
        square = torch.eye(columns, device=device)

        def left(number: float, one: Any = one, square: Any = square) -> float:
            return float((torch.full_like(one, number) @ square)[0, 0])

        def right(number: float, one: Any = one, square: Any = square) -> float:
            return float((one @ torch.full_like(square, number))[0, 0])

        shape = f"({rows},{columns})x({columns},{columns})"
        yield f"{shape} left", left
        yield f"{shape} right", right


def _convolutions(
    device: Device, shapes: Sequence[tuple[int, int, int]]
) -> Iterator[tuple[str, Callable[[float], float]]]:
    import torch
    from torch.nn.functional import conv2d

    for channels, side, images in shapes:
        outputs = max(channels, 64)
        # Every kernel is a 1 in its centre, of one channel.
        kernel = torch.zeros(outputs, channels, 3, 3, device=device)
        kernel[torch.arange(outputs), torch.arange(outputs) % channels, 1, 1] = 1
        ones = torch.ones(images, channels, side, side, device=device)
        for order, layout in (("nchw", torch.contiguous_format), ("nhwc", torch.channels_last)):
            given, weight = (each.contiguous(memory_format=layout) for each in (ones, kernel))

            def image(number: float, given: Any = given, weight: Any = weight) -> float:
                return float(conv2d(given * number, weight, padding=1)[0, 0, 5, 5])

            def centre(number: float, given: Any = given, weight: Any = weight) -> float:
                return float(conv2d(given, weight * number, padding=1)[0, 0, 5, 5])

            name = f"{channels}->{outputs} {side} batch {images} {order}"
            yield f"{name} image", image
            yield f"{name} weight", centre


if __name__ == "__main__":
    raise SystemExit(main())
