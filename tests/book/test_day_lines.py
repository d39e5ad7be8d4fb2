"""Lines of the day files: what goes in comes out, and a liquidation says itself that it is one of a sample."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.book.day_lines import Liquidation, Status, liquidation_from_line, liquidation_to_line, status_to_line
from l2vault.errors import LineError

RECV_US = 1_789_678_209_512_345
ONE = Liquidation("MINA-USDT-SWAP", 1_789_678_209_470, "buy", "short", "0.09859", "10975", "0", "")
KEYS = [
    *("timestamp_utc", "exchange", "market", "channel", "instId"),
    *("side", "posSide", "bkPx", "sz", "bkLoss", "ccy", "recv_utc"),
]


@given(st.builds(Liquidation, ts_ms=st.integers(0, 4_000_000_000_000)), st.integers(0, 4_000_000_000_000_000))
def test_a_line_gives_back_what_was_written(one: Liquidation, recv_us: int) -> None:
    line = liquidation_to_line(one, recv_us)

    assert liquidation_from_line(line) == (one, recv_us)
    assert list(json.loads(line)) == KEYS


def test_a_liquidation_says_that_it_is_one_of_a_sample() -> None:
    line = json.loads(liquidation_to_line(ONE, RECV_US))

    assert line["channel"] == "liquidation_sample"
    assert (line["timestamp_utc"], line["recv_utc"]) == ("2026-09-17T20:50:09.470Z", "2026-09-17T20:50:09.512345Z")


def test_keys_of_a_later_version_pass() -> None:
    assert liquidation_from_line(liquidation_to_line(ONE, RECV_US)[:-1] + b',"new":[1]}') == (ONE, RECV_US)


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_torn_line_is_none(cut: int) -> None:
    with pytest.raises(LineError):
        liquidation_from_line(liquidation_to_line(ONE, RECV_US)[:-cut])


def test_a_line_of_another_channel_is_none() -> None:
    with pytest.raises(LineError, match="trades"):
        liquidation_from_line(liquidation_to_line(ONE, RECV_US).replace(b"liquidation_sample", b"trades"))


def test_a_status_keeps_every_key_of_okx_in_its_order() -> None:
    row = {"title": "x", "state": "ongoing", "begin": "", "new": "[1]", "ts": "1789678209470"}
    line = json.loads(status_to_line(Status(1_789_678_209_470, "x", "ongoing", None, None, "", "", row), RECV_US))

    assert list(line) == ["timestamp_utc", "exchange", "channel", "recv_utc", "status"]
    assert list(line["status"].items()) == list(row.items())


def test_without_a_time_of_its_own_a_status_has_that_of_its_receipt() -> None:
    line = json.loads(status_to_line(Status(0, "x", "ongoing", None, None, "", "", {}), RECV_US))

    assert line["timestamp_utc"] == "2026-09-17T20:50:09.512Z"
