"""``--recipe`` and ``--labels`` on the commands; an assumed recipe is said to be one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import vgg16_weights
from export import export_onnx
from parity_tests.support.graphs.exports import remembered_traces
from parity_tests.support.helpers import Command, judge_probabilities, same
from vgg16_parity.cli.options import resolve_to_run
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import preprocess, read_image
from vgg16_spec.images.recipes import RECIPES, Recipe

PICTURE = PHOTOGRAPHS[0].path
OWN = Recipe(
    name="mine", channels="BGR", scale=64.5, mean=(0.5, 1.25, 2.0), std=(2.0, 4.0, 0.7), crop=200
)
TOML = """
name = "mine"
scale = 64.5
mean = [0.5, 1.25, 2.0]
std = [2.0, 4.0, 0.7]
order = "BGR"
crop = 200
"""
NAMES = ("tench", "crane", "grüne Mamba")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recipe, names, and weights of three classes that state nothing of themselves."""
    (tmp_path / "own.toml").write_text(TOML)
    (tmp_path / "names.txt").write_text("\r\n".join(NAMES), encoding="utf-8", newline="")
    checkpoint = generate(configuration("tiny", classes=3), 4)
    vgg16_weights.write(checkpoint, tmp_path / "w.safetensors", "torchvision-safetensors")
    save_file(load_file(tmp_path / "w.safetensors"), tmp_path / "w.safetensors")
    return tmp_path


@pytest.fixture(autouse=True)
def once() -> Iterator[None]:
    with remembered_traces():
        yield


def test_port_keeps_both_in_every_format(vgg16: Command, folder: Path) -> None:
    given = ("--recipe", folder / "own.toml", "--labels", folder / "names.txt")
    done = vgg16("port", folder / "w.safetensors", folder / "a.npz", *given)
    assert done.status == 0, done.err
    assert done.out.rstrip().endswith("recipe mine")
    assert vgg16("port", folder / "a.npz", folder / "b.weights.h5").status == 0
    read = vgg16_weights.read(folder / "b.weights.h5")
    assert (read.recipe, read.class_names) == (OWN, NAMES)
    assert same(read, vgg16_weights.read(folder / "w.safetensors"))


def test_port_says_which_recipe_it_assumed(vgg16: Command, folder: Path) -> None:
    source = folder / "w.safetensors"
    done = vgg16("port", source, folder / "a.npz")
    assert done.out.rstrip().endswith("recipe torchvision (assumed)")
    facts = json.loads(vgg16("port", source, folder / "a.npz", "--json").out)
    assert (facts["recipe"], facts["recipe_assumed"]) == ("torchvision", True)
    for stated in ("torchvision", "tf"):
        done = vgg16("port", source, folder / "a.npz", "--recipe", stated)
        assert done.out.rstrip().endswith(f"recipe {stated}")
    done = vgg16("port", folder / "a.npz", folder / "b.npz", "--json")
    assert (json.loads(done.out)["recipe"], json.loads(done.out)["recipe_assumed"]) == ("tf", False)


@pytest.mark.slow
def test_predict_prepares_by_the_recipe_and_names_the_classes(vgg16: Command, folder: Path) -> None:
    weights = folder / "w.safetensors"
    arguments = ("predict", PICTURE, "--weights", weights, "--runtime", "torch", "--json")
    given = ("--recipe", folder / "own.toml", "--labels", folder / "names.txt")
    checkpoint = vgg16_weights.read(weights)
    for options, recipe, names in (
        (given, OWN, NAMES),
        ((), RECIPES["torchvision"], ("class 0", "class 1", "class 2")),
    ):
        done = vgg16(*arguments, *options)
        document = json.loads(done.out)
        images = preprocess(read_image(PICTURE), recipe, size=64)
        found = {e["name"]: e["probability"] for e in document["images"][0]["top5"]}
        assert found.keys() == set(names)
        verdict = judge_probabilities(
            np.array([[found[name] for name in names]]), checkpoint, images
        )
        assert verdict.passed, verdict.reason
        assert (document["recipe"], document["recipe_assumed"]) == (recipe.name, not options)
        said = [line for line in done.err.splitlines() if line.startswith("recipe ")]
        assert said == [] if options else len(said) == 1
        assert options or said[0].startswith(f"recipe torchvision (assumed: {weights} names none")


def test_seeded_weights_have_a_known_recipe_and_take_another(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert resolve_to_run(None, "tiny", None).recipe == RECIPES["torchvision"]
    assert resolve_to_run(None, "tiny", "caffe").recipe == RECIPES["caffe"]
    assert "assumed" not in capsys.readouterr().err


@pytest.mark.slow
def test_parity_takes_the_recipe_and_its_report_says_all_of_it(
    vgg16: Command, folder: Path
) -> None:
    arguments = ("parity", "--weights", folder / "w.safetensors", "--runtimes", "torch", "--quick")
    report, page = folder / "r.json", folder / "r.html"
    done = vgg16(*arguments, "--recipe", folder / "own.toml", "--report", report, "--html", page)
    assert done.status == 0, done.err
    weights = json.loads(report.read_text(encoding="utf-8"))["weights"]
    assert (weights["metadata"]["recipe"], weights.get("recipe_assumed")) == ("mine", None)
    assert json.loads(weights["metadata"]["preprocessing"])["mean"] == [0.5, 1.25, 2.0]
    done = vgg16(*arguments, "--json", "--against", report)
    document = json.loads(done.out)
    assert document["weights"]["recipe_assumed"]
    assert "recipe torchvision (assumed: " in done.err
    moved = {(change["where"], change["what"]) for change in document["moved"]}
    assert ("weights", "recipe") in moved


def test_a_report_does_not_replace_the_recipe(vgg16: Command, folder: Path) -> None:
    recipe = folder / "own.json"
    recipe.write_text('{"scale": 2}')
    done = vgg16("parity", "--quick", "--recipe", recipe, "--report", recipe)
    assert done.status == 2
    assert recipe.read_text() == '{"scale": 2}'


@pytest.mark.slow
def test_export_and_check_agree_on_a_recipe_that_only_options_state(
    vgg16: Command, folder: Path
) -> None:
    weights = ("--weights", folder / "w.safetensors")
    given = ("--recipe", folder / "own.toml")
    names = ("--labels", folder / "names.txt")
    out = folder / "bundle"
    arguments = ("export", "--framework", "torch", *weights, "--out", out, "--input", "uint8")
    done = vgg16(*arguments, *given, *names, "--json")
    assert done.status == 0, done.err
    assert "assumed" not in done.err
    assert json.loads(done.out)["recipe"] == "mine"
    assert json.loads((out / "labels.json").read_text(encoding="utf-8")) == list(NAMES)
    check = ("check", out / "model.onnx", *weights, "--images", PICTURE)
    assert vgg16(*check, *given).status == 0
    wrong = vgg16(*check)
    assert wrong.status == 1
    assert "not that of the recipe torchvision" in wrong.out
    assert "recipe torchvision (assumed: " in wrong.err


def test_export_says_which_recipe_it_assumed(vgg16: Command, folder: Path) -> None:
    weights, out = folder / "w.safetensors", folder / "m.onnx"
    done = vgg16("export", "--framework", "torch", "--weights", weights, "--out", out, "--json")
    document = json.loads(done.out)
    assert (document["recipe"], document["recipe_assumed"]) == ("torchvision", True)
    assert "recipe torchvision (assumed: " in done.err


TAKE_LABELS = ("port", "predict", "export")
TAKE_A_RECIPE = (*TAKE_LABELS, "parity", "check")
REFUSED = {
    "unknown recipe": (["--recipe", "imagenet"], "--recipe: 'imagenet' is unknown; expected one"),
    "recipe of another kind": (["--recipe", "names.txt"], "names.txt: its name does not tell"),
    "bad recipe": (["--recipe", "bad.json"], "bad.json: std: is 0; expected a number from"),
    "missing names": (["--labels", "none.txt"], "none.txt: no such file"),
    "empty names": (["--labels", "empty.txt"], "empty.txt: it has no names"),
}


@pytest.mark.parametrize(
    ("case", "command"),
    [
        (case, command)
        for case, (options, _) in REFUSED.items()
        for command in (TAKE_LABELS if "--labels" in options else TAKE_A_RECIPE)
    ],
)
def test_what_is_no_recipe_or_no_names_is_refused_before_weights_are_read(
    vgg16: Command, folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, case: str
) -> None:
    monkeypatch.chdir(folder)
    Path("bad.json").write_text('{"scale": 1, "std": 0}')
    Path("empty.txt").touch()
    Path("m.onnx").touch()
    options, message = REFUSED[case]
    arguments: dict[str, list[object]] = {
        "port": ["none.pth", "out.npz"],
        "predict": [PICTURE, "--weights", "none.pth"],
        "export": ["--framework", "torch", "--weights", "none.pth", "--out", "out"],
        "parity": ["--weights", "none.pth"],
        "check": ["m.onnx", "--weights", "none.pth"],
    }
    done = vgg16(command, *arguments[command], *options)
    assert done.status == 2
    assert done.err.startswith(f"vgg16: {message}")
    assert done.err.count("\n") == 1
    assert len(done.err) <= 300
    assert not {"out", "out.npz"} & {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels", "two.txt"], "two.txt: has 2 names; expected 3, one for each class of w.safe"),
        (["--labels", "names.txt", "--no-top"], "--labels: cannot be combined with --no-top"),
    ],
)
def test_names_that_do_not_fit_the_head_are_refused(
    vgg16: Command,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(folder)
    Path("two.txt").write_text("a\nb\n")
    done = vgg16("port", "w.safetensors", "out.npz", *arguments)
    assert done.status == 2
    assert done.err.splitlines()[-1].startswith(f"vgg16: {message}")
    assert not Path("out.npz").exists()


def test_names_for_features_are_refused(vgg16: Command, folder: Path) -> None:
    given = ("--weights", folder / "w.safetensors", "--labels", folder / "names.txt")
    done = vgg16("export", "--framework", "torch", "--features", "--out", folder / "o", *given)
    assert done.status == 2
    assert "--labels: cannot be combined with --features" in done.err


def test_the_python_api_takes_a_recipe_too(tiny: Checkpoint, tmp_path: Path) -> None:
    model = export_onnx("torch", tiny.with_recipe(OWN), tmp_path / "m.onnx", input="uint8")
    assert model.is_file()
    assert np.array_equal(tiny.with_recipe(OWN)["fc2.bias"], tiny["fc2.bias"])
