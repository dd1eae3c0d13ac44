"""A configuration's weights by canonical name, with what is stated of them.

Tensors are ``<layer>.weight`` and ``<layer>.bias``, float32, in the architecture's order.
Convolutions are OIHW, dense layers (out, in), fc1's inputs in CHW order: what ONNX's Conv and
Gemm(transB=1) read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vgg16_spec import labels
from vgg16_spec.architecture import Configuration
from vgg16_spec.blocks import BLOCK_BYTES, Array, blocks
from vgg16_spec.checkpoint.metadata import Metadata
from vgg16_spec.checkpoint.shapes import misfits
from vgg16_spec.checkpoint.tensors import Tensor, float32_parts, is_finite
from vgg16_spec.errors import BadInput, few
from vgg16_spec.images.recipes import Recipe
from vgg16_spec.names import HEAD

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
