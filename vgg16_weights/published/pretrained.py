"""Published VGG16 weights, one record each: file, digest, format, preprocessing, accuracy, licence.

Two trainings, not one: Keras's files are the authors' Caffe model, torchvision's were trained anew.
``vgg16_weights.published.fetch`` gets the files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from vgg16_spec.errors import require_one_of
from vgg16_spec.images.recipes import RECIPES, Recipe

_DIGITS: Final = MappingProxyType({"md5": 32, "sha256": 64})
# torchvision states the sizes of its files in MiB.
_MIB: Final = 1 << 20


@dataclass(frozen=True)
class Digest:
    """What identifies a file's bytes.

    Attributes:
        algorithm: the one that the publisher chose.
        value: in hexadecimal; of some files only the first digits are published.
    """

    algorithm: Literal["md5", "sha256"]
    value: str

    def of(self, path: Path) -> str:
        """The whole digest of a file by this algorithm, in hexadecimal."""
        with path.open("rb") as file:
            new = partial(hashlib.new, self.algorithm, usedforsecurity=False)
            return hashlib.file_digest(file, new).hexdigest()

    def matches(self, found: str) -> bool:
        """Whether a whole digest is this one, as far as this one is known."""
        return found.startswith(self.value)

    @property
    def is_whole(self) -> bool:
        """Whether all of its digits are known."""
        return len(self.value) == _DIGITS[self.algorithm]

    def __str__(self) -> str:
        return f"{self.algorithm} {self.value}{'' if self.is_whole else '…'}"


@dataclass(frozen=True)
class Published:
    """One set of weights that somebody published.

    Attributes:
        name: what the command line and the models call it.
        file: the file's name in the cache folder and on a mirror.
        url: where it is published.
        digest: of the file.
        size: of the file in bytes, or about.
        file_format: what ``vgg16_weights`` calls its format.
        recipe: the preprocessing that the weights expect
            (``vgg16_spec.images.recipes.RECIPES``).
        licence: as far as the publisher states one.
        configuration: the network they belong to.
        features_only: why there is no classifier to use; empty where there is one.
        top1: published accuracy on ImageNet's validation set in percent; ``None`` where there is
            none.
        top5: likewise, of the five likeliest classes.
        accuracy_source: who published that.
        repository: on the Hugging Face Hub, where ``huggingface_hub`` is what fetches the file.
        revision: the commit there.
    """

    name: str
    file: str
    url: str
    digest: Digest
    size: int
    file_format: str
    recipe: str
    licence: str = "not stated"
    configuration: str = "D"
    features_only: str = ""
    top1: float | None = None
    top5: float | None = None
    accuracy_source: str = ""
    repository: str = ""
    revision: str = ""

    @property
    def size_limit(self) -> int:
        """More bytes than this are not the file: sizes are known within a MiB."""
        return self.size + _MIB


_KERAS: Final = "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
_TORCHVISION: Final = "https://download.pytorch.org/models/"
_TIMM: Final = "timm/vgg16.tv_in1k"
_TIMM_REVISION: Final = "b8d8aa2dd860af9233c8c67385a8097fd6c35d3f"
# Keras states that its weights are ported from those that VGG at Oxford released under the Creative
# Commons Attribution License; VGG's page names version 4.0.
_AUTHORS_LICENCE: Final = "CC-BY"

PUBLISHED: Final = MappingProxyType(
    {
        record.name: record
        for record in (
            # keras/src/applications/vgg16.py; accuracy: keras.io/api/applications
            Published(
                name="keras-imagenet",
                file="vgg16_weights_tf_dim_ordering_tf_kernels.h5",
                url=f"{_KERAS}vgg16_weights_tf_dim_ordering_tf_kernels.h5",
                digest=Digest("md5", "64373286793e3c8b2b4e3219cbf3544b"),
                size=553_467_096,
                file_format="keras-h5",
                recipe="caffe",
                licence=_AUTHORS_LICENCE,
                top1=71.3,
                top5=90.1,
                accuracy_source="keras.io/api/applications",
            ),
            Published(
                name="keras-imagenet-notop",
                file="vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
                url=f"{_KERAS}vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
                digest=Digest("md5", "6d6bbae143d832006294945121d1f1fc"),
                size=58_889_256,
                file_format="keras-h5",
                recipe="caffe",
                licence=_AUTHORS_LICENCE,
                features_only="the file is published without the classifier",
            ),
            # torchvision/models/vgg.py, VGG16_Weights, which gives the first digits of the digest
            # in the file's name. The others of this one stand in many projects that pin it.
            Published(
                name="torchvision-imagenet1k-v1",
                file="vgg16-397923af.pth",
                url=f"{_TORCHVISION}vgg16-397923af.pth",
                digest=Digest(
                    "sha256", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"
                ),
                size=553_433_881,
                file_format="torchvision",
                recipe="torchvision",
                top1=71.592,
                top5=90.382,
                accuracy_source="torchvision, VGG16_Weights.IMAGENET1K_V1",
            ),
            Published(
                name="torchvision-imagenet1k-features",
                file="vgg16_features-amdegroot-88682ab5.pth",
                url=f"{_TORCHVISION}vgg16_features-amdegroot-88682ab5.pth",
                digest=Digest("sha256", "88682ab5"),
                size=round(527.802 * _MIB),
                file_format="torchvision",
                recipe="torchvision-features",
                features_only="the classifier's values in the file are NaN",
            ),
            # timm/models/vgg.py for the licence, timm's results-imagenet.csv for the accuracy. The
            # revision is the one whose file has this digest; the file is torchvision's V1 with
            # timm's names.
            Published(
                name="timm-tv-in1k",
                file="timm-vgg16.tv_in1k.safetensors",
                url=f"https://huggingface.co/{_TIMM}/resolve/{_TIMM_REVISION}/model.safetensors",
                digest=Digest(
                    "sha256", "57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8"
                ),
                size=553_434_000,
                file_format="timm",
                recipe="torchvision",
                licence="BSD-3-Clause",
                top1=71.594,
                top5=90.398,
                accuracy_source="timm, results-imagenet.csv",
                repository=_TIMM,
                revision=_TIMM_REVISION,
            ),
        )
    }
)


def published_recipes() -> dict[str, Recipe]:
    """Name -> recipe, of those that published weights expect."""
    expected = {record.recipe for record in PUBLISHED.values()}
    return {name: recipe for name, recipe in RECIPES.items() if name in expected}


def published(name: str) -> Published:
    """The record of that name. Raises ``BadInput`` for another name."""
    return PUBLISHED[require_one_of("weights", name, tuple(PUBLISHED))]
