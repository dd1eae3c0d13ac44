"""What is found of ports of a Keras model, exported on the backend that ``KERAS_BACKEND`` names.

A process has one backend, so the tests run this file once for each. It prints a JSON object.
"""

from __future__ import annotations

import json
from typing import Any

from onnx_arbiter.ports import judging, keras_layers
from onnx_arbiter.ports.places import Reference
from parity_tests.support.keras_networks import Twin, images, network, padded


def found(reference: Reference, port: Any) -> list[str]:
    """The verdict on a port, and the node where it goes wrong."""
    [run] = judging.judge(reference, port, name="port").runs
    return [run.status, "" if run.guilty is None else run.guilty.node]


def main() -> None:
    original = keras_layers.reference(network(), images())
    paddings = keras_layers.reference(padded(), images())
    ports = {
        "the same": network(),
        "other names": network(names="my_{}"),
        "in PyTorch": Twin(network()),
        "epsilon": network(epsilon=1e-5),
        "no activation": network(relu="linear"),
        "another pool": network(pool="AveragePooling2D"),
        "epsilon in PyTorch": Twin(network(), epsilon=1e-5),
    }
    verdicts = {name: found(original, port) for name, port in ports.items()}
    verdicts["a padding and a GELU"] = found(paddings, padded())
    verdicts["another padding"] = found(paddings, padded(pads=(0, 1)))
    layers = [place.name for place in original.places]
    print(json.dumps({"layers": layers, "verdicts": verdicts}))


if __name__ == "__main__":
    main()
