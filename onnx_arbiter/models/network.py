"""A network to judge: its graph, the file as it is, and copies of it with more outputs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import onnx_ir as ir

from onnx_arbiter.graph import Graph
from onnx_arbiter.models.from_onnx import graph_of
from onnx_arbiter.models.onnx_file import open_model
from vgg16_spec.errors import BadInput

if TYPE_CHECKING:
    import onnx

Model: TypeAlias = "str | os.PathLike[str] | onnx.ModelProto | ir.Model | Graph"
# A model of more bytes than this is written with its weights in a file beside it.
_EMBEDDED: Final = 1 << 30


@dataclass(frozen=True)
class Network:
    """A network.

    Attributes:
        graph: what the arbiter walks.
        path: the file that it was read from; None if it came from memory.
        model: the same with calls of its local functions inlined, as the graph has it; None for a
            graph that was built by hand.
    """

    graph: Graph
    path: Path | None
    model: ir.Model | None

    @classmethod
    def open(cls, model: Model) -> Network:
        """The network of a file, or of a model or a graph in memory.

        Weights are read when they are needed.

        Raises:
            BadInput: it is no valid ONNX model, or its data lie outside its folder.
        """
        if isinstance(model, Graph):
            return cls(model, None, None)
        import onnx

        if isinstance(model, str | os.PathLike):
            opened = open_model(model)
            return cls(graph_of(opened, Path(model).name), Path(model), opened)
        opened = _inlined(model) if isinstance(model, onnx.ModelProto) else model
        return cls(graph_of(opened, opened.graph.name or "model"), None, opened)

    def untouched(self, folder: Path) -> Path:
        """The file as it is, or the model in memory written into a folder."""
        if self.path is not None:
            return self.path
        return self.write(folder / "model.onnx")

    def tapped(self, values: Sequence[str], folder: Path) -> Path:
        """A copy, written into a folder, that also gives these values."""
        with _more_outputs(self._file(), values):
            return self.write(folder / "tapped.onnx")

    def write(self, path: Path) -> Path:
        """Write the model with what it has now.

        What it reads from a file is written into one beside the new one: runtimes find data files
        only in the model's own folder.
        """
        model = self._file()
        weights = [value.const_value for value in model.graph.initializers.values()]
        size = sum(tensor.nbytes for tensor in weights if tensor is not None)
        apart = any(isinstance(tensor, ir.ExternalTensor) for tensor in weights)
        beside = f"{path.name}.data" if apart or size > _EMBEDDED else None
        ir.save(model, path, external_data=beside)
        return path

    def _file(self) -> ir.Model:
        if self.model is None:
            expected = "an ONNX model, for runtimes to run"
            raise BadInput(self.graph.name, "is a graph that was built by hand", expected)
        return self.model


@contextmanager
def _more_outputs(model: ir.Model, values: Sequence[str]) -> Iterator[None]:
    """Let a model give more values for as long as the context lasts."""
    outputs = model.graph.outputs
    before = list(outputs)
    made = {str(value.name): value for node in model.graph for value in node.outputs}
    given = {str(value.name) for value in before}
    outputs.extend(made[name] for name in values if name in made and name not in given)
    try:
        yield
    finally:
        outputs[:] = before


def _inlined(model: onnx.ModelProto) -> ir.Model:
    from onnx_ir.passes.common import InlinePass

    opened = ir.from_proto(model)
    if opened.functions:
        InlinePass()(opened)
    return opened
