"""Each different answer is put down to rounding, or to a mistake and its first wrong layer."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import torch_impl
from parity_tests.support.evaluation.close_classes import (
    CONTENTS,
    DATASET,
    FIRST,
    SECOND,
    Logits,
    close,
    counted,
    measured,
    right,
    swapped,
    verdict,
)
from vgg16_parity.evaluate import explain
from vgg16_parity.evaluate.arbiter import mode_of
from vgg16_parity.evaluate.assembly import assemble
from vgg16_parity.evaluate.logits_check import check_logits
from vgg16_parity.evaluate.measured import MeasuredRuntime
from vgg16_parity.evaluate.records import Answer, Dispute
from vgg16_parity.runtimes.registry import KNOWN, RUNTIMES, Runtime
from vgg16_parity.verdicts import CaseVerdict
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.preprocessing import normalise, read_image
from vgg16_spec.images.views import (
    Views,
    averaged_log_posteriors,
    logits_of_views,
    resized_to_scales,
)

ONNX_FILE = Runtime("model", "torch", onnx=True, file="model.onnx")


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., tuple[Dispute, ...]]:
    """The disputes between a right runtime and another."""

    def made(
        checkpoint: Checkpoint, other: Logits, runtime: Runtime | None = None, **options: Any
    ) -> tuple[Dispute, ...]:
        about = {key: options.pop(key) for key in ("flags", "own_mode") if key in options}
        runtimes = {"other": runtime or RUNTIMES["torch"]}
        both = {"right": right(checkpoint), "other": other}
        of = measured(tmp_path, both, runtimes, **about)
        return explain.explain(checkpoint, of, counted(of, checkpoint), **options)

    return made


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The images of each group that is computed again alone, in all of which fc1 is wrong."""
    groups: list[list[str]] = []

    def judged(_: object, __: object, images: Any, *___: object) -> list[CaseVerdict]:
        groups.append([image.item.name for image in images])
        return [verdict("fc1")] * len(images)

    monkeypatch.setattr(explain, "judge_alone", judged)
    return groups


def of(dispute: Dispute, runtime: str = "other") -> Answer:
    (answer,) = (each for each in dispute.answers if each.runtime == runtime)
    return answer


def test_an_answer_within_rounding_is_inside(
    tiny: Checkpoint, found: Any, followed: list[list[str]]
) -> None:
    checkpoint = close(tiny, 4e-6)
    (dispute,) = found(checkpoint, swapped(right(checkpoint), 2))
    assert dispute.name == DATASET.items[2].name
    assert dispute.arbiter[:2] == (FIRST, SECOND)
    assert [answer.cause for answer in dispute.answers] == ["inside", "inside"]
    assert of(dispute, "right").margin == 0
    assert of(dispute).top5[0] == SECOND
    assert of(dispute).deviations > 0
    assert followed == []
    assert max(Image.open(io.BytesIO(dispute.thumbnail)).size) <= 112


def test_an_answer_beyond_rounding_is_a_mistake_with_its_layer(
    tiny: Checkpoint, found: Any, followed: list[list[str]]
) -> None:
    checkpoint = close(tiny, 0.01)
    disputes = found(checkpoint, swapped(right(checkpoint), 1, 4))
    names = [DATASET.items[place].name for place in (1, 4)]
    assert sorted(dispute.name for dispute in disputes) == names
    assert followed == [names]
    for dispute in disputes:
        assert of(dispute).cause == "mistake"
        assert of(dispute).wrong_layer == "fc1"
        assert of(dispute).deviations > 10
        assert of(dispute, "right").cause == "inside"
        assert of(dispute, "right").wrong_layer == ""


def test_a_runtime_of_fewer_bits_is_judged_by_its_own_rounding(
    tiny: Checkpoint, found: Any, followed: list[list[str]]
) -> None:
    checkpoint = close(tiny, 0.01)
    other = swapped(right(checkpoint), 1)
    for about in (
        {"own_mode": "float16"},
        {"runtime": ONNX_FILE, "flags": {"precision": "fp16"}},
    ):
        (dispute,) = found(checkpoint, other, **about)
        assert of(dispute).cause == "inside"
    (dispute,) = found(checkpoint, other, ONNX_FILE, flags={"precision": "int8"})
    assert of(dispute).cause == "quantised"
    assert of(dispute).margin > 0
    assert followed == []


def test_the_layers_of_an_onnx_file_are_not_followed(
    tiny: Checkpoint, found: Any, followed: list[list[str]]
) -> None:
    checkpoint = close(tiny, 0.01)
    (dispute,) = found(checkpoint, swapped(right(checkpoint), 1), ONNX_FILE)
    assert (of(dispute).cause, of(dispute).wrong_layer) == ("mistake", "")
    assert followed == []


def test_logits_that_are_not_finite_are_a_mistake(
    tiny: Checkpoint, found: Any, followed: list[list[str]]
) -> None:
    other = right(close(tiny, 1.0)).copy()
    other[5, 0] = np.nan
    (dispute,) = found(close(tiny, 1.0), other)
    assert of(dispute).cause == "mistake"
    assert of(dispute).top5 == ()
    assert followed == [[DATASET.items[5].name]]


def test_at_most_so_many_are_judged_and_the_others_say_so(
    tiny: Checkpoint, found: Any, followed: list[list[str]]
) -> None:
    checkpoint = close(tiny, 0.01)
    disputes = found(checkpoint, swapped(right(checkpoint), *range(6)), most=2)
    causes = {dispute.name: of(dispute).cause for dispute in disputes}
    # Spread over the data set.
    judged = [DATASET.items[place].name for place in (0, 3)]
    assert {name for name, cause in causes.items() if cause == "mistake"} == set(judged)
    assert list(causes.values()).count("not judged") == 4
    # The largest margin comes first.
    assert {dispute.name for dispute in disputes[:2]} == set(judged)


def test_what_the_layers_explain_is_no_mistake(
    tiny: Checkpoint, found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As errors of Winograd's algorithm, which are larger than those of direct sums."""
    checkpoint = close(tiny, 0.01)
    other = swapped(right(checkpoint), 1)
    for error, cause in ((0.02, "inside"), (0.001, "mistake")):
        monkeypatch.setattr(explain, "judge_alone", lambda *_, e=error: [verdict(error=e)])
        (dispute,) = found(checkpoint, other)
        assert (of(dispute).cause, of(dispute).wrong_layer) == (cause, "")


def test_without_explanations_the_arbiter_is_not_asked(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError

    checkpoint = close(tiny, 0.01)
    logits = right(checkpoint)
    of_both = measured(tmp_path, {"a": logits, "b": swapped(logits, 0)}, {})
    monkeypatch.setattr("vgg16_parity.evaluate.arbiter.predict", never)
    evaluation, _ = assemble(DATASET, checkpoint, of_both, most_explained=0)
    (dispute,) = evaluation.disputes
    assert [answer.cause for answer in dispute.answers] == ["not judged"] * 2


@pytest.mark.parametrize(
    ("runtime", "about", "mode"),
    [
        (RUNTIMES["torch"], {}, "float32"),
        (RUNTIMES["torch"], {"lane": "bfloat16"}, "bfloat16"),
        (KNOWN["ncnn"], {"own_mode": "float16"}, "float16"),
        (ONNX_FILE, {}, "float32"),
        (ONNX_FILE, {"flags": {"precision": "int8"}}, None),
    ],
)
def test_the_mode_is_that_in_which_a_runtime_computed(
    runtime: Runtime, about: dict[str, Any], mode: str | None
) -> None:
    entry = MeasuredRuntime(runtime, "strict", "cpu", "measured")
    found = mode_of(replace(entry, **about))
    assert (found and found.name) == mode


@pytest.mark.slow
def test_the_layer_that_is_wrong_is_found(tiny: Checkpoint, tmp_path: Path) -> None:
    port = tmp_path / "port.py"
    port.write_text(
        "import torch\nimport torch_impl\nfrom vgg16_spec import open_checkpoint\n\n"
        "def run(images, path):\n"
        "    checkpoint = open_checkpoint(path)\n"
        "    model = torch_impl.VGG(checkpoint.configuration.name, weights=checkpoint)\n"
        "    weights = dict(model.named_parameters())\n"
        "    with torch.no_grad():\n"
        "        list(weights.values())[6].mul_(1.3)\n"
        "    return torch_impl.run_with_taps(model, images)\n"
    )
    checkpoint = close(tiny, 0.01)
    own = replace(RUNTIMES["torch"], port=f"{port}:run")
    both = {"right": right(checkpoint), "other": swapped(right(checkpoint), 3)}
    of_both = measured(tmp_path, both, {"other": own})
    (dispute,) = explain.explain(checkpoint, of_both, counted(of_both, checkpoint))
    assert of(dispute).wrong_layer == "block2_conv2"


@pytest.mark.parametrize(
    "views",
    [Views((70, 83), 64, flip=True), Views((70,), 64, crops=50)],
    ids=["dense, two scales, flipped", "50 crops"],
)
def test_averaged_views_are_judged_by_their_own_rounding(
    views: Views, tiny: Checkpoint, tmp_path: Path
) -> None:
    checkpoint = close(tiny, 0.01)
    dense = torch_impl.DenseVGG(torch_impl.VGG("tiny", weights=checkpoint))

    def compute(pixels: NDArray[np.uint8]) -> NDArray[Any]:
        return torch_impl.run_densely(dense, normalise(pixels, checkpoint.recipe))

    found = []
    for content in CONTENTS:
        wholes = resized_to_scales(read_image(content), checkpoint.recipe, views)
        found.append(averaged_log_posteriors(logits_of_views(wholes, views, compute)))
    computed = np.stack(found)
    wrong = computed.copy()
    wrong[:, 17] += 0.01
    both = {"right": computed, "wrong": wrong, "other": swapped(computed, 2)}
    of_all = measured(tmp_path, both, {})
    as_posteriors = tuple(replace(entry, result_type="float64") for entry in of_all.runtimes)
    of_all = replace(of_all, runtimes=as_posteriors)
    checks = check_logits(checkpoint, of_all, views=views)
    assert [checks[name].passed for name in both] == [True, False, True]
    (dispute,) = explain.explain(checkpoint, of_all, counted(of_all, checkpoint), views=views)
    assert dispute.name == DATASET.items[2].name
    assert [answer.cause for answer in dispute.answers] == ["inside", "inside", "mistake"]
