"""The canonical checkpoint: one safetensors file that every runtime reads.

Tensors are ``<layer>.weight`` and ``<layer>.bias``, float32, in the architecture's order.
Convolutions are OIHW, dense layers (out, in), fc1's inputs in CHW order: what ONNX's Conv and
Gemm(transB=1) read, so that an ONNX file can point into this one. The file's metadata name the
configuration, the preprocessing recipe, where the values came from, and their licence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vgg16_spec import labels
from vgg16_spec.architecture import CONFIGURATIONS, Configuration
from vgg16_spec.blocks import BLOCK_BYTES, Array, blocks
from vgg16_spec.checkpoint.header import float32_header, read_header
from vgg16_spec.checkpoint.metadata import Metadata
from vgg16_spec.checkpoint.shapes import misfits, with_shown_head
from vgg16_spec.checkpoint.tensors import Tensor, float32_parts, is_finite, mapped_view
from vgg16_spec.errors import BadInput, few
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.files.digest import digest
from vgg16_spec.images.recipes import Recipe
from vgg16_spec.names import HEAD, recognise

FORMAT: Final = "vgg16-checkpoint/1"
# Where a file under another library's keys keeps our metadata.
MANIFEST: Final = "vgg16"
_EXPECTED: Final = "a canonical checkpoint (.safetensors)"
_ANY_FLOAT: Final = "float32, float64, float16 or bfloat16"


class Checkpoint(Mapping[str, NDArray[np.float32]]):
    """A configuration's weights by canonical name, each read when asked for.

    Args:
        configuration: the network that the weights belong to.
        metadata: what travels with them.
        tensors: canonical name -> tensor.
        path: the file they are in, in canonical layout, if they are in one.
        offsets: canonical name -> first byte in that file.
        is_whole_file: whether that file is a canonical checkpoint of just these tensors.
        label: what errors call the checkpoint; its file or its source unless given.
        steps: what reading the file decided, for the user: ``prefix module. dropped``.
        is_recipe_assumed: whether the recipe is the format's best known weights', since the file
            states none.

    Raises ``BadInput`` that lists every missing, unexpected, misshapen and mistyped tensor, and for
    a recipe or labels of its own that cannot be used.
    """

    def __init__(
        self,
        configuration: Configuration,
        metadata: Metadata,
        tensors: Mapping[str, Tensor],
        *,
        path: Path | None = None,
        offsets: Mapping[str, int] | None = None,
        is_whole_file: bool = False,
        label: str = "",
        steps: Sequence[str] = (),
        is_recipe_assumed: bool = False,
    ) -> None:
        self.configuration = configuration
        self.steps = tuple(steps)
        # Features have no classes to name.
        self.metadata = metadata if configuration.include_top else replace(metadata, labels="")
        self.is_recipe_assumed = is_recipe_assumed
        self.path = path
        self.offsets = dict(offsets or {})
        self.is_whole_file = is_whole_file
        self.label = label or str(path or metadata.source)
        found = {name: tensor.shape for name, tensor in tensors.items()}
        problems = misfits(configuration.weight_shapes, found)
        expected = f"the tensors of configuration {configuration.name}"
        if wrong := [f"{n} is {t.dtype}" for n, t in tensors.items() if t.dtype != "float32"]:
            if not problems:  # a file in canonical layout has float32, any other one of FLOATS
                expected = "float32 values" if path else f"{_ANY_FLOAT} values"
            problems.append(f"wrong type: {few(wrong)}")
        if problems:
            raise BadInput(self.label, "; ".join(problems), expected)
        if self.metadata.preprocessing:
            self.metadata.recipe_record(self.label)
        if self.metadata.labels:
            self.metadata.class_names(configuration.classes, self.label)
        self._tensors = {name: tensors[name] for name in configuration.weight_shapes}

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        return self._tensors[name].read()

    def tensor(self, name: str) -> Tensor:
        """A tensor that has not been read yet."""
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._tensors  # without reading the tensor

    def __len__(self) -> int:
        return len(self._tensors)

    @property
    def file(self) -> Path:
        """The file that the tensors are in. Raises ``ValueError`` where they are in none."""
        if self.path is None:
            raise ValueError(f"the checkpoint from {self.metadata.source} is in no file")
        return self.path

    @property
    def recipe(self) -> Recipe:
        """How pictures are prepared for the weights. Raises ``BadInput`` for an unknown name."""
        return self.metadata.recipe_record(self.label)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Output index -> name: the checkpoint's own, or ImageNet's where there are as many."""
        return self.metadata.class_names(self.configuration.classes, self.label)

    def with_tensors(self, tensors: Mapping[str, Tensor | NDArray[np.float32]]) -> Checkpoint:
        """Other values for some tensors, by canonical name; in no file."""
        changed = {
            name: each if isinstance(each, Tensor) else Tensor.of(each)
            for name, each in tensors.items()
        }
        return Checkpoint(self.configuration, self.metadata, self._tensors | changed)

    def without_top(self) -> Checkpoint:
        """The same weights without those of the classifier, and without its labels."""
        return self.replaced(configuration=self.configuration.with_head(include_top=False))

    def with_recipe(self, recipe: str | Recipe) -> Checkpoint:
        """The same weights with another preprocessing recipe, by its name or its values."""
        metadata = self.metadata.with_recipe(recipe)
        return self.replaced(metadata=metadata, is_recipe_assumed=False)

    def with_labels(self, names: Sequence[str]) -> Checkpoint:
        """The same weights with names for their classes, in the order of the outputs.

        Raises ``BadInput`` where there is no classifier, and where there are not as many names.
        """
        self.check_top()
        return self.replaced(metadata=replace(self.metadata, labels=labels.to_json(names)))

    def replaced(
        self,
        *,
        configuration: Configuration | None = None,
        metadata: Metadata | None = None,
        label: str | None = None,
        is_recipe_assumed: bool | None = None,
    ) -> Checkpoint:
        """The same tensors, in the same file, with something else said of them."""
        configuration = configuration or self.configuration
        assumed = self.is_recipe_assumed if is_recipe_assumed is None else is_recipe_assumed
        return Checkpoint(
            configuration,
            metadata or self.metadata,
            {name: self._tensors[name] for name in configuration.weight_shapes},
            path=self.path,
            offsets=self.offsets,
            label=label or self.label,
            steps=self.steps,
            is_recipe_assumed=assumed,
        )

    def check_top(self, instead: str = "vgg16 export --features") -> None:
        """Raise ``BadInput`` where the classifier's weights are not among them.

        ``instead`` is what takes such weights.
        """
        if not self.configuration.include_top:
            expected = f"weights with fc1 to predictions, or {instead} for the features alone"
            raise BadInput(self.label, "has no classifier", expected)

    def check_values(self, block_bytes: int = BLOCK_BYTES) -> None:
        """Raise ``BadInput`` that lists every tensor with a value that is not finite."""
        with self.finite_blocks(block_bytes=block_bytes) as blocks_of:
            for name in self:
                for _ in blocks_of(name):
                    pass

    @contextmanager
    def finite_blocks(
        self,
        arranged: Callable[[str, Array], Array] = lambda _, values: values,
        block_bytes: int = BLOCK_BYTES,
    ) -> Iterator[Callable[[str], Iterator[Array]]]:
        """Yield what gives a tensor's values by its name, as flat blocks, and looks at each.

        ``arranged`` makes of a name and an array in canonical order a view in the order wanted. A
        block has ``block_bytes`` at most.

        At the end raises ``BadInput`` that lists every tensor with a value that is not finite.
        """
        not_finite: list[str] = []

        def blocks_of(name: str) -> Iterator[Array]:
            for block in blocks(arranged(name, self._tensors[name].view()), block_bytes):
                for values in float32_parts(block):
                    if name not in not_finite and not is_finite(values):
                        not_finite.append(name)
                    yield values

        yield blocks_of
        if not_finite:
            problem = f"not finite (NaN or infinity): {few(not_finite)}"
            # torchvision publishes features with a classifier of NaN.
            expected = "finite values"
            if not_finite == [f"{layer}.{part}" for layer in HEAD for part in ("weight", "bias")]:
                expected = "--no-top (include_top=False) for the convolutions alone"
            raise BadInput(self.label, problem, expected)


def open_checkpoint(path: str | os.PathLike[str], *, check_values: bool = True) -> Checkpoint:
    """Open a canonical checkpoint; its tensors are views into the mapped file, read-only.

    A safetensors file with torchvision's or timm's keys is one too: their tensors lie in canonical
    layout already. Without metadata of ours it gets torchvision's recipe, which is that of both.

    With ``check_values`` every value is looked at once: NaN and infinity are refused.

    Raises ``BadInput`` for a file that is missing, truncated, of another kind, or whose tensors are
    not exactly those of the configuration that its metadata name.
    """
    path = Path(path)
    stored, entries = read_header(path, _EXPECTED)
    is_recipe_assumed = False
    if stored.get("format") == FORMAT:
        configuration, metadata = _stated(path, stored)
    elif (recognised := recognise({name: e.shape for name, e in entries.items()})) is not None:
        configuration, renamed, source_format = recognised
        # The shapes are the canonical ones up to axes of one and merged axes: the same bytes.
        shapes = configuration.weight_shapes
        entries = {n: entries[key]._replace(shape=shapes[n]) for n, key in renamed.items()}
        kept = Metadata.from_json(stored.get(MANIFEST, ""))
        metadata = kept or Metadata("torchvision", path.name, source_format, digest(path))
        is_recipe_assumed = kept is None
    else:
        raise BadInput(path, "a safetensors file without a checkpoint's metadata", _EXPECTED)

    mapped = np.memmap(path, np.uint8, mode="r")
    tensors = {
        name: Tensor(
            entry.shape,
            "float32" if entry.dtype == "F32" else entry.dtype,
            partial(mapped_view, mapped, entry.start, entry.shape),
        )
        for name, entry in entries.items()
    }
    checkpoint = Checkpoint(
        with_shown_head(configuration, {name: entry.shape for name, entry in entries.items()}),
        metadata,
        tensors,
        path=path,
        offsets={name: entry.start for name, entry in entries.items()},
        is_whole_file=stored.get("format") == FORMAT,
        is_recipe_assumed=is_recipe_assumed,
    )
    if check_values:
        checkpoint.check_values()
    return checkpoint


def _stated(path: Path, stored: Mapping[str, str]) -> tuple[Configuration, Metadata]:
    """What a canonical file's metadata say."""
    name = stored.get("configuration", "")
    if name not in CONFIGURATIONS:
        known = ", ".join(CONFIGURATIONS)
        raise BadInput(path, f"its configuration is {name!r}", f"one of {known}")
    if "recipe" not in stored:
        raise BadInput(path, "does not name its preprocessing recipe", _EXPECTED)
    known_fields = {field.name for field in fields(Metadata)}
    metadata = Metadata(**{k: v for k, v in stored.items() if k in known_fields})
    return CONFIGURATIONS[name], metadata


def write_checkpoint(
    checkpoint: Checkpoint, path: str | os.PathLike[str], block_bytes: int = BLOCK_BYTES
) -> Checkpoint:
    """Write a canonical checkpoint in blocks of ``block_bytes`` at most, and open it.

    The same values and metadata give the same bytes.

    Raises ``BadInput``, and leaves whatever was at ``path``, when the file cannot be written or a
    value is not finite.
    """
    with whole_file(path) as temporary, temporary.open("wb") as file:
        stated = {"format": FORMAT, "configuration": checkpoint.configuration.name}
        stated |= checkpoint.metadata.stated()
        file.write(float32_header(checkpoint.configuration.weight_shapes, stated))
        with checkpoint.finite_blocks(block_bytes=block_bytes) as blocks_of:
            for name in checkpoint:
                for block in blocks_of(name):
                    file.write(block.data)
        file.flush()
        open_checkpoint(temporary, check_values=False)  # what cannot be read never appears
    return open_checkpoint(path, check_values=False)
