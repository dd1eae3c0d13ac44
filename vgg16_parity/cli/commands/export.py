"""``vgg16 export``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from onnx_arbiter.cli.console import print_json, say, show, working
from vgg16_parity.cli.options import (
    ConfigurationOption,
    JsonOption,
    LabelsOption,
    RecipeOption,
    WeightsOption,
    described,
    resolve_to_run,
)
from vgg16_parity.shadowing import require_own_export
from vgg16_spec.errors import BadInput, counted, require_one_of

if TYPE_CHECKING:
    from export import Options
    from export.constants import Framework


def export(
    *,
    framework: Annotated[str, described("keras|torch", "Framework that traces the graph.")],
    out: Annotated[Path, described("DIR|FILE.onnx", "A bundle for deployment, or one file.")],
    configuration: ConfigurationOption = None,
    weights: WeightsOption = None,
    recipe: RecipeOption = None,
    labels: LabelsOption = None,
    weights_file: Annotated[
        str,
        described(
            "separate|embedded|shared",
            "Copy weights into the bundle, put them into FILE.onnx, or point to --weights.",
            default="separate for DIR, embedded for FILE.onnx",
        ),
    ] = "",
    backend: Annotated[
        str,
        described("tensorflow|jax|torch", "Keras backend used for tracing.", default="tensorflow"),
    ] = "",
    opset: Annotated[int, described("N", "ONNX operator set, 13 or newer.")] = 18,
    batch: Annotated[str, described("dynamic|N", "Number of images per run.")] = "dynamic",
    layout: Annotated[str, described("nchw|nhwc", "Axes of float images.", default="nchw")] = "",
    output: Annotated[str, described("logits|probabilities", "Output of the graph.")] = "logits",
    features: Annotated[
        bool,
        described(None, "Leave out the classifier; images of any size from 32 × 32.", "--features"),
    ] = False,
    dense: Annotated[
        bool,
        described(
            None,
            "Apply the network densely: images of any size from its own on, scores averaged over "
            "space (section 3.2 of the paper).",
            "--dense",
        ),
    ] = False,
    taps: Annotated[
        bool, described(None, "Also output the result of every layer.", "--taps")
    ] = False,
    input_type: Annotated[
        str,
        described(
            "float32|uint8",
            "Preprocessed images, or raw RGB pixels that the graph preprocesses.",
            "--input",
        ),
    ] = "float32",
    resize: Annotated[
        bool, described(None, "With uint8: take pictures of any size (opset 18).", "--resize")
    ] = False,
    precision: Annotated[
        str,
        described("fp32|fp16|int8", "Precision of weights and arithmetic; fp16 and int8 need DIR."),
    ] = "fp32",
    calibrate: Annotated[
        list[Path] | None,
        described(
            "DIR|FILE",
            "Picture or folder of pictures from which int8 derives its scales; repeat for more. "
            "At most 200 pictures are used.",
        ),
    ] = None,
    test_data: Annotated[
        bool, described(None, "Add test_data_set_0 to the bundle, computed by ONNX Runtime.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Export the network to ONNX: the same graph from either framework."""
    require_own_export()
    from export import Options
    from export.calibration import choose

    calibration = choose(calibrate) if calibrate else None
    keywords: dict[str, Any] = {
        "weights_file": weights_file,
        "opset": opset,
        "batch": _batch(batch),
        "layout": layout,
        "output": output,
        "features": features,
        "dense": dense,
        "taps": taps,
        "input": input_type,
        "resize": resize,
        "precision": precision,
        "calibrate": calibration.pictures if calibration else (),
        "test_data": test_data,
    }
    if features and labels is not None:
        raise BadInput("--labels", "cannot be combined with --features", "one of the two")
    tracer = _checked_tracer(framework, backend, out, Options(**keywords))
    if calibration:
        used, found = len(calibration.pictures), calibration.found
        say(f"calibrate on {used} of {counted(found, 'picture')} (folders: {calibration.folders})")
    checkpoint = resolve_to_run(weights, configuration, recipe, labels)
    from export import export_onnx

    with working(f"export from {tracer}"):
        source: Framework = "torch" if tracer == "torch" else "keras"
        model = export_onnx(source, checkpoint, out, **keywords)
    files = [out] if out.is_file() else sorted(path for path in out.rglob("*") if path.is_file())
    sizes = {str(path): path.stat().st_size for path in files}
    record = out / "accuracy.json"
    accuracy = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else None
    if as_json:
        document = {
            "model": str(model),
            "files": sizes,
            "accuracy": accuracy,
            "recipe": checkpoint.metadata.recipe,
            "recipe_assumed": checkpoint.is_recipe_assumed,
        }
        if calibration:
            document["calibration"] = [str(path) for path in calibration.pictures]
        print_json(document)
        return
    for name, size in sizes.items():
        show(f"{name}  {size:,} bytes")
    if accuracy is not None:
        show(_accuracy_line(accuracy))


def _checked_tracer(framework: str, backend: str, out: Path, options: Options) -> str:
    """The framework that traces the graph, set up, as the table of requirements names it.

    Raises:
        BadInput: an option, ``out`` or what is installed rules the export out. Found here, before
            weights are read or a framework is imported.
    """
    from export import check_out
    from export.constants import Framework
    from vgg16_parity.cli.frameworks import use_keras
    from vgg16_parity.runtimes.registry import BACKENDS, EXPORTING

    source = require_one_of("--framework", framework, get_args(Framework))
    check_out(out, options)
    if source == "torch" and backend:
        raise BadInput("--backend", f"{backend} is for Keras", "--framework keras")
    chosen = require_one_of("--backend", backend or "tensorflow", BACKENDS)
    tracer = f"keras on {chosen}" if source == "keras" else "torch"
    if reason := EXPORTING[tracer].missing():
        raise BadInput(f"--framework {tracer}", reason)
    from export.graph.opset import check_opset

    check_opset(options.opset)
    use_keras(chosen)
    return tracer


def _batch(text: str) -> int | None:
    if text == "dynamic":
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise BadInput("--batch", f"is {text[:40]!r}", "dynamic or a whole number")
    return int(text)


def _accuracy_line(accuracy: dict[str, Any]) -> str:
    """A bundle's accuracy record in one line."""
    *_, (last, ratio) = accuracy["sqnr_db"].items()
    smaller = accuracy["bytes"]["fp32"] / accuracy["bytes"][accuracy["precision"]]
    parts = [f"{accuracy['precision']} against fp32: {last} {ratio} dB over the noise"]
    if images := accuracy.get("images"):
        for name in ("top1", "top5"):
            same = sum(image[f"{name}_agrees"] for image in images)
            parts.append(f"{name[:3]}-{name[3:]} the same on {same} of {len(images)}")
        error = max(image["largest_error"] for image in images)
        margin = min(image["margin"] for image in images)
        parts.append(f"largest error of a logit {error:.2g}, smallest margin {margin:.2g}")
    parts.append(f"weights {smaller:.1f} times smaller, {accuracy['speed_up']} times as fast here")
    return "; ".join(parts)
