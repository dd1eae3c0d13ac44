"""The command as a whole: what it judges, what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from parity_tests.support.arbiter_models import computed, save, small_model
from parity_tests.support.helpers import Command

Images = NDArray[np.float32]


def test_help_imports_nothing_that_takes_time() -> None:
    code = (
        "import sys\n"
        "from onnx_arbiter.cli.app import main\n"
        "sys.argv = ['onnx-arbiter', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "slow = {'numpy', 'onnx', 'onnx_ir', 'onnxruntime', 'torch', 'jinja2', 'pydantic'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--save-inputs" in done.stdout


def test_the_shell_sees_the_outcome(model: Path, images: Images, tmp_path: Path) -> None:
    y = computed(model, images)["y"]
    np.savez(tmp_path / "right.npz", y=y)
    np.savez(tmp_path / "wrong.npz", y=y * np.float32(1.001))
    for outputs, status in (("right.npz", 0), ("wrong.npz", 1), ("absent.npz", 2)):
        words = [model.name, "--inputs", "in.npz", "--outputs", outputs]
        done = subprocess.run(
            [sys.executable, "-m", "onnx_arbiter", *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr


def test_messages_have_the_programs_own_name(arbiter: Command) -> None:
    assert arbiter("--version").out.startswith("onnx-arbiter ")
    done = arbiter("absent.onnx")
    assert (done.status, done.out) == (2, "")
    said = "onnx-arbiter: absent.onnx: no such file; expected an ONNX model (.onnx)\n"
    assert done.err == said


def test_without_arguments_the_help_is_shown(arbiter: Command) -> None:
    done = arbiter()
    assert done.status == 2
    assert "Usage" in done.out


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
    assert "not judged: 2 values: Own" in done.out
    np.savez(tmp_path / "out.npz", z=y)
    done = arbiter(*words, "out.npz")
    assert done.status == 1, "nothing was judged"
    assert done.out.splitlines()[-1] == "Nothing was judged."


def test_control_flow_is_judged_up_to_where_it_stands(arbiter: Command, tmp_path: Path) -> None:
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    out = [helper.make_tensor_value_info("t", float32, [None, None])]
    branch = helper.make_graph([helper.make_node("Neg", ["y"], ["t"])], "branch", [], out)
    truth = helper.make_node(
        "Constant", [], ["yes"], value=helper.make_tensor("v", onnx.TensorProto.BOOL, [], [True])
    )
    choose = helper.make_node(
        "If", ["yes"], ["z"], name="choose", then_branch=branch, else_branch=branch
    )
    path = small_model(tmp_path / "flow.onnx", more=[truth, choose])
    model = onnx.load(path)
    kept = [value for value in model.graph.output if value.name != "yes"]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    onnx.save(model, path)
    done = arbiter("flow.onnx")
    assert done.status == 0
    assert re.search("not judged: 1 value: .*If", done.out)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_was_judged_is_printed_although_a_file_cannot_be_written(
    arbiter: Command,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
) -> None:
    from onnx_arbiter.report import html

    def full(_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(html, "page", full)
    done = arbiter(model.name, "--html", "page.html", *options)
    assert done.status == 2
    assert "ithin rounding" in done.out
    assert not (tmp_path / "page.html").exists()
    assert "No space left on device" in done.err.splitlines()[-1]


def test_reports_are_written_and_announced(arbiter: Command, model: Path, tmp_path: Path) -> None:
    done = arbiter(model.name, "--html", "page.html", "--junit", "junit.xml")
    assert done.status == 0
    assert "report: page.html\nreport: junit.xml\n" in done.err
    assert "/layer1/c" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert 'failures="0"' in (tmp_path / "junit.xml").read_text(encoding="utf-8")


def test_json_is_all_that_stdout_has(arbiter: Command, model: Path, tmp_path: Path) -> None:
    (tmp_path / "port.py").write_text("def run(inputs):\n    print('noise')\n    return {'d': 0}\n")
    done = arbiter(model.name, "--port", "port.py:run", "--json")
    assert json.loads(done.out)["holds"] is False
    assert "noise" in done.err


def test_the_wrong_node_is_written_as_a_model_that_runs(
    arbiter: Command, model: Path, images: Images, tmp_path: Path
) -> None:
    wrong = computed(model, images, "d")["d"] + np.float32(1)
    save(tmp_path / "out.npz", {"d": wrong})
    words = [model.name, "--inputs", "in.npz", "--outputs", "out.npz", "--repro", "repro"]
    for _ in range(2):  # the second replaces the first's
        done = arbiter(*words)
        assert done.status == 1
        assert "repro: repro: Conv /layer2/conv, as out.npz ran it" in done.err
    ran = subprocess.run([sys.executable, "run.py"], cwd=tmp_path / "repro", check=False)
    assert ran.returncode == 0


def test_a_folder_of_anything_else_is_never_replaced(
    arbiter: Command, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    done = arbiter(model.name, "--repro", "mine")
    assert done.status == 2
    assert "--repro: mine holds something else" in done.err
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_without_a_wrong_node_no_folder_is_written(
    arbiter: Command, model: Path, tmp_path: Path
) -> None:
    done = arbiter(model.name, "--repro", "repro")
    assert done.status == 0
    assert "repro: no node is wrong, repro is not written" in done.err
    assert not (tmp_path / "repro").exists()


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
