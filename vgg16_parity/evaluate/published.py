"""What others publish for VGG16, beside what was measured: each with how images were prepared."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Final

from vgg16_parity.evaluate.records import Evaluation, Published
from vgg16_spec.architecture import Configuration
from vgg16_spec.checkpoint.metadata import Metadata
from vgg16_spec.labels import imagenet_classes
from vgg16_weights.published.pretrained import PUBLISHED
from vgg16_weights.published.pretrained import Published as Weights

# Of ILSVRC 2012.
VALIDATION_IMAGES: Final = 50_000
# Name of published weights -> how their publisher prepared the images.
_PREPARATIONS: Final = MappingProxyType(
    {
        # VGG16_Weights.IMAGENET1K_V1.transforms()
        "torchvision-imagenet1k-v1": (
            "shorter side resized to 256 pixels (bilinear), one centre crop of 224"
        ),
        # results-imagenet.csv: image size 224, crop 0.875, bilinear
        "timm-tv-in1k": (
            "shorter side resized to 224 / 0.875 = 256 pixels (bilinear), one centre crop of 224"
        ),
        # The README of keras-team/keras-applications, whose errors of 28.732 and 9.950 these are.
        "keras-imagenet": "one centre crop of 224 pixels; the resize is not stated",
    }
)
_DENSE: Final = "applied densely, with horizontal flip"
# Of network D, trained with a shorter side of 256 to 512 pixels; the paper gives the errors.
# The weights that the authors published are this network's, Keras's file has them.
_PAPER: Final = (
    Published(
        "Simonyan & Zisserman 2014, table 3", 74.4, 91.9, f"{_DENSE}; shorter side of 384 pixels"
    ),
    Published(
        "Simonyan & Zisserman 2014, table 4",
        75.2,
        92.5,
        f"{_DENSE}; mean of shorter sides of 256, 384 and 512 pixels",
    ),
    Published(
        "Simonyan & Zisserman 2014, table 5",
        75.4,
        92.5,
        "50 crops at each of three scales: a grid of 5 × 5, with horizontal flip",
    ),
    Published(
        "Simonyan & Zisserman 2014, table 5",
        75.6,
        92.8,
        "the mean of the 150 crops and of the dense evaluation at three scales",
    ),
)


def published_figures(configuration: Configuration, metadata: Metadata) -> tuple[Published, ...]:
    """The accuracies that are published for weights with a checkpoint's network and recipe.

    There are two trainings: the authors' (recipe ``caffe``), which Keras ported, and torchvision's
    (recipe ``torchvision``), which timm ported. Empty for other recipes, networks and classes.
    """
    if configuration.name != "D" or configuration.classes != len(imagenet_classes()):
        return ()
    trained = [
        record
        for record in PUBLISHED.values()
        if record.recipe == metadata.recipe and record.top1 is not None
    ]
    same = any(_is_from(metadata, record) for record in trained)
    figures = [
        Published(
            record.accuracy_source, record.top1, record.top5, _PREPARATIONS[record.name], same
        )
        for record in trained
        if record.top1 is not None and record.top5 is not None
    ]
    if metadata.recipe == "caffe":
        figures += [replace(figure, same_weights=same) for figure in _PAPER]
    return tuple(figures)


def comparison_note(evaluation: Evaluation) -> str:
    """What to know before comparing; empty where there is nothing to compare with."""
    if not evaluation.published:
        return ""
    classes = max((len(runtime.classes) for runtime in evaluation.runtimes), default=0)
    left_out = len(evaluation.duplicates) + len(evaluation.unreadable)
    sentences = []
    if classes != len(imagenet_classes()) or evaluation.labelled + left_out != VALIDATION_IMAGES:
        sentences.append(
            f"The published figures are of ImageNet's validation set, {VALIDATION_IMAGES:,} images "
            f"of 1,000 classes. This is another data set, {evaluation.labelled:,} labelled images "
            f"of {classes:,} classes: do not expect the same figures."
        )
    elif left_out:
        sentences.append(
            f"{left_out:,} of the {VALIDATION_IMAGES:,} images were left out here, which the "
            "published figures may count."
        )
    if not all(figure.same_weights for figure in evaluation.published):
        sentences.append(
            "The checkpoint does not say that it comes from the published file; weights of "
            "another training have another accuracy."
        )
    return " ".join(sentences)


def _is_from(metadata: Metadata, record: Weights) -> bool:
    """Whether a checkpoint says so: by the digest, or by the name of a file of unknown digest."""
    if record.digest.algorithm == "sha256":
        return record.digest.matches(metadata.source_sha256)
    return metadata.source == record.file
