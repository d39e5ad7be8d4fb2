"""The context through exchange, sockets and recorder: each line holds what was published, and nothing else."""

from pathlib import Path

import pytest

import l2vault
from l2vault.book.context import KINDS, Context, Kind, Value, from_line
from l2vault.book.utc import utc_ms, utc_text
from l2vault.config import Settings
from l2vault.okx.context_messages import ContextPush, Update, decode_context
from l2vault.sim.exchange.books import Exchange
from l2vault.sim.exchange.captures import read_captures
from l2vault.sim.exchange.context import encode_context
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.journal.context_events import ContextNoted, MaintenanceNoted
from l2vault.vault.journal.events import HourClosed, Started
from l2vault.vault.journal.log import read_journal
from l2vault.vault.store.layout import Layout
from support.captured import shipped
from support.rig import Outcome, record_replay
from support.rough import Act, Plan, live_through

BUSY = "market_busy_seed7_30s.jsonl.zst"
INST_IDS = ("BTC-USDT-SWAP", "ETH-USDT-SWAP")
CADENCE_MS = 2000
Truth = dict[str, dict[Kind, list[Value]]]


def published(name: str) -> Truth:
    """Every value of each instrument that the exchange publishes while it replays a capture, in order."""
    exchange = Exchange(list(INST_IDS), {inst_id: instrument_row(inst_id) for inst_id in INST_IDS})
    truth: Truth = {inst_id: {kind: [] for kind in KINDS} for inst_id in INST_IDS}
    ticks = list(read_captures((shipped(name),), False))
    for tick in ticks[: len(INST_IDS)]:
        exchange.apply(tick.change)
    times = [ticks[0].ts_ms, *(tick.ts_ms for tick in ticks[len(INST_IDS) :])]
    for ts_ms, tick in zip(times, [None, *ticks[len(INST_IDS) :]], strict=True):
        for push in exchange.context.pass_time(ts_ms):
            read = decode_context(encode_context(push.channel, push.name, [push.row]).encode())
            assert isinstance(read, ContextPush)
            for item in read.items:
                if isinstance(item, Update):
                    truth[push.inst_id][item.kind].append(item.value)
        if tick is not None:
            exchange.apply(tick.change)
    return truth


def recorded(outcome: Outcome, inst_id: str) -> list[Context]:
    files = sorted((outcome.root / "raw" / "okx" / "context" / inst_id).glob("*/*.jsonl"))
    return [from_line(line) for file in files for line in file.read_bytes().splitlines()]


def values(context: Context) -> dict[Kind, Value]:
    return {kind: value for kind in KINDS if (value := context.value(kind)) is not None}


@pytest.fixture(scope="module")
def truth() -> Truth:
    return published(BUSY)


def test_each_line_holds_the_last_values_at_or_before_its_grid_time(tmp_path: Path, truth: Truth) -> None:
    outcome = record_replay(tmp_path / "vault", [shipped(BUSY)], Settings(instruments=INST_IDS))

    for inst_id in INST_IDS:
        lines = recorded(outcome, inst_id)
        assert len(lines) >= 13
        grid = [line.grid_ms for line in lines]
        assert grid == list(range(grid[0], grid[-1] + 1, CADENCE_MS))
        for line in lines:
            held = {
                kind: past[-1]
                for kind, every in truth[inst_id].items()
                if (past := [value for value in every if value.ts_ms <= line.grid_ms])
            }
            assert values(line) == held, utc_text(line.grid_ms)
    books = {inst_id: {line["timestamp_utc"]: line for line in outcome.lines(inst_id)} for inst_id in INST_IDS}
    assert all(len(lines) >= 13 for lines in books.values())


def test_the_vault_says_what_was_current_and_reads_it_back(tmp_path: Path) -> None:
    outcome = record_replay(tmp_path / "vault", [shipped(BUSY)], Settings(instruments=INST_IDS))

    events = outcome.events
    (started,) = [event for event in events if isinstance(event, Started)]
    assert started.context
    closed = [event for event in events if isinstance(event, HourClosed) and event.kind == "context"]
    lines = {(event.inst_id, event.hour): event.lines for event in closed}
    for inst_id in INST_IDS:
        assert sum(lines[key] for key in lines if key[0] == inst_id) == len(recorded(outcome, inst_id))
    noted = [event for event in events if isinstance(event, ContextNoted)]
    assert {event.state for event in noted if event.cause in ("", "disconnect")} <= {"present", "lost"}
    context = l2vault.open(outcome.root).context(INST_IDS[0])
    frame = context.frame
    assert frame.height == len(recorded(outcome, INST_IDS[0]))
    assert (frame["mark"] / frame["index"] - 1).abs().max() < 0.001
    assert context.coverage.share("mark") > 0.9


def test_switched_off_nothing_is_asked_for_and_nothing_written(tmp_path: Path) -> None:
    settings = Settings(instruments=INST_IDS, context=False)
    outcome = record_replay(tmp_path / "vault", [shipped(BUSY)], settings)

    assert not (outcome.root / "raw" / "okx" / "context").exists()
    assert not any(isinstance(event, ContextNoted) for event in outcome.events)
    assert all(len(outcome.lines(inst_id)) >= 13 for inst_id in INST_IDS)


PLANS = {
    "twice": "context-duplicate:p=0.3",
    "unreadable": "seed=3;context-corrupt:p=0.1;context-corrupt:how=unquoted,p=0.1;context-corrupt:how=cut,p=0.05",
    "dropped": "seed=5;context-drop:p=0.3",
    "of other times": "seed=2;context-ts:how=back,by=1s,p=0.1;context-ts:how=zero,p=0.05",
    "the carrier closed": "close:at=10s,conn=first",
    "both closed": "close:at=10s,conn=first;close:at=12s,conn=second",
    "silent, then closed": "stall:at=5s,for=6s,conn=first;notice:at=15s,after=5s,conn=first",
}


@pytest.mark.parametrize("plan", PLANS)
def test_whatever_goes_wrong_no_line_holds_what_was_never_published(plan: str, tmp_path: Path, truth: Truth) -> None:
    settings = Settings(instruments=INST_IDS)
    outcome = record_replay(tmp_path / "vault", [shipped(BUSY)], settings, faults=PLANS[plan])

    for inst_id in INST_IDS:
        lines = recorded(outcome, inst_id)
        assert len(lines) >= 8
        assert [line.grid_ms for line in lines] == sorted({line.grid_ms for line in lines})
        true = {kind: {(value, value.ts_ms) for value in every} for kind, every in truth[inst_id].items()}
        for line in lines:
            for kind, value in values(line).items():
                assert value.ts_ms <= line.grid_ms
                if plan != "of other times":
                    assert (value, value.ts_ms) in true[kind]
        assert len(outcome.lines(inst_id)) >= 8


def test_an_announced_maintenance_is_in_the_journal_and_in_its_file(tmp_path: Path) -> None:
    plan = "maintenance:at=5s,notice=5s,lasts=10s"
    outcome = record_replay(tmp_path / "vault", [shipped(BUSY)], Settings(instruments=INST_IDS), faults=plan)

    states = [event.state for event in outcome.events if isinstance(event, MaintenanceNoted)]
    assert states == ["scheduled", "ongoing", "completed"]
    files = sorted((outcome.root / "raw" / "okx" / "status").glob("*.jsonl"))  # across midnight
    assert sum(len(file.read_bytes().splitlines()) for file in files) == 3


def test_in_an_undisturbed_life_every_value_is_present_and_the_journal_says_so_at_the_time(tmp_path: Path) -> None:
    """So that the law of the rough lives, that what is called present is so, is not kept by claiming nothing."""
    judgement = live_through(Plan(1, 2, 150, (), "none"), tmp_path)

    assert judgement.complaints == []
    assert all(share > 0.97 for shares in judgement.present.values() for share in shares.values())
    events = list(read_journal(Layout(tmp_path / "vault0")))
    started = next(event for event in events if isinstance(event, Started))
    noted = [event for event in events if isinstance(event, ContextNoted)]
    assert utc_ms(noted[0].at) - utc_ms(started.at) <= 2_000
    assert [(event.state, event.cause) for event in noted[-2:]] == [("lost", "our_restart")] * 2


@pytest.mark.parametrize("name", ["close", "close_all", "stall", "sleep", "kill", "restart", "disk_lines", "flap"])
def test_whatever_befalls_a_recorder_no_value_is_called_present_that_was_not(name: str, tmp_path: Path) -> None:
    acts = tuple(Act(at_sec, name, "BTC-USDT-SWAP", 0, 8) for at_sec in (20.3, 61.7, 95.2))
    judgement = live_through(Plan(3, 2, 120, acts, "none"), tmp_path)

    assert judgement.complaints == []
    assert all(share > 0.5 for shares in judgement.present.values() for share in shares.values())
