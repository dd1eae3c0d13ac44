"""How TF32 rounds: numbers that it cannot hold, multiplied by 1 in PyTorch.

The result tells whether an operand was rounded to the nearest number, truncated or kept as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from vgg16_parity.runtimes.lanes import Device

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
PRODUCTS: Final = ((256, 256), (4096, 4096), (2, 4096))
CONVOLUTIONS: Final = ((3, 224, 2), (64, 224, 2), (256, 56, 2), (512, 14, 2), (512, 14, 32))

Found = dict[str, dict[str, float]]


def rounding(
    device: Device,
    products: Sequence[tuple[int, int]] = PRODUCTS,
    convolutions: Sequence[tuple[int, int, int]] = CONVOLUTIONS,
) -> dict[str, Found]:
    """What is left of each of ``NUMBERS`` after it was multiplied by 1, as either operand.

    Args:
        device: ``cuda``, in the lane that PyTorch was set up for; on ``cpu`` nothing is rounded.
        products: rows and columns of matrix products.
        convolutions: channels, side and images of 3x3 convolutions.
    """
    return {
        "product": _multiplied(_products(device, products)),
        "convolution": _multiplied(_convolutions(device, convolutions)),
    }


def _multiplied(operands: Iterator[tuple[str, Callable[[float], float]]]) -> Found:
    return {
        name: {each: multiplied(number) for each, number in NUMBERS.items()}
        for name, multiplied in operands
    }


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
