"""What ``vgg16 summary --framework`` does: the network in each framework's own words."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from vgg16_parity.cli.console import print_json, print_table, working
from vgg16_parity.runtimes import settings
from vgg16_parity.runtimes.requirements import BACKENDS, COMPUTING, EXPORTING, Backend, Requirement
from vgg16_spec.errors import BadInput, require_one_of

if TYPE_CHECKING:
    from vgg16_spec.architecture import Configuration
    from vgg16_spec.layer_summary import LayerSummary

FRAMEWORKS: Final = ("keras", "torch", "onnx")
_ALL: Final = "all"
# Who traces the graph, in order of preference.
_TRACERS: Final[tuple[Backend, ...]] = ("torch", "tensorflow", "jax")


def chosen(frameworks: Sequence[str]) -> tuple[str, ...]:
    """The frameworks asked for, each once and in one order. Raises ``BadInput`` for another."""
    asked = {require_one_of("--framework", name, (*FRAMEWORKS, _ALL)) for name in frameworks}
    return tuple(name for name in FRAMEWORKS if name in asked or _ALL in asked)


def summary(configuration: str, frameworks: Sequence[str], as_json: bool) -> int:
    """A configuration's layers as the frameworks have them."""
    from vgg16_spec import architecture

    network = architecture.configuration(configuration)
    described = describe(network, chosen(frameworks))
    if as_json:
        print_json(_document(network, described))
        return 0
    print(f"Configuration {network.name}; N is the number of images")
    if len(described) == 1:
        _print_one(*next(iter(described.items())))
    else:
        _print_beside(network, described)
    if "keras" in described and "fc1" in {entry.layer for entry in described["keras"]}:
        print("fc1 reads rows, columns, channels in this order in Keras; channels first elsewhere.")
    return 0


def describe(network: Configuration, frameworks: Sequence[str]) -> dict[str, list[LayerSummary]]:
    """Every framework's layers. Raises ``BadInput``, with the remedy, where one is missing."""
    tracer: Backend | None = None
    if "onnx" in frameworks:
        from vgg16_parity.shadowing import require_own_export

        require_own_export()
        ways = _on_keras(EXPORTING, _TRACERS) | {"torch": EXPORTING["torch"]}
        tracer = _first_installed("--framework onnx", ways)
    # TensorFlow and PyTorch stay out of each other's process.
    with_torch = "torch" in frameworks or tracer == "torch"
    backends: Sequence[Backend] = ("torch",) if with_torch else BACKENDS
    if tracer in ("tensorflow", "jax"):
        backends = (tracer,)
    if "torch" in frameworks:
        _first_installed("--framework torch", {"torch": COMPUTING["torch"]})
    quiet_keras(
        _first_installed("--framework keras", _on_keras(COMPUTING, backends))
        if "keras" in frameworks
        else tracer or "torch"
    )
    described: dict[str, list[LayerSummary]] = {}
    for framework in frameworks:
        with working(f"ask {framework}"):
            described[framework] = _ask(framework, network, tracer)
    return described


def quiet_keras(backend: Backend | None = None) -> None:
    """Set which backend Keras will have, the first that is installed unless given.

    This process is ours alone, and nothing is computed in it: a GPU would only be held.
    """
    chosen = backend or _first_installed("keras", _on_keras(COMPUTING, BACKENDS))
    os.environ |= settings.environment(chosen)


def _on_keras(
    table: Mapping[str, Requirement], backends: Sequence[Backend]
) -> dict[Backend, Requirement]:
    return {backend: table[f"keras on {backend}"] for backend in backends}


def _ask(framework: str, network: Configuration, tracer: Backend | None) -> list[LayerSummary]:
    if framework == "keras":
        from keras_impl.layer_summary import describe as keras_describe

        return keras_describe(network)
    if framework == "torch":
        from torch_impl.layer_summary import describe as torch_describe

        return torch_describe(network)
    from export.layer_summary import describe as onnx_describe

    return onnx_describe(network, "torch" if tracer == "torch" else "keras")


def _first_installed(option: str, ways: Mapping[Backend, Requirement]) -> Backend:
    """The first way for which everything is there; where none is, the first one's remedy."""
    reasons = {way: needed.missing() for way, needed in ways.items()}
    for way, reason in reasons.items():
        if not reason:
            return way
    raise BadInput(option, next(iter(reasons.values())))


def _document(
    network: Configuration, described: dict[str, list[LayerSummary]]
) -> dict[str, object]:
    return {
        "configuration": network.name,
        "parameters": network.parameters(),
        "layers": [
            {"name": layer.name}
            | {
                framework: _entry(_of(layer.name, layers))
                for framework, layers in described.items()
            }
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


def _of(name: str, layers: list[LayerSummary]) -> LayerSummary | None:
    return next((layer for layer in layers if layer.layer == name), None)


def _print_one(framework: str, layers: list[LayerSummary]) -> None:
    rows = [
        (
            layer.layer,
            layer.name,
            layer.kind,
            _shape(layer.output),
            _weights(layer),
            f"{layer.parameters:,}",
        )
        for layer in layers
    ]
    total = ("total", "", "", "", "", f"{sum(layer.parameters for layer in layers):,}")
    columns = ("layer", framework, "kind", "output", "weights", "parameters")
    print_table(columns, [*rows, total], text_columns=5)


def _print_beside(network: Configuration, described: dict[str, list[LayerSummary]]) -> None:
    """A table each of the names, the outputs and so on, a column for each framework."""
    for what, told in _TOLD.items():
        rows = []
        for layer in network.layers:
            found = [_of(layer.name, layers) for layers in described.values()]
            rows.append((layer.name, *("missing" if one is None else told(one) for one in found)))
        if what == "parameters":
            totals = (sum(one.parameters for one in layers) for layers in described.values())
            rows.append(("total", *(f"{total:,}" for total in totals)))
        print()
        print_table((what, *described), rows, text_columns=1 + len(described))


def _weights(layer: LayerSummary) -> str:
    """Shapes of the weight and of the bias."""
    return ", ".join(map(_shape, layer.weights.values()))


def _shape(shape: Sequence[int | None]) -> str:
    return "×".join("N" if size is None else str(size) for size in shape)


_TOLD: Final[dict[str, Callable[[LayerSummary], str]]] = {
    "names": lambda layer: layer.name,
    "computed by": lambda layer: layer.kind,
    "outputs": lambda layer: _shape(layer.output),
    "weights": _weights,
    "parameters": lambda layer: f"{layer.parameters:,}",
}
