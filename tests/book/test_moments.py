"""How a moment may be written."""

import sys
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from l2vault.book.moments import as_ms, span_ms
from l2vault.errors import UsageError

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


@pytest.mark.parametrize(
    ("moment", "utc"),
    [
        ("2026-11-24 10:30 UTC", "2026-11-24T10:30:00Z"),
        ("2026-11-24 11:30 Europe/Berlin", "2026-11-24T10:30:00Z"),
        ("2026-07-24 11:30 Europe/Berlin", "2026-07-24T09:30:00Z"),
        ("2026-11-24 10:30 +02:00", "2026-11-24T08:30:00Z"),
        ("2026-11-24T10:30z", "2026-11-24T10:30:00Z"),
        ("10:30", "2024-08-20T10:30:00Z"),
        ("9:05:06", "2024-08-20T09:05:06Z"),
        ("00:30 Europe/Berlin", "2024-08-19T22:30:00Z"),
        ("now", "2024-08-20T12:00:00.123Z"),
        ("2024-08-20T03", "2024-08-20T03:00:00Z"),
        ("20240820T0305", "2024-08-20T03:05:00Z"),
        ("20240820 0305 UTC", "2024-08-20T03:05:00Z"),
        ("2026-10-25 01:59 Europe/Berlin", "2026-10-24T23:59:00Z"),
    ],
)
def test_a_trader_s_ways_to_write_a_time_are_read(moment, utc):
    if "Berlin" in moment:
        pytest.importorskip("tzdata" if sys.platform == "win32" else "zoneinfo")
    assert as_ms(moment, NOON_MS) == as_ms(utc)


def test_values_of_numpy_pandas_and_polars_are_moments():
    """A value taken from a frame of ours is one of these."""
    numpy, pandas, polars = (pytest.importorskip(name) for name in ("numpy", "pandas", "polars"))
    text = "2024-08-20T12:00:00.123"
    for moment in (
        numpy.int64(NOON_MS),
        numpy.uint64(NOON_MS),
        numpy.float64(NOON_MS + 0.7),
        float(NOON_MS),
        numpy.datetime64(text),
        pandas.Timestamp(text + "Z"),
        polars.Series([NOON_MS]).cast(polars.Datetime("ms", "UTC"))[0],
    ):
        assert as_ms(moment) == NOON_MS, repr(moment)
    assert as_ms(date(2024, 8, 20)) == as_ms(numpy.datetime64("2024-08-20")) == as_ms("2024-08-20")
    for moment in (numpy.datetime64("NaT"), pandas.NaT, numpy.bool_(True)):
        with pytest.raises(UsageError):
            as_ms(moment)


def test_a_number_is_milliseconds_from_1973_on():
    """Seconds of no year before 5138 are that many."""
    assert as_ms(10**11) == as_ms("1973-03-03T09:46:40Z")


def test_a_date_is_its_midnight_in_utc():
    assert as_ms("2024-08-20") == as_ms("2024-08-20T00:00:00Z")


@pytest.mark.parametrize(
    ("moment", "cure"),
    [
        (datetime(2024, 8, 20, 12), "tzinfo=UTC"),  # noqa: DTZ001 - the mistake under test
        (1_724_155_200, "seconds times 1000"),
        (10**11 - 1, "seconds times 1000"),
        ("yesterday", "2026-01-31T12:00Z"),
        (True, "ISO text"),
        (float("nan"), "ISO text"),
        (2**80, "2026-01-31T12:00Z"),
        ("9999-12-31", "2026-01-31T12:00Z"),
        ("0001-01-01", "2026-01-31T12:00Z"),
        ("2024-08-20 10:99", "2026-01-31T12:00Z"),
        ("2024-08-20 10:00 Foo/Bar", "+01:00"),
        ("2024-08-20 10:00 Foo/../../etc", "2026-01-31T12:00Z"),
        ("2026-03-29 02:30 Europe/Berlin", "2026-10-25T02:30+01:00"),
        ("2026-10-25 02:30 Europe/Berlin", "2026-10-25T02:30+01:00"),
        ("2024-08-20-03:00", "2026-01-31T12:00Z"),
        ("2024-08-20T03:00Z Europe/Berlin", "2026-01-31T12:00Z"),
        ("1e12", "2026-01-31T12:00Z"),
        ("x" * 1_000_000, "2026-01-31T12:00Z"),
        ("", "2026-01-31T12:00Z"),
        (None, "ISO text"),
    ],
)
def test_a_doubtful_moment_is_refused_with_a_cure(moment, cure):
    with pytest.raises(UsageError) as refused:
        as_ms(moment)
    assert cure in refused.value.cure
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("moment", "named"),
    [
        ("25:00", "'25:00' is not a time"),
        (None, "None is no moment"),
        (datetime(2024, 8, 20), "datetime.datetime(2024, 8, 20, 0, 0) names no time zone"),  # noqa: DTZ001
    ],
)
def test_a_refusal_quotes_a_text_and_shows_any_other_value_as_python_writes_it(moment, named):
    """`'None'` would be a text that somebody typed."""
    with pytest.raises(UsageError) as refused:
        as_ms(moment)
    assert str(refused.value).startswith(named)


def test_a_span_goes_forward():
    assert span_ms("2024-08-20", "2024-08-21") == (as_ms("2024-08-20"), as_ms("2024-08-21"))
    with pytest.raises(UsageError, match="from 2024-08-21T00:00:00.000Z to 2024-08-20T00:00:00.000Z is empty"):
        span_ms(as_ms("2024-08-21"), "2024-08-20")
    with pytest.raises(UsageError, match="is empty"):
        span_ms("2024-08-20", "2024-08-20")
