"""Files as people have them: what makes each, and what is expected of ``vgg16 port``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from parity_tests.support.weights import older_keras, tiny_files
from parity_tests.support.weights.older_keras import AUTHORS, keras_2, layers_of
from parity_tests.support.weights.peoples import torch as saved
from parity_tests.support.weights.tiny_files import Make
from vgg16_spec.checkpoint import Checkpoint

TORCH: Final = "recipe torchvision (assumed)"
CAFFE: Final = "recipe caffe (assumed)"
FLATTENED: Final = "fc1 read as channels_last (else: --data-format channels_first)"


@dataclass(frozen=True)
class Same:
    """Read as the truth: how the line on what was done ends, and what of the values is left."""

    said: str
    options: tuple[str, ...] = ()
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class Refused:
    """Words of the one line; ``vgg16_weights.open_weights`` says them too."""

    words: str


@dataclass(frozen=True)
class Body:
    """The convolutions are the truth's; how the refusal names the head, and what is then said."""

    head: str
    said: str = TORCH


Expected = Same | Refused | Body


def older(make: Callable[..., Any], **options: Any) -> Make:
    """An HDF5 file of Keras 1 or 2 of layers of the truth."""
    turned = bool(options.pop("turned", False))
    return lambda truth, path: make(path, layers_of(truth, turned=turned), **options)


def numbered(truth: Checkpoint, path: Path) -> None:
    layers = layers_of(truth, channels_first=True, turned=True)
    older_keras.numbered(path, truth, layers)


PYTORCHS: Final[dict[str, tuple[Make, Expected]]] = {
    "wrapped.pth.tar": (saved.pth(saved.trained), Same(f"{TORCH}; read under `state_dict`")),
    "wrapped.pt": (
        saved.pth(lambda state: {"net": state, "acc": 91.5, "classes": ["cat", "dog"]}),
        Same(f"{TORCH}; read under `net`"),
    ),
    "wrapped, older.pth": (
        saved.pth(lambda state: {"model_state_dict": state, "step": 7}, zipped=False),
        Same(f"{TORCH}; read under `model_state_dict`"),
    ),
    "averages beside it.pth": (
        saved.pth(saved.averaged),
        Same(f"{TORCH}; read under `state_dict`", ("--key", "state_dict")),
    ),
    "parallel.pth": (
        saved.pth(saved.prefixed("module.")),
        Same(f"{TORCH}; prefix `module.` dropped"),
    ),
    "compiled.pth": (
        saved.pth(saved.prefixed("module._orig_mod.")),
        Same(f"{TORCH}; prefix `module._orig_mod.` dropped"),
    ),
    "lightning.ckpt": (
        saved.pth(saved.lightnings),
        Same(f"{TORCH}; read under `state_dict`, prefix `net.` dropped"),
    ),
    "prefixed.safetensors": (
        saved.safetensors(saved.prefixed("model.")),
        Same(f"{TORCH}; prefix `model.` dropped"),
    ),
    "float16.pth": (
        saved.pth(saved.cast(torch.float16)),
        Same(f"{TORCH}; widened from float16", dtype=torch.float16),
    ),
    "bfloat16.pth": (
        saved.pth(saved.cast(torch.bfloat16)),
        Same(f"{TORCH}; widened from bfloat16", dtype=torch.bfloat16),
    ),
    "bfloat16.safetensors": (
        saved.safetensors(saved.cast(torch.bfloat16)),
        Same(f"{TORCH}; widened from bfloat16", dtype=torch.bfloat16),
    ),
    "float64.pth": (
        saved.pth(saved.cast(torch.float64)),
        Same(f"{TORCH}; float64 read as float32 without loss"),
    ),
    "finer than float32.pth": (saved.pth(saved.finer), Same(f"{TORCH}; rounded from float64")),
    "dropout first.pth": (saved.pth(saved.dropout_first), Same(TORCH)),
    "timm.pth": (saved.pth(saved.timms), Same(TORCH)),
    "authors.pth": (saved.authors_pth, Same(TORCH)),
    "one dense layer.pth": (saved.pth(saved.head(classifier=(4, 12))), Body("classifier (4, 12)")),
    "another name.pth": (saved.pth(saved.head(fc=(8, 12))), Body("fc (8, 12)")),
    "two dense layers.pth": (
        saved.pth(saved.head(classifier_0=(20, 48), classifier_3=(5, 20))),
        Body("classifier.0 (20, 48), classifier.3 (5, 20)"),
    ),
    "last replaced.pth": (
        saved.pth(saved.last_replaced),
        Body("classifier.0 (32, 48), classifier.3 (32, 32), classifier.6.1 (24, 32) and 1 more"),
    ),
    "features alone.pth": (saved.pth(saved.features), Same(TORCH, ("--no-top",))),
    "module.pth": (
        saved.pth(saved.whole_module),
        Refused("torch.save(model.state_dict(), 'weights.pth')"),
    ),
    "scripted.pt": (saved.torchscript, Refused("is TorchScript; expected a state dict: m = torch")),
    "gray.pth": (saved.pth(saved.gray), Refused("1 input channel, VGG16 has 3")),
    "narrow.pth": (saved.pth(saved.narrowed), Refused("another width: ")),
    "normalised.pth": (
        saved.pth(saved.normalised),
        Refused("batch normalisation (features.1, features.4, features.8 and 10 more)"),
    ),
    "page.pth": (saved.text("<html><head><title>Sign in"), Refused("is an HTML page")),
    "pointer.pth": (
        saved.text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a1' * 32}\nsize 9\n"),
        Refused("is a Git LFS pointer; expected the file itself: git lfs pull"),
    ),
    "half.pth": (saved.cut(saved.pth(dict), 0.6), Refused("is truncated")),
}
OTHERS: Final[dict[str, tuple[Make, Expected]]] = {
    "theano.h5": (
        older(keras_2, turned=True, backend=b"theano"),
        Same(f"{CAFFE}; kernels turned back: saved on Theano, {FLATTENED}"),
    ),
    "last layer renamed.h5": (
        older(keras_2, whole=True, names={"predictions": "dense_4"}),
        Same(f"{CAFFE}; `dense_4` read as predictions, {FLATTENED}"),
    ),
    "authors.h5": (older(keras_2, names=AUTHORS), Same(f"{CAFFE}; {FLATTENED}")),
    "numbered.h5": (
        numbered,
        Same(
            f"{CAFFE}; kernels turned back: assumed to be Theano's, no attribute 'backend', "
            "layers matched by order"
        ),
    ),
    "snapshot.h5": (tiny_files.caffe_h5, Same(CAFFE)),
    "vgg16.npy": (tiny_files.TINY_FILES["npy"][1], Same("recipe caffe (assumed)")),
    "half.h5": (saved.cut(older(keras_2), 0.5), Refused("is truncated")),
}
AVERAGED: Final = Refused("average pooling (AveragePooling2D layer 'average_1')")
FLOWERS: Final = Body("flowers (6, 12)", f"{CAFFE}; read under `backbone`")
KERASES: Final[dict[str, Expected]] = {
    "channels_first.keras": Same(CAFFE),
    "channels_first.h5": Same(CAFFE),
    "channels_first.weights.h5": Same(
        f"{CAFFE}; fc1 read as channels_first", ("--data-format", "channels_first")
    ),
    "rescaled.keras": Same("recipe zero-one; recipe zero-one from layer 'pixels'"),
    "rescaled.h5": Same("recipe zero-one; recipe zero-one from layer 'pixels'"),
    "normalised.keras": Same("from layer 'normalization'"),
    "normalised.h5": Same("from layer 'normalization'"),
    "average_pooling.keras": AVERAGED,
    "average_pooling.h5": AVERAGED,
    "other_activation.keras": Refused("'block4_conv3' has the activation silu"),
    "other_activation.h5": Refused("'block4_conv3' has the activation silu"),
    "function.keras": Refused("Lambda layer 'lambda'"),
    "function.h5": Refused("Lambda layer 'lambda'"),
    "named_by_keras.keras": Same(f"{CAFFE}; layers matched by order"),
    "named_by_keras.h5": Same(f"{CAFFE}; layers matched by order"),
    "named_by_keras.weights.h5": Same(f"{CAFFE}; layers matched by order, {FLATTENED}"),
    "transferred.keras": FLOWERS,
    "transferred.h5": FLOWERS,
    "transferred.weights.h5": FLOWERS,
}
# What makes each file that Keras is not needed for.
MAKERS: Final = {name: make for name, (make, _) in (PYTORCHS | OTHERS).items()}
EXPECTED: Final[dict[str, Expected]] = {
    **{name: expected for name, (_, expected) in (PYTORCHS | OTHERS).items()},
    **KERASES,
}
