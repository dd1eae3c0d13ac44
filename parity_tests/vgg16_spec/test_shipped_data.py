"""The photographs and the class names that ship with the project are what they are said to be."""

from __future__ import annotations

from vgg16_spec.checkpoint import digest
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import read_image
from vgg16_spec.labels import class_name, imagenet_classes


def test_photographs_are_unchanged_and_small() -> None:
    assert len(PHOTOGRAPHS) >= 2
    assert all(digest(photograph.path) == photograph.sha256 for photograph in PHOTOGRAPHS)
    assert sum(photograph.path.stat().st_size for photograph in PHOTOGRAPHS) < 500_000


def test_every_photograph_states_a_free_licence_and_its_origin() -> None:
    readme = (PHOTOGRAPHS[0].path.parent / "README.md").read_text(encoding="utf-8")
    for photograph in PHOTOGRAPHS:
        (row,) = (line for line in readme.splitlines() if f"`{photograph.file}`" in line)
        _, _, title, author, licence, source, _ = (cell.strip() for cell in row.split("|"))
        assert licence in ("CC0 1.0", "public domain")
        assert title
        assert author
        assert source.startswith("scikit-image, `skimage.data.")
        assert read_image(photograph.path).mode == "RGB"


def test_class_names_are_those_of_torchvision_and_each_is_unique() -> None:
    from torchvision.models import VGG16_Weights

    ours, theirs = imagenet_classes(), VGG16_Weights.IMAGENET1K_V1.meta["categories"]
    assert len(set(ours)) == len(ours) == 1000
    differing = {
        index: (mine, other)
        for index, (mine, other) in enumerate(zip(ours, theirs, strict=True))
        if mine != other
    }
    assert differing == {
        134: ("crane (bird)", "crane bird"),
        517: ("crane (machine)", "crane"),
        639: ("maillot (tank suit)", "maillot tank suit"),
    }


def test_other_classes_than_imagenets_are_numbers() -> None:
    assert class_name(281, 1000) == "tabby"
    assert class_name(2, 10) == "class 2"
