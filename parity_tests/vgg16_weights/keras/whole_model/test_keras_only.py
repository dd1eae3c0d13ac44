"""A saved model may name Keras's own classes alone; what it was trained with may be anybody's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

import pytest

from parity_tests.support.weights.keras_configs import TINY, Config, layer, set_to, stated_by
from vgg16_weights.keras.whole_model.configuration import HoldsCode, NamesOthers
from vgg16_weights.keras.whole_model.keras_classes import KERAS_CLASSES, KERAS_FUNCTIONS
from vgg16_weights.keras.whole_model.keras_only import check_keras_only
from vgg16_weights.keras.written_config import model_config

Change = Callable[[Config], object]

# Keras's layers that carry code or name a program, and what is no layer that is saved.
_CODE: Final = {"Lambda", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer"}
_NEVER_SAVED: Final = {"InputSpec", "Layer", "Wrapper"}


def own(**more: object) -> dict[str, object]:
    return {"module": "mine", "class_name": "Own", "config": {}, **more}


def around(inner: object) -> Config:
    """A model in which it is the layer that a layer of Keras's wraps."""
    wrapper = {"class_name": "TimeDistributed", "config": {"name": "each", "layer": inner}}
    return {"class_name": "Sequential", "config": {"layers": [wrapper]}}


def operation(module: str) -> Change:
    row = {"module": module, "class_name": "Multiply", "registered_name": "Multiply", "name": "m"}
    return lambda config: config["config"]["layers"].append(row | {"config": {}})


def compiled(**parts: object) -> Change:
    return lambda config: config.update(compile_config=parts)


OTHERS: Final[dict[str, tuple[Change, str]]] = {
    "a layer": (lambda c: layer(c, "fc2").update(own()), "'fc2' has a class that is not Keras's"),
    "a layer by another name": (
        lambda c: layer(c, "fc2").update(registered_name="mine>Dense"),
        "'fc2' has a class that is not Keras's: 'mine>Dense'",
    ),
    "a name registered without a package": (
        lambda c: layer(c, "fc2").update(registered_name="Own"),
        "'fc2' has a class that is not Keras's",
    ),
    "a class that Keras does not have": (
        lambda c: layer(c, "fc2").update(class_name="Denser"),
        "'keras.layers.Denser'",
    ),
    "a class of another package": (
        lambda c: layer(c, "fc2").update(class_name="os.Dense", module=None),
        "'os.Dense'",
    ),
    "a function of a library": (
        lambda c: layer(c, "fc2").update(module="os", class_name="system"),
        "'os.system'",
    ),
    "a module that is no text": (
        lambda c: layer(c, "fc2").update(module=["keras"]),
        "'Dense'",
    ),
    "a package whose name begins alike": (
        lambda c: layer(c, "fc2").update(module="keras_own.layers"),
        "'keras_own.layers.Dense'",
    ),
    "an initializer": (set_to("fc1", kernel_initializer=own()), "it names 'mine.Own'"),
    "a regularizer": (set_to("fc1", kernel_regularizer=own()), "it names 'mine.Own'"),
    "a constraint": (set_to("fc1", bias_constraint=own()), "it names 'mine.Own'"),
    "a policy": (set_to("fc1", dtype=own()), "it names 'mine.Own'"),
    "an activation": (
        set_to("fc1", activation=own(class_name="function", config="relu")),
        "it names 'mine.relu'",
    ),
    "an activation of no module": (
        set_to("fc1", activation={"class_name": "function", "config": "mine"}),
        "it names 'mine'",
    ),
    "an operation": (operation("mine.ops.numpy"), "'m' has a class that is not Keras's"),
    "a type": (
        set_to("fc1", spec={"class_name": "__typespec__", "module": "os", "config": []}),
        "it names 'os.__typespec__'",
    ),
    "a function of TensorFlow's files": (
        lambda c: layer(c, "fc2").update(class_name="TFOpLambda", config={"function": "io.write"}),
        "'fc2' has a class that is not Keras's",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_somebody_elses_is_refused_by_name(name: str) -> None:
    change, says = OTHERS[name]
    config = model_config(TINY)
    change(config)
    with pytest.raises(NamesOthers) as refused:
        stated_by(config)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


CODE: Final = {"class_name": "__lambda__", "config": {"value": "4wEAAAAAAAAA"}}
HOLDING: Final[dict[str, Config]] = {
    "a layer of code": around({"class_name": "Lambda", "config": {"name": "own"}}),
    "a merge by code": around({"class_name": "Merge", "config": {"mode_type": "lambda"}}),
    "a graph of TensorFlow": around({"class_name": "TensorFlowOpLayer", "config": {}}),
    "a program to load": around({"module": "keras.layers", "class_name": "TFSMLayer"}),
    "a layer of Keras's in a package": around({"class_name": "Custom>Lambda", "config": {}}),
    "code in an argument": around(CODE),
    "code in what it was compiled with": model_config(TINY) | {"compile_config": {"loss": CODE}},
    "a layer of code in what it was compiled with": model_config(TINY)
    | {"compile_config": {"loss": own(config={"inner": around({"class_name": "Lambda"})})}},
}


@pytest.mark.parametrize("name", HOLDING)
def test_code_is_refused_wherever_it_is(name: str) -> None:
    with pytest.raises(HoldsCode, match="it contains code"):
        check_keras_only(HOLDING[name])


TRAINING: Final[dict[str, Change]] = {
    "a loss": compiled(loss=own(class_name="function", config="my_loss", module="builtins")),
    "a metric and an optimiser": compiled(
        optimizer=own(registered_name="mine>Own"), metrics=[[own()]]
    ),
    "a class of the model's own": lambda config: config.update(
        module="__main__", class_name="Distilled", registered_name="mine>Distilled"
    ),
}


@pytest.mark.parametrize("name", TRAINING)
def test_what_it_was_trained_with_may_be_anybodys(name: str) -> None:
    config = model_config(TINY)
    expected = stated_by(copy.deepcopy(config))
    TRAINING[name](config)
    assert stated_by(config) == expected


@pytest.mark.parametrize("module", ["os", "subprocess", "builtins"])
def test_a_model_is_of_no_class_of_pythons(module: str) -> None:
    config: dict[str, Any] = {"module": module, "class_name": "run", "config": {"args": "ls"}}
    with pytest.raises(NamesOthers, match=f"'{module}.run'"):
        check_keras_only(config)


def test_operations_of_keras_are_allowed() -> None:
    config = model_config(TINY)
    operation("keras.src.ops.numpy")(config)
    check_keras_only(config)


def test_every_class_that_keras_saves_is_known() -> None:
    """So that a layer of a new version is looked at when the tests meet that version."""
    import keras

    exported = {
        value.__name__
        for room in ("layers", "initializers", "regularizers", "constraints", "dtype_policies")
        for value in vars(getattr(keras, room)).values()
        if isinstance(value, type)
    }
    bases = {"Initializer", "Regularizer", "Constraint"}
    assert exported - _CODE - _NEVER_SAVED - bases - KERAS_CLASSES == set()
    assert KERAS_CLASSES.isdisjoint(_CODE)
    functions = {name for name, value in vars(keras.activations).items() if callable(value)}
    assert functions - {"get", "serialize", "deserialize"} == KERAS_FUNCTIONS
