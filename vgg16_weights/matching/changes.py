"""Recognises, by tensor names, layers that do not compute with the weight they store."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from vgg16_spec.errors import BadInput, few
from vgg16_weights.matching.layers import Layer

# Characters of a name in an error.
_LONGEST: Final = 40


class _Change(NamedTuple):
    """Something that changes the weight a layer computes with.

    Attributes:
        names: matches the names of the tensors that it adds.
        what: its name.
        way: the weights that are expected instead, and how to get them.
    """

    names: re.Pattern[str]
    what: str
    way: str


# The first match counts: spectral normalisation has a `weight_v` too.
# Sources: torch/nn/utils (weight_norm, spectral_norm, prune, parametrize), torch/ao/quantization,
# PEFT's LoraLayer, bitsandbytes' Linear8bitLt, torch/distributed/fsdp (FlatParameter).
_CHANGES: Final = (
    _Change(
        re.compile(r"(^|[._])lora_\w+|\.base_layer\."),
        "LoRA adapters",
        "weights saved after merging them with PEFT: model.merge_and_unload()",
    ),
    _Change(
        re.compile(
            r"(^|\.)(_packed_params|zero_point|SCB|weight_format|quant_state|qweight|qzeros)$"
            r"|weight_fake_quant|activation_post_process|\.quant_state\."
        ),
        "quantisation",
        "the weights of the model before it was quantised",
    ),
    _Change(
        re.compile(r"\.weight_u$|parametrizations\.\w+\.0\._[uv]$"),
        "spectral normalisation",
        "weights saved after torch.nn.utils.remove_spectral_norm(layer), or "
        "parametrize.remove_parametrizations(layer, 'weight')",
    ),
    _Change(
        re.compile(r"\.weight_[gv]$|parametrizations\.\w+\.original[01]$"),
        "weight normalisation",
        "weights saved after torch.nn.utils.remove_weight_norm(layer), or "
        "parametrize.remove_parametrizations(layer, 'weight')",
    ),
    _Change(
        re.compile(r"(^|[._])masks?([._]?[0-9]+)?$"),
        "pruning masks",
        "weights saved after torch.nn.utils.prune.remove(layer, 'weight')",
    ),
    _Change(
        re.compile(r"parametrizations\."),
        "a parametrisation",
        "weights saved after parametrize.remove_parametrizations(layer, 'weight')",
    ),
    _Change(
        re.compile(r"(^|\.)_?flat_param(_\d+)?$"),
        "FSDP's flat parameters",
        "a full state dict: FSDP.state_dict_type(model, StateDictType.FULL_STATE_DICT)",
    ),
)


def is_changed(layer: Layer) -> bool:
    """Whether the names of its tensors show that something changes its weight."""
    return _change_of(layer) is not None


def changed(layers: Iterable[Layer], label: str) -> BadInput | None:
    """The refusal of layers that do not compute with their stored weights; ``None`` if all do."""
    found = [change for layer in layers if (change := _change_of(layer)) is not None]
    if not found:
        return None
    first = min(number for number, _ in found)
    names = few(dict.fromkeys(name for number, name in found if number == first))
    problem = f"has {_CHANGES[first].what} ({names}): the stored weights are not the ones used"
    return BadInput(label, problem, _CHANGES[first].way)


def _change_of(layer: Layer) -> tuple[int, str] | None:
    """The index of the first change that a layer's names show, and the name of what it changes."""
    for number, change in enumerate(_CHANGES):
        for key in layer.keys.values():
            if found := change.names.search(key):
                changed_layer = key[: found.start()].rpartition("/")[2].rstrip(".")
                return number, changed_layer[-_LONGEST:] or layer.short()
    return None
