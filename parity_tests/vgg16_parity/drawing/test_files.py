"""The pictures as files: the same bytes twice, readable by others, whole or refused."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest
from PIL import Image

from parity_tests.support.pages.drawn import DRAWN, texts
from vgg16_parity.drawing import KINDS, Kind, draw, missing
from vgg16_parity.drawing.style import settings
from vgg16_parity.runtimes import registry
from vgg16_spec.architecture import CONFIGURATIONS, Convolution, MaxPooling, configuration
from vgg16_spec.errors import BadInput

every = pytest.mark.parametrize("name", CONFIGURATIONS)
pictures = pytest.mark.parametrize("kind", DRAWN)
graphviz = pytest.mark.skipif(bool(missing("keras")), reason="needs Graphviz and pydot")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with mpl.rc_context(settings()):
        yield


@pictures
@pytest.mark.parametrize("ending", [".svg", ".png"])
def test_the_same_picture_is_the_same_bytes(kind: Kind, ending: str, tmp_path: Path) -> None:
    first, second = (draw(tmp_path / f"{n}{ending}", "tiny", kind=kind) for n in "ab")
    assert first.read_bytes() == second.read_bytes()
    other = draw(tmp_path / f"c{ending}", "E", kind=kind)
    assert first.read_bytes() != other.read_bytes()


@every
@pictures
def test_an_svg_is_well_formed_and_its_text_is_text(name: str, kind: Kind, tmp_path: Path) -> None:
    file = draw(tmp_path / "a.svg", name, kind=kind)
    root = ET.fromstring(file.read_text(encoding="utf-8"))
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert words == [text for text, _ in texts(DRAWN[kind](configuration(name)))]
    assert all("sans-serif" in element.get("style", "") for element in root.iter(f"{SVG}text"))
    title = root.find(f"{SVG}title")
    assert title is not None
    assert f"configuration {name}" in str(title.text)
    identifiers = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(identifiers) == len(set(identifiers))
    if kind == "volumes":
        layers = [x for x in configuration(name).layers if isinstance(x, Convolution | MaxPooling)]
        assert {f"{layer.name}-front" for layer in layers} <= set(identifiers)


@pictures
def test_a_svg_tells_neither_time_nor_versions(kind: Kind, tmp_path: Path) -> None:
    text = draw(tmp_path / "a.svg", kind=kind).read_text(encoding="utf-8")
    assert "date" not in text
    assert mpl.__version__ not in text


@pytest.mark.parametrize(("file", "kind"), [("vgg16-volumes", "volumes"), ("table-d", "table")])
def test_the_committed_pictures_are_what_is_drawn(file: str, kind: Kind, tmp_path: Path) -> None:
    """Shapes, colours and words; numbers may be written otherwise by another matplotlib."""
    committed = ET.parse(Path(__file__).parents[3] / "docs" / "pictures" / f"{file}.svg").getroot()
    drawn = ET.fromstring(draw(tmp_path / "a.svg", kind=kind).read_text(encoding="utf-8"))
    for root in (committed, drawn):
        assert len(list(root.iter(f"{SVG}path"))) > 10
    assert [e.text for e in committed.iter(f"{SVG}text")] == [
        e.text for e in drawn.iter(f"{SVG}text")
    ]
    faces = [
        [
            (e.get("id"), [path.get("style") for path in e.iter(f"{SVG}path")])
            for e in root.iter(f"{SVG}g")
        ]
        for root in (committed, drawn)
    ]
    assert faces[0] == faces[1]


@pictures
def test_a_png_opens_is_1600_pixels_wide_and_light(kind: Kind, tmp_path: Path) -> None:
    file = draw(tmp_path / "a.PNG", kind=kind)
    assert file.stat().st_size < 200_000
    with Image.open(file) as picture:
        assert picture.format == "PNG"
        assert picture.width == 1600
        assert "configuration D" in picture.info["Title"]
        assert picture.convert("RGB").getpixel((2, 2)) == (255, 255, 255)


@graphviz
@pytest.mark.parametrize("ending", [".svg", ".png"])
def test_keras_s_own_picture_names_every_layer(ending: str, tmp_path: Path) -> None:
    file = draw(tmp_path / f"a{ending}", "tiny", kind="keras")
    if ending == ".png":
        with Image.open(file) as picture:
            assert picture.format == "PNG"
            picture.load()
        return
    root = ET.fromstring(file.read_text(encoding="utf-8"))
    titles = [str(element.text) for element in root.iter(f"{SVG}title")]
    for layer in configuration("tiny").layers:
        assert layer.name in titles, layer.name


def test_without_graphviz_the_remedy_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None if name == "pydot" else name)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput) as caught:
        draw(tmp_path / "a.svg", kind="keras")
    assert str(caught.value) == (
        '--kind keras: pydot is not installed: pip install "vgg16-parity[draw]"; '
        "Graphviz's program dot is not on the path: "
        "apt install graphviz, brew install graphviz or https://graphviz.org/download/"
    )
    assert not (tmp_path / "a.svg").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("a.gif", "a.gif: ends in .gif; expected .svg or .png"),
        ("a", "a: has no ending; expected .svg or .png"),
        ("no/a.svg", "no: no such folder; expected an existing folder to write to"),
    ],
)
def test_a_file_that_cannot_be_is_refused(
    kind: Kind, file: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput) as caught:
        draw(tmp_path / file, kind=kind)
    assert str(caught.value) == f"{tmp_path}/{message}"
    assert not list(tmp_path.iterdir())


def test_an_unknown_configuration_or_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="configuration: 'F' is unknown; expected one of A, B"):
        draw(tmp_path / "a.svg", "F")
    with pytest.raises(BadInput, match="--kind: 'oil' is unknown; expected one of volumes, table"):
        draw(tmp_path / "a.svg", kind="oil")  # type: ignore[arg-type]
