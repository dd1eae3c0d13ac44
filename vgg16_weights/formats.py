"""Every file format there is: one literal table of what is particular to each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

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
        ending: the file's ending that means it when writing; empty where none does.
        module: what reads and writes it here; empty for those of safetensors.
        layout: the order of the axes; RGB where the first kernel reads it whatever the recipe.
        title: one line that says in errors what was expected.
        recipe: of a file that states none: that of the format's best known weights.
        writable: whether it can be written too.
        library: needed to write a format that is written, and to read any other.
        other_endings: that mean it when writing too.
    """

    name: str
    ending: str
    module: str
    layout: Literal["canonical", "keras", "keras RGB"]
    title: str
    recipe: str = "caffe"
    writable: bool = True
    library: Library | None = None
    other_endings: tuple[str, ...] = ()

    @property
    def endings(self) -> tuple[str, ...]:
        """Every ending that means it when writing."""
        return (self.ending, *self.other_endings) if self.ending else ()

    @property
    def keras_order(self) -> bool:
        """Whether the axes are in Keras's order."""
        return self.layout != "canonical"

    def require_library(self, path: Path) -> None:
        """Raise ``BadInput`` that says what to install where the library is missing."""
        if self.library is not None and not _is_installed(self.library.module):
            problem = f"needs {self.library.name}, which is not installed"
            raise BadInput(path, problem, f'pip install "vgg16-parity[{self.library.extra}]"')


_TENSORFLOW: Final = Library("TensorFlow", "tensorflow", "keras")
_TABLE: Final = (
    Format("safetensors", ".safetensors", "", "canonical", "a canonical checkpoint (.safetensors)"),
    Format(
        "torchvision",
        ".pth",
        "torch.pth",
        "canonical",
        "a state dict of torchvision's VGG (.pth)",
        recipe="torchvision",
        library=Library("PyTorch", "torch", "torch"),
        other_endings=(".pt",),
    ),
    Format(
        "torchvision-safetensors",
        "",
        "",
        "canonical",
        "torchvision's VGG as safetensors",
        recipe="torchvision",
    ),
    Format(
        "timm",
        "",
        "",
        "canonical",
        "timm's VGG as safetensors (.safetensors)",
        recipe="torchvision",
    ),
    Format(
        "keras-h5", ".h5", "keras.legacy_h5", "keras", "weights or a model of Keras 1 or 2 (.h5)"
    ),
    Format("keras-weights-h5", ".weights.h5", "keras.weights_h5", "keras", "weights of Keras 3"),
    Format(
        "caffe-h5",
        "",
        "legacy.other_h5",
        "canonical",
        "a snapshot of a Caffe VGG in HDF5 (.caffemodel.h5)",
        writable=False,
    ),
    Format(
        "torch-h5",
        "",
        "legacy.other_h5",
        "canonical",
        "a state dict of PyTorch's VGG as HDF5 (.h5)",
        recipe="torchvision",
        writable=False,
    ),
    Format("keras", ".keras", "keras.archive", "keras", "a model saved by Keras 3 (.keras)"),
    Format("npz", ".npz", "legacy.npz", "keras RGB", "NumPy arrays conv1_1_W … fc8_b (.npz)"),
    Format(
        "caffemodel",
        ".caffemodel",
        "legacy.caffemodel",
        "canonical",
        "the weights of a Caffe VGG (.caffemodel)",
        writable=False,
        library=Library("protobuf", "google.protobuf", "formats"),
    ),
    Format(
        "matconvnet",
        ".mat",
        "legacy.matconvnet",
        "keras RGB",
        "a SimpleNN of MatConvNet's (.mat of MATLAB's version 5 to 7)",
        writable=False,
        library=Library("SciPy", "scipy", "formats"),
    ),
    Format(
        "npy",
        ".npy",
        "tf.npy",
        "keras",
        "a NumPy dictionary of arrays, as vgg16.npy (.npy)",
        writable=False,
    ),
    Format(
        "tf-slim",
        "",
        "tf.checkpoints",
        "keras RGB",
        "a checkpoint of TF-Slim's VGG, vgg_16.ckpt",
        writable=False,
        library=_TENSORFLOW,
    ),
    Format(
        "tf-checkpoint",
        "",
        "tf.checkpoints",
        "keras",
        "another checkpoint of TensorFlow's, as Keras 2 writes it",
        writable=False,
        library=_TENSORFLOW,
    ),
)
FORMATS: Final = MappingProxyType({row.name: row for row in _TABLE})


def format_named(name: str) -> Format:
    """The format of that name. Raises ``BadInput`` for an unknown one."""
    return FORMATS[require_one_of("format", name, tuple(FORMATS))]


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # nor is the package that it is in
        return False
