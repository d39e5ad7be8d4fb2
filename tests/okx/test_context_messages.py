"""Frames of the channels beside the books: OKX's real ones parse verbatim, its quirks are met, nonsense is named."""

import json

import pytest

from l2vault.book.context import Funding, Index, Limits, Mark, OpenInterest
from l2vault.book.day_lines import Liquidation
from l2vault.okx.context_messages import (
    CHANNEL_OF,
    ContextFailure,
    ContextPush,
    InstrumentRow,
    Update,
    decode_context,
    status_of,
)
from support.captured import capture

INST = "BTC-USDT-SWAP"


def _frames(name: str) -> dict[str, list[bytes]]:
    """The frames of a file by their channel, as the wire has them."""
    found: dict[str, list[bytes]] = {}
    for line in capture(f"okx-other/{name}").read_text(encoding="utf-8").splitlines():
        frame = json.loads(line)["frame"]
        text = json.dumps(frame, separators=(",", ":")).encode()
        found.setdefault(frame.get("arg", {}).get("channel", "rest"), []).append(text)
    return found


def push(channel: str, *rows: object, **arg: str) -> bytes:
    return json.dumps({"arg": {"channel": channel, **arg}, "data": rows}, separators=(",", ":")).encode()


def items(frame: bytes) -> list[object]:
    found = decode_context(frame)
    assert isinstance(found, ContextPush), found
    return list(found.items)


def only(frame: bytes) -> object:
    (found,) = items(frame)
    return found


def test_the_real_frame_of_the_mark_price() -> None:
    (frame,) = _frames("okx_ws_other_channels_real_frames.jsonl")["mark-price"]

    assert only(frame) == Update("mark", INST, Mark(1_762_079_224_447, "110562.0"))


def test_the_real_frame_of_the_funding_rate_has_an_empty_next_rate_and_the_settlement_before() -> None:
    (frame,) = _frames("okx_ws_other_channels_real_frames.jsonl")["funding-rate"]

    assert only(frame) == Update(
        "funding",
        INST,
        Funding(
            1_788_487_507_788,
            "0.0000663322867090",
            "1788508800000",
            None,
            "1788537600000",
            "1788480000000",
            "0.0000418741079605",
            "settled",
            "-0.0004527652078389",
        ),
    )


def test_the_real_frames_of_liquidations_are_orders_one_by_one() -> None:
    first, _ = _frames("okx_ws_other_channels_real_frames.jsonl")["liquidation-orders"]

    liquidation = Liquidation("MINA-USDT-SWAP", 1_789_678_209_470, "buy", "short", "0.09859", "10975", "0", "")
    assert only(first) == liquidation


def test_the_example_of_the_open_interest_keeps_its_float_noise() -> None:
    (frame,) = _frames("okx_docs_examples.jsonl")["open-interest"]

    noisy = OpenInterest(1_743_041_250_440, "2216113.01000000309", "22161.1301000000309", "1939251795.54769270396321")
    assert only(frame) == Update("open_interest", INST, noisy)


def test_the_example_of_the_status_is_kept_whole() -> None:
    (frame,) = _frames("okx_docs_examples.jsonl")["status"]

    status = only(frame)
    assert (status.begin_ms, status.end_ms, status.state) == (1_672_823_400_000, 1_672_825_980_000, "completed")
    assert (status.service, status.environment, status.ts_ms) == ("0", "1", 1_672_826_038_470)
    assert status.row == json.loads(frame)["data"][0]


def test_every_real_frame_of_another_channel_is_nobodys() -> None:
    for name in ("okx_ws_other_channels_real_frames.jsonl", "okx_docs_examples.jsonl"):
        for channel in ("trades", "rest"):
            for frame in _frames(name).get(channel, []):
                assert decode_context(frame) is None


def test_the_real_row_of_an_instrument_comes_byte_for_byte() -> None:
    path = capture("okx-rest/instrument_BTC-USDT-SWAP_2026-09_single-row.json")
    (row,) = json.loads(path.read_text(encoding="utf-8"))["data"]
    text = json.dumps(row, separators=(",", ":"))

    frame = f'{{"arg":{{"channel":"instruments","instType":"SWAP"}},"data":[{text},{{"instId":"X-USDT-SWAP"}}]}}'
    assert items(frame.encode()) == [
        InstrumentRow(INST, text.encode()),
        InstrumentRow("X-USDT-SWAP", b'{"instId":"X-USDT-SWAP"}'),
    ]


def test_the_index_is_named_by_itself_and_not_by_the_swap() -> None:
    row = {"instId": "BTC-USDT", "idxPx": "0.1", "high24h": "0.5", "open24h": "0.1", "ts": "1597026383085"}

    assert only(push("index-tickers", row, instId="BTC-USDT")) == Update(
        "index", "BTC-USDT", Index(1597026383085, "0.1")
    )


def test_limits_that_are_off_have_no_prices() -> None:
    off = {"instId": INST, "buyLmt": "", "sellLmt": "", "ts": "1597026383085", "enabled": False}
    on = off | {"buyLmt": "300", "sellLmt": "200", "enabled": True}

    assert only(push("price-limit", off)) == Update("limits", INST, Limits(1597026383085, None, None, False))
    assert only(push("price-limit", on)) == Update("limits", INST, Limits(1597026383085, "300", "200", True))


def test_what_is_coming_for_an_instrument_is_in_its_row_verbatim() -> None:
    row = b'{"instId":"BTC-USDT-SWAP","upcChg":[{"param":"tickSz","newValue":"0.01","effTime":"1704873600000"}]}'
    frame = b'{"arg":{"channel":"instruments","instType":"SWAP"},"data":[' + row + b"]}"

    assert only(frame) == InstrumentRow(INST, row)


def test_several_orders_of_one_liquidation_push_are_all_there_and_out_of_order() -> None:
    one = {"side": "sell", "posSide": "long", "bkPx": "9", "sz": "1", "bkLoss": "0", "ccy": "", "ts": "2000"}
    row = {"instType": "SWAP", "instId": INST, "uly": "BTC-USDT", "details": [one, one | {"ts": "1000", "sz": "2"}]}

    assert [(each.ts_ms, each.size) for each in items(push("liquidation-orders", row))] == [(2000, "1"), (1000, "2")]


def test_fields_nobody_knows_pass_in_every_channel() -> None:
    row = {"instId": INST, "markPx": "5", "ts": "1597026383085", "new": {"a": [1, None]}}

    assert only(push("mark-price", row)) == Update("mark", INST, Mark(1597026383085, "5"))


def test_values_of_a_status_that_are_no_text_are_kept_as_text() -> None:
    status = status_of({"title": "x", "state": "scheduled", "begin": "", "end": "", "new": [1, None], "ts": "5"})

    assert (status.begin_ms, status.end_ms) == (None, None)
    assert status.row["new"] == "[1,null]"


@pytest.mark.parametrize(
    "frame",
    [
        b"pong",
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"event":"subscribe","arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},"connId":"a"}',
        b'{"id":"1","event":"error","msg":"x","code":"60018","connId":"a"}',
        b'{"arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"action":"update","data":[]}',
        b'{"arg":{"channel":"mark-price-candle1m","instId":"BTC-USDT-SWAP"},"data":[]}',
    ],
)
def test_what_is_no_push_of_these_channels_is_none_of_their_business(frame: bytes) -> None:
    assert decode_context(frame) is None


@pytest.mark.parametrize(
    ("channel", "row", "said"),
    [
        ("mark-price", {"instId": INST, "ts": "5"}, "markPx"),
        ("mark-price", {"instId": INST, "markPx": "", "ts": "5"}, "markPx"),
        ("mark-price", {"instId": INST, "markPx": "NaN", "ts": "5"}, "markPx"),
        ("mark-price", {"instId": INST, "markPx": 5.1, "ts": "5"}, "markPx"),
        ("mark-price", {"instId": INST, "markPx": "5", "ts": "0"}, "ts is '0'"),
        ("mark-price", {"instId": INST, "markPx": "5", "ts": "999999999999999"}, "ts is"),
        ("mark-price", {"markPx": "5", "ts": "5"}, "instId"),
        ("index-tickers", {"instId": "BTC-USDT", "idxPx": "a", "ts": "5"}, "idxPx"),
        ("funding-rate", {"instId": INST, "fundingRate": "0.1", "fundingTime": "", "ts": "5"}, "fundingTime"),
        ("funding-rate", {"instId": INST, "fundingRate": "", "fundingTime": "5", "ts": "5"}, "fundingRate"),
        ("open-interest", {"instId": INST, "oi": "", "ts": "5"}, "oi"),
        ("price-limit", {"instId": INST, "buyLmt": "x", "ts": "5"}, "buyLmt"),
        ("liquidation-orders", {"instId": INST, "details": [{"side": "buy"}]}, "bkPx"),
        ("status", {"title": "x", "state": "ongoing", "begin": "soon", "ts": "5"}, "begin is 'soon'"),
        ("status", {"title": "x", "ts": "5"}, "no state"),
        ("instruments", {"state": "live"}, "instId"),
    ],
)
def test_a_push_that_lacks_what_it_must_have_says_what_that_is(channel: str, row: object, said: str) -> None:
    found = decode_context(push(channel, row))

    assert isinstance(found, ContextFailure)
    assert found.channel == channel
    assert said in found.reason
    assert found.frame == push(channel, row)


def test_each_value_has_one_channel_of_its_own() -> None:
    assert len(set(CHANNEL_OF.values())) == len(CHANNEL_OF) == 5
