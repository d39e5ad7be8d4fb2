"""Each way in which the exchange misbehaves, judged by what was written. T-numbers are real bugs of other clients.

Every scenario also passes the judge of `support.torture`: no line that differs from the exchange's own book at its
`seqId`, none doubled, every slot without a line explained, OKX's limits kept.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pytest

from l2vault.book.utc import utc_ms
from l2vault.sim.faults.kinds import KINDS
from l2vault.vault.journal.events import Event, Lost, Minute, Noticed, Refused, Synced
from l2vault.vault.journal.log import read_journal
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.store.layout import Layout
from support.torture import Schedule, schedule_of, torture, written_lines

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
SECONDS = 16

NO_LOSS: frozenset[str] = frozenset()
ONE_LINE = {
    # what goes wrong: (the plan, what BTC is lost to)
    "a lost message (T3, T27)": ("drop:inst=BTC-USDT-SWAP,at=8s", {"chain"}),
    "three lost messages": ("drop:inst=BTC-USDT-SWAP,at=8s,k=3", {"chain"}),
    "a message twice": ("duplicate:inst=BTC-USDT-SWAP,at=8s", NO_LOSS),
    "two messages in the wrong order": ("reorder:inst=BTC-USDT-SWAP,at=8s", {"chain"}),
    "bytes flipped (T24)": ("corrupt:inst=BTC-USDT-SWAP,at=8s,how=flip", {"chain", "schema"}),
    "a frame cut short (T24)": ("corrupt:inst=BTC-USDT-SWAP,at=8s,how=cut", {"chain", "schema"}),
    "a quote lost": ("corrupt:inst=BTC-USDT-SWAP,at=8s,how=unquoted", {"chain", "schema"}),
    "no ts (T24)": ("missing:inst=BTC-USDT-SWAP,at=8s,field=ts", {"schema"}),
    "no bids (T24)": ("missing:inst=BTC-USDT-SWAP,at=8s,field=bids", {"schema"}),
    "no asks (T24)": ("missing:inst=BTC-USDT-SWAP,at=8s,field=asks", {"schema"}),
    "no seqId": ("missing:inst=BTC-USDT-SWAP,at=8s,field=seqId", {"schema"}),
    "no prevSeqId": ("missing:inst=BTC-USDT-SWAP,at=8s,field=prevSeqId", {"chain"}),
    "no checksum": ("missing:inst=BTC-USDT-SWAP,at=8s,field=checksum", NO_LOSS),
    "no arg": ("missing:inst=BTC-USDT-SWAP,at=8s,field=arg", {"chain"}),
    "no action (T4)": ("missing:inst=BTC-USDT-SWAP,at=8s,field=action", {"schema", "chain"}),
    "an unknown field": ("unknown-field:inst=BTC-USDT-SWAP,at=8s", NO_LOSS),
    "an unknown event": ("unknown-event:at=8s", NO_LOSS),
    "ts 0 (T18)": ("ts:inst=BTC-USDT-SWAP,at=8s,how=zero", NO_LOSS),
    "ts going back": ("ts:inst=BTC-USDT-SWAP,at=8s,how=back", NO_LOSS),
    "ts repeated (T18)": ("ts:inst=BTC-USDT-SWAP,at=8s,how=repeat", NO_LOSS),
    "a heartbeat (T6)": ("heartbeat:inst=BTC-USDT-SWAP,at=8s", NO_LOSS),
    "a maintenance reset (T5)": ("reset:inst=BTC-USDT-SWAP,at=8s", NO_LOSS),
    "a maintenance reset whose message is lost (T5)": ("reset:inst=BTC-USDT-SWAP,at=8s,lost=all", {"chain"}),
    "a full book unasked (T2)": ("snapshot:inst=BTC-USDT-SWAP,at=8s", NO_LOSS),
    "an update before the full book": ("late-snapshot:inst=BTC-USDT-SWAP,at=0s;drop:inst=BTC-USDT-SWAP,at=8s", None),
    "401 levels": ("levels:inst=BTC-USDT-SWAP,at=8s", {"invariant"}),
    "a crossed book (T23)": ("crossed:inst=BTC-USDT-SWAP,at=8s", {"invariant"}),
    "a locked book": ("crossed:inst=BTC-USDT-SWAP,at=8s,how=locked", {"invariant"}),
    "deletes of unknown prices": ("unknown-delete:inst=BTC-USDT-SWAP,at=8s", NO_LOSS),
    "levels sent again unchanged": ("resend:inst=BTC-USDT-SWAP,at=8s", NO_LOSS),
    "a wrong checksum": ("checksum:inst=BTC-USDT-SWAP,at=8s,how=wrong", {"checksum"}),
    "a right checksum (T17)": ("checksum:inst=BTC-USDT-SWAP,at=8s,how=real,k=20", NO_LOSS),
    "a checksum of zero (T1)": ("checksum:inst=BTC-USDT-SWAP,at=8s,how=zero,k=20", NO_LOSS),
    "60018 for one instrument (T13)": ("error:code=60018,inst=ETH-USDT-SWAP", NO_LOSS),
    "a close without a frame (T14)": ("close:at=8s,code=1006", {"disconnect"}),
    "a close 4004 (T10)": ("close:at=8s,code=4004", {"disconnect"}),
    "a close 4005, buffer full (T22)": ("close:at=8s,code=4005", {"disconnect"}),
    "a frame cut in the middle": ("cut:at=8s", {"disconnect"}),
    "a frame of a megabyte": ("big-frame:at=8s", NO_LOSS),
    "frames in tiny pieces": ("trickle:at=6s,for=1s,piece=64", NO_LOSS),
    "connections refused for a while": ("close:at=8s;refuse:at=8s,for=4s,how=503", {"disconnect"}),
    "connections refused by the system": ("close:at=8s;refuse:at=8s,for=4s,how=tcp", {"disconnect"}),
    "a slow handshake": ("close:at=8s;slow-handshake:at=8s,for=6s,delay=3s", {"disconnect"}),
    "compression on": ("deflate", NO_LOSS),
    "a tick size changed with a full book": ("tick-size:inst=BTC-USDT-SWAP,at=8s,tick=0.5", NO_LOSS),
    "post_only (T24)": ("state:inst=BTC-USDT-SWAP,at=8s,to=post_only", NO_LOSS),
    "suspended": ("state:inst=BTC-USDT-SWAP,at=8s,to=suspend", NO_LOSS),
    "too many requests, says OKX (T7)": ("error:code=60014", NO_LOSS),
    "no right to the channel": ("error:code=64003,inst=ETH-USDT-SWAP", NO_LOSS),
    "accepted and then silent": ("close:at=8s;accept-silent:at=8s,for=4s", {"disconnect"}),
    "REST without an answer": ("rest:answer=timeout", NO_LOSS),
    "REST older than the stream": ("rest:answer=older", NO_LOSS),
    "REST 429 with a page": ("rest:answer=429-html", NO_LOSS),
    "REST 403": ("rest:answer=403", NO_LOSS),
    "REST 50011": ("rest:answer=50011", NO_LOSS),
    "REST 51001": ("rest:answer=51001", NO_LOSS),
    "REST 503": ("rest:answer=503", NO_LOSS),
    "REST empty": ("rest:answer=empty", NO_LOSS),
    "a lost push of trades": ("trade-drop:inst=BTC-USDT-SWAP,at=8s", NO_LOSS),
    "a push of trades twice": ("trade-duplicate:inst=BTC-USDT-SWAP,at=8s,k=20", NO_LOSS),
    "pushes of trades in the wrong order": ("reorder:channel=trades,inst=BTC-USDT-SWAP,at=8s,k=20", NO_LOSS),
    "trades that cannot be read": ("corrupt:channel=trades,inst=BTC-USDT-SWAP,at=8s,k=5", NO_LOSS),
    "trades without a price": ("missing:channel=trades,field=px,inst=BTC-USDT-SWAP,at=8s,k=5", NO_LOSS),
}
ONE_OF_TWO = {
    "a lost message": "drop:inst=BTC-USDT-SWAP,at=12s,conn=first",
    "garbage": "corrupt:inst=BTC-USDT-SWAP,at=12s,how=flip,conn=first",
    "a crossed book": "crossed:inst=BTC-USDT-SWAP,at=12s,conn=first",
    "a wrong checksum": "checksum:inst=BTC-USDT-SWAP,at=12s,how=wrong,conn=first",
    "a reset lost": "reset:inst=BTC-USDT-SWAP,at=12s,lost=first",
    "a close": "close:at=12s,code=1006,conn=first",
    "a service upgrade": "notice:at=12s,after=3s,conn=first",
    "a stall": "stall:at=12s,for=5s,conn=first",
    "silence": "half-open:at=12s,for=10s,conn=first",
    "the second line's close": "close:at=12s,code=4004,conn=second",
    "orders summed up differently": "trade-split:p=0.5,conn=first;trade-split:first=2,p=0.5,conn=second",
}


@pytest.mark.parametrize("name", ONE_LINE)
def test_on_one_line(name: str, tmp_path: Path) -> None:
    plan, causes = ONE_LINE[name]
    is_refused = plan.startswith("error:")  # it is obeyed: the next request comes 15 to 30 s later
    seconds = 40 if is_refused else SECONDS
    verdict = torture(Schedule(7, (BTC, ETH), 1, seconds, plan), tmp_path)
    assert verdict.complaints == []
    events = list(read_journal(Layout(tmp_path)))
    lost = _lost(events, BTC)
    if causes is not None:
        assert ({cause for cause in lost} <= set(causes)) and bool(lost) == bool(causes), lost
    assert verdict.slots["recorded"] >= 8, "both instruments are recorded for most of the time"
    if "at=8s" in plan and "inst=BTC-USDT-SWAP" in plan:
        assert _lost(events, ETH) == [], "one instrument's trouble is its own"


@pytest.mark.parametrize("name", ONE_OF_TWO)
def test_on_one_of_two_lines_it_costs_no_slot(name: str, tmp_path: Path) -> None:
    verdict = torture(Schedule(7, (BTC, ETH), 2, SECONDS + 12, ONE_OF_TWO[name]), tmp_path)
    assert verdict.complaints == []
    missing = {state: count for state, count in verdict.slots.items() if state.startswith("missing")}
    assert set(missing) <= {"missing (our_restart)"}, missing


def test_a_connection_that_neither_pongs_nor_sends_is_replaced(tmp_path: Path) -> None:
    """T9: 15 s of quiet, a ping, 10 s for its pong."""
    verdict = torture(Schedule(7, (BTC, ETH), 1, 60, "half-open:at=8s,for=30s"), tmp_path)
    assert verdict.complaints == []
    assert _lost(list(read_journal(Layout(tmp_path))), BTC) == ["disconnect"]


def test_a_connection_that_pongs_but_sends_no_book_of_one_instrument_is_told_as_silence(tmp_path: Path) -> None:
    """T9, the other kind: OKX's heartbeat comes each minute, so 75 s without a word are silence."""
    plan = "no-book:inst=BTC-USDT-SWAP,at=8s,for=80s"
    verdict = torture(Schedule(7, (BTC, ETH), 1, 110, plan), tmp_path)
    assert verdict.complaints == []
    events = list(read_journal(Layout(tmp_path)))
    assert _lost(events, BTC)[0] == "silence"
    assert _lost(events, ETH) == [], "one instrument's trouble is its own"


def test_two_lines_that_batch_differently_are_both_right_and_sometimes_uncomparable(tmp_path: Path) -> None:
    verdict = torture(Schedule(7, (BTC, ETH), 2, 60, "batch:conn=second,merge=3,offset=1"), tmp_path)
    assert verdict.complaints == []
    minutes = [event for event in read_journal(Layout(tmp_path)) if isinstance(event, Minute)]
    assert sum(event.unaligned for event in minutes) > 0
    assert sum(event.conflicting for event in minutes) == 0


def test_the_holes_that_coverage_tells_are_those_that_were_made(tmp_path: Path) -> None:
    plan = "drop:inst=BTC-USDT-SWAP,at=8s;close:at=16s;refuse:at=16s,for=5s"
    torture(Schedule(7, (BTC, ETH), 1, 40, plan), tmp_path)
    events = list(read_journal(Layout(tmp_path)))
    vault = open_vault(tmp_path)
    for inst_id, causes in ((BTC, ["chain", "disconnect"]), (ETH, ["disconnect"])):
        synced = [utc_ms(e.ts) for e in events if isinstance(e, Synced) and e.inst_id == inst_id and e.ts]
        losses = [utc_ms(e.from_) for e in events if isinstance(e, Lost) and e.inst_id == inst_id and e.from_]
        lines = [utc_ms(line["timestamp_utc"]) for line in written_lines(tmp_path, inst_id)]
        known = [next(ms for ms in lines if ms >= after_ms) for after_ms in synced]
        coverage = vault.coverage(inst_id, known[0], losses[-1])
        assert [(hole.start_ms, hole.cause) for hole in coverage.holes] == list(zip(losses, causes, strict=False))
        for hole, synced_ms, known_ms in zip(coverage.holes, synced[1:], known[1:], strict=False):
            assert synced_ms <= hole.end_ms <= known_ms, "it ends with the full book, or with the line that has it"
        if synced[0] == known[0]:
            continue  # the full book itself was the one at the first grid time
        (before,) = vault.coverage(inst_id, synced[0], known[0]).holes
        assert (before.kind, before.slots) == ("unknown", 0), "in sync, but no line holds that book"


def test_every_kind_of_fault_is_in_a_scenario() -> None:
    """Those of the channels beside the books are in the scenarios of the context."""
    files = Path(__file__), Path(__file__).with_name("test_context.py")
    recording = "\n".join(file.read_text(encoding="utf-8") for file in files)
    assert [name for name in KINDS if not re.search(rf'"{name}[:"]|;{name}:', recording)] == []


def test_a_notice_hands_over_without_a_slot_lost_even_on_one_line(tmp_path: Path) -> None:
    """T12: 64008, then the close."""
    verdict = torture(Schedule(7, (BTC, ETH), 1, SECONDS, "notice:at=8s,after=6s"), tmp_path)
    events = list(read_journal(Layout(tmp_path)))
    assert verdict.complaints == []
    assert [event.code for event in events if isinstance(event, Noticed)] == ["64008"]
    assert {event.feed for event in events if isinstance(event, Synced)} == {1, 2}
    assert not any(state.startswith("missing") and "our_restart" not in state for state in verdict.slots)


def test_no_full_book_at_all_is_seeded_from_rest(tmp_path: Path) -> None:
    """Protocol 2.8, announced in February 2026. T16: REST and stream in one unit, or the judge would see it."""
    verdict = torture(Schedule(7, (BTC, ETH), 1, SECONDS, "no-snapshot"), tmp_path)
    assert verdict.complaints == []
    synced = [event for event in read_journal(Layout(tmp_path)) if isinstance(event, Synced)]
    assert {(event.inst_id, event.source) for event in synced} == {(BTC, "rest"), (ETH, "rest")}


def test_a_crossed_book_before_the_opening_is_no_breach(tmp_path: Path) -> None:
    plan = "state:inst=BTC-USDT-SWAP,at=0s,for=2m,to=preopen,crossed=yes,lead=0s"
    verdict = torture(Schedule(7, (BTC, ETH), 1, 60, plan), tmp_path)
    assert verdict.complaints == []
    events = list(read_journal(Layout(tmp_path)))
    assert set(_lost(events, BTC)) <= {"implausible"}, "until the row says so, a full book is taken for one while live"
    lines = written_lines(tmp_path, BTC)
    assert len(lines) >= 8, "it is recorded for most of the time"
    assert all(Decimal(line["best_bid"]) >= Decimal(line["best_ask"]) for line in lines)


def test_60018_is_journaled_for_its_instrument_alone(tmp_path: Path) -> None:
    """T13."""
    torture(Schedule(7, (BTC, ETH), 1, SECONDS, "error:code=60018,inst=ETH-USDT-SWAP"), tmp_path)
    refused = [event for event in read_journal(Layout(tmp_path)) if isinstance(event, Refused)]
    assert [(event.inst_id, event.code) for event in refused] == [(ETH, "60018")]


@pytest.mark.parametrize("seed", range(4))
def test_a_random_schedule_of_faults(seed: int, tmp_path: Path) -> None:
    """The first seeds of `make torture`."""
    schedule = schedule_of(seed)
    verdict = torture(schedule, tmp_path)
    assert verdict.complaints == [], schedule.faults


def _lost(events: Iterable[Event], inst_id: str) -> list[str]:
    return [
        event.cause
        for event in events
        if isinstance(event, Lost) and event.inst_id == inst_id and event.cause != "our_restart"
    ]
