"""Images that exercise what photographs do not, found by the arbiter for one checkpoint.

For a runtime that can only be run whole. Photographs are alike to a deep network: they light much
the same units. Noise in a small spot leaves the rest of the maps to the biases, so that
spots in other places give the classifier other inputs; noise far beyond the pixels' range lights
channels that pixels never do. Each image is the best of such a spot within the range, one beyond
it, and a stress input, moved by a few gradient steps towards the units whose weights are not
exercised yet. It is kept only if it exercises more.

The gradient is that of the arbiter's forward pass in float32, on ``reference``'s primitives.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float32
from onnx_arbiter.expectations import Case, Prediction
from onnx_arbiter.numeric_modes import MODES
from vgg16_parity import inputs
from vgg16_parity.network import reference
from vgg16_parity.network.coverage import ENOUGH, CaseExercised, Exercised
from vgg16_spec.architecture import Convolution, Dense, Flatten, MaxPooling, WeightedLayer
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.files.cache import cache_folder, ensure_folder

Reals: TypeAlias = NDArray[np.floating[Any]]

SEARCHED: Final = "searched inputs"
# Changes whenever the images for a checkpoint do.
_VERSION: Final = 2
# What every mode holds.
_WITHIN: Final = min(mode.largest for mode in MODES.values())
# Each image costs a runtime and the arbiter as much as a photograph.
MOST_IMAGES: Final = 8
_STEPS: Final = 4
# Of the first step, in units of what the image's noise has at a pixel.
_RATE: Final = 0.7
_SEED: Final = 16
_GRID: Final = 4
# The spot's radius as a share of the image's side, and what is left of the noise far from it.
_RADIUS: Final = 0.07
_AROUND: Final = 1e-3
# How far beyond the pixels' range the bright spots go.
_BEYOND: Final = 40.0
_ROWS: Final = 256


def searched(checkpoint: Checkpoint) -> Case:
    """The images for a checkpoint's values, from the cache folder if they were found before.

    A cache file that is damaged is made anew; a folder that cannot be written costs time only.
    """
    path = cache_folder() / f"searched-{_key(checkpoint)}.npz"
    images = _read(path, checkpoint)
    if images is None:
        with np.errstate(over="ignore", invalid="ignore"):
            images = search(checkpoint)
        try:
            ensure_folder(path.parent)
            with whole_file(path) as temporary, temporary.open("wb") as file:
                np.savez(file, images=images)
        except BadInput:
            pass
    labels = tuple(f"searched {index}" for index in range(len(images)))
    return Case(SEARCHED, images, labels, extreme=True)


def search(
    checkpoint: Checkpoint, *, most_images: int = MOST_IMAGES, steps: int = _STEPS
) -> Float32:
    """Find images, (N, 3, H, W), N ≤ ``most_images``; the same at every call on one machine.

    No mode overflows on them, so that they do not keep a port in float16 from being judged.
    """
    configuration = checkpoint.configuration
    found = Exercised(configuration)
    starts = _starts(checkpoint)
    images: list[Float32] = []
    for _ in range(most_images):
        if min(found.coverage().tensors.values()) >= ENOUGH:
            break
        tried = [(image, size, _taps(checkpoint, image)) for image, size in next(starts)]
        gains = [_share(found, taps) for *_, taps in tried]
        best = int(np.argmax(gains))
        image, size, taps = tried[best]
        moved = _climb(checkpoint, found, image, size, taps, steps)
        reached = _taps(checkpoint, moved) if steps else taps
        if _share(found, reached) > gains[best]:
            image, taps = moved, reached
        if not _largest(taps) <= _WITHIN:  # NaN is within nothing
            continue
        share = found.coverage().share
        found.include(_exercised(found, image, taps))
        if found.coverage().share > share:
            images.append(image)
    nothing = np.empty((0, *configuration.input_shape), np.float32)
    return np.concatenate([nothing, *images])


def _largest(taps: Mapping[str, Prediction]) -> float:
    """The largest magnitude of any value."""
    return max(float(np.abs(tap.preactivation).max()) for tap in taps.values())


def _key(checkpoint: Checkpoint) -> str:
    """What the images depend on: the values, the range of the pixels, and this file."""
    lowest, highest = _pixel_range(checkpoint)
    sha256 = hashlib.sha256(f"{_VERSION} {checkpoint.configuration}".encode())
    for values in (lowest, highest, *(checkpoint[name] for name in checkpoint)):
        sha256.update(np.ascontiguousarray(values).data)
    return sha256.hexdigest()[:32]


def _read(path: Path, checkpoint: Checkpoint) -> Float32 | None:
    """The images of a cache file; None if there is none, or it is damaged."""
    try:
        # A zip file has checksums. NumPy leaves the file of a damaged one open.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            images: NDArray[np.float32] = file["images"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    fits = images.dtype == np.float32 and images.shape[1:] == checkpoint.configuration.input_shape
    return images if fits and len(images) and np.isfinite(images).all() else None


def _pixel_range(checkpoint: Checkpoint) -> tuple[Float32, Float32]:
    """The least and the largest value of each channel, (3, 1, 1), in the recipe."""
    recipe = checkpoint.recipe
    mean, std = recipe.mean_and_std()
    black, white = ((pixel / recipe.scale - mean) / std for pixel in (0, 255))
    return black.astype(np.float32), white.astype(np.float32)


def _starts(checkpoint: Checkpoint) -> Iterator[list[tuple[Float32, Float32]]]:
    """What each image may start from: images, (1, 3, H, W), and how large their noise is where."""
    configuration = checkpoint.configuration
    lowest, highest = _pixel_range(checkpoint)
    half = (highest - lowest) / 2
    generator = np.random.Generator(np.random.Philox(_SEED))
    side = configuration.input_size
    rows, columns = (np.indices((side, side)) + 0.5) / side
    stress = [image[np.newaxis] for case in inputs.hard(checkpoint)[:4] for image in case.images]
    # From all over the image: the next spot is far from the last one.
    order = generator.permutation(_GRID**2)
    for number in count():
        row, column = (np.array(divmod(int(order[number % len(order)]), _GRID)) + 0.5) / _GRID
        distance = np.hypot(rows - row, columns - column) / _RADIUS
        size = (half * (np.exp(-np.square(distance)) + _AROUND)).astype(np.float32)
        noise = generator.standard_normal((2, *configuration.input_shape)).astype(np.float32)
        within = np.clip(noise[:1] * size, lowest, highest)
        beyond = _BEYOND * size
        yield [
            (within, size),
            (noise[1:] * beyond, beyond),
            (stress[number % len(stress)], np.broadcast_to(half, size.shape)),
        ]


def _taps(checkpoint: Checkpoint, image: Float32) -> dict[str, Prediction]:
    predictions = reference.walk(checkpoint, image, precision=np.float32)
    return {prediction.tap: prediction for prediction in predictions}


def _exercised(found: Exercised, image: Float32, taps: Mapping[str, Prediction]) -> Exercised:
    """What one image exercises, as the logits show it."""
    case = CaseExercised(found.configuration, tapped=False)
    for _ in case.observe(image, taps.values()):
        pass
    return case.at(())


def _share(found: Exercised, taps: Mapping[str, Prediction]) -> float:
    """The mean share of the classifier's tensors if an image were added.

    They have nine in ten weights, and are all that is far from exercised after an image or two.
    """
    tried, before = Exercised(found.configuration), _taps_before(found)
    tried.include(found)
    for layer in found.configuration.weighted_layers:
        if isinstance(layer, Dense):
            outputs = taps[layer.name].preactivation
            passes = outputs > 0 if layer.relu else np.ones(outputs.shape, bool)
            tried.add_layer(layer.name, taps[before[layer.name]].values, passes)
    return float(np.mean(list(tried.coverage().tensors.values())))


def _taps_before(found: Exercised) -> dict[str, str]:
    """Layer -> the tap that it reads, for every layer but the first."""
    return {layer: tap for tap, layer in pairwise(found.configuration.taps)}


def _climb(
    checkpoint: Checkpoint,
    found: Exercised,
    image: Float32,
    size: Float32,
    taps: Mapping[str, Prediction],
    steps: int,
) -> Float32:
    """Move an image towards what is dark, a share of its own size at a time."""
    lowest, highest = _pixel_range(checkpoint)
    inside = bool((image >= lowest).all() and (image <= highest).all())
    values = _values_of_units(found)
    for step in range(steps):
        if step:
            taps = _taps(checkpoint, image)
        wanted = {}
        for tap, value in values.items():
            at = taps[tap].preactivation
            shape = (1, -1, *[1] * (at.ndim - 2)) if value.size != at.size else at.shape
            wanted[tap] = value.reshape(shape) * _nearly_lit(at)
        rate = np.float32(_RATE * (1 - step / steps))
        image = image + rate * size * np.sign(gradient(checkpoint, taps, wanted))
        if inside:
            image = np.clip(image, lowest, highest)
    return image


def _nearly_lit(preactivation: NDArray[np.floating]) -> Float32:
    """How much it helps to raise each value: most near zero."""
    scale = float(preactivation.std()) or 1.0
    result: Float32 = 1 - np.square(np.tanh(preactivation / scale, dtype=np.float32))
    return result / np.float32(scale)


def _values_of_units(found: Exercised) -> dict[str, Float32]:
    """Tap -> how much of a tensor is dark at each unit, or channel: what it would add if lit."""
    values: dict[str, Float32] = {}
    before = _taps_before(found)
    for layer in found.configuration.weighted_layers:
        outputs, reads = dark(found, layer)
        if layer.name in before:
            tap = before[layer.name]
            values[tap] = values[tap] + reads if tap in values else reads
        if layer.relu:
            values[layer.name] = outputs
    return values


def dark(found: Exercised, layer: WeightedLayer, most: int = _ROWS) -> tuple[Float32, Float32]:
    """The share of a tensor that is dark at each output, (out,), and at each input, (in,)."""
    rows, columns = np.zeros((0,)), np.zeros(layer.weight_shape[1])
    size = np.prod(layer.weight_shape)
    for start in range(0, layer.weight_shape[0], most):
        unlit = ~found.rows(layer.name, slice(start, start + most))
        kernel = tuple(range(2, unlit.ndim))
        rows = np.concatenate([rows, unlit.sum(axis=(1, *kernel))])
        columns += unlit.sum(axis=(0, *kernel))
    return (rows / size).astype(np.float32), (columns / size).astype(np.float32)


def gradient(
    checkpoint: Checkpoint, taps: Mapping[str, Prediction], wanted: Mapping[str, Reals]
) -> Reals:
    """The gradient, at the image, of the sum over all taps of ``wanted`` times pre-activation."""
    layers = checkpoint.configuration.layers
    delta: Reals = np.zeros(taps[layers[-1].name].preactivation.shape, np.float32)
    for index, layer in reversed(list(enumerate(layers))):
        below = taps.get(layers[index - 1].name) if index else None
        if layer.name in wanted:
            delta = delta + wanted[layer.name]
        match layer:
            case Convolution() | Dense():
                weight = checkpoint[f"{layer.name}.weight"]
                if isinstance(layer, Dense):
                    delta = delta @ weight
                else:
                    turned = np.flip(weight.swapaxes(0, 1), axis=(2, 3))
                    delta = reference.multiply(layer, turned, delta)
                if below is not None:
                    delta = delta * (below.preactivation > 0)
            case MaxPooling():
                assert below is not None
                delta = _unpool(delta, taps[layer.name].preactivation, below.preactivation)
            case Flatten():
                assert below is not None
                delta = delta.reshape(below.preactivation.shape) * (below.preactivation > 0)
    return delta


def _unpool(delta: Reals, largest: NDArray[np.floating], maps: NDArray[np.floating]) -> Reals:
    """Give the gradient of each window to its largest value: (N, C, H // 2, W // 2) -> maps'."""
    result: Reals = np.zeros(maps.shape, delta.dtype)
    wins = reference.window_views(maps) == largest[..., np.newaxis, np.newaxis]
    reference.window_views(result)[...] = wins * delta[..., np.newaxis, np.newaxis]
    return result
