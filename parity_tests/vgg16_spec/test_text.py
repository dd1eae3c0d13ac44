"""What controls, reverses or hides is shown as an escape, and every other text as it is."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
from markdown_it import MarkdownIt

from parity_tests.support.foreign_text import HOSTILE, NAME, unseen
from vgg16_spec.errors import BadInput
from vgg16_spec.text import json_text, markdown_code, one_line, visible

# Of Unicode's format characters, those with a shape of their own: signs over numbers, and what
# places one hieroglyph over another.
SHAPED = {
    *range(0x600, 0x606),
    *(0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD),
    *range(0x13430, 0x13440),
}
ORDINARY = {
    "ASCII": r"C:\vgg\16 {x} [red] 'a' \x1b",
    "German, decomposed": "gru\u0308ne Mamba",
    "Vietnamese": "Tiếng Việt",
    "Persian": "می\u200cخواهم",
    "Arabic with vowels": "العَرَبِيَّة",
    "Hebrew with points": "שָׁלוֹם",
    "Hindi": "क्\u200dष हिन्दी",
    "Malayalam, as of old": "അവന്\u200d",
    "Tamil": "தமிழ்",
    "Thai": "ภาษาไทย",
    "Khmer": "ភាសាខ្មែរ",
    "Mongolian": "ᠮᠣᠩᠭᠣᠯ\u180b",
    "Chinese with a variant": "葛\U000e0100 鶴　全角",
    "Japanese": "ﾊﾟﾝﾀﾞ パンダ",
    "Korean": "한국어",
    "a family": "👩\u200d👩\u200d👧\u200d👦",
    "skin and profession": "👩🏽\u200d🚀 ❤\ufe0f\u200d🔥 🏳\ufe0f\u200d🌈",
    "flags": "🇩🇪 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "keycap and text style": "1\ufe0f\u20e3 ☃\ufe0e",
    "spaces": "1\xa0000\u202f000\u3000x",
    "private": "\ue0b0",
}
SPOOFS = {
    "a joiner in a Latin word": ("adm\u200din", r"adm\u200din"),
    "two joiners": ("می\u200c\u200cخ", "می\u200c\\u200cخ"),
    "a selector on a letter": ("a\ufe0fb", r"a\ufe0fb"),
    "selectors in a row": ("☃\ufe0e\ufe0e", "☃\ufe0e\\ufe0e"),
    "tags without a flag": ("x\U000e0061", r"x\U000e0061"),
    "half of a pair": ("\udcff.png", r"\udcff.png"),
}


@pytest.mark.parametrize("text", ORDINARY.values(), ids=ORDINARY)
def test_text_of_any_language_stays_as_it_is(text: str) -> None:
    assert visible(text) == text
    assert json.dumps(text, ensure_ascii=False) == json_text(text)


@pytest.mark.parametrize(("text", "shown"), SPOOFS.values(), ids=SPOOFS)
def test_what_is_a_part_of_a_text_elsewhere_is_escaped_where_it_hides(
    text: str, shown: str
) -> None:
    assert visible(text) == shown


def test_every_character_that_controls_reverses_or_hides_is_escaped() -> None:
    every = set(map(chr, range(sys.maxunicode + 1)))
    hidden = unseen("".join(every), allowed="") - set(map(chr, SHAPED))
    assert len(hidden) > 2048
    for character in hidden:
        assert visible(f"a{character}b") == f"a{escape(ord(character))}b"
    # Marks and what is not assigned have no shape alone, and some of them never.
    others = {c for c in every - hidden if unicodedata.category(c) not in ("Mn", "Cn")}
    text = "a".join(sorted(others))
    assert visible(text) == text


def escape(code: int) -> str:
    if chr(code) in "\n\r\t":
        return {"\n": r"\n", "\r": r"\r", "\t": r"\t"}[chr(code)]
    width, letter = (2, "x") if code < 1 << 8 else (4, "u") if code < 1 << 16 else (8, "U")
    return f"\\{letter}{code:0{width}x}"


def test_nothing_unseen_is_left_and_showing_twice_is_showing_once() -> None:
    for shown in (visible(NAME), one_line(NAME), markdown_code(NAME)):
        assert not unseen(shown, allowed="")
        assert "[red][link=x:y]" in shown
        assert "|<b>&*é鶴" in shown
    assert visible(visible(NAME)) == visible(NAME)
    assert unseen(visible(NAME, keep="\n"), allowed="") == {"\n"}


def test_a_line_is_one_whatever_a_library_says() -> None:
    assert one_line(" a\n\n\tb\u2028c\x0bd ") == "a b\\u2028c d"
    refusal = BadInput("a\nb\u202e", "has\n  a\x1b", "x\n\udcff")
    assert str(refusal) == r"a\nb\u202e: has a\x1b; expected x \udcff"
    assert (refusal.given, refusal.problem) == ("a\nb\u202e", "has\n  a\x1b")


def test_a_program_reads_the_exact_value_of_a_document_that_shows_what_is_there() -> None:
    document = {NAME: [NAME, {"ordinary": list(ORDINARY.values())}, 1.5, None]}
    text = json_text(document)
    assert json.loads(text) == document
    assert unseen(text) <= unseen("".join(ORDINARY.values()))
    assert "é鶴" in text
    assert text.encode()
    assert json_text({"a": [1]}) == json.dumps({"a": [1]}, indent=2)


@pytest.mark.parametrize(
    "text", ["", " ", " a ", "`", "``x`", "a`", "*b* [c](d) <i> &amp; \\", HOSTILE]
)
def test_text_in_markdown_is_code_and_nothing_else(text: str) -> None:
    (line,) = MarkdownIt().parseInline(f"Weights: {markdown_code(text)}.")
    shown = [(each.type, each.content) for each in line.children or ()]
    code = ("code_inline", visible(text) or " ")
    assert shown == [("text", "Weights: "), code, ("text", ".")]
