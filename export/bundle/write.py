"""The export as files: one ``.onnx`` file, or a folder ready to deploy."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Unpack

import onnx
import onnx_ir as ir

from export.bundle import accuracy, deployment, metadata
from export.bundle.destination import check_out
from export.constants import BATCH, HEIGHT, MODEL_FILE, VERSION, WEIGHTS_FILE, WIDTH, Framework
from export.graph import dense, edges, precision
from export.graph.opset import check_opset, set_opset
from export.options import OptionKeywords, Options
from export.trace import canonical_graph
from export.weights import embed, link
from vgg16_spec.checkpoint import Checkpoint, digest
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import whole_file, whole_folder


def export_onnx(
    framework: Framework,
    checkpoint: Checkpoint,
    out: str | os.PathLike[str],
    **options: Unpack[OptionKeywords],
) -> Path:
    """Export a checkpoint's network to ONNX as one of the frameworks computes it.

    An ``out`` that ends in ``.onnx`` becomes one file; any other a bundle: a folder with the graph,
    the weights file and what a deployment needs (``export.bundle.deployment``). Either appears
    whole or not at all and replaces an earlier export. The graph is the same, byte for byte, from
    either framework.

    Args:
        framework: ``keras``, on the backend that Keras runs on, or ``torch``.
        checkpoint: the weights, and through its configuration the network.
        out: the file or the folder.
        options: the fields of ``export.options.Options``, which documents them.

    Returns:
        The path of the ONNX file.

    Raises:
        BadInput: for options that exclude each other, a checkpoint without the classifier where it
            is needed, metadata that are more than a file has room for, and an ``out`` that cannot
            be written or is not an earlier export.
    """
    out, chosen = Path(out), Options(**options)
    recipe = checkpoint.recipe
    if chosen.resize and recipe.resample != "BILINEAR":
        problem = f"is bilinear, and the recipe {recipe.name} resamples by {recipe.resample}"
        raise BadInput("--resize", problem, "--input uint8 alone, and pictures resized before")
    check_opset(chosen.opset)
    checkpoint.metadata.check_writable(checkpoint.label)
    if chosen.features:
        checkpoint = checkpoint.without_top()
    else:
        checkpoint.check_top("--features")
    write = _write_file if check_out(out, chosen) else _write_bundle
    sources = [*chosen.calibrate, *([] if checkpoint.path is None else [checkpoint.path])]
    if inside := [path for path in sources if path.resolve().is_relative_to(out.resolve())]:
        raise BadInput(out, f"holds {inside[0].name}, which is to be read", "another folder")
    return write(framework, checkpoint, out, chosen)


def _write_file(framework: Framework, checkpoint: Checkpoint, out: Path, options: Options) -> Path:
    shared = options.weights_file == "shared"
    # The folder that the file will be in, even if its name is a link.
    folder = Path(os.path.realpath(out)).parent
    location = link.location_from(folder, checkpoint) if shared else ""
    with ThreadPoolExecutor(1) as beside:
        digested = beside.submit(digest, checkpoint.file) if shared else None
        model = _network(framework, checkpoint, options)
        edges.add_ends(model, checkpoint, options)
    if shared:
        link.link_weights(model, link.offsets_of(checkpoint), location)
    metadata.set_metadata(model, checkpoint, options, digested.result() if digested else None)
    with whole_file(out) as temporary:
        if shared:
            _write_model(model, temporary)
        else:
            embed.write_embedded(model, checkpoint, temporary)
    return out


def _write_bundle(
    framework: Framework, checkpoint: Checkpoint, out: Path, options: Options
) -> Path:
    # The weights are copied while the network is traced: one waits for the disk, one computes.
    with whole_folder(out) as folder, ThreadPoolExecutor(1) as beside:
        version = folder / VERSION
        version.mkdir()
        weights, reference = version / WEIGHTS_FILE, None
        if options.precision == "fp32":
            placed = beside.submit(link.place_weights, checkpoint, weights)
        model = _network(framework, checkpoint, options)
        if options.precision != "fp32":
            reference = model.clone()
            edges.add_ends(reference, checkpoint, options)
            model = precision.lower(model, checkpoint, options)
        edges.add_ends(model, checkpoint, options)
        offsets, sha256 = (
            placed.result() if reference is None else link.write_weights(model, weights)
        )
        document = metadata.set_metadata(model, checkpoint, options, sha256)
        for place, location in ((version, WEIGHTS_FILE), (folder, f"{VERSION}/{WEIGHTS_FILE}")):
            link.link_weights(model, offsets, location)
            _write_model(model, place / MODEL_FILE)
        deployment.write(folder, document, checkpoint, options)
        if reference is not None:
            accuracy.write(folder, model, reference, checkpoint, options)
    return out / MODEL_FILE


def _network(framework: Framework, checkpoint: Checkpoint, options: Options) -> ir.Model:
    """The canonical graph of the network alone; it reads its weights when it is written."""
    model = canonical_graph(framework, checkpoint.configuration)
    set_opset(model, options.opset)
    link.take_weights(model, checkpoint)
    images = model.graph.inputs[0]
    sizes: list[Any] = list(images.shape or ())[1:]
    if options.dense:
        dense.apply_densely(model)
        sizes = [sizes[0], HEIGHT, WIDTH]
    images.shape = ir.Shape((options.batch or BATCH, *sizes))
    return model


def _write_model(model: ir.Model, path: Path) -> None:
    path.write_bytes(ir.to_proto(model).SerializeToString(deterministic=True))
    onnx.checker.check_model(path, full_check=True)
