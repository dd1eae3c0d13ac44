"""Digests of what a result depends on: the weights, the graph or the code that computes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from vgg16_parity.runtimes.registry import Runtime, package_versions
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.files.digest import digest

# What a user's own port may compute with.
_FRAMEWORKS: Final = ("numpy", "torch", "torchvision", "tensorflow", "keras", "jax", "onnxruntime")
# Where a user's files are is not what they are.
_PATHS: Final = ("port", "file")


def weights_digest(checkpoint: Checkpoint) -> str:
    """Of the tensors' values alone: whatever the file says of its classes and its recipe.

    Raises ``BadInput`` for values that are not finite.
    """
    found = sha256()
    with checkpoint.finite_blocks() as blocks_of:
        for name in checkpoint:
            found.update(f"{name} {checkpoint.tensor(name).shape}".encode())
            for block in blocks_of(name):
                found.update(block.data)
    return found.hexdigest()


def runtime_facts(runtime: Runtime) -> dict[str, Any]:
    """What computes: its settings, the versions of its packages, and a user's own code or graph.

    Raises ``BadInput`` for a user's own file that cannot be read.
    """
    facts = asdict(runtime) | {"backend": runtime.keras_backend}
    for name in _PATHS:
        del facts[name]
    versions = runtime.versions()
    if runtime.port:
        facts["code"] = _digest(Path(runtime.port.rpartition(":")[0]))
        versions |= package_versions(_FRAMEWORKS)
    if runtime.file:
        del facts["name"]
        facts["graph"] = [_digest(path) for path in graph_files(Path(runtime.file))]
    return facts | {"versions": versions}


def graph_files(path: Path) -> list[Path]:
    """An ONNX file and the files that hold its weights, each once."""
    import onnx_ir as ir

    from export.load import open_model

    model = open_model(path)
    tensors: Iterable[Any] = (each.const_value for each in model.graph.initializers.values())
    external = (Path(each.path) for each in tensors if isinstance(each, ir.ExternalTensor))
    return list(dict.fromkeys([path, *external]))


def _digest(path: Path) -> str:
    try:
        return digest(path)
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error.strerror})", "a file to read") from error
