"""How your own port is tested: written out here with ``torch.nn.functional``, and judged.

``pytest --parity-report DIR`` writes what the judge found; ``docs/your-port.md`` has the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F  # noqa: N812 - PyTorch's own custom

from vgg16_parity.own_port import Arbiter, checkpoint_of
from vgg16_parity.pytest_plugin import Judge
from vgg16_spec.errors import BadInput

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


def my_layer(name: str, inputs: NDArray[np.float32], weights: Weights) -> NDArray[np.float32]:
    """One layer alone: its own inputs -> its output."""
    values = torch.from_numpy(inputs)
    if name.endswith("pool"):
        return F.max_pool2d(values, 2).numpy()
    weight, bias = (torch.tensor(weights[f"{name}.{kind}"]) for kind in ("weight", "bias"))
    if name.startswith("block"):
        return F.relu(F.conv2d(values, weight, bias, padding=1)).numpy()
    values = F.linear(values.flatten(1), weight, bias)
    return (values if name == "predictions" else F.relu(values)).numpy()


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


def test_every_weight_of_a_port_whose_layers_run_alone(vgg16_parity: Judge) -> None:
    tiny = vgg16_parity.checkpoint("seeded", "tiny")
    taps = my_port(vgg16_parity.images(tiny), tiny)
    dense = vgg16_parity.probes(tiny)
    outputs = {layer: my_layer(layer, values, tiny) for layer, values in dense.items()}
    row = vgg16_parity("my port, every weight", taps, tiny, probes=outputs)
    assert [probe.layer for probe in row.probes] == list(taps)


@pytest.fixture
def judge() -> Iterator[Judge]:
    """One of its own, so that the run's report has no mistake that is meant."""
    made = Judge()
    yield made
    made.close()


def test_names_and_shapes_of_probes_are_told(judge: Judge) -> None:
    tiny = judge.checkpoint("seeded", "tiny")
    taps = my_port(judge.images(tiny), tiny)
    with pytest.raises(BadInput, match=r"^my port: probes: no layer is called fc9, conv; expected"):
        judge("my port", taps, tiny, probes={"fc9": taps["fc1"], "conv": taps["fc1"]})
    with pytest.raises(
        AssertionError,
        match=r"fc1, given a dense input: its shape is \(2, 32\), the arbiter's is \(8, 32\)",
    ):
        judge("my port", taps, tiny, probes={"fc1": taps["fc1"]})


def test_layers_without_probes_are_told_of_them(judge: Judge) -> None:
    tiny = judge.checkpoint("seeded", "tiny")
    taps = my_port(judge.images(tiny), tiny)
    first, *others = judge.given(tiny).items()
    inputs = {"block1_conv1": judge.images(tiny)}
    inputs |= dict(zip(list(taps)[1:], [first[1], *(each for _, each in others)], strict=True))
    layers = {layer: my_layer(layer, values, tiny) for layer, values in inputs.items()}
    notes = judge("my port", taps, tiny, layers=layers).cases[0].notes
    assert notes == (
        "layers were compared on inputs that leave units dark: pass `probes` to judge every weight "
        "(docs/your-port.md)",
    )
    dense = judge.probes(tiny)
    outputs = {layer: my_layer(layer, values, tiny) for layer, values in dense.items()}
    assert not judge("my port", taps, tiny, layers=layers, probes=outputs).cases[0].notes


def test_inputs_that_a_port_changes_or_returns_are_named_and_stay_right(judge: Judge) -> None:
    tiny = judge.checkpoint("seeded", "tiny")
    images, given, dense = judge.images(tiny), judge.given(tiny), judge.probes(tiny)
    taps = my_port(images, tiny)
    images[:], given["fc1"][:], dense["block1_conv1"][:] = 0, 0, 0
    np.copyto(dense["fc2"], 1)
    with pytest.raises(AssertionError) as told:
        judge("my port", taps, tiny, probes={"fc2": dense["fc2"]})
    said = str(told.value)
    for changed in ("the images", "given['fc1']", "probes['block1_conv1']", "probes['fc2']"):
        assert f"the port changed {changed} in place" in said
    assert "the port returned fc2 as a view of probes['fc2']" in said
    # What is handed out next is as it was.
    assert judge.images(tiny).any()
    assert judge.given(tiny)["fc1"].any()
    assert all(values.any() for values in judge.probes(tiny).values())
    assert judge.probes(tiny)["fc2"].std() > 0


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
