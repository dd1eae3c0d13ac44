"""The export as files: one ``.onnx`` file, or a folder ready to deploy."""

from __future__ import annotations

import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, Unpack

from export.constants import BATCH, MODEL_FILE, TEST_DATA, VERSION, WEIGHTS_FILE, Framework
from export.options import OptionKeywords, Options
from vgg16_spec.checkpoint import Checkpoint, digest, write_checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import check_writable, sync, whole_file, whole_folder
from vgg16_spec.images.preprocessing import recipe_named

if TYPE_CHECKING:
    import onnx_ir as ir

# Everything that a bundle can hold: a folder with anything else is not an earlier bundle.
_OF_A_BUNDLE: Final = re.compile(
    rf"(?:{VERSION}/)?{re.escape(MODEL_FILE)}|{VERSION}(?:/{re.escape(WEIGHTS_FILE)})?"
    r"|README\.md|(?:accuracy|labels|metadata)\.json|config\.pbtxt"
    rf"|{TEST_DATA}(?:/(?:in|out)put_\d+\.pb)?"
)


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
            is needed, and an ``out`` that cannot be written or is not an earlier export.
    """
    return write_export(framework, checkpoint, Path(out), Options(**options))


def write_export(framework: Framework, checkpoint: Checkpoint, out: Path, options: Options) -> Path:
    """The same as ``export_onnx`` with checked options."""
    recipe_named(checkpoint.metadata.recipe, checkpoint.label)
    from export.graph.opset import check_opset

    check_opset(options.opset)
    if options.features:
        checkpoint = checkpoint.without_top()
    else:
        checkpoint.check_top()
    check_out(out, options)
    sources = [*options.calibrate, *([] if checkpoint.path is None else [checkpoint.path])]
    if inside := [path for path in sources if path.resolve().is_relative_to(out.resolve())]:
        raise BadInput(out, f"holds {inside[0].name}, which is to be read", "another folder")
    write = _write_file if check_form(out, options) else _write_bundle
    return write(framework, checkpoint, out, options)


def check_form(out: Path, options: Options) -> bool:
    """Whether ``out`` becomes one file. Raises ``BadInput`` for options of the other form."""
    one_file = out.name.lower().endswith(".onnx")
    if one_file and options.weights_file == "separate":
        raise BadInput("--weights-file separate", f"needs a folder, not {out.name}", "--out DIR")
    if one_file and options.precision != "fp32":
        problem = f"needs a folder, not {out.name}: its accuracy record goes with it"
        raise BadInput(f"--precision {options.precision}", problem, "--out DIR")
    if not one_file and options.weights_file in ("shared", "embedded"):
        problem = f"needs a file, not the folder {out.name or out}"
        raise BadInput(f"--weights-file {options.weights_file}", problem, "--out FILE.onnx")
    return one_file


def _write_file(framework: Framework, checkpoint: Checkpoint, out: Path, options: Options) -> Path:
    from export.bundle import metadata
    from export.weights import embed, link

    shared = None
    if options.weights_file == "shared":
        shared = checkpoint.path
        if shared is None:
            problem = "is in a format that ONNX cannot point into"
            raise BadInput(checkpoint.label, problem, "a .safetensors file, as vgg16 port writes")
        # The folder that the file will be in, even if its name is a link.
        location = link.location_from(Path(os.path.realpath(out)).parent, shared)
    with ThreadPoolExecutor(1) as beside:
        sha256 = None if shared is None else beside.submit(digest, shared)
        model = _with_ends(_network(framework, checkpoint, options), checkpoint, options)
        if shared is not None:
            link.link_weights(model, link.offsets_of(checkpoint), location)
        metadata.describe(model, checkpoint, options, sha256.result() if sha256 else None)
    with whole_file(out) as temporary:
        if shared is None:
            embed.check_without_weights(model, checkpoint)
            embed.write_embedded(model, checkpoint, temporary)
        else:
            _write_model(model, temporary)
    return out


def _write_bundle(
    framework: Framework, checkpoint: Checkpoint, out: Path, options: Options
) -> Path:
    from export.bundle import accuracy, deployment, metadata
    from export.graph import precision
    from export.weights import link

    # The weights are copied while the network is traced: one waits for the disk, one computes.
    with whole_folder(out) as folder, ThreadPoolExecutor(1) as beside:
        version = folder / VERSION
        version.mkdir()
        weights, reference = version / WEIGHTS_FILE, None
        if options.precision == "fp32":
            copied = beside.submit(_place_weights, checkpoint, weights)
        model = _network(framework, checkpoint, options)
        if options.precision != "fp32":
            reference = _with_ends(model.clone(), checkpoint, options)
            model = precision.lower(model, checkpoint, options)
        model = _with_ends(model, checkpoint, options)
        if reference is None:
            offsets, sha256 = copied.result()
        else:
            offsets = link.write_weights(model, weights)
            sha256 = digest(weights)
        metadata.describe(model, checkpoint, options, sha256)
        for place, location in ((version, WEIGHTS_FILE), (folder, f"{VERSION}/{WEIGHTS_FILE}")):
            link.link_weights(model, offsets, location)
            _write_model(model, place / MODEL_FILE)
        deployment.write(folder, model, checkpoint, options)
        if reference is not None:
            accuracy.write(folder, model, reference, checkpoint, options)
    return out / MODEL_FILE


def _network(framework: Framework, checkpoint: Checkpoint, options: Options) -> ir.Model:
    """The canonical graph of the network alone; it reads its weights when it is written."""
    import onnx_ir as ir

    from export.graph import canonical, naming, opset
    from export.trace import from_keras, from_torch
    from export.weights import link

    tracer = {"keras": from_keras, "torch": from_torch}[framework]
    model: ir.Model = tracer.trace(checkpoint.configuration)
    canonical.canonicalise(model)
    naming.name(model)
    opset.set_opset(model, options.opset)
    link.take_weights(model, checkpoint)
    images = model.graph.inputs[0]
    images.shape = ir.Shape((options.batch or BATCH, *list(images.shape or ())[1:]))
    return model


def _with_ends(model: ir.Model, checkpoint: Checkpoint, options: Options) -> ir.Model:
    """Add, in place, the preprocessing and the outputs that the options ask for."""
    from export.graph import canonical, edges

    shape = model.graph.inputs[0].shape
    images = edges.add_preprocessing(
        model, checkpoint.configuration, checkpoint.metadata.recipe, options
    )
    edges.add_postprocessing(model, options)
    known = None if images is None or shape is None else (images, shape)
    canonical.infer_shapes(model, known)
    return model


def _write_model(model: ir.Model, path: Path) -> None:
    import onnx
    import onnx_ir as ir

    path.write_bytes(ir.to_proto(model).SerializeToString(deterministic=True))
    onnx.checker.check_model(path, full_check=True)


def check_out(out: Path, options: Options) -> None:
    """Raise ``BadInput`` where an export cannot be written; call it before the slow work.

    A folder has to be new, empty or an earlier bundle.
    """
    if check_form(out, options):
        check_writable(out)
        return
    expected = "a new folder, an empty one or an earlier export"
    if not out.parent.is_dir():
        raise BadInput(out.parent, "no such folder", "an existing folder to write to")
    if not out.exists():
        return
    if not out.is_dir():
        raise BadInput(out, "is a file", expected)
    if out.resolve() == Path.cwd():
        raise BadInput(out, "is the current folder, which would be replaced", "another folder")
    found = {path.relative_to(out).as_posix() for path in out.rglob("*")}
    if other := sorted(name for name in found if not _OF_A_BUNDLE.fullmatch(name)):
        raise BadInput(out, f"holds {other[0]}", expected)
    if found and not {MODEL_FILE, "metadata.json"} <= found:
        raise BadInput(out, f"holds {sorted(found)[0]} and no {MODEL_FILE} of ours", expected)


def _place_weights(checkpoint: Checkpoint, path: Path) -> tuple[dict[str, int], str]:
    """Copy the checkpoint to ``path``, since ONNX refuses links; its offsets and its sha256."""
    from export.weights import link

    if checkpoint.path is None or not checkpoint.is_whole_file:
        checkpoint = write_checkpoint(checkpoint, path)
    else:
        shutil.copyfile(checkpoint.path, path)
        sync(path)
    return link.offsets_of(checkpoint), digest(path)
