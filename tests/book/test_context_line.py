"""A context line: what goes in comes out, in the documented order, and later keys do no harm."""

import json
import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.book.context import (
    KINDS,
    Context,
    Funding,
    Index,
    Limits,
    Mark,
    OpenInterest,
    from_line,
    to_line,
)
from l2vault.errors import LineError

INST = "BTC-USDT-SWAP"
GRID_MS = 1_788_487_508_000
FUNDING = Funding(
    GRID_MS - 212,
    "0.0000663322867090",
    "1788508800000",
    None,
    "1788537600000",
    "1788480000000",
    "0.0000418741079605",
    "settled",
    "-0.0004527652078389",
)
FULL = Context(
    INST,
    GRID_MS,
    Mark(GRID_MS - 53, "110562.0"),
    Index(GRID_MS - 100, "110570.3"),
    FUNDING,
    OpenInterest(GRID_MS - 3000, "2216113.01000000309", "22161.1301000000309", "1939251795.54769270396321"),
    Limits(GRID_MS - 200, "111115.1", "110009.4", True),
)
KEYS = [
    *("timestamp_utc", "exchange", "market", "channel", "instId", "mark_utc", "markPx", "index_utc", "idxPx"),
    *("funding_utc", "fundingRate", "fundingTime", "nextFundingRate", "nextFundingTime", "prevFundingTime"),
    *("settFundingRate", "settState", "premium", "oi_utc", "oi", "oiCcy", "oiUsd"),
    *("limits_utc", "buyLmt", "sellLmt", "limits_enabled"),
]

times = st.integers(0, 4_000_000_000_000)
texts = st.text(string.digits + ".-e", min_size=1, max_size=24)
maybe = st.none() | texts
contexts = st.builds(
    Context,
    st.text(string.ascii_uppercase + string.digits + "-", min_size=1),
    times,
    st.none() | st.builds(Mark, times, texts),
    st.none() | st.builds(Index, times, texts),
    st.none() | st.builds(Funding, times, texts, texts, *[maybe] * 6),
    st.none() | st.builds(OpenInterest, times, texts, maybe, maybe),
    st.none() | st.builds(Limits, times, maybe, maybe, st.booleans()),
)


@given(contexts)
def test_a_line_gives_back_what_was_written(context: Context) -> None:
    line = to_line(context)

    assert from_line(line) == context
    assert to_line(from_line(line)) == line
    assert list(json.loads(line)) == KEYS


def test_a_line_has_the_strings_of_the_wire_and_the_time_of_each_value() -> None:
    line = json.loads(to_line(FULL))

    assert line["timestamp_utc"] == "2026-09-04T02:05:08.000Z"
    assert (line["exchange"], line["market"], line["channel"], line["instId"]) == ("okx", "perp", "context", INST)
    assert (line["mark_utc"], line["markPx"]) == ("2026-09-04T02:05:07.947Z", "110562.0")
    assert line["oi"] == "2216113.01000000309"  # OKX's float noise stays
    assert line["nextFundingRate"] is None
    assert line["limits_enabled"] is True


def test_what_is_not_known_is_null_and_every_key_is_there() -> None:
    line = json.loads(to_line(Context(INST, GRID_MS)))

    assert list(line) == KEYS
    assert all(line[key] is None for key in KEYS[5:])


def test_limits_that_are_off_are_not_unknown_limits() -> None:
    off = Context(INST, GRID_MS, limits=Limits(GRID_MS, None, None, False))

    assert json.loads(to_line(off))["limits_enabled"] is False
    assert from_line(to_line(off)).limits == Limits(GRID_MS, None, None, False)


def test_keys_of_a_later_version_pass() -> None:
    line = to_line(FULL)[:-1] + b',"basis_bps":"-0.7","funding_of":{"a":[1]}}'

    assert from_line(line) == FULL


def test_each_kind_is_a_field_of_the_context() -> None:
    assert [FULL.value(kind) for kind in KINDS] == list(msgspec.structs.astuple(FULL))[2:]


@pytest.mark.parametrize(
    "change",
    [
        (b'"markPx":"110562.0"', b'"markPx":null'),
        (b'"index_utc":"2026-09-04T02:05:07.900Z"', b'"index_utc":null'),
        (b'"fundingTime":"1788508800000"', b'"fundingTime":null'),
        (b'"limits_enabled":true', b'"limits_enabled":null'),
        (b'"channel":"context"', b'"channel":"books"'),
        (b'"markPx":"110562.0"', b'"markPx":110562.0'),
        (b"2026-09-04T02:05:08.000Z", b"2026-09-04 02:05:08"),
        (b'"instId"', b'"inst"'),
        (b'"limits_enabled":true}', b'"limits_en'),
    ],
)
def test_a_torn_foreign_or_altered_line_is_none(change: tuple[bytes, bytes]) -> None:
    line = to_line(FULL)
    assert change[0] in line

    with pytest.raises(LineError):
        from_line(line.replace(*change))


def test_a_line_nested_without_end_is_no_context_line() -> None:
    with pytest.raises(LineError, match="not a context line"):
        from_line(b'{"timestamp_utc":"2024-08-20T03:00:00.000Z","x":' + b"[" * 100_000)
