"""Evaluations to test what is made of them, with numbers that hold together."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any, Final

import numpy as np
from PIL import Image

from vgg16_parity.evaluate.datasets.items import Skipped
from vgg16_parity.evaluate.records import (
    Answer,
    Dispute,
    Evaluation,
    Published,
    RuntimeAccuracy,
)
from vgg16_parity.evaluate.statistics import Statistics, in_blocks, measure
from vgg16_spec.labels import imagenet_classes

RUNTIMES: Final = ("torch", "keras-jax", "onnx-int8")
# Of the likeliest class over the others, and of what is added to every other logit.
_LEAD: Final = 3.0


def statistics(images: int = 120, classes: int = 10, seed: int = 0) -> Statistics:
    """Three runtimes: two that differ at one image in forty, and one that is quantised."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, images)
    logits = draw.standard_normal((images, classes)).astype(np.float32)
    right = draw.random(images) < np.linspace(0.9, 0.4, classes)[labels]
    logits[right, labels[right]] += _LEAD
    close = np.arange(7, images, 40)
    logits[close] = logits[close].clip(None, 2)
    logits[close, (labels[close] + 1) % classes] = 2.5
    logits[close, labels[close]] = np.nextafter(np.float32(2.5), np.float32(0))
    other = logits.copy()
    other[close, labels[close]] = np.nextafter(np.float32(2.5), np.float32(3))
    rough = logits + draw.normal(0, 0.25, logits.shape).astype(np.float32)
    given = dict(zip(RUNTIMES, (logits, other, rough), strict=True))
    names = [f"{imagenet_classes()[label]}/{i:05}.JPEG" for i, label in enumerate(labels)]
    return measure(
        {name: in_blocks(values) for name, values in given.items()},
        labels.tolist(),
        names,
        imagenet_classes()[:classes],
    )


def thumbnail(seed: int) -> bytes:
    """A PNG of 112 by 84 pixels."""
    steps = np.linspace(0, 1, 112 * 84 * 3).reshape(84, 112, 3)
    pixels = (255 * (steps * (1 + seed % 7) % 1)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def dispute(found: Statistics, place: int) -> Dispute:
    """What an arbiter might say: the first runtime is right, the last one is quantised."""
    tops = {name: tuple(map(int, said.top5[place])) for name, said in found.answers.items()}
    arbiter = tops[RUNTIMES[0]]
    answers = []
    for name, top5 in tops.items():
        own = top5[0] == arbiter[0]
        if name == "onnx-int8" and not own:
            answers.append(Answer(name, top5, "quantised"))
        elif own:
            answers.append(Answer(name, top5, "inside"))
        elif place % 80 == 7:
            answers.append(Answer(name, top5, "inside", 2.4e-7, 3.1e-7))
        else:
            answers.append(Answer(name, top5, "mistake", 0.41, 0.0071, "block3_conv2"))
    return Dispute(
        found.names[place], found.labels[place], arbiter, tuple(answers), thumbnail(place)
    )


def evaluation(found: Statistics | None = None, **values: Any) -> Evaluation:
    """An evaluation in which two runtimes agree within rounding, and nothing is wrong."""
    found = found or statistics()
    facts: dict[str, dict[str, Any]] = {
        "torch": {"images_per_second": 5.9, "peak_bytes": 1_900_000_000},
        "keras-jax": {"images_per_second": 4.1, "peak_bytes": 2_300_000_000},
        "onnx-int8": {"images_per_second": 11.2, "peak_bytes": 700_000_000},
    }
    versions = {"torch": {"torch": "2.11.0"}, "keras-jax": {"keras": "3.15.0", "jax": "0.10.1"}}
    runtimes = tuple(
        replace(each, versions=versions.get(each.name, {}), **facts[each.name])
        for each in found.runtimes
    )
    made: dict[str, Any] = {
        "dataset": "pictures/val",
        "kind": "folder",
        "images": len(found.names),
        "labelled": sum(label is not None for label in found.labels),
        "mapping": "folders named like ImageNet's classes",
        "duplicates": (Skipped("tench/copy.JPEG", "the bytes of tench/00001.JPEG"),),
        "unreadable": (Skipped("tench/empty.JPEG", "it has 0 bytes"),),
        "weights": "vgg16-397923af.pth",
        "weights_sha256": "0123456789abcdef" * 4,
        "recipe": "torchvision",
        "view": "centre crop of 224 pixels",
        "class_names": tuple(found.class_names),
        "runtimes": runtimes,
        "pairs": found.pairs,
        "disputes": tuple(
            sorted(
                (dispute(found, place) for place in found.disputed),
                key=lambda each: -max(answer.margin for answer in each.answers),
            )
        ),
        "decode_seconds": 3.25,
        "seconds": 71.5,
    }
    return Evaluation(**made | values)


def everything() -> Evaluation:
    """What can go wrong has gone wrong, and what can be missing is."""
    found = statistics(400)
    made = evaluation(found)
    lost = replace(made.runtimes[2], not_finite=("tench/00003.JPEG",))
    return replace(
        made,
        runtimes=(
            *made.runtimes[:2],
            lost,
            RuntimeAccuracy("keras-tensorflow", "not run", "tensorflow is not installed"),
            RuntimeAccuracy("openvino", "failed", "the worker was killed by signal 9"),
        ),
        disputes=(
            Dispute(
                "tench/00003.JPEG",
                None,
                (),
                (
                    Answer("torch", (0, 1, 2, 3, 4), "not judged"),
                    Answer("onnx-int8", (), "mistake", float("inf"), 0.0, ""),
                ),
            ),
            *made.disputes,
        ),
        published=(
            Published(
                "torchvision, VGG16_Weights.IMAGENET1K_V1",
                71.592,
                90.382,
                "shorter side resized to 256 pixels, one centre crop of 224",
            ),
        ),
    )
