"""Exchange time as text, and nothing else taken for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.book.utc import utc_micros, utc_micros_text, utc_ms, utc_text

LAST_MS = 253_402_300_799_999

OTHER_FORMS = [
    "",
    "2023-12-14T15:30:45Z",
    "2023-12-14T15:30:45.1Z",
    "2023-12-14T15:30:45.123456Z",
    "2023-12-14T15:30:45.123",
    "2023-12-14T15:30:45.123z",
    "2023-12-14T15:30:45.123+00:00",
    "2023-12-14 15:30:45.123Z",
    "2023-12-14T15:30:45,123Z",
    "2023-W50-4T15:30:45.123Z",
    "2023-12-14T15-30-45.123Z",
    "2023-12-14T15:30:45.12\u0663Z",
    "2023-12-14T15:30:45.123Z\n",
    " 2023-12-14T15:30:45.123Z",
    "2023-02-30T00:00:00.000Z",
    "2023-13-01T00:00:00.000Z",
    "2023-12-14T24:00:00.000Z",
    "2023-12-14T15:60:00.000Z",
    "2016-12-31T23:59:60.000Z",
    "0000-01-01T00:00:00.000Z",
]


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (1702567845123, "2023-12-14T15:30:45.123Z"),
        (1702567845000, "2023-12-14T15:30:45.000Z"),
        (1702567845007, "2023-12-14T15:30:45.007Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (1709164800000, "2024-02-29T00:00:00.000Z"),
        (1735689599999, "2024-12-31T23:59:59.999Z"),
        (LAST_MS, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_time_has_one_text_and_back(ms: int, text: str) -> None:
    assert utc_text(ms) == text
    assert utc_ms(text) == ms


@given(st.integers(0, LAST_MS))
def test_every_millisecond_survives_the_way_to_text_and_back(ms: int) -> None:
    assert utc_ms(utc_text(ms)) == ms


@given(st.integers(0, LAST_MS), st.integers(0, LAST_MS))
def test_times_sort_as_their_texts_do(one: int, other: int) -> None:
    assert (one < other) == (utc_text(one) < utc_text(other))


@pytest.mark.parametrize("text", OTHER_FORMS)
def test_any_other_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        utc_ms(text)


@given(st.text("0123456789-:.TWZ+ ", min_size=20, max_size=26))
def test_what_is_read_is_exactly_what_would_be_written(text: str) -> None:
    try:
        ms = utc_ms(text)
    except ValueError:
        return
    assert utc_text(ms) == text


def test_a_time_beyond_the_calendar_has_no_text() -> None:
    with pytest.raises((ValueError, OverflowError, OSError)):
        utc_text(LAST_MS + 1)


@given(st.integers(0, LAST_MS * 1000 + 999))
def test_receive_times_have_six_decimals_and_come_back(us: int) -> None:
    text = utc_micros_text(us)
    assert text[:-4] + "Z" == utc_text(us // 1000)
    assert utc_micros(text) == us


@pytest.mark.parametrize(
    "text", ["2023-12-14T15:30:45.123Z", "2023-12-14T15:30:45.12345xZ", "2023-12-14T15:30:45.12345²Z"]
)
def test_another_form_of_a_receive_time_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="not a time"):
        utc_micros(text)
