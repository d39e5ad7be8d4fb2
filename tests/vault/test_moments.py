"""How a moment may be written."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from l2vault.errors import UsageError
from l2vault.vault.moments import as_ms, span_ms

NOON_MS = 1_724_155_200_123


@pytest.mark.parametrize(
    "moment",
    [
        NOON_MS,
        "2024-08-20T12:00:00.123Z",
        "2024-08-20T12:00:00.123",
        "2024-08-20 14:00:00.123+02:00",
        "2024-08-20T12:00:00.123999Z",
        datetime(2024, 8, 20, 12, 0, 0, 123_000, UTC),
        datetime(2024, 8, 20, 14, 0, 0, 123_999, timezone(timedelta(hours=2))),
    ],
)
def test_all_say_the_same_moment(moment):
    assert as_ms(moment) == NOON_MS


def test_a_date_is_its_midnight_in_utc():
    assert as_ms("2024-08-20") == as_ms("2024-08-20T00:00:00Z")


@pytest.mark.parametrize(
    ("moment", "cure"),
    [
        (datetime(2024, 8, 20, 12), "tzinfo=UTC"),  # noqa: DTZ001 - the mistake under test
        (1_724_155_200, "seconds times 1000"),
        ("yesterday", "2026-01-31T12:00:00Z"),
        (True, "ISO text"),
        (1.5e12, "ISO text"),
        (None, "ISO text"),
    ],
)
def test_a_doubtful_moment_is_refused_with_a_cure(moment, cure):
    with pytest.raises(UsageError) as refused:
        as_ms(moment)
    assert cure in refused.value.cure


def test_a_span_goes_forward():
    assert span_ms("2024-08-20", "2024-08-21") == (as_ms("2024-08-20"), as_ms("2024-08-21"))
    with pytest.raises(UsageError, match="is empty"):
        span_ms("2024-08-20", "2024-08-20")
