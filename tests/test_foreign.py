"""Text from outside: one line, nothing a terminal obeys, never long."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from l2vault.foreign import printable


@given(st.text(), st.integers(4, 50))
def test_whatever_comes_is_one_harmless_line_of_bounded_length(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in shown)
    assert shown.encode("utf-8").decode("utf-8") == shown


def test_newlines_escape_codes_and_direction_marks_are_spelled() -> None:
    assert printable("a\nb\r\x1b[2J\x07\x9b\u202e\u2028\ud800\x00") == (r"a\nb\r\x1b[2J\x07\x9b\u202e\u2028\ud800\x00")


def test_what_is_readable_stays_as_it_is() -> None:
    text = r"C:\Users\Ünal\Überblick 价格 €"
    assert printable(text) == text


def test_a_huge_text_keeps_both_its_ends_and_costs_nothing() -> None:
    assert printable("start" + "x" * 2_000_000 + "end", 15) == "startx" + "..." + "xxxend"


def test_what_is_no_text_is_shown_as_python_writes_it() -> None:
    assert printable(60012) == "60012"
    assert printable(1 << 60_000) == "a number of thousands of digits"
