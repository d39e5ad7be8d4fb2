"""Foreign text reaches logs and terminals as one bounded line without control characters."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.okx import foreign
from l2vault.okx.foreign import printable


def test_plain_text_stays_as_it_is() -> None:
    assert printable("No data received in 30s. Grüße, 価格") == "No data received in 30s. Grüße, 価格"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ok\nERROR GAP DETECTED", "ok\\nERROR GAP DETECTED"),
        ("\x1b[2J\x07\r\t\x00", "\\x1b[2J\\x07\\r\\t\\x00"),
        ("\u202egnp.exe", "\\u202egnp.exe"),  # turns the reading direction round
        ("a\u2028b\x85c", "a\\u2028b\\x85c"),  # line ends that are no \n
        ("\ud800", "\\ud800"),  # half a surrogate pair, which no file can hold
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_what_is_not_printable_is_written_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_the_examples_of_its_documentation_hold() -> None:
    assert doctest.testmod(foreign).failed == 0


@given(st.text(), st.integers(min_value=4, max_value=40))
def test_whatever_the_text_is_it_fits_and_can_be_written(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    shown.encode("utf-8")  # as a log file does
    if text.isprintable() and len(text) <= limit:
        assert shown == text
