"""The known mistake of a port: each planted one is named, and where there is none, none is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from mistakes.catalogue import MISTAKES, judged
from mistakes.in_torch import Port
from parity_tests.support.helpers import PICTURES
from vgg16_parity.judge.diagnosis import ADVICE
from vgg16_parity.network.prediction import predict
from vgg16_parity.own_port import Arbiter, explain
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.images.preprocessing import RECIPES, Recipe, preprocess, read_image

Values = NDArray[Any]
Taps = Mapping[str, Values]

OWN: Final = RECIPES["torchvision"]
ORDER: Final = np.random.default_rng(0).permutation(1000)
MOVED: Final = np.count_nonzero(np.arange(1000) != ORDER)


class Bench:
    """A checkpoint that is not the seeded default, its arbiter, and PyTorch's answers."""

    def __init__(self) -> None:
        self.checkpoint = generate(configuration("tiny"), 5)
        self.arbiter = Arbiter(self.checkpoint)
        self.port = Port("tiny")
        self.port.load(self.checkpoint)
        self.taps = self.computed(self.arbiter.images)

    def computed(self, images: Values) -> dict[str, Values]:
        return self.port.taps(np.ascontiguousarray(images, np.float32))

    def notes(self, computed: Values | Taps, *, status: str = "broken") -> list[str]:
        """What is noted of a port, beside the advice that it is given for logits alone."""
        row = self.arbiter.judge("port", computed)
        assert row.status == status
        (case,) = row.cases
        assert all(note in explain(row) for note in case.notes)
        logits_alone = not isinstance(computed, Mapping) or len(computed) == 1
        assert (ADVICE in case.notes) == logits_alone
        return [note for note in case.notes if note != ADVICE]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.arbiter.close()


def pictures(recipe: Recipe) -> Values:
    size = configuration("tiny").input_size
    return np.concatenate([preprocess(read_image(path), recipe, size=size) for path in PICTURES])


def softmax(logits: Values) -> Values:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Values = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def exchanged(logits: Values) -> Values:
    moved = logits.copy()
    moved[:, [3, 7]] = moved[:, [7, 3]]
    return moved


PROBABILITIES: Final = "they are probabilities: return the logits, before the softmax"
IN_ORDER: Final = (
    f"with classes in another order ({MOVED} of 1000 moved: the port's 0, 1, 2 are the arbiter's "
    f"{', '.join(map(str, ORDER[:3]))})"
)
# What is said -> what is made of right logits.
OUTPUTS: Final[Mapping[str, Callable[[Values], Values]]] = {
    PROBABILITIES: softmax,
    "they are logarithms of probabilities: return the logits, before the softmax": (
        lambda logits: np.log(softmax(logits.astype(np.float64))).astype(np.float32)
    ),
    "a ReLU follows the logits: return them before it": lambda logits: np.maximum(logits, 0),
    "they are transposed: return (N, classes)": lambda logits: logits.T,
    "their shape is (2, 1000, 1, 1): return (2, 1000)": lambda logits: logits[..., None, None],
    "there is a class in front of the network's: leave it out": (
        lambda logits: np.pad(logits, ((0, 0), (1, 0)))
    ),
    "the rows are not in the order of the images but those of images 1, 0": (
        lambda logits: logits[::-1]
    ),
    "the rows are not in the order of the images but those of images 0, 0": (
        lambda logits: logits[[0, 0]]
    ),
    "with classes 3 and 7 exchanged": exchanged,
    IN_ORDER: lambda logits: logits[:, ORDER],
    f"{PROBABILITIES}; with classes 3 and 7 exchanged": lambda logits: exchanged(softmax(logits)),
}


@pytest.mark.parametrize("said", OUTPUTS)
def test_logits_that_are_right_but_for_a_mistake_are_told_so(bench: Bench, said: str) -> None:
    logits = OUTPUTS[said](bench.taps["predictions"])
    assert bench.notes(logits) == [f"the values are the arbiter's, but {said}"]


def nhwc(values: Values) -> Values:
    return values.transpose(0, 2, 3, 1) if values.ndim == 4 else values


def test_taps_of_another_layout_are_told_so(bench: Bench) -> None:
    said = "the values are the arbiter's, but maps are (N, H, W, C): return (N, C, H, W)"
    assert bench.notes({name: nhwc(values) for name, values in bench.taps.items()}) == [said]
    logits = bench.taps | {"predictions": softmax(bench.taps["predictions"])}
    assert bench.notes(logits) == [f"the values are the arbiter's, but {PROBABILITIES}"]
    ones = {n: v[..., None, None] if n.startswith("fc") else v for n, v in bench.taps.items()}
    said = "the values are the arbiter's, but taps have the shape (2, 32, 1, 1): return (2, 32)"
    assert bench.notes(ones) == [said]


def test_taps_before_the_relu_are_told_so(bench: Bench) -> None:
    import torch

    model, found = bench.port.model, dict[str, Values]()
    hooks = [
        module.register_forward_hook(
            lambda _, __, output, name=name: found.__setitem__(name, output.numpy().copy())
        )
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Conv2d)
    ]
    bench.computed(bench.arbiter.images)
    for hook in hooks:
        hook.remove()
    names = [layer.name for layer in bench.checkpoint.configuration.convolutions]
    raw = dict(zip(names, found.values(), strict=True))
    said = "the values are the arbiter's, but taps are taken before the ReLU: return them after it"
    assert bench.notes(bench.taps | raw) == [said]


def plain(scale: float) -> Recipe:
    return replace(OWN, scale=scale, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


MEAN: Final = np.array(OWN.mean, np.float32)[:, None, None]
STD: Final = np.array(OWN.std, np.float32)[:, None, None]
# What is said -> what the port computed with.
INPUTS: Final[Mapping[str, Callable[[Values], Values]]] = {
    "channels reversed (BGR for RGB, or RGB for BGR)": lambda images: images[:, ::-1],
    "pictures, in BGR order": lambda _: pictures(replace(OWN, channels="BGR")),
    "pictures prepared by the recipe caffe": lambda _: pictures(RECIPES["caffe"]),
    "pictures prepared by the recipe caffe, in RGB order": (
        lambda _: pictures(replace(RECIPES["caffe"], channels="RGB"))
    ),
    "pictures not normalised, 0 to 255": lambda _: pictures(plain(1.0)),
    "pictures not normalised, 0 to 1": lambda _: pictures(plain(255.0)),
    "pictures not normalised, 0 to 1, in BGR order": (
        lambda _: pictures(replace(plain(255.0), channels="BGR"))
    ),
    "pictures normalised twice": lambda images: (images - MEAN) / STD,
    "the mean not subtracted": lambda images: images + MEAN / STD,
    "not divided by the standard deviation": lambda images: images * STD,
    "NCHW read as NHWC": (
        lambda images: images.reshape(len(images), 64, 64, 3).transpose(0, 3, 1, 2)
    ),
    "NHWC read as NCHW": lambda images: images.transpose(0, 2, 3, 1).reshape(images.shape),
    "height and width swapped": lambda images: images.swapaxes(2, 3),
    "pictures mirrored left to right": lambda images: images[..., ::-1],
    "pictures upside down": lambda images: images[..., ::-1, :],
}


@pytest.mark.parametrize("said", INPUTS)
def test_another_input_is_named(bench: Bench, said: str) -> None:
    taps = bench.computed(INPUTS[said](bench.arbiter.images))
    assert bench.notes(taps) == [f"the values are the arbiter's on another input: {said}"]


@pytest.mark.parametrize("said", [*INPUTS][:6:2])
def test_another_input_is_named_by_logits_alone_and_by_probabilities(
    bench: Bench, said: str
) -> None:
    logits = bench.computed(INPUTS[said](bench.arbiter.images))["predictions"]
    words = f"the values are the arbiter's on another input: {said}"
    assert bench.notes(logits) == [words]
    assert bench.notes(softmax(logits)) == [f"{words}, but {PROBABILITIES}"]


def test_pictures_of_an_own_recipe_are_followed_back_to_their_pixels() -> None:
    recipe = replace(OWN, name="own", scale=64.0, mean=(1.0, 1.5, 2.0), std=(2.0, 3.0, 0.5))
    checkpoint = generate(configuration("tiny"), 5).with_recipe(recipe)
    port = Port("tiny")
    port.load(checkpoint)
    with Arbiter(checkpoint) as arbiter:
        for words, given in (
            ("pictures, in BGR order", replace(recipe, channels="BGR")),
            ("pictures prepared by the recipe caffe", RECIPES["caffe"]),
        ):
            taps = port.taps(np.ascontiguousarray(pictures(given)))
            notes = arbiter.judge("port", taps).cases[0].notes
            assert f"the values are the arbiter's on another input: {words}" in notes


def test_the_seeded_defaults_weights_are_named(bench: Bench) -> None:
    default = generate(configuration("tiny"))
    port = Port("tiny")
    port.load(default)
    logits = port.taps(bench.arbiter.images)["predictions"]
    words = "the values are the arbiter's with the seeded default weights of configuration tiny"
    assert bench.notes(logits) == [words]


def test_a_port_that_holds_is_only_advised(bench: Bench) -> None:
    assert bench.notes(bench.taps, status="holds") == []
    assert bench.notes(bench.taps["predictions"], status="holds") == []


def test_the_arbiter_computes_again_only_what_it_confirms(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = list[Values]()

    def counted(checkpoint: Any, images: Values, modes: Any) -> Any:
        given.append(images)
        return predict(checkpoint, images, modes)

    monkeypatch.setattr("vgg16_parity.judge.diagnosis.predict", counted)
    logits = bench.computed(bench.arbiter.images[..., ::-1, :])["predictions"]
    assert bench.notes(logits) == [
        "the values are the arbiter's on another input: pictures upside down"
    ]
    assert [len(images) for images in given] == [len(PICTURES)]
    assert bench.notes(np.sort(logits)) == []  # in another order for each picture


def test_what_cannot_be_right_costs_no_pass(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vgg16_parity.judge.diagnosis.misread", None)  # to call it would fail
    logits = bench.taps["predictions"]
    for wrong in (np.float32(np.nan) * logits, logits[:1], logits[:, :5], logits[0, :1]):
        assert bench.notes(wrong) == []


def test_what_no_known_mistake_explains_is_left_alone(bench: Bench) -> None:
    logits, noise = bench.taps["predictions"], np.random.default_rng(1)
    other = Port("tiny")
    other.load(generate(configuration("tiny"), 6))
    for wrong in (
        logits + np.abs(logits).max() * noise.standard_normal(logits.shape, np.float32),
        np.sort(logits),
        logits[:1],
        other.taps(bench.arbiter.images)["predictions"],
        logits.astype(np.complex64),
    ):
        assert bench.notes(wrong) == []


# Those of the catalogue that a port's values tell; the others are mistakes in weights and layers.
TOLD: Final = {
    "classes swapped": "the values are the arbiter's, but with classes 3 and 7 exchanged",
    "softmax": f"the values are the arbiter's, but {PROBABILITIES}",
    "BGR": "the values are the arbiter's on another input: pictures, in BGR order",
    "weights in float16": "would hold with the weights of block2_conv2 rounded to float16",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_planted_mistake_is_called_its_own_name_or_none(bench: Bench, name: str) -> None:
    port = Port("tiny")
    (case,) = judged(bench.arbiter, port, MISTAKES[name], PICTURES).cases
    notes = [note for note in case.notes if not note.startswith("top classes changed places")]
    assert notes == ([TOLD[name]] if name in TOLD else [])
