"""OKX's instrument rows: had at once or later, kept when they change, and never in the way of recording."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from l2vault.errors import RestError
from l2vault.okx.rest import Forbidden, Throttled, UnknownInstrument
from l2vault.recording.tasks.metadata import (
    FIRST_RETRY_SEC,
    LONGEST_RETRY_SEC,
    LOOK_SEC,
    REFRESH_SEC,
    SPACING_SEC,
    Metadata,
)
from l2vault.vault.journal.events import Event, InstrumentNoted
from l2vault.vault.store.instruments import read_row, read_rows
from l2vault.vault.store.layout import Layout
from support.manual_clock import ManualClock, some_turns, until

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
DOWN = RestError("no answer.", "check the network")
LOOK_MS = round(LOOK_SEC * 1000)


def row(inst_id: str, **fields: object) -> bytes:
    return json.dumps({"instId": inst_id, "state": "live", "tickSz": "0.1"} | fields).encode()


class FakeRest:
    """Answers each instrument with what `answers` says of it; an exception is raised."""

    def __init__(self, clock: ManualClock) -> None:
        self.answers: dict[str, bytes | Exception] = {BTC: row(BTC), ETH: row(ETH)}
        self.asked: list[tuple[str, int]] = []
        """Each request with the second since the start."""
        self.names: list[str] | Exception = [BTC, ETH, "SOL-USDT-SWAP"]
        self.names_asked = 0
        self._clock = clock
        self._began_ms = clock.now_ms

    def instrument(self, inst_id: str) -> bytes:
        self.asked.append((inst_id, (self._clock.now_ms - self._began_ms) // 1000))
        answer = self.answers[inst_id]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def swap_names(self) -> list[str]:
        self.names_asked += 1
        if isinstance(self.names, Exception):
            raise self.names
        return self.names

    def times(self, inst_id: str) -> list[int]:
        return [second for asked, second in self.asked if asked == inst_id]


class Rig:
    def __init__(self, root: Path) -> None:
        self.clock = ManualClock()
        self.rest = FakeRest(self.clock)
        self.layout = Layout(root)
        self.events: list[Event] = []
        self.states: list[tuple[str, bool]] = []
        self.metadata = Metadata(
            self.layout,
            self.rest,  # type: ignore[arg-type]
            self.clock,
            Random(1),
            self.events.append,
            lambda inst_id, is_live: self.states.append((inst_id, is_live)),
        )

    @asynccontextmanager
    async def running(self, *inst_ids: str) -> AsyncIterator[None]:
        task = asyncio.create_task(self.metadata.run(inst_ids))
        try:
            yield
            assert not task.done(), "nothing ends it"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def pass_sec(self, seconds: float) -> None:
        await self.clock.pass_time(round(seconds * 1000))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


async def test_every_row_is_fetched_at_the_start_and_kept_byte_for_byte(rig: Rig) -> None:
    async with rig.running(BTC, ETH):
        await rig.pass_sec(1)
    assert rig.rest.times(BTC) == rig.rest.times(ETH) == [0]
    for inst_id in (BTC, ETH):
        assert rig.layout.instrument_file(inst_id).read_bytes() == row(inst_id)
    assert [
        (event.inst_id, event.what, event.detail) for event in rig.events if isinstance(event, InstrumentNoted)
    ] == [
        (BTC, "first", "state live"),
        (ETH, "first", "state live"),
    ]
    assert rig.states == [(BTC, True), (ETH, True)]


async def test_requests_keep_their_distance_and_rows_are_refreshed_hourly(rig: Rig) -> None:
    inst_ids = [BTC, ETH, *(f"X{n}-USDT-SWAP" for n in range(8))]
    rig.rest.answers |= {inst_id: row(inst_id) for inst_id in inst_ids}
    async with rig.running(*inst_ids):
        await rig.pass_sec(REFRESH_SEC + 10)
    assert [inst_id for inst_id, _ in rig.rest.asked] == inst_ids * 2
    assert min(rig.clock.slept_sec) == SPACING_SEC
    first_again = rig.rest.times(BTC)[1]
    assert REFRESH_SEC <= first_again <= REFRESH_SEC + LOOK_SEC
    assert len(rig.events) == len(inst_ids), "the same row again is no news"


async def test_a_missing_row_is_asked_for_less_and_less_often_while_others_refresh_hourly(rig: Rig) -> None:
    rig.rest.answers[BTC] = DOWN
    async with rig.running(BTC, ETH):
        await rig.pass_sec(2 * REFRESH_SEC + LOOK_SEC)
    times = rig.rest.times(BTC)
    steps = [after - before for before, after in zip(times, times[1:], strict=False)]
    full = [min(LONGEST_RETRY_SEC, FIRST_RETRY_SEC * 2**n) for n in range(len(steps))]
    assert all(most / 2 - 1 <= step <= most + LOOK_SEC for step, most in zip(steps, full, strict=True))
    assert len(steps) > 25, "for two hours, at most five minutes apart"
    assert rig.rest.times(ETH) == pytest.approx([0, REFRESH_SEC, 2 * REFRESH_SEC], abs=2 * LOOK_SEC)
    assert rig.events[0] == InstrumentNoted("2026-01-01T00:00:00.200Z", BTC, "unavailable", str(DOWN))
    assert [event.inst_id for event in rig.events if isinstance(event, InstrumentNoted)] == [BTC, ETH], "told once"


async def test_a_row_that_comes_at_last_is_kept_and_then_refreshed_hourly(rig: Rig) -> None:
    rig.rest.answers[BTC] = DOWN
    async with rig.running(BTC):
        await rig.pass_sec(20)
        failed = len(rig.rest.asked)
        rig.rest.answers[BTC] = row(BTC)
        await rig.pass_sec(REFRESH_SEC)
        assert len(rig.rest.asked) == failed + 1
        rig.rest.answers[BTC] = DOWN
        await rig.pass_sec(LONGEST_RETRY_SEC)
        later = rig.rest.times(BTC)[failed + 1 :]
    assert later[1] - later[0] <= FIRST_RETRY_SEC + 1, "the delay starts anew"
    notes = [event.what for event in rig.events if isinstance(event, InstrumentNoted)]
    assert notes == ["unavailable", "first", "unavailable"]
    assert rig.layout.instrument_file(BTC).read_bytes() == row(BTC)


@pytest.mark.parametrize(
    "trouble",
    [
        DOWN,
        UnknownInstrument("unknown."),
        Forbidden("403."),
        OSError(28, "No space left on device"),
        ValueError("proxy URL with no authority"),
    ],
    ids=lambda trouble: type(trouble).__name__,
)
async def test_no_trouble_of_rest_or_disk_ends_the_task(
    rig: Rig, trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    rig.rest.answers[BTC] = trouble
    async with rig.running(BTC, ETH):
        await rig.pass_sec(30)
    assert len(rig.rest.times(BTC)) >= 3
    assert read_row(rig.layout, BTC) is None
    assert read_row(rig.layout, ETH) is not None
    assert f"No instrument row of {BTC} yet. Recording goes on without it; asking again in " in caplog.text
    assert f" s. It was: {trouble}\n" in caplog.text
    assert rig.states == [(ETH, True)]


@pytest.mark.parametrize("body", [b'{"instId":"BTC-USDT-SWAP","alias":"\xff"}', b"[1, 2]", b"{"])
async def test_a_row_that_does_not_read_is_not_kept_and_asked_for_again(rig: Rig, body: bytes) -> None:
    rig.rest.answers[BTC] = body
    async with rig.running(BTC):
        await rig.pass_sec(30)
    assert len(rig.rest.asked) >= 3
    assert not rig.layout.instrument_file(BTC).exists()
    assert rig.states == []


async def test_a_disk_that_refuses_the_row_ends_nothing(rig: Rig) -> None:
    obstacle = rig.layout.instruments
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("a file where a folder belongs")
    async with rig.running(BTC):
        await rig.pass_sec(1)
        assert [event.what for event in rig.events if isinstance(event, InstrumentNoted)] == ["unavailable"]
        obstacle.unlink()
        await rig.pass_sec(LOOK_SEC * 2)
    assert rig.layout.instrument_file(BTC).read_bytes() == row(BTC)


async def test_okx_is_left_alone_for_as_long_as_it_asks(rig: Rig) -> None:
    rig.rest.answers[BTC] = Throttled("HTTP 429.", "ask less often", 60)
    async with rig.running(BTC):
        await rig.pass_sec(59)
        assert rig.rest.times(BTC) == [0]
        await rig.pass_sec(1 + LOOK_SEC)
    assert rig.rest.times(BTC) == pytest.approx([0, 60], abs=LOOK_SEC)


async def test_an_absurd_retry_after_does_not_silence_us_for_good(rig: Rig) -> None:
    rig.rest.answers[BTC] = Throttled("HTTP 429.", "ask less often", 99_999_999)
    async with rig.running(BTC):
        await rig.pass_sec(600 + 2 * LOOK_SEC)
    assert len(rig.rest.asked) == 2


async def test_a_changed_row_is_journaled_and_the_old_one_kept_with_its_date(rig: Rig) -> None:
    async with rig.running(BTC):
        await rig.pass_sec(1)
        changed = row(BTC, tickSz="0.01")
        rig.rest.answers[BTC] = changed
        rig.metadata.refresh_soon(BTC)
        await rig.pass_sec(LOOK_SEC + 1)
    notes = [(event.what, event.detail) for event in rig.events if isinstance(event, InstrumentNoted)]
    assert notes == [("first", "state live"), ("changed", "state live")]
    assert rig.layout.instrument_file(BTC).read_bytes() == changed
    (until_ms, former), latest = read_rows(rig.layout, BTC)
    assert former == json.loads(row(BTC))
    assert latest == (None, json.loads(changed))
    assert until_ms is not None
    assert until_ms == pytest.approx(rig.clock.wall_ms(), abs=LOOK_MS + 1000)


async def test_refresh_soon_is_heard_at_the_next_look_for_that_instrument_alone(rig: Rig) -> None:
    async with rig.running(BTC, ETH):
        await rig.pass_sec(100)
        rig.metadata.refresh_soon(ETH)
        await rig.pass_sec(LOOK_SEC + 1)
    assert rig.rest.times(BTC) == [0]
    assert rig.rest.times(ETH) == pytest.approx([0, 100], abs=LOOK_SEC + 1)


@pytest.mark.parametrize(
    ("state", "is_live"),
    [
        ("live", True),
        ("suspend", False),
        ("preopen", False),
        ("post_only", False),
        ("rebase", False),
        ("a state of 2030", False),
        (7, False),
        ({"phase": "auction"}, False),
        (None, True),  # OKX tells nothing, which counts as live
    ],
)
async def test_any_state_but_live_says_so_and_none_ends_the_task(rig: Rig, state: object, is_live: bool) -> None:
    rig.rest.answers[BTC] = row(BTC, state=state)
    async with rig.running(BTC):
        await rig.pass_sec(1)
    assert rig.states == [(BTC, is_live)]
    assert [event.detail for event in rig.events if isinstance(event, InstrumentNoted)] == [f"state {state}"]


async def test_a_row_without_a_state_counts_as_live(rig: Rig) -> None:
    rig.rest.answers[BTC] = b'{"instId":"BTC-USDT-SWAP"}'
    async with rig.running(BTC):
        await rig.pass_sec(1)
    assert rig.states == [(BTC, True)]


async def test_the_state_is_told_at_every_refresh_and_the_row_only_when_it_is_news(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with rig.running(BTC):
        await rig.pass_sec(REFRESH_SEC + LOOK_SEC)
        rig.rest.answers[BTC] = row(BTC, state="suspend")
        await rig.pass_sec(REFRESH_SEC + LOOK_SEC)
    assert rig.states == [(BTC, True), (BTC, True), (BTC, False)]
    kept = [record.getMessage() for record in caplog.records if "kept" in record.getMessage()]
    assert kept == [
        f"Instrument row of {BTC} kept (first), state live",
        f"Instrument row of {BTC} kept (changed), state suspend",
    ]


async def test_a_request_that_hangs_holds_up_nobody_but_itself(rig: Rig) -> None:
    """It waits in a thread: the event loop, and so recording, goes on."""
    gate, is_inside = threading.Event(), threading.Event()
    answer = rig.rest.instrument

    def hanging(inst_id: str) -> bytes:
        is_inside.set()
        assert gate.wait(10)
        return answer(inst_id)

    rig.rest.instrument = hanging  # type: ignore[method-assign]
    async with rig.running(BTC):
        await until(lambda: rig.clock.slept_sec)
        rig.clock.advance(round(SPACING_SEC * 1000))
        await until(is_inside.is_set)
        await some_turns()
        assert rig.states == []
        gate.set()
        await until(lambda: rig.states)
    assert rig.states == [(BTC, True)]


async def test_a_name_unknown_to_okx_is_told_once_with_the_nearest_one(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    typo = "BTC-USDT-SWAPP"
    rig.rest.answers |= {typo: UnknownInstrument("code 51001."), "QQQ-QQQ-SWAP-1": UnknownInstrument("code 51001.")}
    async with rig.running(typo, "QQQ-QQQ-SWAP-1", ETH):
        await rig.pass_sec(600)
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(told) == 2
    assert f"OKX does not know {typo}; the nearest name that it lists is {BTC}." in told[0]
    assert rig.rest.names_asked == 2
    assert len(rig.rest.times(typo)) > 4


async def test_names_that_cannot_be_had_are_asked_for_again_and_end_nothing(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.rest.answers["BTC-USD-SWAPS"] = UnknownInstrument("code 51001.")
    rig.rest.names = DOWN
    async with rig.running("BTC-USD-SWAPS"):
        await rig.pass_sec(30)
        assert "does not know" not in caplog.text
        rig.rest.names = [BTC]
        await rig.pass_sec(60)
    assert caplog.text.count("OKX does not know BTC-USD-SWAPS; the nearest name that it lists is BTC-USDT-SWAP") == 1


async def test_every_row_is_kept_again_in_a_vault_that_lost_them(rig: Rig) -> None:
    async with rig.running(BTC, ETH):
        await rig.pass_sec(100)
        for inst_id in (BTC, ETH):
            rig.layout.instrument_file(inst_id).unlink()
        rig.metadata.refresh_all()
        await rig.pass_sec(LOOK_SEC + 1)
    for inst_id in (BTC, ETH):
        assert rig.layout.instrument_file(inst_id).read_bytes() == row(inst_id)
    notes = [(event.inst_id, event.what) for event in rig.events if isinstance(event, InstrumentNoted)]
    assert notes == [(BTC, "first"), (ETH, "first")] * 2


async def test_a_state_that_would_forge_log_lines_is_escaped(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rig.rest.answers[BTC] = row(BTC, state="live\nGAP DETECTED: \x1b[2J" + "x" * 5000)
    async with rig.running(BTC):
        await rig.pass_sec(1)
    assert all(record.getMessage().isprintable() for record in caplog.records)
    assert all(len(event.detail) < 300 for event in rig.events if isinstance(event, InstrumentNoted))


# --- what the channel `instruments` pushes


def coming(param: str, value: str, from_ms: int) -> dict[str, str]:
    return {"param": param, "newValue": value, "effTime": str(from_ms)}


async def test_a_pushed_row_patches_the_kept_one_within_seconds_and_asks_rest_for_nothing(rig: Rig) -> None:
    async with rig.running(BTC):
        await rig.pass_sec(1)
        rig.metadata.take_row(BTC, b'{"instId":"BTC-USDT-SWAP","state":"suspend"}')
        await rig.pass_sec(LOOK_SEC)
    assert read_row(rig.layout, BTC) == json.loads(row(BTC, state="suspend"))
    assert rig.states == [(BTC, True), (BTC, False)]
    assert [(event.what, event.detail) for event in rig.events if isinstance(event, InstrumentNoted)] == [
        ("first", "state live"),
        ("changed", "state suspend"),
    ]
    assert len(rig.rest.asked) == 1


async def test_a_push_that_says_nothing_of_the_state_leaves_the_instrument_as_it_is(rig: Rig) -> None:
    rig.rest.answers[BTC] = row(BTC, state="preopen")
    async with rig.running(BTC):
        await rig.pass_sec(1)
        rig.metadata.take_row(BTC, b'{"instId":"BTC-USDT-SWAP","tickSz":"0.5"}')
        await rig.pass_sec(LOOK_SEC)
    assert rig.states == [(BTC, False), (BTC, False)]


async def test_rows_of_instruments_that_are_not_recorded_are_passed_over(rig: Rig) -> None:
    async with rig.running(BTC):
        await rig.pass_sec(1)
        rig.metadata.take_row(ETH, row(ETH))
        await rig.pass_sec(LOOK_SEC)
    assert read_row(rig.layout, ETH) is None
    assert read_row(rig.layout, BTC) is not None, "a push that lacks it is no delisting"


async def test_a_push_that_is_no_row_does_no_harm(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    async with rig.running(BTC):
        await rig.pass_sec(1)
        rig.metadata.take_row(BTC, b"[1]")
        await rig.pass_sec(LOOK_SEC)
        rig.metadata.take_row(BTC, row(BTC, tickSz="0.5"))
        await rig.pass_sec(LOOK_SEC)
    assert "is not kept" in caplog.text
    assert read_row(rig.layout, BTC) == json.loads(row(BTC, tickSz="0.5"))


async def test_what_is_announced_is_logged_and_journaled_once_however_often_it_is_pushed(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    effective_ms = rig.clock.wall_ms() + 86_400_000
    announced = row(BTC, upcChg=[coming("tickSz", "0.01", effective_ms)], expTime=str(effective_ms + 1))
    async with rig.running(BTC):
        await rig.pass_sec(1)
        for _ in range(3):
            rig.metadata.take_row(BTC, announced)
            await rig.pass_sec(LOOK_SEC)
        rig.rest.answers[BTC] = announced
        await rig.pass_sec(REFRESH_SEC)
    words = [event.detail for event in rig.events if isinstance(event, InstrumentNoted) and event.what == "announced"]
    assert words == [
        "tickSz 0.1 becomes 0.01 at 2026-01-02T00:00:00.000Z",
        "its delisting at 2026-01-02T00:00:00.001Z",
    ]
    assert caplog.text.count("OKX announces for BTC-USDT-SWAP") == 2


async def test_what_is_over_is_announced_no_more(rig: Rig) -> None:
    rig.rest.answers[BTC] = row(BTC, upcChg=[coming("tickSz", "0.01", rig.clock.wall_ms())])
    async with rig.running(BTC):
        await rig.pass_sec(1)
    assert [event.what for event in rig.events if isinstance(event, InstrumentNoted)] == ["first"]


async def test_a_restart_logs_what_is_to_come_again_and_journals_it_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    events: list[Event] = []
    for _ in range(2):
        rig = Rig(tmp_path)
        rig.rest.answers[BTC] = row(BTC, ctVal="0.01", upcChg=[coming("ctVal", "0.1", rig.clock.wall_ms() + 1000)])
        async with rig.running(BTC):
            await rig.pass_sec(0.5)
        events += rig.events
    assert [event.what for event in events if isinstance(event, InstrumentNoted)] == ["first", "announced"]
    assert caplog.text.count("ctVal 0.01 becomes 0.1") == 2
