"""Published weights by name: what is on record, and that a name is good wherever weights are."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity_tests.support.helpers import Command, same
from parity_tests.support.weights.published import publish
from parity_tests.support.weights.server import WeightServer, serve
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import RECIPES
from vgg16_weights import FORMATS, open_weights, read
from vgg16_weights.open import Weights, checkpoint_for
from vgg16_weights.published import pretrained
from vgg16_weights.published.pretrained import PUBLISHED, Published

CAT = str(PHOTOGRAPHS[0].path)
WHOLE = ["keras-imagenet", "torchvision-imagenet1k-v1", "timm-tv-in1k"]
FEATURES = ["keras-imagenet-notop", "torchvision-imagenet1k-features"]


@pytest.fixture(scope="module")
def server() -> Iterator[WeightServer]:
    with serve() as served:
        yield served


@pytest.fixture(scope="module")
def records(
    server: WeightServer, tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Published]:
    return publish(tiny, server, tmp_path_factory.mktemp("published"))


@pytest.fixture
def tiny_published(
    records: dict[str, Published], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Published]:
    """The tiny records in place of the real ones, and an empty cache."""
    monkeypatch.setattr(pretrained, "PUBLISHED", records)
    monkeypatch.setenv("VGG16_CACHE", str(tmp_path / "cache"))
    return records


@pytest.mark.parametrize(
    ("name", "constant"),
    [("keras-imagenet", "WEIGHTS_PATH"), ("keras-imagenet-notop", "WEIGHTS_PATH_NO_TOP")],
)
def test_keras_says_the_same_of_its_weights(name: str, constant: str) -> None:
    from keras.src.applications import vgg16 as theirs

    record = PUBLISHED[name]
    assert record.url == getattr(theirs, constant)
    assert record.url.endswith(f"/{record.file}")
    source = inspect.getsource(theirs.VGG16)
    asked = source[source.index(f'"{record.file}"') :]
    assert record.digest.algorithm == "md5"
    assert asked[asked.index("file_hash=") :].startswith(f'file_hash="{record.digest.value}"')
    # That `caffe` is Keras's own preprocessing is tested with the recipes.
    assert record.recipe == "caffe"


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("torchvision-imagenet1k-v1", "IMAGENET1K_V1"),
        ("torchvision-imagenet1k-features", "IMAGENET1K_FEATURES"),
    ],
)
def test_torchvision_says_the_same_of_its_weights(name: str, member: str) -> None:
    from torchvision.models import VGG16_Weights

    record, theirs = PUBLISHED[name], VGG16_Weights[member]
    assert record.url == theirs.url
    assert record.digest.algorithm == "sha256"
    stem = Path(record.url).stem
    assert record.digest.value.startswith(stem.rpartition("-")[2])
    assert round(record.size / 2**20, 3) == theirs.meta["_file_size"]
    metrics = theirs.meta["_metrics"]["ImageNet-1K"]
    if record.features_only:
        assert np.isnan(metrics["acc@1"])
        assert (record.top1, record.top5) == (None, None)
    else:
        assert (record.top1, record.top5) == (metrics["acc@1"], metrics["acc@5"])
    transform, recipe = theirs.transforms(), RECIPES[record.recipe]
    assert (transform.mean, transform.std) == (list(recipe.mean), list(recipe.std))
    assert (transform.crop_size, transform.resize_size) == ([recipe.crop], [recipe.resize])
    assert transform.interpolation.name == recipe.resample


def test_timm_says_the_same_of_its_weights() -> None:
    import timm

    record, theirs = PUBLISHED["timm-tv-in1k"], timm.get_pretrained_cfg("vgg16.tv_in1k")
    recipe = RECIPES[record.recipe]
    assert theirs is not None
    assert theirs.hf_hub_id == record.repository
    assert str(theirs.license).lower() == record.licence.lower()
    assert (theirs.mean, theirs.std) == (recipe.mean, recipe.std)
    assert theirs.interpolation.upper() == recipe.resample
    assert theirs.input_size == (3, recipe.crop, recipe.crop)
    assert theirs.crop_mode == "center"
    assert int(theirs.input_size[1] / theirs.crop_pct) == recipe.resize


@pytest.mark.parametrize("record", PUBLISHED.values(), ids=PUBLISHED)
def test_records_are_usable(record: Published) -> None:
    assert record.name in PUBLISHED
    assert record.recipe in RECIPES
    assert record.file_format in FORMATS
    assert record.url.startswith("https://")
    assert Path(record.file).name == record.file
    assert set(record.digest.value) <= set("0123456789abcdef")
    assert (record.top1 is None) == bool(record.features_only) == (not record.accuracy_source)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_name_opens_the_values_with_their_recipe(
    tiny_published: dict[str, Published], tiny: Checkpoint, name: str
) -> None:
    checkpoint = open_weights(name)
    assert same(checkpoint, tiny if name in WHOLE else tiny.without_top())
    checkpoint.check_values()
    assert checkpoint.metadata.recipe == PUBLISHED[name].recipe
    assert checkpoint.metadata.licence == PUBLISHED[name].licence
    assert checkpoint.metadata.source == tiny_published[name].url


def test_a_file_of_that_name_goes_before(
    tiny_published: dict[str, Published], tiny: Checkpoint, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keras-imagenet").write_bytes(tiny.file.read_bytes())
    assert open_weights("keras-imagenet").metadata == tiny.metadata


def test_a_mistyped_name_is_told_the_names() -> None:
    with pytest.raises(BadInput, match=r"^keras-imagenot: no such file, and no .* keras-imagenet,"):
        open_weights("keras-imagenot")


def keras_model(builder: str) -> Callable[..., Checkpoint]:
    def build(**options: Any) -> Checkpoint:
        import keras_impl

        model = getattr(keras_impl, builder)("tiny", **options)
        return keras_impl.to_checkpoint(model)

    return build


def torch_model(**options: Any) -> Checkpoint:
    import torch_impl

    return torch_impl.to_checkpoint(torch_impl.VGG("tiny", **options))


MODELS = {
    "functional": keras_model("functional"),
    "sequential": keras_model("sequential"),
    "VGG": torch_model,
}


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_models_take_names_files_and_checkpoints(
    tiny_published: dict[str, Published],
    tiny: Checkpoint,
    build: Callable[..., Checkpoint],
) -> None:
    whole: list[Weights] = ["keras-imagenet", "timm-tv-in1k", tiny.file, str(tiny.file), tiny]
    for weights in whole:
        assert same(build(weights=weights), tiny)
    features: list[Weights] = [*FEATURES, "keras-imagenet", tiny]
    for weights in features:
        assert same(build(weights=weights, include_top=False), tiny.without_top())


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_models_refuse_weights_that_would_be_left_out_silently(
    tiny_published: dict[str, Published], tiny: Checkpoint, build: Callable[..., Checkpoint]
) -> None:
    with pytest.raises(BadInput) as error:
        build(weights="torchvision-imagenet1k-features")
    assert str(error.value) == (
        "torchvision-imagenet1k-features (the classifier's values in the file are NaN): has no "
        "classifier; expected include_top=False for the features alone"
    )
    with pytest.raises(BadInput) as error:
        build(weights=tiny, classes=10)
    assert str(error.value).endswith(
        ": has 1000 classes, the network 10; expected classes=1000, or a new head by choice: "
        "include_top=False, or load_checkpoint(model, checkpoint, drop_head=True)"
    )


def test_the_weights_of_another_configuration_are_refused(tiny: Checkpoint) -> None:
    from vgg16_spec.architecture import configuration

    with pytest.raises(BadInput, match="holds configuration tiny; expected configuration D"):
        checkpoint_for(tiny, configuration("D"))


def test_the_list_shows_what_is_on_record_and_what_is_cached(
    vgg16: Command, tiny_published: dict[str, Published]
) -> None:
    assert vgg16("weights", "fetch", "keras-imagenet").status == 0
    done = vgg16("weights", "list")
    lines = {line.split()[0]: line for line in done.out.splitlines()}
    assert "caffe" in lines["keras-imagenet"]
    assert "71.3" in lines["keras-imagenet"]
    assert " yes " in lines["keras-imagenet"]
    assert " no " in lines["keras-imagenet-notop"]
    assert "features only, because the classifier's values in the file are NaN." in done.out
    facts = json.loads(vgg16("weights", "list", "--json").out)["weights"]
    assert [row["name"] for row in facts] == list(PUBLISHED)
    assert [row["cached"] for row in facts] == [True, False, False, False, False]


def test_fetch_prints_the_path_and_says_how_far_it_is(
    vgg16: Command, tiny_published: dict[str, Published]
) -> None:
    done = vgg16("weights", "fetch", "torchvision-imagenet1k-v1")
    path = Path(done.out.strip())
    assert path.name == "vgg16-397923af.pth"
    assert "fetch torchvision-imagenet1k-v1: 100 % of " in done.err
    done = vgg16("weights", "fetch", "--all", "--json")
    assert json.loads(done.out)["files"]["torchvision-imagenet1k-v1"] == str(path)
    assert len(list(path.parent.glob("[!.]*"))) == len(PUBLISHED)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch"], "weights fetch: no name is given; expected keras-imagenet, "),
        (["fetch", "keras-imagenet", "--all"], "weights fetch: names and --all are both given; "),
        (["fetch", "keras-imagenet", "nonsense"], "weights: 'nonsense' is unknown; expected one"),
    ],
)
def test_fetch_refuses_in_one_line(vgg16: Command, arguments: list[str], message: str) -> None:
    done = vgg16("weights", *arguments)
    assert done.status == 2
    assert done.err.strip().startswith(f"vgg16: {message}")


@pytest.mark.slow
def test_the_recipe_travels_from_the_name_to_every_command(
    vgg16: Command, tiny_published: dict[str, Published], tmp_path: Path
) -> None:
    ported = tmp_path / "ported.pth"
    assert "recipe caffe" in vgg16("port", "keras-imagenet", ported).out
    assert read(ported).metadata.recipe == "caffe"
    named = ["--weights", "keras-imagenet", "--json"]
    runtime = ["--images", CAT, "--runtimes", "torch", "--lanes", "strict"]
    report = json.loads(vgg16("parity", *runtime, *named).out)
    assert report["holds"]
    assert report["weights"]["metadata"]["recipe"] == "caffe"
    answers = [
        json.loads(vgg16("predict", CAT, "--runtime", "torch", "--json", "--weights", given).out)
        for given in ("keras-imagenet", ported, "torchvision-imagenet1k-v1")
    ]
    assert answers[0] == answers[1]
    # The same tiny weights, but torchvision's preprocessing.
    assert answers[0]["images"] != answers[2]["images"]
    bundle = tmp_path / "bundle"
    exported = vgg16("export", "--framework", "torch", "--out", bundle, *named)
    assert exported.status == 0, exported.err
    assert '"caffe"' in "".join(path.read_text() for path in bundle.glob("*.json"))


def test_features_are_exported_as_features_and_refused_elsewhere(
    vgg16: Command, tiny_published: dict[str, Published], tmp_path: Path
) -> None:
    name = "torchvision-imagenet1k-features"
    done = vgg16("predict", CAT, "--weights", name)
    assert done.status == 2
    assert "the classifier's values in the file are NaN): has no classifier" in done.err
    out = ["--framework", "torch", "--features", "--out", tmp_path / "bundle"]
    assert vgg16("export", "--weights", name, *out).status == 0


def test_a_size_within_a_mebibyte_is_taken_and_no_other() -> None:
    record = replace(PUBLISHED["keras-imagenet"], size=10)
    assert record.size_limit == 10 + 2**20
