"""Errors that a plan has the exchange answer requests with."""

import json

import pytest

from l2vault.okx.messages import Ack, Refusal, decode
from support.rehearsal import BTC, ETH, Stage, timeline

NO_BTC = (
    f"Wrong URL or channel:books, instId:{BTC} doesn't exist. "
    "Please use the correct URL, channel and parameters referring to API document."
)


def answers(items):
    """What the answers say, shortly: an instrument acknowledged or a code."""
    said = []
    for item in items:
        message = decode(item.text.encode())
        if isinstance(message, Ack | Refusal):
            said.append(message.inst_id if isinstance(message, Ack) else message.code)
    return said


def stage_of(clock, spec):
    return Stage(clock, spec, timeline(1, BTC, ETH))


def test_one_arg_of_a_request_is_refused_and_the_others_are_acknowledged(clock):
    viewer = stage_of(clock, f"error:code=60018,inst={BTC}").enter()

    items = viewer.say("subscribe", ETH, BTC, id="7")
    assert answers(items) == [ETH, "60018"]
    assert [item.change.inst_id for item in items if item.change] == [ETH]
    assert items[1].text == json.dumps(
        {"id": "7", "event": "error", "msg": NO_BTC, "code": "60018", "connId": "00000001"}, separators=(",", ":")
    )
    assert answers(viewer.say("subscribe", BTC)) == [BTC]


def test_without_an_instrument_the_first_arg_is_refused(clock):
    assert answers(stage_of(clock, "error").enter(ETH, BTC).items) == ["60018", BTC]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("60014", "Requests too frequent"),
        ("60012", 'Illegal request: {"op": "subscribe", "args": [{"channel": "books", "instId": "BTC-USDT-SWAP"}]}'),
        ("63999", "Internal system error"),
        ("64007", "Operation subscribe failed due to WebSocket internal error. Please try again later."),
    ],
)
def test_a_whole_request_is_refused(clock, code, message):
    viewer = stage_of(clock, f"error:code={code}").enter()

    assert [decode(item.text.encode()) for item in viewer.say("subscribe", BTC)] == [Refusal(code, message, None)]
    assert viewer.peer.subscriptions == 0
    assert answers(viewer.say("subscribe", BTC)) == [BTC]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("60011", "Please log in"),
        ("64003", "Your trading fee tier doesn't meet the requirement to access this channel"),
        ("64004", "Subscribe to both books and books-l2-tbt is not allowed. Unsubscribe books-l2-tbt first."),
    ],
)
def test_an_arg_is_refused_for_other_reasons(clock, code, message):
    items = stage_of(clock, f"error:code={code},inst={ETH}").enter(BTC, ETH).items

    assert decode(items[1].text.encode()) == Refusal(code, message, None)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("error:request=2", [BTC, BTC, "60018", BTC]),
        ("error:request=2,k=2,op=both", [BTC, "60018", "60018", BTC]),
        ("error:request=1,every=2,op=both,code=60014", ["60014", BTC, "60014", BTC]),
        ("error:op=unsubscribe", [BTC, "60018", BTC, BTC]),
        ("error:op=both,k=3", ["60018", "60018", "60018", BTC]),
        (f"error:inst={ETH}", [BTC, BTC, BTC, BTC]),
        ("error:conn=second", [BTC, BTC, BTC, BTC]),
        ("error:at=2s,k=2", [BTC, BTC, "60018", BTC]),
        ("error:for=2s", ["60018", BTC, BTC, BTC]),
        ("error:for=2s,op=both", ["60018", "60018", BTC, BTC]),
        ("error:p=1,until=2s,op=both", ["60018", "60018", BTC, BTC]),
    ],
)
def test_requests_are_refused_by_their_number_and_time(clock, spec, expected):
    viewer = stage_of(clock, spec).enter()
    said = []
    for op in ("subscribe", "unsubscribe", "subscribe", "unsubscribe"):
        said += answers(viewer.say(op, BTC))
        clock.advance(1000)  # the timeline stands still, and time passes all the same

    assert said == expected


def test_a_refused_unsubscribe_changes_nothing(clock):
    viewer = stage_of(clock, "error:op=unsubscribe,code=60014").enter(BTC)
    viewer.say("unsubscribe", BTC)

    assert viewer.peer.subscriptions == 1
