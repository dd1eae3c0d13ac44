"""PyTorch modules: exported as references, tapped by hooks as ports."""

from __future__ import annotations

import ast
import copy
import logging
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, count
from typing import TYPE_CHECKING, Any, Final

import onnx_ir as ir

from onnx_arbiter.graph import Array
from onnx_arbiter.ports.places import CONTAINER, Computed, Place, Reference, Tap, kind_of
from onnx_arbiter.ports.torch_settings import readable_tf32
from vgg16_spec.errors import BadInput

if TYPE_CHECKING:
    import torch

# Where PyTorch's exporter writes the modules that a node is in, from the outermost to the operator.
_SCOPES: Final = "pkg.torch.onnx.name_scopes"


def is_module(port: Any) -> bool:
    """Whether a port is a PyTorch module; imports nothing where PyTorch is not loaded."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(port, torch.nn.Module)


def reference(module: torch.nn.Module, inputs: Any) -> Reference:
    """Export a module in evaluation mode, its nodes named after its submodules.

    The exporter's optimiser stays out: it folds BatchNorm into convolutions, so that neither module
    would be seen. Only what is computed from constants alone is put in its place.

    Args:
        module: the model; its mode is restored. One on another device is exported as a copy on
            the CPU: PyTorch writes some operators otherwise for a GPU.
        inputs: an array or a tensor, a sequence of them, or a mapping of keyword arguments.

    Raises:
        BadInput: PyTorch cannot export it.
    """
    module = _on_cpu(module)
    positional, named = _arguments("cpu", inputs)
    model = exported_model(module, positional, named, type(module).__name__)
    given = [*positional, *named.values()]
    if len(model.graph.inputs) != len(given):
        problem = f"{len(model.graph.inputs)} of its {len(given)} inputs are used"
        raise BadInput("inputs", problem, "an input that the module reads")
    arrays = [tensor.detach().cpu().numpy() for tensor in given]
    names = [str(value.name) for value in model.graph.inputs]
    outputs = [Place("", "", str(v.name), _shape(v)) for v in model.graph.outputs]
    # A module that has two names may be exported under either.
    places = _places(model, dict(module.named_modules(remove_duplicate=False)))
    _number(model)
    return Reference(model, dict(zip(names, arrays, strict=True)), outputs, places)


def exported_model(
    module: torch.nn.Module, positional: tuple[Any, ...], named: Mapping[str, Any], name: str
) -> ir.Model:
    """Export a module on the CPU in evaluation mode, without the exporter's optimiser.

    Raises ``BadInput`` where PyTorch cannot; ``name`` is what it calls the module.
    """
    with _evaluating(module), _quiet(), readable_tf32():
        import torch
        from onnxscript import optimizer

        try:
            program = torch.onnx.export(
                module, positional, kwargs=dict(named), dynamo=True, optimize=False, verbose=False
            )
        except Exception as error:  # of many kinds
            line = str(error).strip().splitlines()[0]
            raise BadInput(name, f"PyTorch cannot export it ({line})") from error
    assert program is not None
    model: ir.Model = program.model
    optimizer.fold_constants(model)
    optimizer.remove_unused_nodes(model)
    model.graph.name = name
    return model


def _number(model: ir.Model) -> None:
    """Tell nodes of one name apart, as those of one module are: runtimes refuse files otherwise."""
    taken, seen = {str(node.name) for node in model.graph}, set[str]()
    for node in model.graph:
        name = str(node.name)
        if name in seen:
            numbers = (f"{name}_{number}" for number in count(1))
            name = node.name = next(other for other in numbers if other not in taken)
        taken.add(name)
        seen.add(name)


@contextmanager
def computed(module: torch.nn.Module, inputs: Sequence[Array]) -> Iterator[Computed]:
    """Run a module in evaluation mode and keep what every submodule gives.

    The hooks are gone afterwards; the module's mode is restored at the end of the context.
    """
    import torch

    taps, calls = list[Tap](), Counter[str]()

    def hook(name: str, submodule: torch.nn.Module) -> Callable[..., None]:
        def keep(_module: object, given: tuple[Any, ...], output: Any) -> None:
            count = calls[name]
            calls[name] += 1
            if isinstance(output, torch.Tensor):
                # A copy: a later module may work in place.
                values = output.detach().cpu().numpy().copy()
                tap = _tap(_numbered(name, count), submodule, values, given, output.device)
                taps.append(tap)

        return keep

    with _evaluating(module), torch.no_grad():
        hooks = []
        try:
            for name, submodule in module.named_modules():
                if name:
                    hooks.append(submodule.register_forward_hook(hook(name, submodule)))
            given, _ = _arguments(_device(module), list(inputs))
            outputs = module(*given)
        finally:
            for each in hooks:
                each.remove()
        found = outputs if isinstance(outputs, list | tuple) else [outputs]
        yield Computed([values.detach().cpu().numpy() for values in found], taps)


def _tap(
    name: str,
    module: torch.nn.Module,
    values: Array,
    read: Sequence[Any],
    device: torch.device,
) -> Tap:
    if any(True for _ in module.children()):
        return Tap(name, CONTAINER, values, before=None)

    def call(given: Array) -> Array:
        [tensor], _ = _arguments(device, given)
        result: Array = module(tensor).detach().cpu().numpy()
        return result

    shape = tuple(read[0].shape) if len(read) == 1 and hasattr(read[0], "shape") else ()
    return Tap(name, kind_of(type(module).__name__), values, False, call, None, shape)


def _device(module: torch.nn.Module) -> torch.device | str:
    """Where a module's weights are."""
    first = next(chain(module.parameters(), module.buffers()), None)
    return "cpu" if first is None else first.device


def _on_cpu(module: torch.nn.Module) -> torch.nn.Module:
    """The module, or a copy on the CPU of one that is elsewhere."""
    tensors = chain(module.parameters(), module.buffers())
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return module
    return _copied_to_cpu(module)


def _copied_to_cpu(module: torch.nn.Module) -> torch.nn.Module:
    import torch

    # The copy is made of these: shared ones stay shared, and none is doubled on its device.
    moved: dict[int, Any] = {id(values): values.detach().cpu() for values in module.buffers()}
    for values in module.parameters():
        moved[id(values)] = torch.nn.Parameter(values.detach().cpu(), values.requires_grad)
    try:
        return copy.deepcopy(module, moved)
    except Exception as error:  # of many kinds
        line = str(error).strip().splitlines()[0]
        raise BadInput(type(module).__name__, f"cannot be copied to the CPU ({line})") from error


def _arguments(
    device: torch.device | str, inputs: Any
) -> tuple[tuple[torch.Tensor, ...], dict[str, torch.Tensor]]:
    """Inputs as tensors on a device."""
    import torch

    def tensor(values: Any) -> torch.Tensor:
        return torch.as_tensor(values).to(device)

    if isinstance(inputs, Mapping):
        return (), {name: tensor(values) for name, values in inputs.items()}
    several = isinstance(inputs, list | tuple)
    return tuple(tensor(values) for values in (inputs if several else [inputs])), {}


def _places(model: ir.Model, modules: Mapping[str, torch.nn.Module]) -> list[Place]:
    """The modules' calls, by the scopes that the exporter wrote; names the nodes after them."""
    nodes = _on_data(model)
    outputs = set(model.graph.outputs)
    parts: dict[str, list[list[int]]] = {}
    for index, node in enumerate(nodes):
        scopes = _scopes(node)
        for path in dict.fromkeys(scope for scope in scopes[:-1] if scope in modules and scope):
            found = parts.setdefault(path, [[]])
            if found[-1] and found[-1][-1] != index - 1:
                found.append([])
            found[-1].append(index)
        innermost = next((s for s in reversed(scopes[:-1]) if s), "")
        node.name = "/".join(filter(None, (innermost, scopes[-1] if scopes else node.op_type)))
    places = list[tuple[int, int, Place]]()
    for path, calls in parts.items():
        container = any(True for _ in modules[path].children())
        kind = CONTAINER if container else kind_of(type(modules[path]).__name__)
        for number, call in enumerate(calls):
            inside = {nodes[index] for index in call}
            given = [v for n in inside for v in n.outputs if v in outputs or _leaves(v, inside)]
            if len(given) != 1:
                continue
            one = len(call) == 1 and not container
            name = _numbered(path, number)
            if one:
                nodes[call[0]].name = name
            place = Place(name, kind, str(given[0].name), _shape(given[0]), False, one, None)
            places.append((call[-1], int(container), place))
    return [place for *_, place in sorted(places, key=lambda found: found[:2])]


def _on_data(model: ir.Model) -> list[ir.Node]:
    """The nodes that compute from the model's inputs, not from constants alone."""
    known, nodes = set(model.graph.inputs), list[ir.Node]()
    for node in model.graph:
        if any(value in known for value in node.inputs):
            known.update(node.outputs)
            nodes.append(node)
    return nodes


def _scopes(node: ir.Node) -> list[str]:
    found: list[str] = ast.literal_eval(node.metadata_props.get(_SCOPES, "[]"))
    return found


def _leaves(value: ir.Value, inside: set[ir.Node]) -> bool:
    return any(use.node not in inside for use in value.uses())


def _shape(value: ir.Value) -> tuple[int, ...]:
    return () if value.shape is None else tuple(s for s in value.shape if isinstance(s, int))


def _numbered(name: str, call: int) -> str:
    """A module's name; that of a module that is called again has a number."""
    return f"{name}@{call}" if call else name


@contextmanager
def _evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Put a module and its submodules into evaluation mode and back."""
    before = [(each, each.training) for each in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for each, training in before:
            each.training = training


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of other packages and of deprecated parts of PyTorch."""
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    with ExitStack() as restored, warnings.catch_warnings():
        restored.callback(registry.setLevel, registry.level)
        registry.setLevel(logging.ERROR)
        warnings.simplefilter("ignore")
        yield
