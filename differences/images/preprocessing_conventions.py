"""BGR with means, and RGB with means and standard deviations."""

from __future__ import annotations

from itertools import permutations
from typing import Any, Final

import numpy as np

from differences.harness import numbers, tiny
from differences.harness.experiment import Finding
from differences.harness.frameworks import frameworks
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import RECIPES, normalise, pixels, preprocess, read_image
from vgg16_weights.published.pretrained import published_recipes

TITLE: Final = "Preprocessing conventions"
RULE: Final = (
    "Take the preprocessing from the weights, not from the framework: each set of weights has "
    "the channel order, means and scale that it was trained with."
)
PACKAGES: Final = ("torchvision", "pillow")

_MEANS: Final = "caffe and torchvision-features in the same channel order"
# torchvision computes in another order: float32 roundings of 2^-24 of values up to 3.
_ROUNDING: Final = 1e-6


def run() -> Finding:
    """Compare the recipes with each framework's own function, then swap them."""
    _, keras = frameworks()
    exact, apart = _against_their_own(keras)
    pictures = [read_image(photograph.path) for photograph in PHOTOGRAPHS]
    size = tiny.checkpoint().configuration.input_size
    inputs = {
        name: np.concatenate([preprocess(picture, recipe, size=size) for picture in pictures])
        for name, recipe in published_recipes().items()
    }
    rgb = inputs["caffe"][:, ::-1].copy()
    means_apart = float(np.abs(rgb - inputs["torchvision-features"]).max())
    logits = {name: tiny.logits(images) for name, images in inputs.items()}
    changes = {
        f"weights expect {expected}, given {given}": numbers.change(logits[expected], logits[given])
        for expected, given in permutations(published_recipes(), 2)
    }
    changes["weights expect caffe, given RGB instead of BGR"] = numbers.change(
        logits["caffe"], tiny.logits(rgb)
    )
    sizes = {name: numbers.rms(images) for name, images in inputs.items()}
    return Finding(
        {
            **{f"rms of the input, {name}": value for name, value in sizes.items()},
            _MEANS: (means_apart, "levels at most"),
            **{f"{what}: logits change by": (value, "%") for what, value in changes.items()},
        },
        {
            "keras.applications.vgg16.preprocess_input equals the recipe caffe bit for bit.": exact,
            "torchvision's transforms equal the recipes torchvision and torchvision-features up "
            "to the rounding of float32.": apart <= _ROUNDING,
            "The inputs of caffe's recipe are over thirty times as large as torchvision's.": (
                sizes["caffe"] > 30 * sizes["torchvision"]
            ),
            "Apart from the channel order, caffe and torchvision-features differ by less than one "
            "level of 255.": means_apart < 1,
            "Every wrong recipe, even the channel order alone, changes the logits by more than a "
            "tenth of their size.": min(changes.values()) > 10,
        },
    )


def _against_their_own(keras: Any) -> tuple[bool, float]:
    """Compare each recipe with the published function.

    Returns:
        Whether caffe equals Keras's function exactly; and the largest difference of the others from
        torchvision's, relative to the largest value (2.6 in one recipe, 151 in the other).
    """
    from torchvision.models import VGG16_Weights

    exact, apart = True, 0.0
    published = {
        "torchvision": VGG16_Weights.IMAGENET1K_V1,
        "torchvision-features": VGG16_Weights.IMAGENET1K_FEATURES,
    }
    for photograph in PHOTOGRAPHS:
        picture = read_image(photograph.path)
        cut = pixels(picture, RECIPES["caffe"])
        theirs = keras.applications.vgg16.preprocess_input(
            cut.astype(np.float32), data_format="channels_last"
        )
        ours = normalise(cut, RECIPES["caffe"], layout="nhwc")
        exact = exact and np.array_equal(theirs, ours)
        for name, weights in published.items():
            batch = weights.transforms()(picture).numpy()[np.newaxis]
            ours = preprocess(picture, RECIPES[name])
            apart = max(apart, float(np.abs(batch - ours).max() / np.abs(ours).max()))
    return exact, apart
