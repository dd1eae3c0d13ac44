"""How your own port is tested: written out here with ``torch.nn.functional``, and judged.

``pytest --parity-report DIR`` writes what the judge found; ``docs/your-port.md`` has the rest.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F  # noqa: N812 - PyTorch's own custom

from vgg16_parity.own_port import Arbiter, checkpoint_of
from vgg16_parity.pytest_plugin import Judge

BLOCKS = (2, 2, 3, 3, 3)

Weights = Mapping[str, NDArray[np.float32]]
Arrays = dict[str, NDArray[np.float32]]


def my_port(images: NDArray[np.float32], weights: Weights) -> Arrays:
    """VGG16, written out: images (N, 3, H, W) -> the output of every layer by name."""
    parameters = {name: torch.tensor(values) for name, values in weights.items()}
    values = torch.tensor(images)
    taps: Arrays = {}
    for block, convolutions in enumerate(BLOCKS, 1):
        for index in range(1, convolutions + 1):
            name = f"block{block}_conv{index}"
            weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
            values = F.relu(F.conv2d(values, weight, bias, padding=1))
            taps[name] = values.numpy()
        values = F.max_pool2d(values, 2)
        taps[f"block{block}_pool"] = values.numpy()
    values = values.flatten(1)
    for name in ("fc1", "fc2", "predictions"):
        values = F.linear(values, parameters[f"{name}.weight"], parameters[f"{name}.bias"])
        if name != "predictions":
            values = F.relu(values)
        taps[name] = values.numpy()
    return taps


def test_my_port_on_the_tiny_network(vgg16_parity: Judge) -> None:
    tiny = vgg16_parity.checkpoint("seeded", "tiny")
    taps = my_port(vgg16_parity.images(tiny), tiny)
    vgg16_parity("my port, tiny", taps, tiny)


@pytest.mark.full
def test_my_port_of_vgg16(vgg16_parity: Judge) -> None:
    taps = my_port(vgg16_parity.images("seeded"), vgg16_parity.checkpoint("seeded"))
    vgg16_parity("my port", taps, "seeded")


def test_a_port_that_gives_only_logits(vgg16_parity: Judge) -> None:
    tiny = vgg16_parity.checkpoint("seeded", "tiny")
    logits = my_port(vgg16_parity.images(tiny), tiny)["predictions"]
    vgg16_parity("my port, logits alone", logits, tiny)


def test_a_port_that_reads_blue_for_red_is_told_so(vgg16_parity: Judge) -> None:
    # In your own tests there is nothing to expect here: the assertion fails and says this.
    tiny = vgg16_parity.checkpoint("seeded", "tiny")
    taps = my_port(vgg16_parity.images(tiny)[:, ::-1].copy(), tiny)
    judge = Judge()  # one of its own, so that the run's report has no mistake that is meant
    with pytest.raises(
        AssertionError, match="from block1_conv1 on: photographs: errors are"
    ) as told:
        judge("my port, BGR", taps, tiny)
    assert "on another input: channels reversed (BGR for RGB, or RGB for BGR)" in str(told.value)
    judge.close()


def test_searched_images_can_be_added_to_the_batch() -> None:
    tiny = checkpoint_of("seeded", "tiny")
    with Arbiter(tiny) as plain, Arbiter(tiny, searched=True) as searching:
        rows = [
            arbiter.judge("mine", my_port(arbiter.images, tiny)["predictions"])
            for arbiter in (plain, searching)
        ]
        assert len(plain.images) < len(searching.images)
        assert searching.report(rows[1:]).holds
    shares = [row.coverage.share for row in rows if row.coverage is not None]
    assert shares[0] < shares[1]
