"""Seeds, and the switches for algorithms that give the same bits every time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from differences.harness import tiny
from differences.harness.experiment import Finding
from differences.harness.frameworks import frameworks
from differences.harness.processes import ask

TITLE: Final = "Determinism switches"
RULE: Final = (
    "Set the seed before the model is built, enable deterministic algorithms in each framework, "
    "and transfer weights and masks as numbers, never as seeds."
)

Values = NDArray[np.float32]
_SEED: Final = 16
_RATE: Final = 0.01
_LABELS: Final = (3, 5)


def run() -> Finding:
    """Train the small network for two steps, twice from one seed, in PyTorch and in Keras."""
    # Keras's seed and TensorFlow's switch affect the whole process, and nothing undoes the latter.
    asked = ask("arithmetic.determinism", {"KERAS_BACKEND": "tensorflow"})
    torch, _ = frameworks()
    with torch.random.fork_rng(devices=[]), _deterministic(torch):
        pytorch = [_digest(_train_torch(torch, seed)) for seed in (_SEED, _SEED, _SEED + 1)]
        masks = [_mask_torch(torch) for _ in range(2)]
        refused = _refused(lambda: torch.zeros(2).put_(torch.tensor([0, 0]), torch.ones(2)))
    keras = asked()
    kept = np.array(keras["masks"][0])
    return Finding(
        {
            "PyTorch: differing results of two trainings from one seed": len(set(pytorch[:2])) - 1,
            "Keras on TensorFlow: differing results of two trainings from one seed": (
                len(set(keras["trained"][:2])) - 1
            ),
            "dropout of 1,000 values from one seed: masks differ at": (
                int(np.count_nonzero(masks[0] != kept)),
                "values",
            ),
        },
        {
            "With deterministic algorithms enabled, each framework trains to the same bits from "
            "the same seed, and to others from another.": all(
                found[0] == found[1] != found[2] for found in (pytorch, keras["trained"])
            ),
            "The same seed gives the two frameworks different dropout masks.": bool(
                (masks[0] != kept).any()
            ),
            "Setting the seed again repeats PyTorch's dropout; a Keras layer draws its seed "
            "when it is made, and continues its stream.": (
                bool((masks[0] == masks[1]).all()) and keras["masks"][0] != keras["masks"][1]
            ),
            "With the switch enabled, PyTorch refuses an operation without a deterministic "
            "algorithm (put_ to one position twice), and TensorFlow refuses random numbers "
            "without a seed.": refused and keras["refused"],
        },
    )


@contextmanager
def _deterministic(torch: Any) -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except RuntimeError:
        return True
    return False


def _digest(values: list[Values]) -> str:
    return sha256(b"".join(np.ascontiguousarray(each).tobytes() for each in values)).hexdigest()


def _train_torch(torch: Any, seed: int) -> list[Values]:
    """The parameters after two steps with dropout."""
    from torch_impl import VGG

    torch.manual_seed(seed)
    model = VGG("tiny", weights=tiny.checkpoint()).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=_RATE)
    for _ in range(2):
        optimizer.zero_grad()
        logits = model(torch.tensor(tiny.images()))
        torch.nn.functional.cross_entropy(logits, torch.tensor(_LABELS)).backward()
        optimizer.step()
    return [parameter.detach().numpy() for parameter in model.parameters()]


def _mask_torch(torch: Any) -> NDArray[np.bool_]:
    """Which of 1,000 values dropout keeps, after setting the seed."""
    torch.manual_seed(_SEED)
    kept: NDArray[np.bool_] = torch.nn.Dropout(0.5)(torch.ones(1000)).numpy() > 0
    return kept


def _in_keras() -> dict[str, Any]:
    """The same in Keras, in a process of its own."""
    import keras
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    refused = _refused(lambda: tf.random.uniform((2,)))
    trained = [_digest(_train_keras(keras, seed)) for seed in (_SEED, _SEED, _SEED + 1)]
    keras.utils.set_random_seed(_SEED)
    layer = keras.layers.Dropout(0.5)
    masks = []
    for _ in range(2):
        keras.utils.set_random_seed(_SEED)
        kept = layer(keras.ops.ones(1000), training=True)
        masks.append((keras.ops.convert_to_numpy(kept) > 0).tolist())
    return {"refused": refused, "trained": trained, "masks": masks}


def _train_keras(keras: Any, seed: int) -> list[Values]:
    from keras_impl import functional

    keras.utils.set_random_seed(seed)
    model = functional("tiny", classifier_activation=None, weights=tiny.checkpoint())
    model.compile(
        optimizer=keras.optimizers.SGD(_RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=True,
    )
    images = np.ascontiguousarray(tiny.images().transpose(0, 2, 3, 1))
    for _ in range(2):
        model.train_on_batch(images, np.array(_LABELS))
    return [np.asarray(values) for values in model.get_weights()]


if __name__ == "__main__":
    print(json.dumps(_in_keras()))
