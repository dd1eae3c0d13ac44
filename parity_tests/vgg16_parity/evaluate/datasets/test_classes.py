"""A data set's classes become the checkpoint's, or are refused; none is guessed."""

from __future__ import annotations

import re

import pytest

from vgg16_parity.evaluate.datasets.classes import is_imagenet, map_classes, synsets
from vgg16_spec.errors import BadInput
from vgg16_spec.labels import class_names, imagenet_classes

IMAGENET = imagenet_classes()
# As Keras names them: the first word alone.
TWICE = tuple(re.sub(r" \(.*", "", name) for name in IMAGENET)


def mapped(
    names: list[str], classes: tuple[str, ...], own: list[str] | None = None
) -> dict[str, int]:
    return map_classes(names, classes, given="set", own=own)[0]


@pytest.mark.parametrize(
    "name", ["great_white_shark", "Great White Shark", "GREAT-WHITE  shark", "great white shark"]
)
def test_names_do_not_depend_on_case_and_separators(name: str) -> None:
    assert mapped([name, "tench"], IMAGENET) == {name: 2, "tench": 0}


def test_a_synonym_names_its_class() -> None:
    names = ("tench, Tinca tinca", "goldfish, Carassius auratus")
    assert mapped(["Carassius_auratus", "tench"], names) == {"Carassius_auratus": 1, "tench": 0}
    assert mapped(["goldfish, Carassius auratus"], IMAGENET) == {"goldfish, Carassius auratus": 1}


def test_numbers_count_as_numbers_and_not_as_text() -> None:
    names = [str(number) for number in range(12)]
    found = mapped(sorted(names), class_names(12), sorted(names))
    assert found == {name: int(name) for name in names}
    assert mapped(["10", "2"], class_names(12), ["10", "2"]) == {"10": 10, "2": 2}
    assert mapped(["007"], class_names(12)) == {"007": 7}


def test_folders_that_count_from_one_are_in_the_order_of_their_numbers() -> None:
    own = sorted(str(number) for number in range(1, 13))
    assert own[1] == "10"
    found, how = map_classes(own, class_names(12), given="set", own=own)
    assert found == {name: int(name) - 1 for name in own}
    assert "in the order of their numbers" in how


def test_labels_that_count_from_one_are_refused() -> None:
    with pytest.raises(BadInput, match="numbers from 1 to 12, where the checkpoint has 12 classes"):
        mapped([str(number) for number in range(1, 13)], class_names(12))


def test_ten_synsets_of_a_thousand_are_the_right_ten() -> None:
    # Imagenette's.
    folders = ["n01440764", "n02102040", "n02979186", "n03000684", "n03028079"]
    folders += ["n03394916", "n03417042", "n03425413", "n03445777", "n03888257"]
    expected = [0, 217, 482, 491, 497, 566, 569, 571, 574, 701]
    for names in (IMAGENET, TWICE):
        assert list(mapped(folders, names, folders).values()) == expected


def test_synsets_of_a_name_that_two_classes_have_are_told_apart_by_position() -> None:
    assert list(mapped(["n02012849", "n03126707"], TWICE).values()) == [134, 517]
    with pytest.raises(BadInput, match="none is called n02012849"):
        mapped(["n02012849"], ("crane", "crane", "cat"))


def test_synsets_with_words_are_synsets() -> None:
    assert mapped(["n02085620-Chihuahua"], IMAGENET) == {"n02085620-Chihuahua": 151}


def test_synsets_are_found_by_name_in_a_checkpoint_of_other_classes() -> None:
    own = ["n01440764", "n01443537"]
    assert mapped(own, ("goldfish", "horse", "tench"), own) == {"n01440764": 2, "n01443537": 0}


@pytest.mark.slow
def test_torchvisions_names_are_the_same_classes() -> None:
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    names = [name.replace(" ", "_") for name in _IMAGENET_CATEGORIES]
    assert list(mapped(names, IMAGENET).values()) == list(range(1000))
    assert is_imagenet(_IMAGENET_CATEGORIES)


def test_a_list_of_names_with_other_words_is_still_imagenets() -> None:
    assert is_imagenet(IMAGENET)
    assert is_imagenet(TWICE)
    assert is_imagenet([f"{name}, or so" for name in IMAGENET])
    assert not is_imagenet(IMAGENET[::-1])
    assert not is_imagenet(IMAGENET[:999])
    assert len(synsets()) == 1000


@pytest.mark.parametrize(
    ("name", "indices"), [("crane", "134 or 517"), ("maillot", "638 or 639"), ("Crane", "134 or")]
)
@pytest.mark.parametrize("classes", [IMAGENET, TWICE], ids=["told apart", "same name"])
def test_a_name_of_two_classes_is_refused(
    name: str, indices: str, classes: tuple[str, ...]
) -> None:
    with pytest.raises(BadInput, match=f"'{name}' may be class {indices}.*; expected synsets"):
        mapped(["tench", name], classes, ["tench", name])


def test_two_names_that_differ_in_case_are_told_apart_by_case_only() -> None:
    # A dog and a jacket.
    assert mapped(["Cardigan", "cardigan"], IMAGENET) == {"Cardigan": 264, "cardigan": 474}
    with pytest.raises(BadInput, match="'CARDIGAN' may be class 264 or 474"):
        mapped(["CARDIGAN"], IMAGENET)


def test_two_like_names_that_are_both_there_are_told_apart() -> None:
    names = ["maillot", "maillot_(tank_suit)", "crane bird", "CRANE (machine)"]
    assert list(mapped(names, IMAGENET).values()) == [638, 639, 134, 517]


def test_punctuation_that_is_the_whole_difference_counts() -> None:
    assert mapped(["c++", "C", "#"], ("C++", "c", "#")) == {"c++": 0, "C": 1, "#": 2}


def test_as_many_folders_as_classes_are_in_sorted_order() -> None:
    own = ["a", "b", "c"]
    found, how = map_classes(["a", "c"], class_names(3), given="set", own=own)
    assert found == {"a": 0, "b": 1, "c": 2}
    assert "in their order" in how
    with pytest.raises(BadInput, match="none is called a, c"):
        mapped(["a", "c"], class_names(3))


def test_sorted_order_that_contradicts_a_name_is_refused() -> None:
    own = ["bird", "cat", "dogs"]
    with pytest.raises(BadInput, match="has 'bird' as class 0, which is the name of class 2"):
        mapped(own, ("cat", "dog", "bird"), own)


def test_other_classes_are_refused_with_both_counts_and_what_would_do() -> None:
    own = ["a", "b"]
    with pytest.raises(BadInput) as refusal:
        mapped(own, class_names(12), own)
    message = str(refusal.value)
    assert "has 2 labels, where the checkpoint has 12 classes, and none is called a, b" in message
    assert "synsets, or numbers from 0 to 11" in message
    assert "\n" not in message


def test_splits_are_no_classes() -> None:
    with pytest.raises(BadInput, match=r"the splits train, val; expected one of these folders"):
        mapped(["train", "val"], class_names(12), ["train", "val"])


def test_a_number_that_is_another_classs_name_is_refused_where_it_may_be_either() -> None:
    with pytest.raises(BadInput, match="numbers and names of other classes"):
        mapped(["1", "2"], ("3", "1", "2", "0")[::-1])
    # Folders are names first, as for torchvision.
    names = ("0", "2", "1", "3")
    assert mapped(["1", "2"], names, ["1", "2"]) == {"1": 2, "2": 1}
    assert mapped(["1", "3"], ("0", "1", "2", "3")) == {"1": 1, "3": 3}


def test_an_unknown_synset_is_refused() -> None:
    with pytest.raises(BadInput, match="none is called n99999999"):
        mapped(["n01440764", "n99999999"], IMAGENET, ["n01440764", "n99999999"])
