"""Another classifier is told apart from other features, by the layer's name."""

from __future__ import annotations

from functools import partial
from typing import Final

import pytest

from parity_tests.support.weights.keras_models import (
    Change,
    K,
    activated,
    assert_differs,
    at,
    changed,
    instead,
    model_of,
    stated,
    vgg_layers,
)
from vgg16_spec.checkpoint import Checkpoint

pytestmark = pytest.mark.usefixtures("no_first_reading")

# A change -> the layer or the words that its refusal names, and what it says of them.
HEAD: Final[dict[str, tuple[Change, str, str]]] = {
    "sigmoid at the end": (
        changed("predictions", activation="sigmoid"),
        "'predictions'",
        "sigmoid",
    ),
    "ReLU at the end": (changed("predictions", activation="relu"), "'predictions'", "relu"),
    "softmax twice": (
        at("predictions", K.Softmax, partial(K.Activation, "softmax", name="own")),
        "'own'",
        "softmax",
    ),
    "softmax over the images": (
        activated("predictions", partial(K.Softmax, axis=0, name="own")),
        "'own'",
        "softmax along the axis 0",
    ),
    "tanh in the classifier": (changed("fc1", activation="tanh"), "'fc1'", "tanh"),
    "no ReLU in the classifier": (changed("fc2", activation=None), "'fc2'", "no activation"),
    "softmax in the classifier": (changed("fc2", activation="softmax"), "'fc2'", "softmax"),
    "no bias in the classifier": (changed("fc2", use_bias=False), "'fc2'", "no bias"),
    "batch normalisation in the classifier": (
        at("fc1", partial(K.BatchNormalization, epsilon=0.1, name="bn")),
        "'bn'",
        "batch normalisation",
    ),
    "scaling in the classifier": (
        at("fc1", partial(K.Rescaling, 2.0, name="twice")),
        "'twice'",
        "Rescaling",
    ),
    "global pooling": (
        instead("flatten", partial(K.GlobalAveragePooling2D, name="gap")),
        "'gap'",
        "global average pooling",
    ),
    "two dense layers": (instead("fc2"), "2 dense layers", "where a VGG has 3"),
    "four dense layers": (
        at("predictions", partial(K.Dense, 10, name="fourth")),
        "'fourth'",
        "comes after the third dense layer",
    ),
    "an order of values": (
        at("flatten", partial(K.Permute, (2, 1, 3), name="turned"), before=True),
        "'turned'",
        "Permute",
    ),
    "a dense layer after softmax": (
        at("predictions", K.Softmax, partial(K.Dense, 10, name="fourth")),
        "'fourth'",
        "comes after the third dense layer",
    ),
    "no last pooling": (instead("block5_pool"), "the last pooling", "missing"),
}


@pytest.mark.parametrize("name", HEAD)
def test_another_classifier_is_named_apart(ten: Checkpoint, name: str) -> None:
    change, layer, says = HEAD[name]
    model = model_of(change(vgg_layers(ten)), ten)
    problem = stated(model).head_problem
    assert layer in problem
    assert says in problem
    assert_differs(model, ten)


# A change of which the outputs do not tell, or have another form -> words of the refusal.
FORMS: Final[dict[str, tuple[Change, str]]] = {
    "maps turned": (
        changed("flatten", data_format="channels_first"),
        "'flatten' is channels_first, unlike its maps",
    ),
    "flat twice": (at("flatten", partial(K.Flatten, name="own")), "'own' flattens a second time"),
    "a matrix": (
        instead("flatten", partial(K.Reshape, (4, -1), name="own")),
        "'own' does not produce a vector",
    ),
    "maps as they are": (instead("flatten"), "'fc1' reads maps that are not flattened"),
    "its layers up to the last pooling": (
        lambda layers: layers[: [layer.name for layer in layers].index("block5_pool")],
        "it ends before the last pooling",
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_classifier_of_another_form_is_named_apart(ten: Checkpoint, name: str) -> None:
    change, says = FORMS[name]
    assert says in stated(model_of(change(vgg_layers(ten)), ten)).head_problem
