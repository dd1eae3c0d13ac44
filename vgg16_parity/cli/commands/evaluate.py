"""``vgg16 evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, get_args

from typer import Argument, Option

from onnx_arbiter.cli.console import counting, print_json, print_table, say, show, working
from vgg16_parity.cli import options
from vgg16_spec.errors import BadInput, counted, require_one_of

if TYPE_CHECKING:
    from vgg16_parity.evaluate.computing import Engines
    from vgg16_parity.evaluate.records import Evaluation
    from vgg16_parity.runtimes.registry import Runtime
    from vgg16_spec.checkpoint import Checkpoint
    from vgg16_spec.images.views import Views

# More than any number of pixels has.
_DIGITS: Final = 9
# Views of three scales take the arbiter a minute or more an image.
_MOST, _MOST_VIEWED = 100, 5
# Of more pairs of runtimes than these, the terminal shows those that differ.
_PAIRS: Final = 15


def evaluate(
    dataset: Annotated[
        str,
        Argument(
            metavar="DATASET",
            help="Folder of class folders or of images, list file, tar shards, or Parquet.",
        ),
    ],
    *,
    out: Annotated[
        Path, Option("--out", metavar="RUN", help="Folder of the results; resumed if it exists.")
    ],
    configuration: options.ConfigurationOption = None,
    weights: options.WeightsOption = None,
    recipe: options.RecipeOption = None,
    labels: options.LabelsOption = None,
    labels_csv: Annotated[
        Path | None,
        Option("--labels-csv", metavar="FILE", help="Table of images and their classes."),
    ] = None,
    runtimes: Annotated[
        str | None,
        Option(
            metavar="a,b,…|all",
            help="Runtimes to evaluate. Default: the six of this project; all: these and the "
            "engines. One that was not named and is not installed is only reported.",
        ),
    ] = None,
    onnx: Annotated[
        list[Path] | None,
        Option(metavar="PATH", help="ONNX file, or folder of vgg16 export; repeat for more."),
    ] = None,
    port: options.PortOption = None,
    port_mode: options.PortModeOption = None,
    lane: Annotated[
        str,
        Option(metavar="NAME", help="Numeric setting: strict, default, tf32, bfloat16, float16."),
    ] = "strict",
    device: options.DeviceOption = "cpu",
    batch: Annotated[int, Option(metavar="N", min=1, max=64, help="Images at a time.")] = 16,
    dense: Annotated[
        bool, Option("--dense", help="Apply the network to whole pictures, as the paper does.")
    ] = False,
    scales: Annotated[
        str | None,
        Option(metavar="Q,…", help="Smaller sides to resize to, for --dense or --crops."),
    ] = None,
    flip: Annotated[
        bool, Option("--flip", help="With --dense: average mirror images too.")
    ] = False,
    crops: Annotated[
        int | None, Option(metavar="50", help="Average 50 crops of each scale instead.")
    ] = None,
    explain: Annotated[
        int | None,
        Option(
            metavar="N",
            min=0,
            help="Have the arbiter judge at most N of the images with different answers; 0: none, "
            "and no logits. Default: 100; with --dense or --crops 5.",
        ),
    ] = None,
    published: Annotated[
        bool, Option("--published", help="Also show the accuracies that others publish.")
    ] = False,
    keep_pixels: Annotated[
        bool, Option("--keep-pixels", help="Keep the decoded pixels in RUN.")
    ] = False,
    timeout: Annotated[
        float | None, Option(metavar="SECONDS", help="Stop a runtime that takes longer.")
    ] = None,
    engine: Annotated[
        str, Option(metavar="plain|ray", help="Compute on this machine, or on a Ray cluster.")
    ] = "plain",
    address: Annotated[
        str | None,
        Option(
            metavar="auto|HOST:PORT",
            help="With --engine ray: the cluster. Default: Ray starts on this machine.",
        ),
    ] = None,
    ray_cpus: Annotated[
        int | None,
        Option(
            "--ray-cpus",
            metavar="N",
            min=1,
            help="With --engine ray: processors of an actor. Default: as many as this machine has.",
        ),
    ] = None,
    max_pixels: options.MaxPixelsOption = None,
    as_json: options.JsonOption = False,
) -> int:
    """Measure the accuracy of every runtime on a data set, and explain each changed answer.

    RUN gets evaluation.json, evaluation.html and answers.csv. The exit status is 1 if rounding does
    not explain an answer, or a runtime failed or, if it was named, did not run.
    """
    from vgg16_parity.evaluate import run
    from vgg16_parity.evaluate.assembly import assemble
    from vgg16_parity.evaluate.datasets.opening import open_dataset
    from vgg16_parity.evaluate.report import json
    from vgg16_parity.evaluate.report.files import write_files
    from vgg16_parity.evaluate.report.table import holds
    from vgg16_parity.runtimes import lanes
    from vgg16_parity.runtimes.lanes import Device

    place = require_one_of("--device", device, get_args(Device))
    setting = lanes.lane(lane)
    if timeout is not None and not timeout > 0:
        raise BadInput("--timeout", f"is {timeout:g}", "seconds, more than 0")
    options.limit_pixels(max_pixels)
    computing = _engine(engine, address, ray_cpus)
    chosen, named = _runtimes(runtimes, port, port_mode, onnx or [])
    checkpoint = options.resolve_to_run(weights, configuration, recipe, labels)
    checkpoint.check_top()
    views = _views(checkpoint, dense=dense, scales=scales, flip=flip, crops=crops)
    explained = (_MOST if views is None else _MOST_VIEWED) if explain is None else explain
    images = open_dataset(
        dataset, class_names=checkpoint.class_names, labels_csv=labels_csv, progress=working
    )
    measured = run.evaluate(
        images,
        checkpoint,
        chosen,
        out,
        device=place,
        batch=batch,
        lane=setting,
        views=views,
        engine=computing,
        keep_pixels=keep_pixels,
        timeout=timeout,
        progress=working,
        counting=counting,
    )
    found = assemble(
        images,
        checkpoint,
        measured,
        views=views,
        most_explained=explained,
        compare_published=published,
        timeout=timeout,
        progress=working,
    )
    try:
        for path in write_files(out, found.evaluation, found.statistics):
            say(f"report: {path}")
    finally:  # hours of computing are not lost with a file that cannot be written
        if as_json:
            print_json(json.to_json(found.evaluation))
        else:
            _print(found.evaluation)
    missing = [e.name for e in measured.runtimes if e.status != "measured" and e.name in named]
    return 0 if holds(found.evaluation) and not missing else 1


def _engine(name: str, address: str | None, cpus: int | None) -> Engines:
    require_one_of("--engine", name, ("plain", "ray"))
    if name == "plain":
        for option, value in (("--address", address), ("--ray-cpus", cpus)):
            if value is not None:
                raise BadInput(option, "is for a Ray cluster", "--engine ray with it")
        from vgg16_parity.evaluate.engines.plain import Plain

        return Plain()
    from vgg16_parity.evaluate.engines.cluster import Ray

    return Ray(address, cpus)


def _views(
    checkpoint: Checkpoint, *, dense: bool, scales: str | None, flip: bool, crops: int | None
) -> Views | None:
    """The views to average over; None for the recipe's centre crop."""
    from vgg16_spec.images.preprocessing import resized_side
    from vgg16_spec.images.views import Views

    if not dense and crops is None:
        if scales is not None or flip:
            option = "--flip" if scales is None else "--scales"
            raise BadInput(option, "is for views of whole pictures", "--dense or --crops with it")
        return None
    if dense and crops is not None:
        raise BadInput("--dense", "cannot be combined with --crops", "one of the two")
    size = checkpoint.configuration.input_size
    chosen = [str(resized_side(checkpoint.recipe, size))] if scales is None else scales.split(",")
    if not all(text.strip().isdecimal() and len(text) <= _DIGITS for text in chosen):
        raise BadInput("--scales", f"is {scales!r:.60}", "numbers of pixels, as in 256,384,512")
    return Views(tuple(map(int, chosen)), size, flip=flip, crops=crops or 0)


def _runtimes(
    names: str | None, port: str | None, port_mode: str | None, files: list[Path]
) -> tuple[list[Runtime], list[str]]:
    """The runtimes to evaluate, and the names of those that must run."""
    from vgg16_parity.runtimes.registry import ALL, onnx_file

    chosen = options.named_runtimes(names, port, port_mode, default_to_all=not files)
    given = [onnx_file(path) for path in files]
    listed = [] if names is None else [name for name in options.split(names) if name != ALL]
    own = [each.name for each in (*chosen, *given) if each.port or each.file]
    return [*chosen, *given], [*listed, *own]


def _print(evaluation: Evaluation) -> None:
    from vgg16_parity.evaluate.report import table

    print_table(table.COLUMNS, table.table(evaluation), text_columns=table.TEXT_COLUMNS)
    if pairs := table.pair_table(evaluation):
        show()
        shown = pairs if len(pairs) <= _PAIRS else table.differing_pairs(evaluation)
        if shown:
            print_table(table.PAIR_COLUMNS, shown, text_columns=2)
        if len(shown) < len(pairs):
            same = counted(len(pairs) - len(shown), "pair")
            show(f"{same} of runtimes without a differing answer: see evaluation.html")
    if published := table.published_table(evaluation):
        show()
        print_table(table.PUBLISHED_COLUMNS, published, text_columns=2)
    show()
    for line in (*table.remarks(evaluation), *table.disputes(evaluation)):
        show(line)
    show(table.summary(evaluation))
