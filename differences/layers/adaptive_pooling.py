"""Adaptive pooling before the classifier, as in torchvision, at sizes other than 224."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from differences.harness import tiny
from differences.harness.experiment import Finding
from differences.harness.frameworks import frameworks
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import preprocess, read_image
from vgg16_spec.layouts import contiguous, nchw_to_nhwc, nhwc_to_nchw

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

TITLE = "Adaptive pooling"
RULE = (
    "Give a VGG with its classifier pictures of the size that it was trained at, resize other "
    "pictures first, and make the model refuse other sizes."
)

# From half the network's size to twice that, and those on the page.
_SIZES = range(32, 129, 4)
_STATED = (32, 60, 96, 128)


def run() -> Finding:
    """Put the pooling before the classifier of ``tiny``, whose own size is 64."""
    torch, keras = frameworks()
    side = tiny.checkpoint().configuration.feature_shape[1]
    plain, adaptive = tiny.torch_model(), _Adaptive(torch, side)
    own = torch.from_numpy(tiny.images())
    with torch.inference_mode():
        identical = torch.equal(plain(own), adaptive(own))
        usual = plain(own[:1]).numpy()
        moved = {size: _apart(adaptive(_photograph(torch, size)).numpy(), usual) for size in _SIZES}
    others = [size for size in _SIZES if size != 64]
    sizes = range(2, 15)
    agreeing = sum(_agree(torch, keras, size) for size in sizes)
    figures = {
        f"change of the logits at {size} pixels, not 64": (moved[size], "of their size")
        for size in _STATED
    }
    return Finding(
        {
            **figures,
            "map sizes, 2 to 14, at which both frameworks' layers agree": agreeing,
            "times that one element of a 9 x 9 map is read for 7 x 7": (
                _reads(torch, 9),
                "at most",
            ),
        },
        {
            "At the network's own size the pooling changes no bit.": identical,
            "At other sizes the network runs, and the logits of the same picture change by more "
            "than a twentieth of their size.": (
                moved[64] == 0 and min(moved[size] for size in others) > 0.05
            ),
            "The models of this project, which have no such pooling, refuse these sizes in both "
            "frameworks.": _refused() == list(_STATED),
            "Keras's `AdaptiveAveragePooling2D` averages the same windows as PyTorch's: from "
            "2x2 to 14x14 maps they agree up to rounding.": agreeing == len(sizes),
            "Where the map's size is not a multiple of 7 the windows overlap, so some elements "
            "count more than others.": _reads(torch, 9) > 1 == _reads(torch, 14),
        },
        lambda picture: _draw(picture, moved),
    )


class _Adaptive:
    """``tiny`` in PyTorch with an average pooling to the classifier's size, as in torchvision."""

    def __init__(self, torch: Any, side: int) -> None:
        self._torch = torch
        self._model = tiny.torch_model()
        self._pool = torch.nn.AdaptiveAvgPool2d(side)

    def __call__(self, images: Any) -> Any:
        maps = self._pool(self._model.features(images))
        return self._model.classifier(self._torch.flatten(maps, 1))


def _photograph(torch: Any, size: int) -> Any:
    """The first photograph as a square of another size, (1, 3, size, size)."""
    recipe = tiny.checkpoint().recipe
    return torch.from_numpy(preprocess(_read(), recipe, size=size))


@cache
def _read() -> Any:
    return read_image(PHOTOGRAPHS[0].path)


def _apart(logits: NDArray[np.float32], usual: NDArray[np.float32]) -> float:
    """The rms of the difference of logits, relative to that of the usual ones."""
    return float(np.linalg.norm(logits - usual) / np.linalg.norm(usual))


def _agree(torch: Any, keras: Any, size: int) -> bool:
    """Whether both frameworks average a map of whole numbers to 7x7 alike."""
    maps = (1 + (np.arange(size * size, dtype=np.float32) * 7) % 17).reshape(1, 1, size, size)
    ours = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(maps), 7).numpy()
    pool = keras.layers.AdaptiveAveragePooling2D(7)
    theirs = nhwc_to_nchw(np.asarray(pool(contiguous(nchw_to_nhwc(maps)))))
    # PyTorch rounds one quotient. Keras averages rows and then columns of at most three numbers,
    # each a quotient and two sums; a quotient may be a product with a rounded reciprocal.
    return bool(np.all(np.abs(ours - theirs) <= 8 * 2.0**-24 * ours))


def _reads(torch: Any, size: int) -> int:
    """How many of 7x7 windows the most-read element of a map belongs to."""
    maps = torch.ones(1, 1, size, size, requires_grad=True)
    pooled = torch.nn.functional.adaptive_avg_pool2d(maps, 7).flatten()
    read = sum(torch.autograd.grad(one, maps, retain_graph=True)[0] != 0 for one in pooled)
    return int(read.max())


def _refused() -> list[int]:
    """Those of the stated sizes that the project's models refuse in both frameworks."""
    torch, _ = frameworks()
    ours, theirs = tiny.torch_model(), tiny.keras_model()
    return [
        size
        for size in _STATED
        if _refuses(ours, torch.zeros(1, 3, size, size))
        and _refuses(theirs, np.zeros((1, size, size, 3), np.float32))
    ]


def _refuses(model: Any, images: Any) -> bool:
    try:
        model(images)
    except ValueError:
        return True
    return False


def _draw(picture: Picture, moved: dict[int, float]) -> None:
    axes = picture.subplots()
    axes.plot(list(moved), list(moved.values()), marker="o", markersize=4)
    axes.set_xticks(range(32, 129, 16))
    axes.set_ylim(bottom=-0.02)
    axes.set_xlabel("height and width of the picture in pixels; the network's own are 64")
    axes.set_ylabel("change of the logits, of their size")
    axes.set_title("The same photograph at other sizes, with adaptive pooling")
    axes.grid(alpha=0.3)
