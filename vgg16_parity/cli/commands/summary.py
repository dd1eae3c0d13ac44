"""``vgg16 summary``: the architecture's table, and each framework's own view of it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Final

from typer import Option

from onnx_arbiter.cli.console import print_json, print_table, shape_text, show, working
from vgg16_parity.cli.options import JsonOption, NetworkOption
from vgg16_spec.errors import BadInput, require_one_of

if TYPE_CHECKING:
    from vgg16_spec.architecture import Configuration
    from vgg16_spec.layer_summary import LayerSummary

# Framework -> the package that describes its layers.
_PACKAGES: Final = {"keras": "keras_impl", "torch": "torch_impl", "onnx": "export"}
_ALL: Final = "all"
# The cells that a framework has for a layer, and for all layers.
_CELLS: Final = ("names", "computed by", "outputs", "weights", "parameters")


def summary(
    *,
    configuration: NetworkOption = "D",
    frameworks: Annotated[
        list[str] | None,
        Option(
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
    # Layer -> framework -> what it says; None if it has no such layer.
    layers = {
        layer.name: {name: found.get(layer.name) for name, found in summaries.items()}
        for layer in network.layers
    }
    if as_json:
        facts = {"configuration": network.name, "parameters": network.parameters()}
        entries = [
            {"name": layer} | {name: _entry(found) for name, found in row.items()}
            for layer, row in layers.items()
        ]
        print_json({**facts, "layers": entries})
        return
    show(f"Configuration {network.name}; N is the number of images")
    cells = {layer: list(map(_cells, row.values())) for layer, row in layers.items()}
    totals = (sum(each.parameters for each in found.values()) for found in summaries.values())
    cells["total"] = [("", "", "", "", f"{total:,}") for total in totals]
    if len(summaries) == 1:
        columns = ("layer", *summaries, "kind", "output", "weights", "parameters")
        print_table(columns, [(layer, *row[0]) for layer, row in cells.items()], text_columns=5)
    else:
        _print_side_by_side(tuple(summaries), cells)
    if "keras" in summaries and network.include_top:
        show("Keras's fc1 reads its inputs as height, width, channels; the others channels first.")


def selected(frameworks: Sequence[str]) -> tuple[str, ...]:
    """The frameworks asked for, each once, in a fixed order. Raises ``BadInput`` for another."""
    asked = {require_one_of("--framework", name, (*_PACKAGES, _ALL)) for name in frameworks}
    return tuple(name for name in _PACKAGES if name in asked or _ALL in asked)


def _print_architecture(network: Configuration, *, as_json: bool) -> None:
    from vgg16_spec.names import names

    table = names(network)
    shapes = network.output_shapes()
    layers = []
    rows = []
    for layer in network.layers:
        name, shape = layer.name, shapes[layer.name]
        counts = {
            "parameters": network.parameters(name),
            "multiply_adds": network.multiply_adds(name),
        }
        torchvision = table[name].torchvision if name in table else ""
        shown = {"name": name, "output_shape": list(shape)}
        layers.append({**shown, **counts, "torchvision": torchvision})
        rows.append((name, torchvision, shape_text(shape), *(f"{n:,}" for n in counts.values())))
    totals = {"parameters": network.parameters(), "multiply_adds": network.multiply_adds()}
    if as_json:
        facts = {"configuration": network.name, "input_shape": list(network.input_shape)}
        print_json({**facts, **totals, "layers": layers})
        return
    show(f"Configuration {network.name}, input {shape_text(network.input_shape)} (channels first)")
    rows.append(("total", "", "", *(f"{total:,}" for total in totals.values())))
    columns = ("layer", "torchvision", "output", "parameters", "multiply-adds")
    print_table(columns, rows, text_columns=2)


def _summaries(
    network: Configuration, frameworks: Sequence[str]
) -> dict[str, dict[str, LayerSummary]]:
    """Framework -> canonical name -> layer.

    Raises ``BadInput``, with the remedy, if a framework is not installed.
    """
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
    summaries: dict[str, dict[str, LayerSummary]] = {}
    for name in frameworks:
        with working(f"ask {name}"):
            describe = import_module(f"{_PACKAGES[name]}.layer_summary").layer_summaries
            arguments = (tracer.partition(" ")[0],) if name == "onnx" else ()
            summaries[name] = {each.layer: each for each in describe(network, *arguments)}
    return summaries


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


def _cells(layer: LayerSummary | None) -> tuple[str, ...]:
    if layer is None:
        return ("missing",) * len(_CELLS)
    weights = ", ".join(map(shape_text, layer.weights.values()))
    shape, parameters = shape_text(layer.output), f"{layer.parameters:,}"
    return (layer.name, layer.kind, shape, weights, parameters)


def _print_side_by_side(
    frameworks: tuple[str, ...], cells: dict[str, list[tuple[str, ...]]]
) -> None:
    """One table each for names, output shapes and so on, with a column per framework."""
    for index, title in enumerate(_CELLS):
        rows = [(layer, *(each[index] for each in row)) for layer, row in cells.items()]
        if title != "parameters":
            rows.pop()  # the total
        show()
        print_table((title, *frameworks), rows, text_columns=1 + len(frameworks))
