"""A user's own port: a function of a network's inputs by name, in a Python file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from typing import Any, Final, Self

from onnx_arbiter.graph import Array
from onnx_arbiter.models.foreign_arrays import array_of
from vgg16_spec.errors import BadInput, require_file

_FORM: Final = "FILE.py:FUNCTION"
_EXPECTED: Final = "arrays by name, one for each output, or the only one"


def port_of(reference: str) -> tuple[Path, str]:
    """The file and the function that ``FILE.py:FUNCTION`` names.

    Raises ``BadInput`` for another form, and where there is no such file.
    """
    file, separator, function = reference.rpartition(":")
    if not (separator and file.endswith(".py") and function.isidentifier()):
        raise BadInput("--port", f"{reference!r} does not name a function in a file", _FORM)
    return require_file(file, "a Python file").resolve(), function


@dataclass(frozen=True)
class FilePort:
    """A port whose file has run.

    Attributes:
        path: the file.
        name: the function's.
        function: takes a dictionary of the inputs by name, and returns values by name, a sequence
            of outputs, or the only one; tensors of any framework are taken.
    """

    path: Path
    name: str
    function: Callable[[dict[str, Array]], object]

    @classmethod
    def load(cls, reference: str) -> Self:
        """Run the file of ``FILE.py:FUNCTION``. What it prints goes to stderr.

        Raises:
            BadInput: there is no such function, or the file fails.
        """
        path, name = port_of(reference)
        with _in_its_folder(path):
            return cls(path, name, _loaded(path, name))

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array] | list[Array]:
        """What the port computes: values by name, or the outputs in order.

        Args:
            inputs: the arrays to give to it, which it may change.

        Raises:
            BadInput: it fails, or what it returns are no arrays.
        """
        with _in_its_folder(self.path):
            return _arrays(self.function(dict(inputs)))


def _loaded(path: Path, name: str) -> Callable[[dict[str, Array]], object]:
    spec = spec_from_file_location(f"onnx_arbiter_port_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    # Dataclasses look their module up here.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    found: Any = getattr(module, name, None)
    if not callable(found):
        raise BadInput("--port", f"{path} has no function {name}", _FORM)
    function: Callable[[dict[str, Array]], object] = found
    return function


@contextmanager
def _in_its_folder(path: Path) -> Iterator[None]:
    """Let a port import its neighbours, and tell what it raises in a line."""
    before = list(sys.path)
    sys.path.insert(0, str(path.parent))
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (BadInput, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        problem = f"{_place(error, path)} raised {type(error).__name__}: {text}"
        raise BadInput("--port", problem, "a function that returns") from error
    finally:
        sys.path[:] = before


def _place(error: BaseException, path: Path) -> str:
    """The line of the port's own file from which an error came, or the file."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}"
    frames = [f for f in extract_tb(error.__traceback__) if Path(f.filename) == path]
    return f"{path.name}:{frames[-1].lineno}" if frames else path.name


def _arrays(computed: object) -> dict[str, Array] | list[Array]:
    if isinstance(computed, Mapping):
        return {
            str(name): comparable("--port", str(name), array_of("--port", str(name), v, _EXPECTED))
            for name, v in computed.items()
        }
    several = isinstance(computed, Sequence) and not isinstance(computed, str | bytes)
    outputs: Sequence[object] = computed if several else [computed]  # type: ignore[assignment]
    names = [f"output {number}" for number in range(len(outputs))]
    return [
        comparable("--port", name, array_of("--port", name, values, _EXPECTED))
        for name, values in zip(names, outputs, strict=True)
    ]


def comparable(source: str, name: str, values: Array) -> Array:
    """An array, if it holds real numbers or booleans. Raises ``BadInput`` for another."""
    if values.dtype.kind not in "biuf":
        raise BadInput(
            source, f"{name} is of the type {values.dtype}", "real numbers, bfloat16 as float32"
        )
    return values
