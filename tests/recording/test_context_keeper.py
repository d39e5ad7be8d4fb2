"""The context while recording: which feed carries it, what is written and journaled, what a silent channel costs."""

import gzip
import json
import logging
from pathlib import Path

import pytest

from l2vault.book.context import KINDS, Context, Funding, Index, Limits, Mark, OpenInterest, Value
from l2vault.book.day_lines import Liquidation, Status, liquidation_from_line
from l2vault.book.utc import utc_text
from l2vault.okx.context import LONGEST_SILENCE_MS
from l2vault.okx.context_messages import CHANNEL_OF, ContextFailure, ContextPush, InstrumentRow, Item, Update
from l2vault.okx.messages import Unknown
from l2vault.okx.websocket import FeedDown, FeedUp
from l2vault.recording.context import SILENT_MS, ContextKeeper, Hands
from l2vault.vault.journal.context_events import ContextNoted, MaintenanceNoted
from l2vault.vault.store.days import DayWriter
from l2vault.vault.store.layout import Layout
from support.manual_clock import ManualClock

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
T = 1_788_487_508_000
LIQUIDATION = Liquidation(BTC, T - 300, "sell", "long", "110000.5", "12", "0", "")
VALUES: dict[str, Value] = {
    "mark": Mark(T, "5"),
    "index": Index(T, "5"),
    "funding": Funding(T, "0.1", "1788508800000"),
    "open_interest": OpenInterest(T, "7"),
    "limits": Limits(T, "6", "4", True),
}


class Rig:
    """A keeper whose disk does its chores at once."""

    def __init__(self, root: Path, *inst_ids: str, environment: str = "1") -> None:
        self.clock = ManualClock()
        self.layout = Layout(root)
        self.put: list[object] = []
        self.carried: list[tuple[int, bool]] = []
        self.rows: list[tuple[str, bytes]] = []
        self.limit_ms: int | None = None
        hands = Hands(
            put=self._put,
            carry=lambda number, is_on: self.carried.append((number, is_on)),
            limit_ms=lambda: self.limit_ms,
            on_row=lambda inst_id, row: self.rows.append((inst_id, row)),
            wall_us=lambda: self.clock.wall_ms() * 1000 + 7,
        )
        days = DayWriter(self.layout)
        self.keeper = ContextKeeper(inst_ids or (BTC,), 2000, self.clock, hands, days, environment)

    def _put(self, item: object) -> None:
        self.put += item() if callable(item) else [item]

    def push(self, *items: Item, feed: int = 1) -> None:
        for item in items:
            channel = CHANNEL_OF[item.kind] if isinstance(item, Update) else "status"
            self.keeper.take(feed, [ContextPush(channel, "", [item])])

    def all_values(self, ts_ms: int = T, feed: int = 1, inst_id: str = BTC) -> None:
        for kind in KINDS:
            name = inst_id.removesuffix("-SWAP") if kind == "index" else inst_id
            value = type(VALUES[kind])(**{**_fields(VALUES[kind]), "ts_ms": ts_ms})
            self.push(Update(kind, name, value), feed=feed)

    def pass_ms(self, milliseconds: int) -> None:
        """Time passes; the keeper looks once a second."""
        for _ in range(milliseconds // 1000):
            self.clock.advance(1000)
            self.keeper.tick()

    def up(self, number: int = 1) -> "Rig":
        self.keeper.take(number, [FeedUp("wss://x")])
        return self

    def down(self, number: int = 1) -> None:
        self.keeper.take(number, [FeedDown("lost", True, 1.0)])

    @property
    def lines(self) -> list[Context]:
        return [item for item in self.put if isinstance(item, Context)]

    @property
    def events(self) -> list[tuple[int, str, str, str, dict[str, str | None]]]:
        noted = [item for item in self.put if isinstance(item, ContextNoted)]
        return [(each.feed, each.inst_id, each.state, each.cause, each.kinds) for each in noted]

    def day(self, kind: str) -> list[dict]:
        files = sorted((self.layout.root / "raw" / "okx" / kind).glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def _fields(value: Value) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__struct_fields__}


def mark(ts_ms: int, price: str = "5", inst_id: str = BTC) -> Update:
    return Update("mark", inst_id, Mark(ts_ms, price))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


# --- which feed carries it


def test_the_first_feed_that_stands_carries_it_and_the_second_does_not(rig: Rig) -> None:
    rig.up(1).up(2)
    rig.push(mark(T), mark(T + 1500), feed=2)
    assert rig.lines == []
    rig.push(mark(T), mark(T + 1500), feed=1)

    assert rig.carried == [(1, True)]
    assert [line.mark for line in rig.lines] == [Mark(T, "5")]


def test_where_it_is_gone_the_other_feed_carries_it_at_once(rig: Rig) -> None:
    rig.up(1).up(2)
    rig.down(1)
    rig.push(mark(T), mark(T + 1500), feed=2)

    assert rig.carried == [(1, True), (1, False), (2, True)]
    assert len(rig.lines) == 1


def test_the_feed_that_comes_back_does_not_take_it_back(rig: Rig) -> None:
    rig.up(1).up(2)
    rig.down(1)
    rig.up(1)

    assert rig.carried[-1] == (2, True)
    rig.down(2)
    assert rig.carried[-2:] == [(2, False), (1, True)]


def test_without_any_feed_the_next_one_that_stands_carries_it(rig: Rig) -> None:
    rig.up(1)
    rig.down(1)
    assert rig.carried == [(1, True), (1, False)]
    rig.up(1)
    assert rig.carried[-1] == (1, True)


def test_a_feed_that_hands_over_leaves_it_to_its_successor(rig: Rig) -> None:
    rig.up(1).up(2).up(3)
    rig.keeper.take(1, [FeedDown("handed over to its successor", True, 0.0, is_last=True)])

    assert rig.carried[-1] == (3, True)


def test_the_end_of_a_feed_that_does_not_carry_it_changes_nothing(rig: Rig) -> None:
    rig.up(1).up(2)
    rig.all_values()
    rig.down(2)
    rig.pass_ms(1000)

    assert rig.carried == [(1, True)]
    assert {state for _, _, state, _, _ in rig.events} == {"present"}


# --- what the journal is told


def test_values_that_come_are_noted_once_in_one_event_with_their_times(rig: Rig) -> None:
    rig.up()
    rig.all_values()
    rig.pass_ms(3000)

    assert rig.events == [(1, BTC, "present", "", dict.fromkeys(KINDS, utc_text(T)))]


def test_a_lost_feed_is_noted_with_the_time_until_which_values_were_known(rig: Rig) -> None:
    rig.up(1).up(2)
    rig.all_values()
    rig.push(mark(T + 4000))
    rig.down(1)
    rig.push(mark(T + 6000), feed=2)
    rig.pass_ms(1000)

    assert rig.events[1:] == [
        (1, BTC, "lost", "disconnect", dict.fromkeys(KINDS, utc_text(T + 3000)) | {"mark": utc_text(T + 4000)}),
        (2, BTC, "present", "", {"mark": utc_text(T + 6000)}),
    ]


def test_what_a_lost_feed_brought_is_written_before_its_loss_is_noted(rig: Rig) -> None:
    """The journal says that it was present up to there, and no later message may ever come in this run."""
    rig.up(1)
    rig.push(mark(T - 500), mark(T - 200, "6"))
    assert rig.lines == []
    rig.limit_ms = T + 5_000
    rig.push(mark(T + 300, "7"))
    rig.down(1)

    assert [(line.grid_ms, line.mark) for line in rig.lines] == [(T, Mark(T - 200, "6"))]
    assert isinstance(rig.put[0], Context)
    assert rig.events[-1][2:] == ("lost", "disconnect", {"mark": utc_text(T + 300)})
    rig.keeper.close()
    assert len(rig.lines) == 1


def test_what_a_lost_feed_brought_of_a_time_that_cannot_be_yet_is_not_written(rig: Rig) -> None:
    rig.up(1)
    rig.push(mark(T - 500), mark(T + 300, "7"))
    rig.limit_ms = T - 100
    rig.down(1)

    assert rig.lines == []


def test_a_stop_ends_what_was_present(rig: Rig) -> None:
    rig.up()
    rig.all_values()
    rig.keeper.close()

    assert [(state, cause) for _, _, state, cause, _ in rig.events] == [("present", ""), ("lost", "our_restart")]


def test_silence_is_noted_per_value_and_its_end_too(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.up()
    rig.all_values()
    for second in range(1, 90):
        rig.push(mark(T + 1000 * second), Update("funding", BTC, Funding(T + 1000 * second, "0.1", "5")))
        rig.pass_ms(1000)
    rig.push(Update("index", "BTC-USDT", Index(T + 90_000, "6")))
    rig.pass_ms(1000)

    assert rig.events[1:] == [
        (1, BTC, "stale", "silence", {"index": utc_text(T)}),
        (1, BTC, "present", "", {"index": utc_text(T + 90_000)}),
    ]
    assert "Context of BTC-USDT-SWAP: index stale silence" in caplog.text


def test_after_the_vault_was_replaced_what_is_present_is_noted_anew(rig: Rig) -> None:
    rig.up()
    rig.all_values()
    rig.pass_ms(1000)
    rig.keeper.noted_again()

    assert rig.events[1] == rig.events[0]


def test_instruments_are_noted_apart(tmp_path: Path) -> None:
    rig = Rig(tmp_path, BTC, ETH).up()
    rig.all_values()
    rig.all_values(inst_id=ETH)
    rig.pass_ms(1000)

    assert [inst_id for _, inst_id, *_ in rig.events] == [BTC, ETH]


# --- a channel that stays silent


def test_a_silent_channel_is_asked_for_again_and_then_from_the_other_feed(rig: Rig) -> None:
    rig.up(1).up(2)
    rig.all_values()
    longest_ms = LONGEST_SILENCE_MS["mark"]
    assert longest_ms is not None
    rig.pass_ms(longest_ms + SILENT_MS + 1000)
    assert rig.carried == [(1, True), (1, False), (1, True)]
    rig.pass_ms(60_000)
    assert rig.carried[3:] == [(1, False), (2, True)]
    rig.pass_ms(600_000)
    assert rig.carried[5:9] == [(2, False), (2, True), (2, False), (1, True)], "from the newest feed back to the other"


def test_with_one_feed_it_is_only_asked_for_again_and_ever_less_often(rig: Rig) -> None:
    rig.up()
    rig.all_values()
    rig.pass_ms(4 * 3_600_000)

    assert set(rig.carried) == {(1, True), (1, False)}
    assert 4 <= rig.carried.count((1, False)) <= 12


def test_a_channel_that_speaks_again_is_left_alone(rig: Rig) -> None:
    rig.up(1).up(2)
    for second in range(0, 600, 10):
        rig.all_values(T + 1000 * second)
        rig.pass_ms(10_000)

    assert rig.carried == [(1, True)]


# --- what is written


def test_a_value_of_a_time_that_cannot_be_yet_is_refused_and_counted(rig: Rig) -> None:
    rig.up()
    rig.limit_ms = T + 5000
    rig.push(mark(T + 86_400_000), mark(T), mark(T + 1500))

    assert [line.grid_ms for line in rig.lines] == [T]
    assert rig.keeper.counts["refused"] == 1
    rig.push(mark(T + 86_400_000))
    assert rig.keeper.counts["refused"] == 2


def test_a_value_that_came_after_its_grid_time_was_written_is_present_only_behind_that(rig: Rig) -> None:
    """No line at or before that time has it."""
    rig.up()
    rig.push(mark(T), mark(T + 3500), Update("index", "BTC-USDT", Index(T + 100, "5")))
    rig.pass_ms(1000)

    assert [line.grid_ms for line in rig.lines] == [T], "what is known at T + 2000 too"
    ((_, _, state, _, kinds),) = rig.events
    assert (state, kinds["index"]) == ("present", utc_text(T + 2001))


def test_what_the_vault_holds_already_is_not_written_again(rig: Rig) -> None:
    rig.keeper.resume({BTC: T + 2000})
    rig.up()
    rig.push(mark(T), mark(T + 1500), mark(T + 3900), mark(T + 6000))

    assert [line.grid_ms for line in rig.lines] == [T + 4000]


def test_a_replay_of_another_time_is_written_into_its_own_hour(rig: Rig) -> None:
    rig.keeper.resume({BTC: T + 90_000_000})
    rig.up()
    rig.push(mark(T), mark(T + 1500))

    assert [line.grid_ms for line in rig.lines] == [T]


def test_liquidations_of_exactly_our_instruments_are_written_once(rig: Rig) -> None:
    rig.up()
    other = Liquidation("BTC-USD-SWAP", *[getattr(LIQUIDATION, name) for name in LIQUIDATION.__struct_fields__[1:]])
    rig.push(LIQUIDATION, other, LIQUIDATION)

    (row,) = rig.day("liquidations")
    assert (row["channel"], row["instId"], row["bkPx"]) == ("liquidation_sample", BTC, "110000.5")
    assert row["timestamp_utc"] == utc_text(T - 300)
    (path,) = (rig.layout.root / "raw" / "okx" / "liquidations").iterdir()
    assert path.name == "2026-09-04.jsonl"
    line = path.read_bytes().splitlines()[0]
    assert liquidation_from_line(line) == (LIQUIDATION, rig.clock.wall_ms() * 1000 + 7)


def test_rows_of_our_instruments_are_handed_on_and_others_passed_over(rig: Rig) -> None:
    rig.up()
    rig.push(InstrumentRow(BTC, b"{}"), InstrumentRow(ETH, b"{}"))

    assert rig.rows == [(BTC, b"{}")]


def status(state: str = "scheduled", ts_ms: int = T, **fields: str) -> Status:
    row = {"title": "upgrade", "state": state, "begin": str(T + 60_000), "end": str(T + 90_000), "ts": str(ts_ms)}
    row |= fields
    service, environment = row.get("serviceType", "0"), row.get("env", "1")
    return Status(ts_ms, row["title"], state, T + 60_000, T + 90_000, service, environment, row)


def maintenance(rig: Rig) -> list[tuple[str, str | None, str | None]]:
    return [(each.state, each.from_, each.to) for each in rig.put if isinstance(each, MaintenanceNoted)]


def test_an_announced_maintenance_is_written_whole_and_journaled_with_its_bounds(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.up()
    rig.push(status(), status("ongoing", T + 60_000))

    first, second = rig.day("status")
    assert (first["channel"], first["status"]["state"], second["status"]["state"]) == ("status", "scheduled", "ongoing")
    assert first["status"] == status().row
    bounds = utc_text(T + 60_000), utc_text(T + 90_000)
    assert maintenance(rig) == [("scheduled", *bounds), ("ongoing", *bounds)]
    assert "OKX announces maintenance: upgrade (scheduled)" in caplog.text


def test_what_a_fresh_subscription_says_again_is_no_news(rig: Rig) -> None:
    rig.up(1).up(2)
    rig.push(status())
    rig.down(1)
    rig.push(status(), feed=2)

    assert len(rig.day("status")) == len(maintenance(rig)) == 1


def test_a_maintenance_without_a_time_of_its_own_stands_in_the_day_of_its_receipt(rig: Rig) -> None:
    rig.up()
    rig.push(status(ts_ms=0))

    (path,) = (rig.layout.root / "raw" / "okx" / "status").glob("*.jsonl")
    assert path.stem == utc_text(rig.clock.wall_ms())[:10]
    assert len(rig.day("status")) == len(maintenance(rig)) == 1


@pytest.mark.parametrize("fields", [{"serviceType": "7"}, {"env": "2"}])
def test_maintenance_of_another_service_or_of_the_demo_explains_no_hole_of_ours(
    rig: Rig, fields: dict[str, str]
) -> None:
    rig.up()
    rig.push(status(**fields))

    assert len(rig.day("status")) == 1
    assert maintenance(rig) == []


def test_in_demo_trading_it_is_the_demo_that_counts(tmp_path: Path) -> None:
    rig = Rig(tmp_path, environment="2").up()
    rig.push(status(env="2"))

    assert len(maintenance(rig)) == 1


def test_day_files_are_synced_a_few_seconds_later_and_at_the_end(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(DayWriter, "sync", lambda days: synced.append(rig.clock.now_ms))
    rig.up()
    rig.push(LIQUIDATION)
    began_ms = rig.clock.now_ms
    rig.pass_ms(20_000)
    rig.keeper.close()

    assert [ms - began_ms for ms in synced] == [5000, 20_000]


def test_a_push_that_cannot_be_read_is_counted_and_quoted_now_and_then(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    rig.up()
    for _ in range(50):
        rig.keeper.take(1, [ContextFailure("mark-price", "markPx is 'NaN'", b'{"x":1}')])

    assert rig.keeper.counts["unreadable"] == 50
    assert caplog.text.count("BUILD_FAIL: a push of mark-price") == 1
    rig.pass_ms(9000)
    rig.keeper.take(1, [ContextFailure("mark-price", "markPx is 'NaN'", b'{"x":1}')])
    assert caplog.text.count("BUILD_FAIL: a push of mark-price") == 1
    rig.pass_ms(1000)
    rig.keeper.take(1, [ContextFailure("mark-price", "markPx is 'NaN'", b'{"x":1}')])
    assert caplog.text.count("BUILD_FAIL: a push of mark-price") == 2, "after ten seconds"


def test_what_is_not_for_this_room_passes_by(rig: Rig) -> None:
    rig.up()
    rig.keeper.take(1, [Unknown("event x")])

    assert rig.put == []


def test_where_it_is_not_recorded_nothing_carries_it(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.keeper = ContextKeeper((), 2000, rig.clock, rig.keeper._hands, DayWriter(rig.layout), "1")
    rig.up(1)
    rig.push(mark(T), mark(T + 1500), LIQUIDATION, status())
    rig.pass_ms(200_000)

    assert rig.carried == rig.put == []


def test_the_summary_says_what_is_current_and_what_is_stale(rig: Rig) -> None:
    assert rig.keeper.summary() == ""
    rig.up()
    rig.all_values()
    rig.push(mark(T + 1500))
    assert rig.keeper.summary() == "context 5 of 5 values current"
    rig.pass_ms(40_000)
    assert rig.keeper.summary() == "context 2 of 5 values current, STALE 3"


def test_an_exchange_that_hangs_up_on_whoever_asks_for_the_context_keeps_nobody_from_its_books(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of it came, three times in a row: it is asked for again after a minute, then less and less often."""
    for _ in range(3):
        rig.up(1)
        rig.clock.advance(500)
        rig.down(1)
    assert rig.carried[-2:] == [(1, True), (1, False)]
    asked = len(rig.carried)
    rig.up(1)
    rig.up(2)
    rig.pass_ms(59_000)
    assert len(rig.carried) == asked, "the books have both connections for themselves"
    rig.pass_ms(2_000)
    assert rig.carried[asked:] == [(2, True)]
    rig.down(2)
    rig.pass_ms(119_000)
    assert len(rig.carried) == asked + 2, "one more such end is enough"
    rig.pass_ms(2_000)
    assert rig.carried[-1] == (1, True)
    assert sum("without it for" in record.getMessage() for record in caplog.records) == 2
    rests = []
    for _ in range(5):
        rig.down(1)
        rig.up(1)
        rests.append(0)
        while rig.carried[-1] != (1, True):
            rig.pass_ms(1000)
            rests[-1] += 1
    assert rests == [240, 480, 600, 600, 600], "ten minutes at most"


def test_connections_that_end_soon_but_bring_the_context_are_no_reason_to_do_without_it(rig: Rig) -> None:
    for _ in range(10):
        rig.up(1)
        rig.all_values()
        rig.clock.advance(500)
        rig.down(1)
    assert rig.carried == [(1, True), (1, False)] * 10


@pytest.mark.parametrize("packed", [False, True])
def test_a_restart_writes_no_liquidation_and_no_announcement_twice(rig: Rig, packed: bool) -> None:
    """OKX tells a fresh subscription again what it told before; the journal is told again too."""
    rig.up()
    rig.push(LIQUIDATION, status())
    files = [*rig.layout.root.glob("raw/okx/liquidations/*"), *rig.layout.root.glob("raw/okx/status/*")]
    assert len(files) == 2
    for path in files if packed else ():
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    again = Rig(rig.layout.root, BTC)
    again.keeper.resume({})
    again.up()
    again.push(LIQUIDATION, status())
    expected = 0 if packed else 1
    assert (len(again.day("liquidations")), len(again.day("status"))) == (expected, expected)
    assert len(maintenance(again)) == 1
    again.push(status("ongoing", T + 60_000))
    assert len(again.day("status")) == expected + 1


def test_a_line_that_a_killed_run_left_torn_takes_no_other_with_it(rig: Rig) -> None:
    rig.up()
    rig.push(LIQUIDATION)
    (path,) = (rig.layout.root / "raw/okx/liquidations").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:40])
    again = Rig(rig.layout.root, BTC)
    again.keeper.resume({})
    again.up()
    again.push(LIQUIDATION)
    torn, line = path.read_bytes().splitlines()
    assert torn == whole[:40]
    assert liquidation_from_line(line)[0] == LIQUIDATION
