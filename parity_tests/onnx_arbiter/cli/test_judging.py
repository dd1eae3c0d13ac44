"""What the command judges, on which inputs, and what it says of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from parity_tests.support.arbiter_models import computed, save, small_model
from parity_tests.support.helpers import Command

Images = NDArray[np.float32]


def test_onnx_runtime_is_judged_on_seeded_inputs(arbiter: Command, model: Path) -> None:
    done = arbiter(model.name)
    assert done.status == 0
    head, *rows, summary = done.out.splitlines()
    assert head.split("  ")[0] == "run"
    assert [re.split(r"  +", row)[:2] for row in rows] == [
        ["onnxruntime, the file as it is", "holds"],
        ["onnxruntime, optimised, every value", "holds"],
        ["onnxruntime, not optimised, every value", "holds"],
    ]
    # Four values each, and every node alone in the last.
    assert [row.split()[-3:] for row in rows] == [["1", "0", "0"], ["4", "0", "0"], ["4", "4", "0"]]
    assert summary == "Within rounding: 3 runs judged by the float64 arbiter."
    assert "inputs: seed 0: x 1×3×8×8" in done.err
    last = done.err.splitlines()[-1]
    assert re.fullmatch(r"4 nodes in \d+\.\d s, at most \d+\.\d GB", last)


def test_the_seed_decides_the_inputs(arbiter: Command, model: Path, tmp_path: Path) -> None:
    saved = {}
    for seed, name in ((0, "a"), (0, "b"), (1, "c")):
        done = arbiter(model.name, "--seed", seed, "--save-inputs", f"{name}.npz")
        assert (done.status, done.out) == (0, "")
        with np.load(tmp_path / f"{name}.npz") as found:
            saved[name] = found["x"]
    assert np.array_equal(saved["a"], saved["b"])
    assert not np.array_equal(saved["a"], saved["c"])


def test_what_a_program_computed_from_saved_inputs_is_judged_with_the_seed(
    arbiter: Command, model: Path, tmp_path: Path
) -> None:
    arbiter(model.name, "--seed", 3, "--save-inputs", "in.npz")
    with np.load(tmp_path / "in.npz") as found:
        save(tmp_path / "out.npz", computed(model, found["x"], "y"))
    assert arbiter(model.name, "--seed", 3, "--outputs", "out.npz").status == 0
    assert arbiter(model.name, "--seed", 4, "--outputs", "out.npz").status == 1


def test_saved_inputs_may_have_any_name(arbiter: Command, tmp_path: Path) -> None:
    """``np.savez`` takes no array of the name ``file``."""
    info, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    node = onnx.helper.make_node("Add", ["file", "a/b"], ["y"], name="add")
    graph = onnx.helper.make_graph(
        [node], "g", [info(n, float32, [2, 3]) for n in ("file", "a/b")], [info("y", float32, None)]
    )
    graph.output[0].type.tensor_type.shape.dim.add(dim_value=2)
    graph.output[0].type.tensor_type.shape.dim.add(dim_value=3)
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10), tmp_path / "m")
    assert arbiter("m", "--save-inputs", "in.npz").status == 0
    with np.load(tmp_path / "in.npz") as found:
        np.savez(tmp_path / "out.npz", y=found["file"] + found["a/b"])
    assert arbiter("m", "--inputs", "in.npz", "--outputs", "out.npz").status == 0


def test_the_first_wrong_value_of_those_given_is_named(
    arbiter: Command, model: Path, images: Images, tmp_path: Path
) -> None:
    values = computed(model, images, "/layer1/c", "d", "y")
    values["d"] = values["d"].copy()
    values["d"][0, 2, 1, 1] += 1
    values["y"] = values["y"] * 2
    save(tmp_path / "out.npz", values)
    done = arbiter(model.name, "--inputs", "in.npz", "--outputs", "out.npz")
    assert done.status == 1
    assert "out.npz: broken. Conv /layer2/conv: errors are" in done.out
    assert done.out.splitlines()[-1] == "Beyond rounding: out.npz."


def test_a_single_array_is_the_only_output(
    arbiter: Command, model: Path, images: Images, tmp_path: Path
) -> None:
    np.save(tmp_path / "in.npy", images)
    np.save(tmp_path / "out.npy", computed(model, images)["y"])
    assert arbiter(model.name, "--inputs", "in.npy", "--outputs", "out.npy").status == 0


def test_an_open_axis_takes_the_size_given(arbiter: Command, tmp_path: Path) -> None:
    small_model(tmp_path / "open.onnx", shape=("N", 3, 8, 8))
    done = arbiter("open.onnx", "--shape", "x=2,3,8,8", "--json")
    assert done.status == 0
    assert json.loads(done.out)["inputs"] == {"x": [2, 3, 8, 8]}


def test_half_precision_is_a_mistake_in_float32_and_none_in_its_own_mode(
    arbiter: Command, model: Path, images: Images, tmp_path: Path
) -> None:
    c = computed(model, images, "/layer1/c")["/layer1/c"].astype(np.float16)
    save(tmp_path / "out.npz", {"/layer1/c": c})
    words = [model.name, "--inputs", "in.npz", "--outputs", "out.npz"]
    assert arbiter(*words).status == 1
    assert arbiter(*words, "--mode", "float16").status == 0


def test_what_cannot_be_judged_is_counted_and_the_rest_is_judged(
    arbiter: Command, images: Images, tmp_path: Path
) -> None:
    own = onnx.helper.make_node("Own", ["y"], ["z"], name="own", domain="my.domain")
    last = onnx.helper.make_node("Relu", ["z"], ["r"], name="last")
    small_model(tmp_path / "custom.onnx", more=[own, last])
    y = computed(small_model(tmp_path / "plain.onnx"), images)["y"]
    np.savez(tmp_path / "out.npz", y=y, z=y, r=y)
    words = ["custom.onnx", "--inputs", "in.npz", "--outputs"]
    done = arbiter(*words, "out.npz")
    assert done.status == 0
    assert "not judged: 2 values: my.domain.Own has no rule" in done.out
    np.savez(tmp_path / "out.npz", z=y)
    done = arbiter(*words, "out.npz")
    assert done.status == 1, "nothing was judged"
    assert done.out.splitlines()[-1] == "Nothing was judged."


def test_control_flow_is_judged_up_to_where_it_stands(arbiter: Command, tmp_path: Path) -> None:
    helper, kinds = onnx.helper, onnx.TensorProto
    info = helper.make_tensor_value_info
    again = [
        helper.make_node("Neg", ["before"], ["after"]),
        helper.make_node("Identity", ["go"], ["go_on"]),
    ]
    body = helper.make_graph(
        again,
        "body",
        [
            info("i", kinds.INT64, []),
            info("go", kinds.BOOL, []),
            info("before", kinds.FLOAT, [1, 10]),
        ],
        [info("go_on", kinds.BOOL, []), info("after", kinds.FLOAT, [1, 10])],
    )
    loop = helper.make_node("Loop", ["", "", "y"], ["z"], name="loop", body=body)
    path = small_model(tmp_path / "flow.onnx", more=[loop])
    arbiter("flow.onnx", "--save-inputs", "in.npz")
    with np.load(tmp_path / "in.npz") as found:
        y = computed(small_model(tmp_path / "plain.onnx"), found["x"])["y"]
    save(tmp_path / "out.npz", {"y": y, "z": -y})
    done = arbiter(path.name, "--inputs", "in.npz", "--outputs", "out.npz")
    assert done.status == 0
    assert re.search("not judged: 1 value: .*[Ll]oop", done.out)


def test_a_network_with_its_weights_beside_it_is_run_with_every_value(
    arbiter: Command, model: Path
) -> None:
    found = onnx.load(model)
    onnx.save(found, model, save_as_external_data=True, location="w.data", size_threshold=0)
    done = arbiter(model.name)
    assert done.status == 0
    assert [row.split()[-3:] for row in done.out.splitlines()[1:4]] == [
        ["1", "0", "0"],
        ["4", "0", "0"],
        ["4", "4", "0"],
    ]


def test_a_mistake_in_few_given_values_asks_for_more(
    arbiter: Command, model: Path, images: Images, tmp_path: Path
) -> None:
    values = {name: found + 1 for name, found in computed(model, images, "d", "f", "y").items()}
    words = [model.name, "--inputs", "in.npz", "--outputs", "out.npz"]
    said = "out.npz: only 1 value of 4 nodes given: with more of them, the mistake is found nearer"
    save(tmp_path / "out.npz", {"y": values["y"]})
    assert said in arbiter(*words).out
    save(tmp_path / "out.npz", values)
    assert "given" not in arbiter(*words).out


def test_two_files_of_one_network_are_compared(
    arbiter: Command, model: Path, tmp_path: Path
) -> None:
    def changed(factor: float) -> str:
        found = onnx.load(model)
        [weights] = [each for each in found.graph.initializer if each.name == "w2"]
        values = onnx.numpy_helper.to_array(weights) * np.float32(factor)
        weights.CopyFrom(onnx.numpy_helper.from_array(values, "w2"))
        onnx.save(found, tmp_path / "other.onnx")
        return "other.onnx"

    same = arbiter(model.name, "--against", changed(1))
    assert same.status == 0
    assert "compare: 50 % of 8 nodes" in same.err
    other = arbiter(model.name, "--against", changed(1.01), "--json")
    assert other.status == 1
    [run] = json.loads(other.out)["runs"]
    assert run["guilty"] == "d"
