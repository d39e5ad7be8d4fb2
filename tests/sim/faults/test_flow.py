"""What becomes of the order and the flow of pushes on one connection."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2vault.book.book import Book
from l2vault.okx.messages import decode
from l2vault.sim.exchange.books import encode_push
from l2vault.sim.faults.flow import _merged
from l2vault.sim.faults.frame import Frame
from support.rehearsal import BTC, ETH, SEQ, START_MS, Stage, full_tick, rehearse, timeline, update_tick


@pytest.mark.parametrize(
    ("spec", "numbers", "breaks"),
    [
        ("drop:push=2", [0, 1, 3, 4, 5, 6], [3]),
        ("drop:push=2,k=3", [0, 1, 5, 6], [5]),
        ("drop:at=250ms,k=2", [0, 1, 2, 5, 6], [5]),
        ("drop:at=250ms,for=250ms", [0, 1, 2, 5, 6], [5]),
        ("drop:frame=1", [1, 2, 3, 4, 5, 6], [1]),
        ("drop:frame=2,k=2", [0, 3, 4, 5, 6], [3]),
        ("drop:push=2,every=3", [0, 1, 3, 4, 6], [3, 6]),
        ("drop:p=1,until=350ms", [0, 4, 5, 6], [4]),
        ("duplicate:push=2", [0, 1, 2, 2, 3, 4, 5, 6], [2]),
        ("duplicate:push=2,copies=2", [0, 1, 2, 2, 2, 3, 4, 5, 6], [2, 2]),
        ("reorder:push=2", [0, 1, 3, 2, 4, 5, 6], [3, 2, 4]),
        ("reorder:push=2,k=2", [0, 1, 3, 2, 4, 5, 6], [3, 2, 4]),
        ("reorder:push=6", [0, 1, 2, 3, 4, 5, 6], []),
    ],
)
async def test_pushes_are_lost_doubled_or_change_places(clock, spec, numbers, breaks):
    stage = await rehearse(clock, f"{spec},conn=second,inst={BTC}", timeline(6, BTC, ETH), connections=2)

    well, struck = stage.viewers
    assert (struck.numbers(), struck.breaks()) == (numbers, breaks)
    assert (struck.numbers(ETH), struck.breaks(ETH)) == ([0, 1, 2, 3, 4, 5, 6], [])
    assert (well.numbers(), well.numbers(ETH)) == ([0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6])


async def test_all_instruments_means_each_of_them(clock):
    stage = await rehearse(clock, "drop:push=2,k=2", timeline(4, BTC, ETH))

    assert [stage.viewers[0].numbers(inst_id) for inst_id in (BTC, ETH)] == [[0, 1, 4], [0, 1, 4]]


async def test_the_same_pushes_are_struck_in_every_run_and_by_every_seed_others(clock):
    async def numbers(seed):
        stage = await rehearse(clock, "drop:p=0.2;reorder:p=0.1;duplicate:p=0.1", timeline(80), seed=seed)
        return stage.viewers[0].numbers()

    first = await numbers(1)
    assert 1 < len({*range(81)} - {*first}) < 40
    assert await numbers(1) == first
    assert await numbers(2) != first


async def test_two_connections_lose_the_same_pushes_whenever_they_came(clock):
    stage = Stage(clock, "drop:p=0.3", timeline(60))
    early = stage.enter(BTC)
    joins = iter(range(20))

    class Joining:
        """Subscribes in the middle of the timeline, as the twentieth push passes."""

        peer = early.peer

        def emit(self, frame):
            pass

        def pass_time(self, ts_ms, begun):
            pass

        def settle(self):
            pass

        async def room(self):
            if next(joins, None) == 19:
                stage.enter(BTC)

    stage.playback.links[Joining()] = None
    await stage.play()

    late = stage.viewers[1].numbers()
    assert late[0] >= 19
    assert late[1:] == [number for number in early.numbers() if number > late[0]]


async def test_no_book_goes_out_but_requests_and_pings_are_answered(clock):
    stage = Stage(clock, f"no-book:inst={BTC},at=150ms,for=200ms", timeline(5, BTC, ETH))
    viewer = stage.enter(BTC, ETH)
    await stage.play()

    assert viewer.numbers() == [0, 1, 4, 5]
    assert viewer.numbers(ETH) == [0, 1, 2, 3, 4, 5]
    stage.faults.schedule.now_ms = START_MS + 200
    assert [frame.text for frame in viewer.peer.receive("ping", 0)] == ["pong"]
    assert [item.change for item in viewer.say("unsubscribe", BTC)] == [None]
    assert [item.change for item in viewer.say("subscribe", BTC)] == [None]  # acknowledged, and no full book


async def test_without_full_books_updates_flow_all_the_same(clock):
    stage = Stage(clock, "no-snapshot:for=250ms,conn=first", timeline(5))
    struck, well = stage.enter(BTC), stage.enter(BTC)
    await stage.play()

    assert struck.numbers() == [1, 2, 3, 4, 5]
    assert well.numbers() == [0, 1, 2, 3, 4, 5]
    struck.say("unsubscribe", BTC)
    assert [item.change and item.change.is_snapshot for item in struck.say("subscribe", BTC)] == [None, True]


@pytest.mark.parametrize(
    ("spec", "numbers", "breaks"),
    [
        ("late-snapshot", [1, 1, 2, 3, 4], [1]),
        ("late-snapshot:updates=3", [1, 2, 3, 3, 4], [1]),
        ("late-snapshot:book=stale", [1, 0, 2, 3, 4], [1, 2]),
        ("late-snapshot:updates=2,book=stale", [1, 2, 0, 3, 4], [1, 3]),
        ("late-snapshot:updates=9", [1, 2, 3, 4], [1]),
    ],
)
async def test_the_full_book_comes_after_updates_and_fits_them_or_not(clock, spec, numbers, breaks):
    stage = await rehearse(clock, spec, timeline(4))

    viewer = stage.viewers[0]
    assert (viewer.numbers(), viewer.breaks()) == (numbers, breaks)


async def test_a_late_full_book_is_that_of_its_moment(clock):
    stage = await rehearse(clock, "late-snapshot:updates=2", timeline(4))

    full = next(push for push in stage.viewers[0].pushes if push.is_snapshot)
    assert (full.bids, full.asks) == stage.oracle.at(BTC, SEQ + 20)[0].image


async def test_while_it_lasts_everything_waits_and_then_leaves_in_order(clock):
    stage = Stage(clock, "stall:at=150ms,for=200ms,conn=first", timeline(6, BTC, ETH))
    struck, well = stage.enter(BTC, ETH), stage.enter(BTC, ETH)
    left_at = []
    struck.emit = lambda frame: left_at.extend(
        (stage.faults.schedule.now_ms - START_MS, passed.number) for passed in struck._chain.feed(frame)
    )
    struck.pass_time = lambda ts_ms, begun: left_at.extend(
        (ts_ms - START_MS, passed.number) for passed in struck._chain.pass_time(ts_ms, begun)
    )
    await stage.play()

    at_once = [(350, 2), (350, 2), (350, 3), (350, 3)]
    assert left_at == [(100, 1), (100, 1), *at_once, *[(100 * number, number) for number in (4, 4, 5, 5, 6, 6)]]
    assert well.numbers() == [0, 1, 2, 3, 4, 5, 6]


async def test_answers_wait_with_the_pushes(clock):
    stage = Stage(clock, "stall:for=10s", timeline(2))
    viewer = stage.enter(BTC)

    assert viewer.items == []
    await stage.play()  # ends before the stall does, which then has nothing to wait for
    assert [decode(text.encode()).__class__.__name__ for text in viewer.texts] == ["Ack", *["BookChange"] * 3]


async def test_a_half_open_connection_sends_nothing_at_all_from_here_to_there(clock):
    stage = await rehearse(clock, "half-open:at=150ms,for=200ms,conn=first", timeline(6), connections=2)

    struck, well = stage.viewers
    assert struck.numbers() == [0, 1, 4, 5, 6]
    assert struck.deafenings == [True, False]
    assert well.deafenings == []
    deaf_from = struck.items.index((True,))
    assert struck.items[deaf_from + 1] == (False,)
    assert struck.items[deaf_from - 1].number == 1


@pytest.mark.parametrize(
    ("spec", "numbers"),
    [
        ("batch:merge=2", [0, 2, 4, 6, 7]),
        ("batch:merge=2,offset=1", [0, 1, 3, 5, 7]),
        ("batch:merge=3", [0, 3, 6, 7]),
        ("batch:merge=3,offset=1", [0, 2, 5, 7]),
        ("batch:merge=2,at=350ms", [0, 1, 2, 3, 4, 6, 7]),
        ("batch:merge=4,for=350ms", [0, 4, 5, 6, 7]),
        ("batch:merge=4,for=250ms", [0, 3, 4, 5, 6, 7]),
    ],
)
async def test_a_connection_has_a_batching_of_its_own_and_still_a_chain(clock, spec, numbers):
    stage = await rehearse(clock, f"{spec},conn=second", timeline(7), connections=2)

    plain, batched = stage.viewers
    assert (batched.numbers(), batched.breaks()) == (numbers, [])
    assert (plain.numbers(), plain.breaks()) == ([*range(8)], [])
    for push in batched.pushes:
        assert push.ts_ms == START_MS + (push.seq_id - SEQ) * 10
    book = Book()
    for push in batched.pushes:
        book.apply(push)
        assert book.top(400) == stage.oracle.at(BTC, push.seq_id)[0].image


async def test_whoever_joins_a_batching_connection_in_mid_batch_gets_a_chain(clock):
    stage = Stage(clock, "batch:merge=4", [full_tick()])
    viewer = stage.enter(BTC)
    await stage.play()
    for number in range(1, 12):
        if number == 6:
            viewer.say("unsubscribe", BTC)
        if number == 7:
            viewer.say("subscribe", BTC)
        stage.playback._play(update_tick(number))

    # 5 was held back when the subscription ended: the full book of 6 has it.
    assert (viewer.numbers(), viewer.breaks()) == ([0, 4, 6, 8], [])


LEVELS = st.lists(
    st.tuples(st.sampled_from(["1", "2", "3", "4.5"]), st.sampled_from("0123"), st.just("0"), st.just("1")),
    max_size=4,
    unique_by=lambda level: level[0],
)


@given(st.lists(st.tuples(LEVELS, LEVELS), min_size=1, max_size=6))
@settings(max_examples=60)
def test_a_merged_push_does_what_its_parts_did(parts):
    changes = [
        msgspec.structs.replace(update_tick(number).change, bids=bids, asks=asks)
        for number, (bids, asks) in enumerate(parts, 1)
    ]
    step_by_step, at_once = Book(), Book()
    for book in (step_by_step, at_once):
        book.apply(full_tick().change)
    for change in changes:
        step_by_step.apply(change)
    (merged,) = _merged([Frame(encode_push(change), change, 1) for change in changes])
    at_once.apply(merged.change)

    assert at_once.top(400) == step_by_step.top(400)
    assert (at_once.seq_id, at_once.ts_ms) == (step_by_step.seq_id, step_by_step.ts_ms)
    assert merged.change.prev_seq_id == changes[0].prev_seq_id
    assert decode(merged.text.encode()) == merged.change


async def test_trickled_frames_are_whole_frames_in_another_manner(clock):
    stage = await rehearse(clock, "trickle:at=150ms,for=200ms,conn=first", timeline(5), connections=2)

    struck, well = stage.viewers
    assert [frame.number for frame in struck.frames if frame.manner is not None] == [2, 3]
    assert struck.texts[1:] == well.texts[1:]
