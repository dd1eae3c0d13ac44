"""``vgg16``: the commands, each a few lines of wiring.

What a command needs is imported inside it, so that ``vgg16 --help`` waits for nothing.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer
from typer.exceptions import TyperException

from vgg16_parity.cli.commands import weights
from vgg16_spec.errors import BadInput

app = typer.Typer(
    name="vgg16",
    help="VGG16 in Keras and in PyTorch, the same weights through both, out to ONNX, compared.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(weights.app, name="weights")

WeightsOption = Annotated[
    Optional[str],  # noqa: UP045 - Typer reads the annotation at run time
    typer.Option(metavar="FILE|NAME", help="A file, a published name, or seeded[:N]."),
]
ConfigurationOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="A|B|C|D|E|tiny", help="A column of the paper's Table 1. Default: D."),
]
NetworkOption = Annotated[
    str, typer.Option(metavar="A|B|C|D|E|tiny", help="A column of the paper's Table 1.")
]
ImagesOption = Annotated[
    Optional[list[Path]],  # noqa: UP045
    typer.Option(metavar="PATH", help="A picture; may be given again. Default: two photographs."),
]
DeviceOption = Annotated[str, typer.Option(metavar="cpu|cuda", help="Where to run.")]
# Paths and words that may be left out.
_Path = Optional[Path]  # noqa: UP045
_Text = Optional[str]  # noqa: UP045
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def main() -> None:
    """Run the command line; exit status 0 done, 1 parity or a match not shown, 2 bad input."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # So that temporary files and worker processes go with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        status = app(standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has left: nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 128 + signal.SIGPIPE
    except (BadInput, TyperException) as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        status = _refuse(message)
    except OSError as error:
        status = _refuse(f"{error.filename or 'system'}: {error.strerror or error}")
    except MemoryError as error:
        status = _refuse(f"memory: {error or 'not enough'}")
    except (KeyboardInterrupt, typer.Abort):
        status = _refuse("interrupted", 130)
    sys.exit(status if isinstance(status, int) else 0)


def _refuse(message: str, status: int = 2) -> int:
    if message:  # none where the help was shown instead
        print("vgg16:", " ".join(message.split()), file=sys.stderr)
    return status


@app.command()
def parity(
    configuration: ConfigurationOption = None,
    weights: WeightsOption = None,
    images: ImagesOption = None,
    runtimes: Annotated[
        _Text,
        typer.Option(metavar="a,b,…", help="Default: all; what is not installed is reported."),
    ] = None,
    lanes: Annotated[
        _Text,
        typer.Option(
            metavar="a,b,…",
            help="Of strict, default, tf32, bfloat16, float16. Default: strict,default.",
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(metavar="cpu|cuda|both", help="Where to run; both compares the two besides."),
    ] = "cpu",
    port: Annotated[
        _Text,
        typer.Option(
            metavar="FILE.py:FUNCTION", help="Your own port: images and weights in, logits out."
        ),
    ] = None,
    hard: Annotated[
        bool, typer.Option("--hard", help="Inputs that can hurt, besides the pictures.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Logits alone, in the strict lane alone.")
    ] = False,
    gradients: Annotated[
        bool, typer.Option("--gradients", help="Gradients and a step of SGD too, where there are.")
    ] = False,
    timeout: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(metavar="SECONDS", help="Stop a runtime that takes longer."),
    ] = None,
    report: Annotated[
        _Path,
        typer.Option(metavar="FILE", help="Write the report there, as JSON."),
    ] = None,
    html: Annotated[
        _Path,
        typer.Option(metavar="FILE", help="Write the report there, as a page."),
    ] = None,
    junit: Annotated[
        _Path,
        typer.Option(metavar="FILE", help="Write the report there, as JUnit XML for CI."),
    ] = None,
    against: Annotated[
        _Path,
        typer.Option(metavar="OLD.json", help="Tell what moved since an older --report."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Run every runtime on the same images and judge each layer by a float64 arbiter."""
    from vgg16_parity.cli.commands.parity import parity
    from vgg16_parity.report.files import ReportFiles

    return parity(
        configuration,
        weights,
        images or [],
        runtimes,
        lanes,
        device,
        port,
        hard,
        quick,
        gradients,
        timeout,
        ReportFiles(report, html, junit, against),
        as_json,
    )


@app.command()
def export(
    framework: Annotated[str, typer.Option(metavar="keras|torch", help="Who traces the graph.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR|FILE.onnx", help="A bundle to deploy, or one file.")
    ],
    configuration: ConfigurationOption = None,
    weights: WeightsOption = None,
    weights_file: Annotated[
        str,
        typer.Option(
            metavar="separate|embedded|shared",
            help="Copied into the bundle, inside FILE.onnx, or pointed at beside FILE.onnx.",
            show_default="separate for DIR, embedded for FILE.onnx",
        ),
    ] = "",
    backend: Annotated[
        str,
        typer.Option(
            metavar="tensorflow|jax|torch",
            help="Keras's, where Keras traces.",
            show_default="tensorflow",
        ),
    ] = "",
    opset: Annotated[int, typer.Option(metavar="N", help="ONNX operator set, from 13.")] = 18,
    batch: Annotated[str, typer.Option(metavar="dynamic|N", help="Images at once.")] = "dynamic",
    layout: Annotated[
        str,
        typer.Option(metavar="nchw|nhwc", help="The axes of float images.", show_default="nchw"),
    ] = "",
    output: Annotated[
        str, typer.Option(metavar="logits|probabilities", help="What the graph gives.")
    ] = "logits",
    features: Annotated[
        bool,
        typer.Option(
            "--features", help="Without the classifier, for images of any size from 32 × 32."
        ),
    ] = False,
    taps: Annotated[
        bool, typer.Option("--taps", help="Every layer's output as an output too.")
    ] = False,
    images: Annotated[
        str,
        typer.Option(
            "--input",
            metavar="float32|uint8",
            help="Preprocessed images, or raw RGB pixels that the graph preprocesses.",
        ),
    ] = "float32",
    resize: Annotated[
        bool, typer.Option("--resize", help="With uint8: pictures of any size (opset 18).")
    ] = False,
    precision: Annotated[
        str,
        typer.Option(
            metavar="fp32|fp16|int8", help="Of weights and arithmetic; the smaller two need DIR."
        ),
    ] = "fp32",
    calibrate: Annotated[
        _Path,
        typer.Option(metavar="DIR", help="Pictures that int8 chooses its scales by."),
    ] = None,
    test_data: Annotated[
        bool,
        typer.Option("--test-data/--no-test-data", help="test_data_set_0, by ONNX Runtime."),
    ] = True,
    as_json: JsonOption = False,
) -> int:
    """Write the network as ONNX: the same graph from either framework."""
    from vgg16_parity.cli.commands.export import export

    return export(
        framework,
        out,
        configuration,
        weights,
        backend,
        calibrate,
        as_json,
        weights_file=weights_file,
        opset=opset,
        batch=batch,
        layout=layout,
        output=output,
        features=features,
        taps=taps,
        input=images,
        resize=resize,
        precision=precision,
        test_data=test_data,
    )


@app.command()
def check(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="Any exporter's file.")],
    configuration: ConfigurationOption = None,
    weights: WeightsOption = None,
    images: ImagesOption = None,
    as_json: JsonOption = False,
) -> int:
    """Tell whether an ONNX file is the network that a checkpoint describes, and where it is not."""
    from vgg16_parity.cli.commands.check import check

    return check(model, configuration, weights, images or [], as_json)


@app.command()
def port(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A file, a published name, or seeded[:N].")
    ],
    destination: Annotated[Path, typer.Argument(metavar="DESTINATION", help="The file to write.")],
    from_format: Annotated[
        _Text,
        typer.Option("--from", metavar="FORMAT", help="Default: found from the content."),
    ] = None,
    to_format: Annotated[
        _Text,
        typer.Option("--to", metavar="FORMAT", help="Default: found from the file's ending."),
    ] = None,
    recipe: Annotated[
        _Text,
        typer.Option(
            metavar="torchvision|torchvision-features|caffe",
            help="The preprocessing that the weights expect.",
        ),
    ] = None,
    no_top: Annotated[
        bool, typer.Option("--no-top", help="The convolutions alone, without the classifier.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Convert weights between the formats of Keras, torchvision, timm and others, bit for bit."""
    from vgg16_parity.cli.commands.bodies import port

    return port(source, destination, from_format, to_format, recipe, no_top, as_json)


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures.")],
    configuration: ConfigurationOption = None,
    weights: WeightsOption = None,
    runtime: Annotated[
        _Text,
        typer.Option(metavar="NAME", help="Default: the first that is installed."),
    ] = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> int:
    """Name the five likeliest classes of pictures."""
    from vgg16_parity.cli.commands.bodies import predict

    return predict(images, configuration, weights, runtime, device, as_json)


@app.command()
def summary(
    configuration: NetworkOption = "D",
    frameworks: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--framework",
            metavar="keras|torch|onnx|all",
            help="As it is there: names, layouts; may be given again, to see them side by side.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """List a configuration's layers: output shapes, parameters, multiply-adds, names."""
    if frameworks:
        from vgg16_parity.cli.commands import summary as by_framework

        return by_framework.summary(configuration, frameworks, as_json)
    from vgg16_parity.cli.commands.bodies import summary

    return summary(configuration, as_json)


@app.command()
def draw(
    out: Annotated[Path, typer.Option(metavar="FILE.svg|FILE.png", help="The picture to write.")],
    configuration: NetworkOption = "D",
    kind: Annotated[
        str,
        typer.Option(
            metavar="volumes|table|keras",
            help="Feature maps to scale, the paper's Table 1, or what Keras draws by Graphviz.",
        ),
    ] = "volumes",
    as_json: JsonOption = False,
) -> int:
    """Draw the network, as SVG or PNG."""
    from vgg16_parity.cli.commands.draw import draw

    return draw(out, configuration, kind, as_json)
