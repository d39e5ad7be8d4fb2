"""Frames of OKX's v5 public websocket: real ones, documented ones, and what must not be taken for one of them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.book.change import BookChange
from l2vault.okx.messages import (
    PING,
    Ack,
    Notice,
    Pong,
    Refusal,
    SchemaFailure,
    Traded,
    Unknown,
    decode,
    encode_request,
)
from support.received import (
    OTHER_CHANNELS,
    REAL_2022,
    REAL_2023,
    REAL_2026,
    REAL_2026_WITH_A_GAP,
    TRADES_2022,
    frames_of_channel,
    received_frames,
)
from support.wire import as_bytes, full, update

INST_ID = "BTC-USDT-SWAP"

REAL_SNAPSHOT = (
    b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[{"asks":[["64216.7","0.73515348","0",'
    b'"7"],["64216.8","0.0015","0","1"]],"bids":[["64216.6","1.50780403","0","11"],["64213.7","0.17541631","0","1"]],'
    b'"ts":"1783786805708","checksum":0,"seqId":78677952608,"prevSeqId":-1}]}'
)
REAL_UPDATE = (
    b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["64220.9","0","0","0"],'
    b'["64298.1","0.00001565","0","1"]],"bids":[],"ts":"1783786806308","checksum":0,"seqId":78677952860,'
    b'"prevSeqId":78677952829}]}'
)
UPDATE_OF_2022 = (
    b'{"arg":{"channel":"books","instId":"UNI-USD-SWAP"},"action":"update","data":[{"asks":[],'
    b'"bids":[["5.117","0","0","0"]],"ts":"1652459225464","checksum":1361161687}]}'
)


def push(data: object, **envelope: object) -> bytes:
    """A `books` push around any data; an envelope key of None is left out."""
    frame = {"arg": {"channel": "books", "instId": INST_ID}, "action": "update", "data": data} | envelope
    return as_bytes({key: value for key, value in frame.items() if value is not None})


def row(**fields: object) -> dict[str, object]:
    """The data object of a heartbeat; a field of None is left out."""
    data = {"asks": [], "bids": [], "ts": "1783786806308", "checksum": 0, "seqId": 5, "prevSeqId": 5} | fields
    return {key: value for key, value in data.items() if value is not None}


def failure(frame: bytes) -> SchemaFailure:
    message = decode(frame)
    assert isinstance(message, SchemaFailure), message
    assert message.frame == frame
    assert message.reason
    return message


class TestBooks:
    def test_a_real_full_book(self) -> None:
        assert decode(REAL_SNAPSHOT) == BookChange(
            inst_id="BTC-USDT",
            is_snapshot=True,
            bids=[("64216.6", "1.50780403", "0", "11"), ("64213.7", "0.17541631", "0", "1")],
            asks=[("64216.7", "0.73515348", "0", "7"), ("64216.8", "0.0015", "0", "1")],
            ts_ms=1783786805708,
            seq_id=78677952608,
            prev_seq_id=-1,
            checksum=0,
        )

    def test_a_real_update_whose_numbers_exceed_31_bits(self) -> None:
        assert decode(REAL_UPDATE) == BookChange(
            inst_id="BTC-USDT",
            is_snapshot=False,
            bids=[],
            asks=[("64220.9", "0", "0", "0"), ("64298.1", "0.00001565", "0", "1")],
            ts_ms=1783786806308,
            seq_id=78677952860,
            prev_seq_id=78677952829,
            checksum=0,
        )

    def test_an_update_of_2022_carries_a_checksum_and_no_numbers(self) -> None:
        assert decode(UPDATE_OF_2022) == BookChange(
            "UNI-USD-SWAP", False, [("5.117", "0", "0", "0")], [], 1652459225464, None, None, 1361161687
        )

    def test_the_order_of_keys_does_not_matter(self) -> None:
        """The docs print `prevSeqId` before `seqId`, the wire the other way round."""
        data = dict(reversed(row().items()))
        assert decode(push([data])) == decode(push([row()]))
        assert decode(as_bytes(dict(reversed(json.loads(REAL_SNAPSHOT).items())))) == decode(REAL_SNAPSHOT)

    def test_unknown_fields_are_tolerated_everywhere(self) -> None:
        arg = {"channel": "books", "instId": INST_ID, "instFamily": "BTC-USDT"}
        data = row(newField={"deep": [1, None, 2.5]})
        assert decode(push([data], arg=arg, connId="a4d3ae55")) == decode(push([row()]))

    @pytest.mark.parametrize("action", ["snapshot", "update"])
    def test_the_action_is_that_of_the_envelope_t4(self, action: str) -> None:
        other = {"snapshot": "update", "update": "snapshot"}[action]
        message = decode(push([row(action=other)], action=action))
        assert isinstance(message, BookChange)
        assert message.is_snapshot == (action == "snapshot")

    @pytest.mark.parametrize(
        ("ts", "ts_ms"),
        [
            ("1783786806308", 1783786806308),
            (1783786806308, 1783786806308),
            ("0", None),
            ("", None),
            (0, None),
            ("253402300799999", 253402300799999),
        ],
    )
    def test_a_time_of_zero_or_nothing_is_no_time(self, ts: object, ts_ms: int | None) -> None:
        message = decode(push([row(ts=ts)]))
        assert isinstance(message, BookChange)
        assert message.ts_ms == ts_ms

    @pytest.mark.parametrize("field", ["checksum", "seqId", "prevSeqId"])
    @pytest.mark.parametrize("form", ["absent", "null"])
    def test_a_number_may_be_absent_or_null(self, field: str, form: str) -> None:
        data = row(**{field: None})
        if form == "null":
            data[field] = None
        message = decode(as_bytes({"arg": {"channel": "books", "instId": "X"}, "action": "update", "data": [data]}))
        assert isinstance(message, BookChange)
        attribute = {"checksum": "checksum", "seqId": "seq_id", "prevSeqId": "prev_seq_id"}[field]
        assert getattr(message, attribute) is None

    def test_the_numbers_of_the_levels_are_not_judged_here(self) -> None:
        message = decode(push([row(bids=[["abc", "", "0", "x"]])]))
        assert isinstance(message, BookChange)
        assert message.bids == [("abc", "", "0", "x")]


class TestSchemaFailures:
    @pytest.mark.parametrize("field", ["asks", "bids", "ts"])
    @pytest.mark.parametrize("form", ["absent", "null"])
    def test_a_push_without_levels_or_time_names_its_instrument_and_the_field(self, field: str, form: str) -> None:
        data = row(**{field: None})
        if form == "null":
            data[field] = None
        found = failure(as_bytes({"arg": {"channel": "books", "instId": "X"}, "action": "update", "data": [data]}))
        assert found.inst_id == "X"
        assert field in found.reason

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param([], id="no data object"),
            pytest.param([row(), row()], id="two data objects"),
            pytest.param(row(), id="an object instead of a list"),
            pytest.param(None, id="no data at all"),
            pytest.param(["x"], id="data of text"),
            pytest.param([row(asks=[[64216.7, 0.7, 0, 7]])], id="levels of numbers"),
            pytest.param([row(asks=[["1", "1", "0", 7]])], id="a number of orders that is none"),
            pytest.param([row(asks=[["1", "1", "1"]])], id="a level of three"),
            pytest.param([row(asks=[["1", "1", "0", "1", "1"]])], id="a level of five"),
            pytest.param([row(bids={"1": "1"})], id="a side that is an object"),
            pytest.param([row(checksum="0")], id="a checksum of text"),
            pytest.param([row(seqId="5")], id="a seqId of text"),
            pytest.param([row(prevSeqId=5.5)], id="a fractional prevSeqId"),
            pytest.param([row(seqId=True)], id="a seqId that is true"),
            pytest.param([row(ts=1783786806308.5)], id="a fractional ts"),
            pytest.param([row(ts=True)], id="a ts that is true"),
        ],
    )
    def test_a_push_of_another_shape_names_its_instrument(self, data: object) -> None:
        assert failure(push(data)).inst_id == INST_ID

    @pytest.mark.parametrize("action", ["partial", "", "Snapshot", "delete"])
    def test_an_unknown_action_is_no_guess(self, action: str) -> None:
        found = failure(push([row()], action=action))
        assert (found.inst_id, repr(action) in found.reason) == (INST_ID, True)

    @pytest.mark.parametrize("action", [None, 7])
    def test_a_push_without_an_action_is_no_guess_t4(self, action: object) -> None:
        assert failure(push([row(action="update")], action=action)).inst_id == INST_ID

    @pytest.mark.parametrize(
        "ts",
        [
            "soon",
            "-5",
            -5,
            "+5",
            "1_000",
            " 1783786806308",
            "1783786806308\n",
            "1783786806308.0",
            "\u0661\u0662",
            "1e12",
            "2023-12-14T15:30:45.123Z",
            "253402300800000",  # the year 10000, which no line can hold
            1783786806308000000,  # nanoseconds
            "9" * 5000,
        ],
    )
    def test_a_time_that_is_no_count_of_milliseconds_is_no_time_to_guess(self, ts: object) -> None:
        found = failure(push([row(ts=ts)]))
        assert (found.inst_id, "ts" in found.reason) == (INST_ID, True)

    @pytest.mark.parametrize("arg", [{"channel": "books"}, {"channel": "books", "instId": ""}])
    def test_a_push_that_names_no_instrument_is_not_dropped_unseen(self, arg: dict) -> None:
        assert failure(push([row()], arg=arg)).inst_id is None

    @pytest.mark.parametrize(
        "frame",
        [
            b"",
            b" ",
            b"pong!",
            b'"pong"',
            b"ping",
            b"null",
            b"[]",
            b"7",
            b"<html>502 Bad Gateway</html>",
            REAL_UPDATE[:-1],
            REAL_UPDATE + b"}",
            b"\xff\xfe\x00",
            b'{"event":"\xff"}',
            b'{"event":["error"]}',
            b'{"event":"error","msg":{"a":1},"code":"1"}',
            b'{"event":"x","z":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        ],
        ids=lambda frame: repr(frame[:30]),
    )
    def test_what_cannot_be_read_names_nobody_and_raises_nothing(self, frame: bytes) -> None:
        assert failure(frame).inst_id is None

    def test_invalid_utf_8_inside_a_push_is_a_failure_of_that_instrument(self) -> None:
        frame = REAL_SNAPSHOT.replace(b"64216.7", b"\xff\xff\xff")
        assert failure(frame).inst_id == "BTC-USDT"

    def test_deep_nesting_inside_a_push_raises_nothing(self) -> None:
        frame = REAL_SNAPSHOT.replace(b'"checksum":0', b'"new":' + b"[" * 100_000 + b"]" * 100_000)
        assert isinstance(decode(frame), SchemaFailure)

    @given(st.binary(max_size=60))
    def test_no_bytes_whatever_make_it_raise(self, frame: bytes) -> None:
        decode(frame)

    @given(st.sampled_from([REAL_SNAPSHOT, REAL_UPDATE, UPDATE_OF_2022]), st.data())
    def test_no_damage_to_a_real_frame_makes_it_raise(self, frame: bytes, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(frame)))
        until = data.draw(st.integers(at, min(len(frame), at + 20)))
        damaged = frame[:at] + data.draw(st.binary(max_size=6)) + frame[until:]
        message = decode(damaged)
        if isinstance(message, SchemaFailure):
            assert message.frame == damaged


class TestOtherChannels:
    @pytest.mark.parametrize(
        "frame",
        [
            pytest.param(
                b'{"arg":{"channel":"books5","instId":"BTC-USDT-SWAP"},"data":[{"asks":[["1","1","0","1"]],"bids":[],'
                b'"instId":"BTC-USDT-SWAP","ts":"1597026383085","seqId":3}]}',
                id="books5",
            ),
            pytest.param(
                b'{"arg":{"channel":"books-rpi","instId":"BTC-USDT-SWAP"},"action":"update","data":[{"asks":'
                b'[["1","2","1","1"]],"bids":[],"ts":"1783786806308","checksum":-5,"seqId":5,"prevSeqId":4}]}',
                id="books-rpi",
            ),
            pytest.param(push([row()], arg={"channel": "books-l2-tbt", "instId": INST_ID}), id="books-l2-tbt"),
            pytest.param(push([row()], arg={"channel": "books50-l2-tbt", "instId": INST_ID}), id="books50-l2-tbt"),
            pytest.param(push([row()], arg={"channel": "Books", "instId": INST_ID}), id="another case"),
            pytest.param(push([{"last": "1"}], arg={"channel": "tickers", "instId": INST_ID}), id="tickers"),
            pytest.param(push([{"state": "x"}], arg={"channel": "instruments", "instType": "SWAP"}), id="instruments"),
            pytest.param(push([{}], arg={"channel": "status"}), id="status"),
            pytest.param(b"{}", id="nothing"),
        ],
    )
    def test_a_push_of_another_channel_is_never_taken_for_books_t21(self, frame: bytes) -> None:
        assert isinstance(decode(frame), Unknown)

    def test_it_says_which(self) -> None:
        assert decode(push([row()], arg={"channel": "books5", "instId": "X"})) == Unknown("channel books5")


class TestEvents:
    def test_pong_is_bare_text(self) -> None:
        assert decode(b"pong") == Pong()

    @pytest.mark.parametrize(
        ("frame", "message"),
        [
            (
                b'{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"341fd30d"}',
                Ack(True, "books", "BTC-USDT", None, "341fd30d"),
            ),
            (
                b'{"id":"1512","event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT-SWAP"},'
                b'"connId":"a4d3ae55"}',
                Ack(True, "books", "BTC-USDT-SWAP", "1512", "a4d3ae55"),
            ),
            (
                b'{"event":"subscribe","arg":{"channel":"books","instId":"UNI-USD-SWAP"}}',  # 2022
                Ack(True, "books", "UNI-USD-SWAP", None, None),
            ),
            (
                b'{"event":"unsubscribe","arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"connId":"a4d3ae55"}',
                Ack(False, "books", "BTC-USDT-SWAP", None, "a4d3ae55"),
            ),
            (
                b'{"event":"subscribe","arg":{"channel":"status"},"connId":"a4d3ae55"}',
                Ack(True, "status", "", None, "a4d3ae55"),
            ),
        ],
    )
    def test_an_acknowledgement_with_and_without_id_and_connection(self, frame: bytes, message: Ack) -> None:
        assert decode(frame) == message

    @pytest.mark.parametrize(
        ("frame", "message"),
        [
            (
                b'{"event":"error","msg":"Wrong URL or channel:index-tickers, instId:NEAR-USDT-SWAP doesn\'t exist. '
                b'Please use the correct URL, channel and parameters referring to API document.","code":"60018",'
                b'"connId":"94d38802"}',
                Refusal(
                    "60018",
                    "Wrong URL or channel:index-tickers, instId:NEAR-USDT-SWAP doesn't exist. "
                    "Please use the correct URL, channel and parameters referring to API document.",
                    None,
                ),
            ),
            (b'{"event":"error","msg":"Please log in","code":"60011"}', Refusal("60011", "Please log in", None)),
            (
                b'{"id":"1512","event":"error","code":"60012","msg":"Invalid request: {\\"op\\": \\"subscribe\\"}",'
                b'"connId":"a4d3ae55"}',
                Refusal("60012", 'Invalid request: {"op": "subscribe"}', "1512"),
            ),
            (
                b'{"event":"error","code":60014,"msg":"Requests too frequent"}',
                Refusal("60014", "Requests too frequent", None),
            ),
            (b'{"event":"error"}', Refusal("", "", None)),
        ],
    )
    def test_an_error_with_its_keys_in_either_order(self, frame: bytes, message: Refusal) -> None:
        assert decode(frame) == message

    @pytest.mark.parametrize("keys", [("event", "msg", "code"), ("event", "code", "msg")])
    def test_a_notice_in_the_order_of_the_wire_and_of_the_docs_t12(self, keys: tuple[str, ...]) -> None:
        words = "The connection will soon be closed for a service upgrade. Please reconnect."
        values = {"event": "notice", "msg": words, "code": "64008"}
        frame = as_bytes({key: values[key] for key in keys} | {"connId": "a4d3ae55"})
        assert decode(frame) == Notice("64008", words)

    @pytest.mark.parametrize(
        "frame",
        [
            b'{"event":"channel-conn-count","channel":"orders","connCount":"2","connId":"abcd1234"}',
            b'{"event":"channel-conn-count-error","channel":"orders","connCount":"30","connId":"a4d3ae55"}',
            b'{"event":"login","code":"0","msg":"","connId":"a4d3ae55"}',
            b'{"event":"of-the-future","arg":{"channel":"books","instId":"X"}}',
        ],
    )
    def test_an_unknown_event_is_tolerated_and_named(self, frame: bytes) -> None:
        event = json.loads(frame)["event"]
        assert decode(frame) == Unknown(f"event {event}")


class TestRequests:
    def test_one_request_carries_many_instruments_and_an_id(self) -> None:
        assert encode_request("subscribe", ["BTC-USDT-SWAP", "ETH-USDT-SWAP"], "l2v1") == (
            '{"id":"l2v1","op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT-SWAP"},'
            '{"channel":"books","instId":"ETH-USDT-SWAP"}]}'
        )
        assert encode_request("unsubscribe", ["X"], "7") == (
            '{"id":"7","op":"unsubscribe","args":[{"channel":"books","instId":"X"}]}'
        )

    def test_ping_is_bare_text_t11(self) -> None:
        assert PING == "ping"


@pytest.mark.parametrize("name", [REAL_2022, REAL_2023, REAL_2026, REAL_2026_WITH_A_GAP])
def test_every_frame_that_okx_ever_sent_us_is_read_as_what_it_is(name: str) -> None:
    for frame in received_frames(name):
        message = decode(frame)
        parsed = json.loads(frame)
        if "event" in parsed:
            assert message == Ack(True, parsed["arg"]["channel"], parsed["arg"]["instId"], None, parsed.get("connId"))
        elif parsed["arg"]["channel"] == "books":
            assert isinstance(message, BookChange)
            data = parsed["data"][0]
            assert [list(level) for level in message.bids] == data["bids"]
            assert [list(level) for level in message.asks] == data["asks"]
            numbers = (message.ts_ms, message.seq_id, message.prev_seq_id, message.checksum)
            assert numbers == (int(data["ts"]), data.get("seqId"), data.get("prevSeqId"), data.get("checksum"))
            assert (message.inst_id, message.is_snapshot) == (parsed["arg"]["instId"], parsed["action"] == "snapshot")
        elif parsed["arg"]["channel"] == "trades":
            assert isinstance(message, Traded)
            (push,) = message.pushes
            (data,) = parsed["data"]
            assert {name: getattr(push, name) for name in ("px", "sz", "side", "ts", "count", "source", "seq_id")} == {
                **{name: data[name] for name in ("px", "sz", "side", "ts")},
                **{"count": data.get("count"), "source": data.get("source"), "seq_id": data.get("seqId")},
            }
            assert (message.inst_id, push.inst_id, push.trade_id) == (data["instId"], data["instId"], data["tradeId"])
        else:
            assert message == Unknown(f"channel {parsed['arg']['channel']}")


TRADE = {
    "instId": "BTC-USDT-SWAP", "tradeId": "130639474", "px": "42219.9", "sz": "0.12", "side": "buy",
    "ts": "1630048897897", "count": "3", "source": "0", "seqId": 1234,
}  # fmt: skip


def trades_frame(*rows: dict[str, object], inst_id: str = "BTC-USDT-SWAP") -> bytes:
    return as_bytes({"arg": {"channel": "trades", "instId": inst_id}, "data": list(rows)})


class TestTrades:
    def test_pushes_seen_live_and_printed_by_okx_are_read(self) -> None:
        frames = frames_of_channel("trades", *OTHER_CHANNELS, TRADES_2022)
        assert len(frames) == 76
        for frame in frames:
            message = decode(frame, 5)
            assert isinstance(message, Traded)
            (data,) = json.loads(frame)["data"]
            (push,) = message.pushes
            as_sent = {name: data.get(name) for name in ("instId", "tradeId", "px", "sz", "side", "ts", "count")}
            assert as_sent == {
                **{"instId": push.inst_id, "tradeId": push.trade_id, "px": push.px, "sz": push.sz},
                **{"side": push.side, "ts": push.ts, "count": push.count},
            }
            assert (push.source, push.seq_id) == (data.get("source"), data.get("seqId"))
            assert (push.recv_us, push.origin, push.overlap) == (5, "ws", False)

    def test_a_push_that_is_spelt_otherwise_is_read_all_the_same(self) -> None:
        spelt = json.dumps({"data": [TRADE], "arg": {"instId": "BTC-USDT-SWAP", "channel": "trades"}}, indent=1)
        assert decode(spelt.encode()) == decode(trades_frame(TRADE))

    def test_several_of_one_push_stay_in_order(self) -> None:
        message = decode(trades_frame(TRADE, TRADE | {"tradeId": "130639475", "count": "1"}))
        assert isinstance(message, Traded)
        assert [push.trade_id for push in message.pushes] == ["130639474", "130639475"]

    def test_a_field_of_a_later_version_is_passed_over(self) -> None:
        assert decode(trades_frame(TRADE | {"new": [1, None]})) == decode(trades_frame(TRADE))

    @pytest.mark.parametrize(
        "change",
        [
            {"tradeId": 130639474},
            {"tradeId": "x"},
            {"px": "-1"},
            {"px": 5},
            {"sz": ""},
            {"side": "hold"},
            {"ts": "0"},
            {"ts": ""},
            {"ts": "9" * 15},
            {"count": "0"},
            {"count": 3},
            {"seqId": "5"},
            {"seqId": 2**63},
            {"instId": "ETH-USDT-SWAP"},
        ],
        ids=str,
    )
    def test_what_can_be_no_trade_is_a_failure_of_trades_alone(self, change: dict[str, object]) -> None:
        message = decode(trades_frame(TRADE | change))
        assert isinstance(message, SchemaFailure)
        assert (message.channel, message.inst_id) == ("trades", "BTC-USDT-SWAP")
        assert message.reason

    @pytest.mark.parametrize("name", ["tradeId", "px", "sz", "side", "ts", "instId"])
    def test_a_missing_field_is_a_failure(self, name: str) -> None:
        message = decode(trades_frame({key: value for key, value in TRADE.items() if key != name}))
        assert isinstance(message, SchemaFailure)
        assert message.channel == "trades"

    def test_a_frame_that_is_cut_at_any_byte_is_a_failure(self) -> None:
        frame = trades_frame(TRADE)
        for end in range(1, len(frame)):
            assert isinstance(decode(frame[:end]), SchemaFailure)


def test_the_frames_that_these_tests_make_are_those_of_the_wire() -> None:
    """The builder the other tests use, held against a real frame."""
    real = json.loads(REAL_UPDATE)["data"][0]
    made = update("BTC-USDT", 1783786806308, 78677952829, 78677952860, [], real["asks"])
    assert made == REAL_UPDATE
    real = json.loads(REAL_SNAPSHOT)["data"][0]
    assert full("BTC-USDT", 1783786805708, 78677952608, real["bids"], real["asks"]) == REAL_SNAPSHOT


class TestNumbers:
    """`seqId`, `prevSeqId` and `checksum` go into files and tables of 64 bits."""

    @pytest.mark.parametrize("field", ["seqId", "prevSeqId", "checksum"])
    @pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**64, 2**70, int("9" * 4000)])
    def test_one_outside_64_bits_is_refused_at_the_wire(self, field: str, value: int) -> None:
        found = failure(push([row(**{field: value})]))
        assert found.inst_id == INST_ID

    @pytest.mark.parametrize("field", ["seqId", "prevSeqId", "checksum"])
    @pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 2**53 + 1, -1, 0])
    def test_one_within_is_read_exactly(self, field: str, value: int) -> None:
        message = decode(push([row(**{field: value})]))
        assert isinstance(message, BookChange)
        assert value in (message.seq_id, message.prev_seq_id, message.checksum)
