"""The network applied densely: Simonyan & Zisserman (2014), section 3.2.

"The fully-connected layers are first converted to convolutional layers (the first FC layer to a 7×7
conv. layer, the last two FC layers to 1×1 conv. layers)." The scores of a class at every position
are averaged: the logits of an image of any size.
"""

from __future__ import annotations

import math

from vgg16_spec.architecture import Configuration, Dense, Shape


def dense_weight_shapes(configuration: Configuration) -> dict[str, Shape]:
    """Canonical tensor name -> shape where every weight is a convolution's, OIHW.

    fc1's kernels are as large as the last maps of the network's own size: (out, C * h * w) becomes
    (out, C, h, w), and the others (out, in, 1, 1). No value is moved.
    """
    shapes = configuration.weight_shapes
    sides = configuration.feature_shape[1:]
    for layer in configuration.layers:
        if isinstance(layer, Dense):
            shapes[f"{layer.name}.weight"] = (
                layer.out_features,
                layer.in_features // math.prod(sides),
                *sides,
            )
            sides = (1, 1)
    return shapes
