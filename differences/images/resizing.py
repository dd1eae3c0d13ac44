"""One photograph, resized by five libraries to the same size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from differences.harness import numbers, tiny
from differences.harness.experiment import Finding
from differences.harness.frameworks import frameworks
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import RECIPES, normalise, read_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

TITLE: Final = "Resizing"
RULE: Final = (
    "Resize with antialiasing, enabled explicitly, in the library that serves the model: Pillow "
    "does it by default, and most others do not."
)
PACKAGES: Final = ("torchvision", "pillow", "opencv-python-headless", "onnxruntime")

Pixels = NDArray[np.float32]
# (H, W, 3), height, width -> (height, width, 3), from 0 to 255, rounded only if the library rounds.
_Resizer = Callable[[NDArray[np.uint8], int, int], Pixels]
# The shorter side and the crop of VGG16's recipe, and of the tiny network's.
_SIZES: Final = ((256, 224), (73, 64))
_DEFAULT: Final = "TensorFlow, default"
_ONNX: Final = "ONNX Runtime, antialias=1"


def run() -> Finding:
    """Resize and crop the photographs with each library, and run the small network."""
    torch, keras = frameworks()
    plain, smooth = _resizers(torch, keras)
    pictures = [np.array(read_image(photograph.path)) for photograph in PHOTOGRAPHS]
    cut: dict[str, list[list[Pixels]]] = {}
    for name, resize in {"Pillow": _pillow, **smooth, **plain}.items():
        cut[name] = [[_cropped(each, resize, *size) for each in pictures] for size in _SIZES]
    apart = {name: _apart(cut["Pillow"], found) for name, found in cut.items()}
    logits = {name: _logits(found[1]) for name, found in cut.items()}
    moved = {name: numbers.change(logits["Pillow"], each) for name, each in logits.items()}
    height, width = 256, 256 * pictures[1].shape[1] // pictures[1].shape[0]
    whole = np.abs(smooth[_ONNX](pictures[1], height, width) - _pillow(pictures[1], height, width))
    others = [name for name in cut if name != "Pillow"]
    between = max(_apart(cut[_DEFAULT], cut[name])[0] for name in plain)
    return Finding(
        {
            **{f"{name}: at most": (apart[name][0], "levels from Pillow's") for name in others},
            **{f"{name}: logits change by": (moved[name], "%") for name in others},
            f"{_ONNX}, before the crop: at most": (float(whole.max()), "levels from Pillow's"),
        },
        {
            "With antialiasing and after the crop, all are within one level of Pillow at "
            "VGG16's size, the error of rounding to whole levels.": (
                max(apart[name][0] for name in smooth) <= 1
            ),
            "Without antialiasing all are within one level of each other, and more than twenty "
            "levels from Pillow.": between <= 1 and min(apart[name][0] for name in plain) > 20,
            "ONNX Runtime differs more from Pillow only in the two outermost rows and columns, "
            "before the crop.": float(whole[2:-2, 2:-2].max()) <= 1 < float(whole.max()),
            "Every resize without antialiasing changes the logits more than twice as much as "
            "any with it.": (
                min(moved[name] for name in plain) > 2 * max(moved[name] for name in smooth)
            ),
        },
        draw=lambda picture: _draw(picture, cut),
    )


def _resizers(torch: Any, keras: Any) -> tuple[Mapping[str, _Resizer], Mapping[str, _Resizer]]:
    """The resizers without antialiasing, and those with it, by name."""
    import cv2
    import tensorflow as tf
    from torchvision.transforms.v2 import functional

    def tensorflow(antialias: bool) -> _Resizer:
        return lambda array, height, width: np.asarray(
            tf.image.resize(array, (height, width), antialias=antialias)
        )

    def torchvision(antialias: bool) -> _Resizer:
        def resize(array: NDArray[np.uint8], height: int, width: int) -> Pixels:
            tensor = torch.from_numpy(array).permute(2, 0, 1)
            found = functional.resize(tensor, [height, width], antialias=antialias)
            return np.asarray(found.permute(1, 2, 0).numpy(), np.float32)

        return resize

    def keras_layer(array: NDArray[np.uint8], height: int, width: int) -> Pixels:
        layer = keras.layers.Resizing(height, width, data_format="channels_last")
        found: Pixels = np.asarray(layer(array[np.newaxis].astype(np.float32)))[0]
        return found

    def opencv(array: NDArray[np.uint8], height: int, width: int) -> Pixels:
        return np.asarray(cv2.resize(array, (width, height)), np.float32)

    return (
        {
            "torchvision, antialias=False": torchvision(False),
            _DEFAULT: tensorflow(False),
            "Keras's Resizing layer, default": keras_layer,
            "OpenCV, default": opencv,
            "ONNX Runtime, default": _onnx(0),
        },
        {
            "torchvision, antialias=True": torchvision(True),
            "TensorFlow, antialias=True": tensorflow(True),
            _ONNX: _onnx(1),
        },
    )


def _onnx(antialias: int) -> _Resizer:
    """ONNX's Resize on 8-bit pixels, (H, W, 3) and a target (2,), by ONNX Runtime."""
    import onnxruntime
    from onnx import TensorProto, helper

    node = helper.make_node(
        "Resize", ["x", "", "", "sizes"], ["y"], mode="linear", antialias=antialias, axes=[0, 1]
    )
    free: list[str | int | None] = ["height", "width", 3]
    graph = helper.make_graph(
        [node],
        "resize",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, free),
            helper.make_tensor_value_info("sizes", TensorProto.INT64, [2]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )

    def resize(array: NDArray[np.uint8], height: int, width: int) -> Pixels:
        fed = {"x": array.astype(np.float32), "sizes": np.array([height, width])}
        return np.asarray(session.run(None, fed)[0], np.float32)

    return resize


def _pillow(array: NDArray[np.uint8], height: int, width: int) -> Pixels:
    resized = Image.fromarray(array).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.float32)


def _cropped(array: NDArray[np.uint8], resize: _Resizer, shorter: int, size: int) -> Pixels:
    """Resize the shorter side and crop the centre, as the recipes do."""
    sides = [side * shorter // min(array.shape[:2]) for side in array.shape[:2]]
    resized = resize(array, *sides)
    top, left = ((side - size) // 2 for side in sides)
    return resized[top : top + size, left : left + size]


def _apart(some: list[list[Pixels]], others: list[list[Pixels]]) -> tuple[float, ...]:
    """The largest difference in levels between the pixels of a photograph, at each size."""
    return tuple(
        max(float(np.abs(one - other).max()) for one, other in zip(*pair, strict=True))
        for pair in zip(some, others, strict=True)
    )


def _logits(pictures: list[Pixels]) -> NDArray[np.float32]:
    return tiny.logits(normalise(np.stack(pictures), RECIPES["torchvision"]))


def _draw(picture: Picture, cut: Mapping[str, list[list[Pixels]]]) -> None:
    left, middle, right = picture.subplots(1, 3)
    ours, theirs = cut["Pillow"][1][1], cut[_DEFAULT][1][1]
    for axes, pixels, title in ((left, ours, "Pillow"), (middle, theirs, _DEFAULT)):
        axes.imshow(np.rint(pixels).astype(np.uint8))
        axes.set_title(title)
    shown = right.imshow(np.abs(ours - theirs).max(axis=-1), cmap="magma")
    right.set_title("levels apart")
    picture.colorbar(shown, ax=right, shrink=0.7)
    for axes in (left, middle, right):
        axes.set_axis_off()
