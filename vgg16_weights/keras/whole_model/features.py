"""Compares the convolutions and poolings of a saved model with those of Table 1."""

from __future__ import annotations

from itertools import takewhile, zip_longest
from typing import Final, NamedTuple, NoReturn

from vgg16_spec.architecture import (
    CONFIGURATIONS,
    IMAGE_CHANNELS,
    POOLING_SIZE,
    Configuration,
    Convolution,
    MaxPooling,
)
from vgg16_spec.errors import counted
from vgg16_weights.contents import DataFormat
from vgg16_weights.keras.whole_model.configuration import (
    NotThisNetwork,
    SavedLayer,
    refuse,
    shortened,
)
from vgg16_weights.keras.whole_model.front import FRONT_LAYERS, ArraysOf, Front
from vgg16_weights.keras.whole_model.settings import (
    ACTIVATION_LAYERS,
    activation,
    border,
    check_weights,
    data_format,
    pair,
    setting,
    whole,
)

_CONVOLUTIONS: Final = ("Conv2D", "Convolution2D")
_POOLINGS: Final = ("MaxPooling2D", "MaxPool2D")
_ONE: Final = (1, 1)
_WINDOW: Final = (POOLING_SIZE, POOLING_SIZE)
_POOLING: Final = "max pooling"
_PADS: Final = "padding only before 3x3 convolutions"
_BLOCKS: Final = 5
# Layers that a VGG does not have: their names in words, and what it has in their place.
_FOREIGN: Final = {
    "BatchNormalization": ("batch normalisation", ""),
    "AveragePooling2D": ("average pooling", _POOLING),
    "AvgPool2D": ("average pooling", _POOLING),
    "SeparableConv2D": ("a separable convolution", "a convolution"),
    "DepthwiseConv2D": ("a depthwise convolution", "a convolution"),
    "Conv2DTranspose": ("a transposed convolution", "a convolution"),
    "AtrousConvolution2D": ("a dilated convolution", "a convolution"),
    "UnitNormalization": ("L2 normalisation", ""),
    "GlobalAveragePooling2D": ("global average pooling", "Flatten"),
    "GlobalMaxPooling2D": ("global max pooling", "Flatten"),
}


class _Stage(NamedTuple):
    """A convolution or a pooling, and its description in words."""

    name: str
    what: str


class Features:
    """The layers of a model up to its last pooling, as far as they have been followed.

    Attributes:
        front: the layers before the first convolution.
        weighted: the paths of the convolutions.
        data_format: the order of the maps' axes.
        sides: height and width of the maps; ``None`` for one that is not known.
        lacks_pooling: whether the last pooling is missing.
    """

    def __init__(self, arrays_of: ArraysOf) -> None:
        self.front = Front(arrays_of)
        self.weighted: list[str] = []
        self.data_format: DataFormat = "channels_last"
        self.sides: tuple[int | None, int | None] = (None, None)
        self.lacks_pooling = False
        self._input: list[object] | None = None
        self._stages: list[_Stage] = []
        # A convolution still without its ReLU, and a padding still without its convolution.
        self._due: SavedLayer | None = None
        self._padding: SavedLayer | None = None

    @property
    def are_complete(self) -> bool:
        """Whether all poolings have been followed."""
        return sum(stage.what == _POOLING for stage in self._stages) == _BLOCKS

    def note_input(self, layer: SavedLayer) -> None:
        """Keep the shape of the images, batch axis first, if a layer states it."""
        for name in ("batch_shape", "batch_input_shape"):
            shape = layer.settings.get(name)
            if isinstance(shape, list) and len(shape) == 4 and self._input is None:
                self._input = shape

    def take(self, layer: SavedLayer) -> None:
        """Follow the data through one more layer. Raises `NotThisNetwork` for a foreign one."""
        if self._padding and layer.kind not in _CONVOLUTIONS:
            refuse(self._padding, "does not precede a convolution", _PADS)
        if layer.kind in FRONT_LAYERS and not self._stages:
            self.front.take(layer)
        elif layer.kind in ACTIVATION_LAYERS:
            self._activate(layer)
        elif layer.kind in _CONVOLUTIONS:
            self._convolve(layer)
        elif layer.kind in _POOLINGS:
            self._pool(layer)
        elif layer.kind == "ZeroPadding2D":
            self._padding = layer
            if border(layer) != (1, 1, 1, 1):
                refuse(layer, f"pads by {layer.settings.get('padding')}", "1 on each side")
        else:
            refuse_foreign(layer)

    def finish(self) -> Configuration:
        """The network whose convolutions these are.

        Raises `NotThisNetwork` if there is none; it names the first difference from the nearest.
        """
        if self._padding:
            refuse(self._padding, "does not precede a convolution", _PADS)
        self._check_relu()
        found = [stage.what for stage in self._stages]
        wanted = {network.name: (network, _stages(network)) for network in CONFIGURATIONS.values()}
        for network, stages in wanted.values():
            if found in (stages, stages[:-1]):
                self.lacks_pooling = found != stages
                return network
        # D first: among equally near networks, the one that is used most.
        nearest, stages = max(
            (wanted["D"], *wanted.values()), key=lambda candidate: _common(found, candidate[1])
        )
        at = _common(found, stages)
        has = f"{nearest.name} has {stages[at] if at < len(stages) else 'none'}"
        if at < len(found):
            name, what = self._stages[at]
            raise NotThisNetwork(f"layer {shortened(name)} is {what}, where {has}")
        ended = counted(len(found), "convolution or pooling", "convolutions and poolings")
        raise NotThisNetwork(f"it ends after {ended}, where {has}")

    def _activate(self, layer: SavedLayer) -> None:
        name = activation(layer)
        if name == "relu" and self._stages:
            self._due = None  # a second one changes nothing
        elif name != "linear":
            refuse(
                layer,
                f"is {name}",
                "ReLU" if self._stages else "no activation before a convolution",
            )

    def _convolve(self, layer: SavedLayer) -> None:
        self._check_relu()
        self._check_format(layer)
        check_weights(layer)
        kernel = pair(layer, "kernel_size", (0, 0))
        padding, is_padded = setting(layer, "padding", "valid"), self._padding is not None
        keeps = "valid" if is_padded or kernel == _ONE else "same"
        if padding != keeps and not (padding == "same" and kernel == _ONE and not is_padded):
            refuse(layer, f"has the padding {padding!r}", f"{keeps!r}")
        for name in ("strides", "dilation_rate"):
            if (value := pair(layer, name, _ONE)) != _ONE:
                refuse(layer, f"has {name} {value}", "1")
        if (groups := whole(layer, "groups", 1)) != 1:
            refuse(layer, f"has {groups} groups", "1")
        if is_padded and kernel != (3, 3):
            refuse(layer, f"has the kernel {kernel} after padding", "a 3x3 one")
        if not self._stages:
            self._check_input()
        self._padding = None
        filters = whole(layer, "filters")
        self._stages.append(
            _Stage(layer.name, f"a {kernel[0]}x{kernel[1]} convolution of {filters}")
        )
        self.weighted.append(layer.path)
        self._due = layer
        if (name := activation(layer)) == "relu":
            self._due = None
        elif name != "linear":
            refuse(layer, f"has the activation {name}", "relu")

    def _pool(self, layer: SavedLayer) -> None:
        self._check_format(layer)
        size = pair(layer, "pool_size", _WINDOW)
        strides = pair(layer, "strides", size)
        if (size, strides) != (_WINDOW, _WINDOW):
            refuse(layer, f"pools {size} by {strides}", f"{_WINDOW} by {_WINDOW}")
        padding = setting(layer, "padding", "valid")
        are_even = all(side is not None and side % POOLING_SIZE == 0 for side in self.sides)
        if padding != "valid" and not (padding == "same" and are_even):
            refuse(layer, f"has the padding {padding!r}", "'valid'")
        height, width = (side and side // POOLING_SIZE for side in self.sides)
        self.sides = height, width
        self._stages.append(_Stage(layer.name, _POOLING))

    def _check_relu(self) -> None:
        if self._due:
            refuse(self._due, "has no activation", "relu")

    def _check_format(self, layer: SavedLayer) -> None:
        """Refuse a layer whose order of axes is not that of the first."""
        stated = data_format(layer)
        if not self._stages:
            self.data_format = stated
            self.front.check_format(stated)
        elif stated != self.data_format:
            refuse(layer, f"is {stated}, unlike the layers before it")

    def _check_input(self) -> None:
        """Refuse images without three channels; note their size."""
        _, *shape = self._input or [None] * 4
        if self.data_format == "channels_last":
            shape = [shape[2], *shape[:2]]
        channels, *sides = (side if isinstance(side, int) else None for side in shape)
        if channels not in (None, IMAGE_CHANNELS):
            plural = "" if channels == 1 else "s"
            raise NotThisNetwork(f"it has {channels} input channel{plural}, where a VGG has 3")
        height, width = self.front.size or sides
        self.sides = height, width


def refuse_foreign(layer: SavedLayer) -> NoReturn:
    """Raise `NotThisNetwork` for a layer of a kind that a VGG does not have."""
    if layer.in_training and layer.kind not in _FOREIGN:
        refuse(layer, "is always called in training mode, in which it is random")
    called, has = _FOREIGN.get(layer.kind, ("", ""))
    what = f"{called} ({layer})" if called else f"{layer}"
    raise NotThisNetwork(f"{what}, where a VGG has {has or 'none'}")


def _stages(network: Configuration) -> list[str]:
    """A configuration's convolutions and poolings, in words."""
    words = []
    for layer in network.layers:
        match layer:
            case Convolution():
                k = layer.kernel_size
                words.append(f"a {k}x{k} convolution of {layer.out_channels}")
            case MaxPooling():
                words.append(_POOLING)
    return words


def _common(found: list[str], wanted: list[str]) -> int:
    """The number of stages before the first difference."""
    pairs = zip_longest(found, wanted)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
