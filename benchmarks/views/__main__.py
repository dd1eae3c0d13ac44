"""``python -m benchmarks.views``: compute the views of a picture, write the page."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import torch
from PIL import Image

import torch_impl
from benchmarks.harness import command, machine
from benchmarks.harness.tables import number, page, provenance, table
from vgg16_spec.architecture import CONFIGURATIONS
from vgg16_spec.checkpoint.seeded import seeded_checkpoint
from vgg16_spec.errors import counted
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import pixels, read_image
from vgg16_spec.images.views import CROPS, Views, dense_probabilities

_PACKAGE: Final = "benchmarks.views"
_PACKAGES: Final = ("torch", "numpy", "pillow")
# As most photographs of ImageNet are.
_SIZE: Final = (500, 375)
_CROP: Final = (0, 0, 400, 300)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 0."""
    parser = command.parser(_PACKAGE)
    parser.add_argument("--configuration", default="D", choices=list(CONFIGURATIONS))
    parser.add_argument("--repeats", type=command.positive, default=3)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    facts = machine.measurement_facts(_PACKAGES, chosen.date)
    rows = _rows(chosen.configuration, chosen.repeats)
    command.publish(
        _page(rows, chosen.configuration, chosen.repeats, command.line(_PACKAGE, arguments), facts),
        chosen,
    )
    return 0


def _rows(name: str, repeats: int) -> list[tuple[str, int, float]]:
    """What is computed of the picture, how many views that is, and the least seconds it took."""
    checkpoint = seeded_checkpoint(name)
    dense = torch_impl.DenseVGG(torch_impl.VGG(name, weights=checkpoint).eval())
    recipe, size = checkpoint.recipe, checkpoint.configuration.input_size
    picture = read_image(PHOTOGRAPHS[0].path).crop(_CROP).resize(_SIZE)
    square = Image.fromarray(pixels(picture, recipe, size=size)[0])
    # The paper's scales of a network of 224 pixels, in proportion for another.
    one, *more = (round(scale * size / 224) for scale in (256, 384, 512))
    jobs = [
        ("centre crop", square, Views((size,), size)),
        *(
            (str(views), picture, views)
            for views in (
                Views((one,), size),
                Views((one,), size, flip=True),
                Views((one, *more), size, flip=True),
                Views((one,), size, crops=CROPS),
            )
        ),
    ]
    rows = []
    for title, image, views in jobs:
        seconds = []
        for _ in range(repeats):
            start = time.process_time()
            dense_probabilities(image, recipe, views, partial(torch_impl.run_densely, dense))
            seconds.append(time.process_time() - start)
        rows.append((title, views.count, min(seconds)))
    return rows


def _page(
    rows: Sequence[tuple[str, int, float]],
    name: str,
    repeats: int,
    line: str,
    facts: Mapping[str, str],
) -> str:
    *_, plain = rows[0]
    cells = [
        (title, str(count), number(seconds), number(seconds / plain, 1))
        for title, count, seconds in rows
    ]
    header = ("of a picture", "views", "seconds of one core", "× the centre crop")
    intro = (
        f"One picture of {_SIZE[0]} × {_SIZE[1]} pixels through network {name} in PyTorch, on one "
        f"thread. The seconds are the processor's own, the least of {counted(repeats, 'run')}. "
        "Whole pictures are computed [densely](../how-to/dense.md)."
    )
    parts = ["# What views of a picture cost", intro, table(header, cells), provenance(line, facts)]
    return page(parts)


if __name__ == "__main__":
    raise SystemExit(main())
