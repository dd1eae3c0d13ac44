"""Turns the layers in front of the first convolution into a recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from vgg16_spec.images.recipes import Recipe
from vgg16_weights.contents import DataFormat
from vgg16_weights.keras.whole_model.affine import Affine, Channels, channels
from vgg16_weights.keras.whole_model.configuration import (
    NotThisNetwork,
    SavedLayer,
    refuse,
    shortened,
)
from vgg16_weights.keras.whole_model.graph import ARITHMETIC, REVERSAL
from vgg16_weights.keras.whole_model.settings import setting, whole

# Gives the arrays that a file has for the layer at a path, in the file's order.
ArraysOf = Callable[[str], Sequence[Any]]

FRONT_LAYERS: Final = (
    *("Rescaling", "Normalization", "Resizing", "CenterCrop"),
    *(REVERSAL, *ARITHMETIC),
)
# The axis of the channels, from either end of (N, H, W, C) or (N, C, H, W).
_AXES: Final[dict[object, DataFormat]] = {
    -1: "channels_last",
    3: "channels_last",
    1: "channels_first",
    -3: "channels_first",
}


class Front:
    """The layers in front of the first convolution, as far as they have been followed.

    Attributes:
        set_aside: the paths of layers whose arrays belong to the recipe, not to the network.
        size: height and width that images are resized to; ``None`` if they are not resized.
        steps: what was decided, for the user.
    """

    def __init__(self, arrays_of: ArraysOf) -> None:
        self.set_aside: list[str] = []
        self.size: tuple[int, int] | None = None
        self.steps: list[str] = []
        self._arrays_of = arrays_of
        self._affine = Affine()
        self._names: list[str] = []
        # Layers with a number per channel, and the order of axes that they assume.
        self._by_channel: list[tuple[SavedLayer, DataFormat]] = []

    def take(self, layer: SavedLayer) -> None:
        """Follow the pixels through one more layer. Raises `NotThisNetwork` for other ones."""
        if layer.kind in ("Resizing", "CenterCrop"):
            self.size = whole(layer, "height"), whole(layer, "width")
            height, width = self.size
            self.steps.append(f"{layer} ({height}x{width}) ignored: the recipe sets sizes")
            return
        self._names.append(layer.name)
        if layer.kind == REVERSAL:
            self._affine = self._affine.reversed()
            self._by_channel.append((layer, "channels_last"))
            return
        try:
            match layer.kind:
                case "Rescaling":
                    self._affine = self._rescaled(layer)
                case "Normalization":
                    self._affine = self._normalised(layer)
                case _:
                    self._affine = self._computed(layer)
        except ArithmeticError as error:
            refuse(layer, f"has {error}, which no recipe can have")

    def check_format(self, data_format: DataFormat) -> None:
        """Raise `NotThisNetwork` if numbers per channel are not along the channels' axis."""
        for layer, assumed in self._by_channel:
            if assumed != data_format:
                refuse(
                    layer, f"has numbers along an axis that is not the channels' ({data_format})"
                )

    def recipe(self) -> Recipe | None:
        """What the layers do to pixels in 0..255; ``None`` if they change nothing."""
        try:
            recipe = self._affine.recipe()
        except ArithmeticError as error:
            raise NotThisNetwork(f"the layers before the first convolution have {error}") from error
        if recipe is not None:
            names = ", ".join(map(shortened, self._names[:3]))
            layers = "layer" if len(self._names) == 1 else "layers"
            self.steps.insert(0, f"recipe {recipe.name} from {layers} {names}")
        return recipe

    def _rescaled(self, layer: SavedLayer) -> Affine:
        values = setting(layer, "scale"), setting(layer, "offset", 0.0)
        factor, offset = self._numbers(layer, values, "channels_last")
        return self._affine.rescaled(factor, offset)

    def _computed(self, layer: SavedLayer) -> Affine:
        """The effect of an operator with a constant: ``images / 255``."""
        operand, _ = self._numbers(layer, (setting(layer, "operand"), 0.0), "channels_last")
        if setting(layer, "operand_is_first") and layer.kind in ("Subtract", "TrueDivide"):
            refuse(layer, "subtracts images from a constant, or divides one by them")
        red, green, blue = operand
        zero, one = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        match layer.kind:
            case "Add":
                return self._affine.rescaled(one, operand)
            case "Subtract":
                return self._affine.rescaled(one, (-red, -green, -blue))
            case "Multiply":
                return self._affine.rescaled(operand, zero)
        return self._affine.rescaled((1 / red, 1 / green, 1 / blue), zero)

    def _normalised(self, layer: SavedLayer) -> Affine:
        """The effect of a layer's mean and variance: given to it, or learnt and in the file."""
        axis = setting(layer, "axis", -1)
        axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
        assumed = (
            "channels_last"
            if axis in (None, [])
            else _AXES.get(axis if isinstance(axis, int) else None)
        )
        if setting(layer, "invert") or assumed is None:
            refuse(layer, "is inverted, or does not normalise along the channels")
        values = setting(layer, "mean"), setting(layer, "variance")
        if values == (None, None):
            learnt = [array.tolist() for array in self._arrays_of(layer.path)[:2]]
            if len(learnt) != 2:
                refuse(layer, "has no mean and variance in the file")
            values = learnt[0], learnt[1]
            self.set_aside.append(layer.path)
        mean, variance = self._numbers(layer, values, assumed)
        return self._affine.normalised(mean, variance)

    def _numbers(
        self, layer: SavedLayer, values: tuple[object, object], assumed: DataFormat
    ) -> tuple[Channels, Channels]:
        first, second = map(channels, values)
        if first is None or second is None:
            refuse(layer, "does not have one finite number, or one per channel")
        if len(set(first)) > 1 or len(set(second)) > 1:
            self._by_channel.append((layer, assumed))
        return first, second
