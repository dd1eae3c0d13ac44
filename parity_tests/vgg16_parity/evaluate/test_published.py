"""Published figures are those of the weights at hand, and say how they were measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parity_tests.support.pages.evaluations import evaluation, statistics
from vgg16_parity.evaluate.datasets.items import Skipped
from vgg16_parity.evaluate.published import VALIDATION_IMAGES, comparison_note, published_figures
from vgg16_parity.evaluate.records import ClassAccuracy, Evaluation
from vgg16_parity.evaluate.statistics import share
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint.metadata import Metadata
from vgg16_weights.published.pretrained import PUBLISHED

D = configuration("D")
TORCHVISION = PUBLISHED["torchvision-imagenet1k-v1"]
KERAS = PUBLISHED["keras-imagenet"]
SAME = Metadata("torchvision", TORCHVISION.file, source_sha256=TORCHVISION.digest.value)


def imagenet(**values: object) -> Evaluation:
    """An evaluation of as many images and classes as ImageNet's validation set has."""
    made = evaluation(statistics())
    classes = tuple(
        ClassAccuracy(index, f"class {index}", share(36, 50), share(45, 50))
        for index in range(1000)
    )
    facts = {
        "images": VALIDATION_IMAGES,
        "labelled": VALIDATION_IMAGES,
        "duplicates": (),
        "unreadable": (),
        "runtimes": (replace(made.runtimes[0], classes=classes),),
        "published": published_figures(D, SAME),
    }
    return replace(made, **facts | values)  # type: ignore[arg-type]


def test_every_figure_on_record_is_shown_with_its_recipe_and_preparation() -> None:
    for record in PUBLISHED.values():
        figures = published_figures(D, Metadata(record.recipe))
        shown = [each for each in figures if each.source == record.accuracy_source]
        if record.top1 is None:
            assert shown == []
        else:
            (figure,) = shown
            assert (figure.top1, figure.top5) == (record.top1, record.top5)
            assert "crop of 224" in figure.preparation


def test_the_two_trainings_are_never_mixed() -> None:
    ours = [each.source for each in published_figures(D, Metadata("torchvision"))]
    theirs = [each.source for each in published_figures(D, Metadata("caffe"))]
    assert not set(ours) & set(theirs)
    assert not any("Simonyan" in source for source in ours)
    assert sum("Simonyan" in source for source in theirs) == 4


def test_the_papers_errors_are_its_accuracies() -> None:
    # Tables 3 to 5: top-1 and top-5 error in percent.
    errors = [(25.6, 8.1), (24.8, 7.5), (24.6, 7.5), (24.4, 7.2)]
    paper = [each for each in published_figures(D, Metadata("caffe")) if "Simonyan" in each.source]
    found = [(round(100 - each.top1, 1), round(100 - each.top5, 1)) for each in paper]
    assert found == errors


@pytest.mark.parametrize("recipe", ["tf", "zero-one", "torchvision-features", "mine"])
def test_other_recipes_have_no_figures(recipe: str) -> None:
    assert published_figures(D, Metadata(recipe)) == ()


def test_other_networks_and_classes_have_no_figures() -> None:
    assert published_figures(configuration("E"), Metadata("caffe")) == ()
    assert published_figures(configuration("tiny"), Metadata("torchvision")) == ()
    assert published_figures(D.with_head(classes=10), Metadata("torchvision")) == ()


@pytest.mark.parametrize(
    ("metadata", "same"),
    [
        (SAME, True),
        (replace(SAME, source="renamed.pth"), True),
        (replace(SAME, source_sha256="0" * 64), False),
        (replace(SAME, source_sha256=""), False),
        # Keras publishes an MD5 alone, so that its file is known by name.
        (Metadata("caffe", KERAS.file, source_sha256="0" * 64), True),
        (Metadata("caffe", "mine.h5"), False),
        (Metadata("torchvision", "seeded (version 1, seed 0)", "seeded"), False),
    ],
)
def test_weights_are_the_published_ones_where_their_source_says_so(
    metadata: Metadata, same: bool
) -> None:
    figures = published_figures(D, metadata)
    assert {each.same_weights for each in figures} == {same}


def test_the_validation_set_with_published_weights_needs_no_note() -> None:
    assert comparison_note(imagenet()) == ""


def test_images_that_were_left_out_are_told() -> None:
    left_out = (Skipped("a", "the bytes of b"),)
    note = comparison_note(imagenet(duplicates=left_out, labelled=VALIDATION_IMAGES - 1))
    assert note.startswith("1 of the 50,000 images were left out here")
    assert "another data set" not in note


@pytest.mark.parametrize("labelled", [300, 49_999, 50_001])
def test_another_number_of_images_is_another_data_set(labelled: int) -> None:
    note = comparison_note(imagenet(labelled=labelled))
    assert f"another data set, {labelled:,} labelled images of 1,000 classes" in note


def test_another_number_of_classes_is_another_data_set() -> None:
    runtimes = evaluation().runtimes
    note = comparison_note(imagenet(runtimes=runtimes))
    assert "50,000 labelled images of 10 classes" in note


def test_other_weights_are_told() -> None:
    other = published_figures(D, Metadata("torchvision"))
    assert "does not say that it comes from the published file" in comparison_note(
        imagenet(published=other)
    )


def test_nothing_published_needs_no_note() -> None:
    assert comparison_note(evaluation()) == ""
