"""Flattening gives the order C, H, W in PyTorch and H, W, C in Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from differences.harness import tiny
from differences.harness.experiment import Claim, Figure, Finding
from differences.harness.frameworks import frameworks
from vgg16_spec.architecture import Shape, configuration
from vgg16_spec.layouts import nchw_to_nhwc, oi_to_io

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
    model.get_layer("fc1").kernel.assign(oi_to_io(tiny.checkpoint()["fc1.weight"]))
    wrong = tiny.keras_deviations(model)
    order = keras_order(configuration("D").feature_shape)
    staying = int(np.count_nonzero(order == np.arange(order.size)))
    one_pixel = keras_order((network.feature_shape[0], 1, 1))
    shown = keras_order(network.feature_shape)
    return Finding(
        (
            Figure("logits, fc1's inputs reordered", right, tiny.UNIT),
            Figure("logits, fc1 only transposed", wrong, tiny.UNIT),
            Figure("VGG16's inputs of fc1 that stay in place", staying, f"of {order.size:,}"),
        ),
        (
            Claim("Reordered, fc1 gives the arbiter's logits up to rounding.", right <= tiny.LIMIT),
            Claim(
                "Only transposed, fc1 is accepted, and the logits are more than a thousand times "
                "beyond the limit.",
                wrong > tiny.FAR,
            ),
            Claim(
                "Fewer than one in a thousand of fc1's inputs in VGG16 have the same place in both "
                "orders.",
                staying < order.size / 1000,
            ),
            Claim(
                "On a last map of 1x1 the two orders are the same, so that a test with such a "
                "network proves nothing.",
                bool(np.array_equal(one_pixel, np.arange(one_pixel.size))),
            ),
        ),
        lambda picture: _draw(picture, shown, network.feature_shape),
    )


def keras_order(feature_shape: Shape) -> NDArray[np.int64]:
    """PyTorch's position of each element that Keras flattens, of maps (C, H, W)."""
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
    axes.plot(places, places, color="0.7", linewidth=1, zorder=0, label="the same place in both")
    axes.set_xlabel("place in Keras's vector (H, W, C)")
    axes.set_ylabel("place in PyTorch's vector (C, H, W)")
    axes.set_title(f"Where {channels} maps of {height}x{width} go when they are flattened")
    axes.set_ylim(top=1.2 * order.size)  # room for the legend
    axes.legend(loc="upper left", frameon=False)
    picture.colorbar(dots, label="channel")
