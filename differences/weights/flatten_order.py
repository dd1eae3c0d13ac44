"""Flattening orders values by C, H, W in PyTorch and by H, W, C in Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from differences.harness import tiny
from differences.harness.experiment import Finding
from differences.harness.frameworks import frameworks
from vgg16_spec.architecture import Shape, configuration
from vgg16_spec.layouts import nchw_to_nhwc

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

TITLE = "Flatten order"
RULE = (
    "Reorder the inputs of the first dense layer from (C, H, W) to (H, W, C), and test a port on a "
    "network whose last map is larger than 1x1."
)


def run() -> Finding:
    """Port fc1 of ``tiny`` with its inputs in PyTorch's order, and in Keras's."""
    network = tiny.checkpoint().configuration
    model = tiny.keras_model()
    right = tiny.keras_deviations(model)
    # (out, C * H * W) -> (C * H * W, out): the shape that Keras expects, in PyTorch's order
    model.get_layer("fc1").kernel.assign(tiny.checkpoint()["fc1.weight"].T)
    wrong = tiny.keras_deviations(model)
    order = keras_order(configuration("D").feature_shape)
    staying = int(np.count_nonzero(order == np.arange(order.size)))
    one_pixel = keras_order((network.feature_shape[0], 1, 1))
    shown = keras_order(network.feature_shape)
    return Finding(
        {
            "error of the logits, fc1's inputs reordered": (right, tiny.UNIT),
            "error of the logits, fc1 only transposed": (wrong, tiny.UNIT),
            "VGG16's inputs of fc1 that keep their position": (staying, f"of {order.size:,}"),
        },
        {
            "Reordered, fc1 gives the arbiter's logits up to rounding.": right <= tiny.LIMIT,
            "Only transposed, fc1 is accepted, and the logits are off by more than a thousand "
            "times the limit.": wrong > tiny.FAR,
            "In VGG16, fewer than one in a thousand of fc1's inputs have the same position in "
            "both orders.": staying < order.size / 1000,
            "With a last map of 1x1 both orders are the same, so a test with such a network "
            "proves nothing.": bool(np.array_equal(one_pixel, np.arange(one_pixel.size))),
        },
        lambda picture: _draw(picture, shown, network.feature_shape),
    )


def keras_order(feature_shape: Shape) -> NDArray[np.int64]:
    """The position in PyTorch's vector of each element of Keras's, for maps (C, H, W)."""
    torch, keras = frameworks()
    positions = np.arange(np.prod(feature_shape)).reshape(1, *feature_shape)
    flat = torch.flatten(torch.from_numpy(positions), 1).numpy()  # (1, C * H * W)
    assert np.array_equal(flat[0], np.arange(flat.size))
    moved = np.ascontiguousarray(nchw_to_nhwc(positions)).astype(np.float32)
    order: NDArray[np.int64] = np.asarray(keras.layers.Flatten()(moved))[0].astype(np.int64)
    return order


def _draw(picture: Picture, order: NDArray[np.int64], feature_shape: Shape) -> None:
    channels, height, width = feature_shape
    axes = picture.subplots()
    places = np.arange(order.size)
    colours = order // (height * width)
    dots = axes.scatter(places, order, c=colours, cmap="viridis", s=24)
    axes.plot(places, places, color="0.7", linewidth=1, zorder=0, label="the same position in both")
    axes.set_xlabel("position in Keras's vector (H, W, C)")
    axes.set_ylabel("position in PyTorch's vector (C, H, W)")
    axes.set_title(f"Where {channels} maps of {height}x{width} go when they are flattened")
    axes.set_ylim(top=1.2 * order.size)  # room for the legend
    axes.legend(loc="upper left", frameon=False)
    picture.colorbar(dots, label="channel")
