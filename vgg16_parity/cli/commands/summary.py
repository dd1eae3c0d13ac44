"""``vgg16 summary``: the architecture's table, and each framework's own view of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vgg16_parity.cli.console import print_json, print_table, shape_text, working
from vgg16_parity.cli.options import JsonOption, NetworkOption
from vgg16_spec.errors import BadInput, require_one_of

if TYPE_CHECKING:
    from vgg16_spec.architecture import Configuration
    from vgg16_spec.layer_summary import LayerSummary

FRAMEWORKS: Final = ("keras", "torch", "onnx")
_ALL: Final = "all"


def summary(
    *,
    configuration: NetworkOption = "D",
    frameworks: Annotated[
        list[str] | None,
        typer.Option(
            "--framework",
            metavar="keras|torch|onnx|all",
            help="Show a framework's own names and layouts; repeat to see several side by side.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List a configuration's layers: output shapes, parameters, multiply-adds, names."""
    from vgg16_spec import architecture

    network = architecture.configuration(configuration)
    if not frameworks:
        _print_architecture(network, as_json=as_json)
        return
    summaries = _summaries(network, selected(frameworks))
    if as_json:
        print_json(_document(network, summaries))
        return
    print(f"Configuration {network.name}; N is the number of images")
    if len(summaries) == 1:
        _print_one(*next(iter(summaries.items())))
    else:
        _print_side_by_side(network, summaries)
    if "keras" in summaries and network.include_top:
        print("Keras's fc1 reads its inputs as height, width, channels; the others channels first.")


def selected(frameworks: Sequence[str]) -> tuple[str, ...]:
    """The frameworks asked for, each once, in a fixed order. Raises ``BadInput`` for another."""
    asked = {require_one_of("--framework", name, (*FRAMEWORKS, _ALL)) for name in frameworks}
    return tuple(name for name in FRAMEWORKS if name in asked or _ALL in asked)


def _print_architecture(network: Configuration, *, as_json: bool) -> None:
    from vgg16_spec.names import names

    table = names(network)
    shapes = network.output_shapes()
    layers = [
        {
            "name": layer.name,
            "output_shape": list(shapes[layer.name]),
            "parameters": network.parameters(layer.name),
            "multiply_adds": network.multiply_adds(layer.name),
            "torchvision": table[layer.name].torchvision if layer.name in table else "",
        }
        for layer in network.layers
    ]
    totals = {"parameters": network.parameters(), "multiply_adds": network.multiply_adds()}
    if as_json:
        input_shape = list(network.input_shape)
        facts = {"configuration": network.name, "input_shape": input_shape, **totals}
        print_json({**facts, "layers": layers})
        return
    print(f"Configuration {network.name}, input {shape_text(network.input_shape)} (channels first)")
    rows: list[tuple[str, ...]] = [
        (
            str(layer["name"]),
            str(layer["torchvision"]),
            shape_text(shapes[str(layer["name"])]),
            f"{layer['parameters']:,}",
            f"{layer['multiply_adds']:,}",
        )
        for layer in layers
    ]
    rows.append(("total", "", "", *(f"{total:,}" for total in totals.values())))
    columns = ("layer", "torchvision", "output", "parameters", "multiply-adds")
    print_table(columns, rows, text_columns=2)


def _summaries(network: Configuration, frameworks: Sequence[str]) -> dict[str, list[LayerSummary]]:
    """Every framework's layers. Raises ``BadInput``, with the remedy, if one is not installed."""
    from vgg16_parity.cli.frameworks import first_complete, first_keras, use_keras
    from vgg16_parity.runtimes.registry import BACKENDS, COMPUTING, EXPORTING, Backend

    tracer = "torch"
    if "onnx" in frameworks:
        from vgg16_parity.shadowing import require_own_export

        require_own_export()
        candidates = ("torch", "keras on tensorflow", "keras on jax")
        tracer = first_complete("--framework onnx", {name: EXPORTING[name] for name in candidates})
    if "torch" in frameworks and (reason := COMPUTING["torch"].missing()):
        raise BadInput("--framework torch", reason)
    # One process cannot hold both TensorFlow and PyTorch: Keras joins the framework already there.
    backends: tuple[Backend, ...] = BACKENDS
    if tracer != "torch":
        backends = tuple(each for each in BACKENDS if tracer.endswith(each))
    elif "torch" in frameworks or "onnx" in frameworks:
        backends = ("torch",)
    use_keras(first_keras("--framework keras", backends) if "keras" in frameworks else backends[0])
    summaries: dict[str, list[LayerSummary]] = {}
    for name in frameworks:
        with working(f"ask {name}"):
            if name == "keras":
                from keras_impl.layer_summary import layer_summaries as keras_summaries

                summaries[name] = keras_summaries(network)
            elif name == "torch":
                from torch_impl.layer_summary import layer_summaries as torch_summaries

                summaries[name] = torch_summaries(network)
            else:
                from export.layer_summary import layer_summaries as onnx_summaries

                summaries[name] = onnx_summaries(network, "torch" if tracer == "torch" else "keras")
    return summaries


def _document(
    network: Configuration, summaries: dict[str, list[LayerSummary]]
) -> dict[str, object]:
    return {
        "configuration": network.name,
        "parameters": network.parameters(),
        "layers": [
            {"name": layer.name}
            | {name: _entry(_named(layer.name, found)) for name, found in summaries.items()}
            for layer in network.layers
        ],
    }


def _entry(layer: LayerSummary | None) -> dict[str, object] | None:
    if layer is None:
        return None
    return {
        "name": layer.name,
        "kind": layer.kind,
        "output_shape": list(layer.output),
        "weights": {name: list(shape) for name, shape in layer.weights.items()},
        "parameters": layer.parameters,
    }


def _named(canonical: str, layers: list[LayerSummary]) -> LayerSummary | None:
    return next((layer for layer in layers if layer.layer == canonical), None)


_CELLS: Final[Mapping[str, Callable[[LayerSummary], str]]] = MappingProxyType(
    {
        "names": lambda layer: layer.name,
        "computed by": lambda layer: layer.kind,
        "outputs": lambda layer: shape_text(layer.output),
        "weights": lambda layer: ", ".join(map(shape_text, layer.weights.values())),
        "parameters": lambda layer: f"{layer.parameters:,}",
    }
)


def _print_one(framework: str, layers: list[LayerSummary]) -> None:
    rows = [(layer.layer, *(cell(layer) for cell in _CELLS.values())) for layer in layers]
    rows.append(("total", "", "", "", "", _total(layers)))
    columns = ("layer", framework, "kind", "output", "weights", "parameters")
    print_table(columns, rows, text_columns=5)


def _print_side_by_side(network: Configuration, summaries: dict[str, list[LayerSummary]]) -> None:
    """One table each for names, output shapes and so on, with a column per framework."""
    for title, cell in _CELLS.items():
        rows = []
        for layer in network.layers:
            found = [_named(layer.name, layers) for layers in summaries.values()]
            rows.append((layer.name, *("missing" if one is None else cell(one) for one in found)))
        if title == "parameters":
            rows.append(("total", *map(_total, summaries.values())))
        print()
        print_table((title, *summaries), rows, text_columns=1 + len(summaries))


def _total(layers: list[LayerSummary]) -> str:
    return f"{sum(layer.parameters for layer in layers):,}"
