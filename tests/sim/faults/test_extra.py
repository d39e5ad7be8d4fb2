"""Frames nobody asked for, notices, and the end of a connection."""

import json

import pytest

from l2vault.okx.context_messages import ContextPush
from l2vault.okx.messages import Notice, Unknown, decode
from l2vault.sim.faults.frame import ABNORMAL, Frame, HangUp
from support.rehearsal import BTC, ETH, SEQ, START_MS, Stage, rehearse, timeline

UPGRADE = "The connection will soon be closed for a service upgrade. Please reconnect."


async def test_a_heartbeat_follows_the_push_with_its_number_twice_and_no_levels(clock):
    stage = await rehearse(clock, f"heartbeat:push=2,k=2,inst={BTC}", timeline(3, BTC, ETH))

    viewer = stage.viewers[0]
    beats = [push for push in viewer.pushes if push.seq_id == push.prev_seq_id]
    assert viewer.numbers() == [0, 1, 2, 2, 3, 3]
    assert viewer.numbers(ETH) == [0, 1, 2, 3]
    assert viewer.breaks() == []
    assert [(beat.bids, beat.asks, beat.is_snapshot, beat.seq_id) for beat in beats] == [
        ([], [], False, SEQ + 20),
        ([], [], False, SEQ + 30),
    ]
    assert [beat.ts_ms for beat in beats] == [START_MS + 200, START_MS + 300]


async def test_a_full_book_comes_unasked_and_is_the_book_of_its_moment(clock):
    stage = await rehearse(clock, "snapshot:push=2,conn=2", timeline(4), connections=2)

    plain, struck = stage.viewers
    assert struck.numbers() == [0, 1, 2, 2, 3, 4]
    assert struck.breaks() == []
    full = struck.pushes[3]
    assert (full.is_snapshot, full.prev_seq_id, full.ts_ms) == (True, -1, START_MS + 200)
    assert (full.bids, full.asks) == stage.oracle.truths(BTC)[2].image
    assert plain.numbers() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1006, ""),
        (4004, "No data received in 30s."),
        (4005, "buffer is full, cannot write data"),
        (4321, ""),
    ],
)
async def test_a_connection_is_closed_at_its_time_behind_what_was_sent_before(clock, code, reason):
    stage = await rehearse(clock, f"close:code={code},at=250ms,conn=first", timeline(4), connections=2)

    struck, other = stage.viewers
    assert struck.items[4] == HangUp(code, reason)
    assert struck.numbers()[:3] == [0, 1, 2]
    assert other.ends == []


@pytest.mark.parametrize(
    ("trigger", "before"),
    [("push=3", 2), ("at=300ms", 2), ("at=201ms", 2), ("frame=3", 1), ("at=0", 0), ("push=5", 4)],
)
async def test_a_close_comes_before_the_push_that_brings_it_about(clock, trigger, before):
    stage = await rehearse(clock, f"close:{trigger}", timeline(6))

    items = stage.viewers[0].items
    place = items.index(HangUp(ABNORMAL, ""))
    assert len([item for item in items[:place] if isinstance(item, Frame) and item.number]) == before


async def test_pushes_of_others_count_for_a_close_and_reach_those_who_do_not_watch_them(clock):
    stage = await rehearse(clock, f"close:push=2,inst={ETH};close:push=7", timeline(4, BTC, ETH))
    assert [item.code for item in stage.viewers[0].ends] == [ABNORMAL, ABNORMAL]

    stage = Stage(clock, f"close:push=2,inst={ETH}", timeline(4, BTC, ETH))
    viewer = stage.enter(BTC)
    await stage.play()
    assert (viewer.numbers(), len(viewer.ends)) == ([0, 1, 2, 3, 4], 1)


async def test_a_repeated_close_strikes_whoever_is_there(clock):
    stage = await rehearse(clock, "close:at=100ms,every=200ms,times=2", timeline(8), connections=2)

    assert [len(viewer.ends) for viewer in stage.viewers] == [2, 2]


async def test_a_notice_is_okx_s_and_the_close_it_announces_comes_after_its_time(clock):
    stage = await rehearse(clock, "notice:at=150ms,after=200ms,code=4004,conn=1", timeline(6), connections=2)

    struck, other = stage.viewers
    assert struck.texts[3] == (
        f'{{"event":"notice","msg":"{UPGRADE}","code":"64008","connId":"{struck.peer.conn_id}"}}'
    )
    assert decode(struck.texts[3].encode()) == Notice("64008", UPGRADE)
    place = struck.items.index(HangUp(4004, "No data received in 30s."))
    assert struck.items[place - 1].change.ts_ms == START_MS + 300
    assert struck.items[place + 1].change.ts_ms == START_MS + 400
    assert len(other.items) == len(struck.items) - 2


async def test_a_connection_that_comes_after_a_notice_is_not_closed_for_it(clock):
    stage = Stage(clock, "notice:at=100ms,after=100ms", [*timeline(3)])
    early = stage.enter(BTC)
    stage.playback.links.pop(early)  # gone before its close
    await stage.play()
    late = stage.enter(BTC)

    assert late.ends == []


async def test_a_big_frame_is_a_legal_push_of_another_channel(clock):
    stage = await rehearse(clock, "big-frame:at=150ms,size=2MB", timeline(3))

    viewer = stage.viewers[0]
    text = viewer.texts[3]
    assert len(text) > 2 * 1024 * 1024
    pushed = decode(text.encode())
    assert isinstance(pushed, ContextPush)
    assert pushed.channel == "instruments"
    assert json.loads(text)["data"][0] == stage.exchange.instrument_rows()[0]
    assert viewer.breaks() == []


async def test_an_unknown_event_disturbs_nothing(clock):
    stage = await rehearse(clock, "unknown-event:at=100ms,every=100ms", timeline(3))

    viewer = stage.viewers[0]
    events = [decode(text.encode()) for text in viewer.texts if "channel-conn-count" in text]
    assert events == [Unknown("event channel-conn-count")] * 3
    assert viewer.numbers() == [0, 1, 2, 3]


async def test_a_cut_takes_the_next_push_and_ends_the_connection(clock):
    stage = await rehearse(clock, "cut:at=150ms,keep=7", timeline(4))

    viewer = stage.viewers[0]
    place = viewer.items.index(HangUp(ABNORMAL, "cut in the middle of a frame"))
    assert (viewer.items[place - 1].number, viewer.items[place - 1].manner is not None) == (2, True)
    assert [frame.manner for frame in viewer.frames if frame.number != 2] == [None] * 5


async def test_a_cut_may_be_the_full_book(clock):
    stage = await rehearse(clock, "cut:frame=1", timeline(1))

    items = stage.viewers[0].items
    assert (items[1].change.is_snapshot, items[2]) == (True, HangUp(ABNORMAL, "cut in the middle of a frame"))
