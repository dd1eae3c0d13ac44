"""What people save with PyTorch, Caffe and NumPy: the same weights in many a form."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import save_file

from parity_tests.support.weights.older_keras import AUTHORS
from parity_tests.support.weights.tiny_files import Make, state_dict
from vgg16_spec.checkpoint import Checkpoint

State = dict[str, torch.Tensor]
Saved = Callable[[State], Any]

# The classifier's keys in torchvision, in its older versions, in timm.
DENSE: Final = ("classifier.0", "classifier.3", "classifier.6")
DROPOUT_FIRST: Final = ("classifier.1", "classifier.4", "classifier.6")
TIMMS: Final = ("pre_logits.fc1", "pre_logits.fc2", "head.fc")


def pth(change: Saved, *, zipped: bool = True) -> Make:
    """What ``torch.save`` makes of a state dict that is changed first."""

    def make(checkpoint: Checkpoint, path: Path) -> None:
        saved = change(state_dict(checkpoint))
        torch.save(saved, path, _use_new_zipfile_serialization=zipped)

    return make


def safetensors(change: Saved) -> Make:
    return lambda checkpoint, path: save_file(change(state_dict(checkpoint)), path)


def prefixed(prefix: str) -> Saved:
    return lambda state: {prefix + key: values for key, values in state.items()}


def cast(dtype: torch.dtype) -> Saved:
    return lambda state: {key: values.to(dtype) for key, values in state.items()}


def finer(state: State) -> State:
    """In float64, each value off that of float32 by less than half of its last bit."""
    return {key: values.double() * (1 + 2**-30) for key, values in state.items()}


def features(state: State) -> State:
    return {key: values for key, values in state.items() if key.startswith("features.")}


def renamed(state: State, names: Mapping[str, str]) -> State:
    """Layers by other names; the others keep their own."""
    found = {}
    for key, values in state.items():
        layer, _, part = key.rpartition(".")
        found[f"{names.get(layer, layer)}.{part}"] = values
    return found


def dropout_first(state: State) -> State:
    return renamed(state, dict(zip(DENSE, DROPOUT_FIRST, strict=True)))


def timms(state: State) -> State:
    """fc1 as a convolution of 2x2 maps, fc2 as one of a single pixel."""
    made = renamed(state, dict(zip(DENSE, TIMMS, strict=True)))
    for layer, size in (("pre_logits.fc1", 2), ("pre_logits.fc2", 1)):
        key = f"{layer}.weight"
        made[key] = made[key].reshape(len(made[key]), -1, size, size)
    return made


def authors(checkpoint: Checkpoint) -> State:
    return {
        f"{AUTHORS[layer]}.{part}": torch.from_numpy(np.array(values))
        for name, values in checkpoint.items()
        for layer, part in [name.split(".")]
    }


def authors_pth(checkpoint: Checkpoint, path: Path) -> None:
    torch.save(authors(checkpoint), path)


def trained(state: State) -> dict[str, Any]:
    """A script's checkpoint, with the momentum of every weight in SGD's state."""
    parameters = [torch.nn.Parameter(values) for values in state.values()]
    optimizer = torch.optim.SGD(parameters, 0.01, momentum=0.9)
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 0.5)
    kept = {key: values.clone() for key, values in state.items()}
    optimizer.step()
    return {"epoch": 17, "state_dict": kept, "best_acc1": 71.2, "optimizer": optimizer.state_dict()}


def lightnings(state: State) -> dict[str, Any]:
    return {
        "epoch": 1,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": prefixed("net.")(state),
        "optimizer_states": [],
        "hparams": {"lr": 1e-3},
    }


def averaged(state: State) -> dict[str, Any]:
    average = {key: values * 0.5 for key, values in state.items()}
    return {"state_dict": state, "state_dict_ema": average}


def head(**shapes: tuple[int, ...]) -> Saved:
    """The convolutions with dense layers of one's own; ``_`` in names stands for a point."""

    def change(state: State) -> State:
        made = features(state)
        for name, shape in shapes.items():
            layer = name.replace("_", ".")
            made |= {f"{layer}.weight": torch.rand(shape), f"{layer}.bias": torch.rand(shape[0])}
        return made

    return change


def last_replaced(state: State) -> State:
    """``model.classifier[6] = nn.Sequential(…)``, as tutorials have it."""
    kept = {key: values for key, values in state.items() if "classifier.6" not in key}
    new: State = head(classifier_6_1=(24, 32), classifier_6_4=(3, 24))(state)
    return kept | new


def gray(state: State) -> State:
    return state | {"features.0.weight": state["features.0.weight"].sum(1, keepdim=True)}


def narrowed(state: State) -> State:
    """A network of other widths: the last convolution has fewer channels."""
    return {k: v[:10] if k.startswith("features.28") else v for k, v in state.items()}


def normalised(state: State) -> State:
    """Torchvision's ``vgg16_bn``: a layer of batch normalisation behind each convolution."""
    made: State = {}
    at = 0
    convolutions = [key.removesuffix(".weight") for key in features(state) if "weight" in key]
    before = 0
    for layer in convolutions:
        number = int(layer.split(".")[1])
        at += 1 if before and number - before == 3 else 0  # a pooling lies between
        before = number
        width = len(state[f"{layer}.bias"])
        for part in ("weight", "bias"):
            made[f"features.{at}.{part}"] = state[f"{layer}.{part}"]
        for part in ("weight", "bias", "running_mean", "running_var"):
            made[f"features.{at + 1}.{part}"] = torch.rand(width) + 0.5
        made[f"features.{at + 1}.num_batches_tracked"] = torch.tensor(400)
        at += 3
    return made | {key: values for key, values in state.items() if "classifier" in key}


def whole_module(state: State) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU())


def torchscript(checkpoint: Checkpoint, path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        script: Any = torch.jit.script
        script(whole_module({})).save(path)


def text(content: str) -> Make:
    return lambda _, path: path.write_text(content)


def cut(make: Make, share: float) -> Make:
    """A download that broke off."""

    def cut_short(checkpoint: Checkpoint, path: Path) -> None:
        make(checkpoint, path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])

    return cut_short
