"""The smallest valid file of every format, and of every form of one that is read another way."""

from __future__ import annotations

import zipfile
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np

import vgg16_weights
from parity_tests.support.weights.caffe_files import authors_layer, net
from parity_tests.support.weights.older_keras import AUTHORS, keras_2, layers_of
from parity_tests.support.weights.tensorflow_files import layers, save, save_as_python_2
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.layouts import canonical_to_keras
from vgg16_spec.names import torchvision_keys

if TYPE_CHECKING:
    import torch

# What makes a file of a checkpoint at a path.
Make = Callable[[Checkpoint, Path], object]


def state_dict(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The tensors under torchvision's keys, in memory of their own."""
    import torch

    keys = torchvision_keys(checkpoint.configuration)
    return {key: torch.from_numpy(checkpoint[name].copy()) for name, key in keys.items()}


def older_pth(checkpoint: Checkpoint, path: Path) -> None:
    """PyTorch's own file from before 1.6: several pickles, then the values."""
    import torch

    vgg16_weights.write(checkpoint, path, "torchvision")
    torch.save(torch.load(path), path, _use_new_zipfile_serialization=False)


def wrapped_pth(checkpoint: Checkpoint, path: Path, *, zipped: bool) -> None:
    """The weights among other things that a training script saves."""
    import torch

    state = {key: values.requires_grad_() for key, values in state_dict(checkpoint).items()}
    saved = {
        "epoch": 3,
        "args": Namespace(lr=0.1),
        **state,
        "optimizer": {"state": {}, "param_groups": []},
    }
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)


def caffemodel(checkpoint: Checkpoint, path: Path, *, v1: bool) -> None:
    path.write_bytes(net(checkpoint, v1=v1).SerializeToString())


def matconvnet(checkpoint: Checkpoint, path: Path, *, compressed: bool) -> None:
    """A SimpleNN as SciPy writes it."""
    from scipy.io import savemat

    layers = np.empty((1, len(checkpoint.configuration.weighted_layers)), object)
    for number, layer in enumerate(checkpoint.configuration.weighted_layers):
        weights = np.empty((1, 2), object)
        kernel = checkpoint[f"{layer.name}.weight"]
        if layer.name == "fc1":
            kernel = kernel.reshape(-1, *checkpoint.configuration.feature_shape)
        if layer.name == "block1_conv1":
            kernel = kernel[:, ::-1]
        while kernel.ndim < 4:
            kernel = kernel[..., None]
        weights[0, 0] = kernel.transpose(2, 3, 1, 0)
        weights[0, 1] = checkpoint[f"{layer.name}.bias"][:, None]
        layers[0, number] = {"name": authors_layer(layer.name), "type": "conv", "weights": weights}
    savemat(path, {"layers": layers}, do_compression=compressed, appendmat=False)


def compressed_npz(checkpoint: Checkpoint, path: Path) -> None:
    """The same arrays, as ``numpy.savez_compressed`` writes them."""
    vgg16_weights.write(checkpoint, path, "npz")
    with np.load(path) as arrays, path.with_name("packed").open("wb") as packed:
        np.savez_compressed(packed, **dict(arrays))
    path.with_name("packed").replace(path)


def chunked_h5(checkpoint: Checkpoint, path: Path) -> None:
    """Keras's older form with its arrays in chunks, as h5py writes them when asked to."""
    vgg16_weights.write(checkpoint, path, "keras-h5")
    with h5py.File(path, "r+") as file:
        del file.attrs["vgg16"]
        for layer in checkpoint.configuration.weighted_layers:
            for part, letter in (("weight", "W"), ("bias", "b")):
                name = f"{layer.name}.{part}"
                shape = checkpoint.configuration.feature_shape
                values = canonical_to_keras(name, checkpoint[name], shape)
                del file[layer.name][f"{layer.name}_{letter}_1:0"]
                file[layer.name].create_dataset(
                    f"{layer.name}_{letter}_1:0", data=values, chunks=True
                )


def theanos_h5(checkpoint: Checkpoint, path: Path) -> None:
    """Keras 2's weights as it saves them on Theano."""
    keras_2(path, layers_of(checkpoint, turned=True), backend="theano")


def caffe_h5(checkpoint: Checkpoint, path: Path) -> None:
    """As Caffe's ``Net::ToHDF5`` writes it, with the gradients; layers without weights too."""
    with h5py.File(path, "w") as file:
        for layer in checkpoint.configuration.layers:
            group = file.create_group(f"data/{AUTHORS.get(layer.name, layer.name)}")
            for number, part in enumerate(("weight", "bias")):
                if (name := f"{layer.name}.{part}") in checkpoint:
                    group[str(number)] = checkpoint[name]
                    file[f"diff/{AUTHORS[layer.name]}/{number}"] = -checkpoint[name]


def torch_h5(checkpoint: Checkpoint, path: Path) -> None:
    """A state dict written by hand: an array a key."""
    with h5py.File(path, "w") as file:
        for name, key in torchvision_keys(checkpoint.configuration).items():
            file[key] = checkpoint[name]


def _written(name: str) -> Make:
    return lambda checkpoint, path: vgg16_weights.write(checkpoint, path, name)


# Name -> the format that reads it, and what makes it.
TINY_FILES: Final[dict[str, tuple[str, Make]]] = {
    name: (name, _written(name)) for name in vgg16_weights.writable()
} | {
    "torchvision, older": ("torchvision", older_pth),
    "torchvision, among others": ("torchvision", partial(wrapped_pth, zipped=True)),
    "torchvision, older, among others": ("torchvision", partial(wrapped_pth, zipped=False)),
    "keras-h5, in chunks": ("keras-h5", chunked_h5),
    "keras-h5, of Theano": ("keras-h5", theanos_h5),
    "caffe-h5": ("caffe-h5", caffe_h5),
    "torch-h5": ("torch-h5", torch_h5),
    "npz, compressed": ("npz", compressed_npz),
    "caffemodel, older": ("caffemodel", partial(caffemodel, v1=True)),
    "caffemodel": ("caffemodel", partial(caffemodel, v1=False)),
    "npy": ("npy", lambda checkpoint, path: save(path, layers(checkpoint), 4)),
    "npy, older": ("npy", lambda checkpoint, path: save_as_python_2(path, layers(checkpoint))),
    "matconvnet": ("matconvnet", partial(matconvnet, compressed=False)),
    "matconvnet, compressed": ("matconvnet", partial(matconvnet, compressed=True)),
}


def repacked(source: Path, target: Path, change: Callable[[str, bytes], Any]) -> None:
    """A zip archive with other members: ``change`` gives (name, content, compression) of each."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            name, content, compression = change(member.filename, old.read(member))
            new.writestr(name, content, compression, compresslevel=1)
