"""Every file format there is: one literal table of what is particular to each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from vgg16_spec.errors import BadInput, require_one_of


class Library(NamedTuple):
    """What a format needs that is not always installed."""

    name: str
    module: str
    extra: str


@dataclass(frozen=True)
class Format:
    """One file format.

    Attributes:
        name: what it is called on the command line.
        title: one line that says in errors what was expected.
        ending: the file's ending that means it when writing; empty where none does.
        module: what reads and writes it here; empty for those of safetensors.
        recipe: of a file that states none: that of the format's best known weights.
        keras_order: whether the axes are in Keras's order instead of the canonical one.
        reads_rgb: whether the first kernel reads RGB, whatever the recipe's order of channels.
        writable: whether it can be written too.
        library: needed beside those that are always there.
    """

    name: str
    title: str
    ending: str = ""
    module: str = ""
    recipe: str = "caffe"
    keras_order: bool = False
    reads_rgb: bool = False
    writable: bool = True
    library: Library | None = None

    def require_library(self, path: Path) -> None:
        """Raise ``BadInput`` that says what to install where the library is missing."""
        if self.library is not None and not _is_installed(self.library.module):
            problem = f"needs {self.library.name}, which is not installed"
            raise BadInput(path, problem, f'pip install "vgg16-parity[{self.library.extra}]"')


FORMATS: Final = MappingProxyType(
    {
        row.name: row
        for row in (
            Format("safetensors", "a canonical checkpoint (.safetensors)", ending=".safetensors"),
            Format(
                "torchvision",
                "a state dict of torchvision's VGG (.pth)",
                ending=".pth",
                module="pth",
                recipe="torchvision",
                library=Library("PyTorch", "torch", "torch"),
            ),
            Format(
                "torchvision-safetensors",
                "torchvision's state dict as safetensors (.safetensors)",
            ),
            Format("timm", "timm's VGG as safetensors (.safetensors)"),
            Format(
                "keras-h5",
                "weights or a model saved by Keras before version 3 (.h5)",
                ending=".h5",
                module="keras.legacy_h5",
                keras_order=True,
            ),
            Format(
                "keras-weights-h5",
                "weights saved by Keras 3 (.weights.h5)",
                ending=".weights.h5",
                module="keras.weights_h5",
                keras_order=True,
            ),
            Format(
                "keras",
                "a model saved by Keras 3 (.keras)",
                ending=".keras",
                module="keras.archive",
                keras_order=True,
            ),
            Format(
                "npz",
                "NumPy arrays named as conv1_1_W, conv1_1_b, … fc8_b (.npz)",
                ending=".npz",
                module="legacy.npz",
                keras_order=True,
                reads_rgb=True,
            ),
            Format(
                "caffemodel",
                "the weights of a Caffe VGG (.caffemodel)",
                ending=".caffemodel",
                module="legacy.caffemodel",
                writable=False,
                library=Library("protobuf", "google.protobuf", "formats"),
            ),
            Format(
                "matconvnet",
                "a SimpleNN of MatConvNet's (.mat of MATLAB's version 5 to 7)",
                ending=".mat",
                module="legacy.matconvnet",
                keras_order=True,
                reads_rgb=True,
                writable=False,
                library=Library("SciPy", "scipy", "formats"),
            ),
        )
    }
)


def format_named(name: str) -> Format:
    """The format of that name. Raises ``BadInput`` for an unknown one."""
    return FORMATS[require_one_of("format", name, tuple(FORMATS))]


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # nor is the package that it is in
        return False
