"""The rooms whose code is changed, and the tests that must notice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class Room:
    """Code and the tests that stand for it.

    Attributes:
        code: folder whose modules are changed.
        tests: files and folders of tests, of which those run that execute a changed line.
    """

    code: str
    tests: tuple[str, ...]

    def modules(self, root: Path) -> Iterator[Path]:
        """The room's modules, relative to the project's folder."""
        return (path.relative_to(root) for path in sorted((root / self.code).rglob("*.py")))

    def test_files(self, root: Path) -> list[str]:
        """The room's test files, relative to the project's folder."""
        found = {
            str(path.relative_to(root))
            for name in self.tests
            for path in (
                [root / name] if name.endswith(".py") else (root / name).rglob("test_*.py")
            )
        }
        return sorted(found)


def nearest(tests: Sequence[str], module: str) -> tuple[list[str], list[str]]:
    """The test files of the folder that mirrors a module's and of its name, and all others.

    Where there is no such folder, the one above it counts.
    """
    folder = Path("parity_tests", module).parent
    while folder.name and not any(Path(name).parent == folder for name in tests):
        folder = folder.parent
    own = f"test_{Path(module).name}"
    near = [name for name in tests if Path(name).parent == folder or Path(name).name == own]
    return near, [name for name in tests if name not in near]


_JUDGE: Final = "parity_tests/vgg16_parity/judge"
_NETWORK: Final = "parity_tests/vgg16_parity/network"

ROOMS: Final = MappingProxyType(
    {
        "onnx_arbiter": Room(
            "onnx_arbiter",
            (
                "parity_tests/onnx_arbiter",
                f"{_NETWORK}/test_prediction.py",
                f"{_NETWORK}/test_prediction_modes.py",
                f"{_NETWORK}/test_prediction_tf32.py",
                f"{_NETWORK}/test_reference.py",
            ),
        ),
        "vgg16_weights": Room("vgg16_weights", ("parity_tests/vgg16_weights",)),
        "graph": Room(
            "export/graph",
            (
                "parity_tests/export/graph",
                "parity_tests/export/test_options.py",
                "parity_tests/export/bundle/test_deployment.py",
                "parity_tests/export/bundle/test_own_recipes.py",
            ),
        ),
        "judge": Room("vgg16_parity/judge", (_JUDGE,)),
        "onnx_check": Room("vgg16_parity/onnx_check", ("parity_tests/vgg16_parity/onnx_check",)),
    }
)
