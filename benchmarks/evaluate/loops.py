"""Loops that people write to evaluate a network: one for each framework.

Each function imports its framework, loads the network, and returns the loop. The networks and the
weights are this project's, so that both sides compute the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.evaluate import pictures
from vgg16_parity.runtimes.adapters.framework import cores
from vgg16_parity.runtimes.registry import KNOWN, Runtime
from vgg16_spec.checkpoint import Checkpoint, open_checkpoint
from vgg16_spec.images.preprocessing import resized_side
from vgg16_spec.images.recipes import Recipe

Loop = Callable[[], NDArray[Any]]


def torch_loop(job: Mapping[str, Any]) -> Loop:
    """As torchvision's reference script evaluates: ImageFolder, transforms, DataLoader."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor

    checkpoint = _checkpoint(job)
    size, recipe = checkpoint.configuration.input_size, checkpoint.recipe
    steps = [
        *(Resize(resized_side(recipe, size)), CenterCrop(size)),
        *(ToTensor(), Normalize(recipe.mean, recipe.std)),
    ]
    images = ImageFolder(job["pictures"], Compose(steps))
    loader = DataLoader(images, batch_size=job["batch"], num_workers=cores())

    return _over(loader, checkpoint)


def timm_loop(job: Mapping[str, Any]) -> Loop:
    """As timm's validate.py evaluates: its data set, its transforms and its loader."""
    import torch
    from timm.data.dataset_factory import create_dataset
    from timm.data.loader import create_loader

    checkpoint = _checkpoint(job)
    size, recipe = checkpoint.configuration.input_size, checkpoint.recipe
    loader = create_loader(
        create_dataset("", job["pictures"]),
        input_size=(3, size, size),
        batch_size=job["batch"],
        use_prefetcher=False,  # it is for GPUs
        interpolation="bilinear",
        mean=recipe.mean,
        std=recipe.std,
        num_workers=cores(),
        crop_pct=size / resized_side(recipe, size),
        device=torch.device("cpu"),
    )

    return _over(loader, checkpoint)


def _over(loader: Iterable[Any], checkpoint: Checkpoint) -> Loop:
    """PyTorch's network on every batch of a loader."""
    import torch

    import torch_impl

    model = torch_impl.VGG(checkpoint.configuration.name)
    torch_impl.load_checkpoint(model, checkpoint)
    model.eval()

    def run() -> NDArray[Any]:
        with torch.inference_mode():
            return np.concatenate([model(batch).numpy() for batch, _ in loader])

    return run


def keras_loop(job: Mapping[str, Any]) -> Loop:
    """``model.predict`` of a PyDataset."""
    import keras

    import keras_impl

    checkpoint = _checkpoint(job)
    network = checkpoint.configuration
    model = keras_impl.functional(network.name, classifier_activation=None)
    keras_impl.load_checkpoint(model, checkpoint)
    paths = _batches(job)

    class Pictures(keras.utils.PyDataset):  # type: ignore[misc] # Keras has no types
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, index: int) -> tuple[NDArray[np.float32]]:
            return (_prepared(paths[index], checkpoint.recipe, network.input_size),)

    def run() -> NDArray[Any]:
        found: NDArray[Any] = model.predict(Pictures(workers=cores()), verbose=0)
        return found

    return run


def onnx_loop(job: Mapping[str, Any]) -> Loop:
    """``session.run``, with a thread that prepares the next batch."""
    import onnxruntime

    checkpoint = _checkpoint(job)
    size, recipe = checkpoint.configuration.input_size, checkpoint.recipe
    session = onnxruntime.InferenceSession(job["model"], providers=["CPUExecutionProvider"])
    (feed,) = session.get_inputs()

    def prepared(paths: Sequence[Path]) -> NDArray[np.float32]:
        return np.ascontiguousarray(_prepared(paths, recipe, size).transpose(0, 3, 1, 2))

    def run() -> NDArray[Any]:
        found, paths = [], _batches(job)
        with ThreadPoolExecutor(1) as beside:
            following = beside.submit(prepared, paths[0])
            for later in [*paths[1:], []]:
                images = following.result()
                if later:
                    following = beside.submit(prepared, later)
                found.append(session.run(None, {feed.name: images})[0])
        return np.concatenate(found)

    return run


LOOPS: Final = MappingProxyType(
    {"torch": torch_loop, "timm": timm_loop, "keras": keras_loop, "onnx": onnx_loop}
)
# PyTorch beside timm's loop, not torchvision's.
BESIDE_TIMM: Final = "torch-timm"


def sides(name: str) -> tuple[Runtime, str]:
    """The runtime of the engine's side, and the loop beside it."""
    if name == BESIDE_TIMM:
        return KNOWN["torch"], "timm"
    runtime = KNOWN[name]
    return runtime, "onnx" if runtime.onnx else runtime.framework


def _checkpoint(job: Mapping[str, Any]) -> Checkpoint:
    return open_checkpoint(job["checkpoint"], check_values=False)


def _batches(job: Mapping[str, Any]) -> list[list[Path]]:
    paths, batch = pictures.files(Path(job["pictures"])), job["batch"]
    return [paths[start : start + batch] for start in range(0, len(paths), batch)]


def _prepared(paths: Sequence[Path], recipe: Recipe, size: int) -> NDArray[np.float32]:
    """Pictures resized and cropped by Pillow and normalised by NumPy, (N, H, W, 3)."""
    found, side = np.empty((len(paths), size, size, 3), np.float32), resized_side(recipe, size)
    for index, path in enumerate(paths):
        with Image.open(path) as picture:
            scale, (width, height) = side / min(picture.size), picture.size
            target = int(width * scale), int(height * scale)
            resized = picture.convert("RGB").resize(target, Image.Resampling.BILINEAR)
        left, top = (round((each - size) / 2) for each in resized.size)
        found[index] = np.asarray(resized.crop((left, top, left + size, top + size)))
    found /= recipe.scale
    found -= np.array(recipe.mean, np.float32)
    found /= np.array(recipe.std, np.float32)
    return found
