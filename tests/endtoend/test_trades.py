"""Trades from wire to file, id by id: against the exchange's own, against captures, with feeds lost and runs killed."""

import gzip
import json
from bisect import bisect_left
from pathlib import Path

import pytest

import l2vault
from l2vault.book.trade import trade_from_line, trade_to_line
from l2vault.config import Settings
from support.captured import capture, write_frames
from support.received import REAL_2022, received_frames
from support.rig import record_replay
from support.rough import INST_IDS, START_MS, Act, Plan, live_through
from support.torture import Schedule, torture, written_lines
from support.trade_judge import judge_trades, trade_events, trade_lines

BTC, SLOW = INST_IDS
BTC_SIM, ETH_SIM = "BTC-USDT-SWAP", "ETH-USDT-SWAP"


def life(tmp_path: Path, *acts: Act, feeds: int = 2, seconds: int = 110):
    judgement = live_through(Plan(1, feeds, seconds, acts, "none"), tmp_path)
    assert judgement.complaints == []
    root = max(tmp_path.glob("vault*"), key=lambda path: int(path.name[5:]))
    return judgement, root


def names(root: Path, inst_id: str = BTC) -> list[str]:
    return [event["event"] for event in trade_events(root, inst_id) if event["event"].startswith("trades_")]


def test_an_undisturbed_life_has_every_id_once_from_the_feeds_and_one_word_in_the_journal(tmp_path: Path) -> None:
    judgement, root = life(tmp_path)
    for inst_id in INST_IDS:
        verdict = judgement.trades[inst_id]
        assert set(verdict.origins.values()) == {"ws"}
        assert not verdict.missing
        assert names(root, inst_id) == ["trades_begun"]
    assert len(judgement.trades[BTC].origins) > 1_000


def test_every_line_is_one_of_the_format_to_the_byte(tmp_path: Path) -> None:
    _, root = life(tmp_path, Act(40, "close_all", BTC, 0, 1), Act(40, "refuse", BTC, 0, 20))
    lines = [line for path in root.glob("raw/okx/trades/*/*/*.jsonl") for line in path.read_bytes().splitlines()]
    assert len(lines) > 500
    assert all(trade_to_line(trade_from_line(line)) == line for line in lines)


def test_one_feed_lost_for_a_minute_while_the_other_is_up_costs_nothing(tmp_path: Path) -> None:
    judgement, root = life(tmp_path, Act(30, "refuse", BTC, 0, 60))
    assert set(judgement.trades[BTC].origins.values()) == {"ws"}
    assert names(root) == ["trades_begun"]


def test_both_feeds_lost_for_a_minute_are_filled_by_rest_and_labelled(tmp_path: Path) -> None:
    """The minute holds midnight: the lines of REST stand in the files of their own hours (the judge looks)."""
    judgement, root = life(tmp_path, Act(50, "refuse", BTC, 0, 60), Act(50.1, "close_all", BTC, 0, 1), seconds=150)
    verdict = judgement.trades[BTC]
    assert not verdict.missing
    origins = [verdict.origins[one] for one in sorted(verdict.origins)]
    first, last = origins.index("rest"), len(origins) - origins[::-1].index("rest")
    assert set(origins[first:last]) == {"rest"}, "one stretch"
    assert last - first > 300
    hole = next(event for event in trade_events(root, BTC) if event["event"] == "trades_hole")
    assert (hole["cause"], hole["size"]) == ("disconnect", last - first)
    filled = [event for event in trade_events(root, BTC) if event["event"] == "trades_filled"]
    assert {event["by"] for event in filled} == {"rest"}
    assert sum(event["ids"] for event in filled) == hole["size"]
    days = {path.parent.name for path in root.glob(f"raw/okx/trades/{BTC}/*/*.jsonl") if b'"rest"' in path.read_bytes()}
    assert days == {"2025-12-31", "2026-01-01"}


@pytest.mark.parametrize("name", ["restart", "kill"])
def test_what_a_restart_missed_is_filled_by_rest_for_a_quiet_instrument_too(tmp_path: Path, name: str) -> None:
    judgement, root = life(tmp_path, Act(60, name, BTC, 0, 30))
    for inst_id in INST_IDS:
        verdict = judgement.trades[inst_id]
        assert not verdict.missing
        holes = [event for event in trade_events(root, inst_id) if event["event"] == "trades_hole"]
        assert {event["cause"] for event in holes} <= {"our_restart"}
    assert "rest" in judgement.trades[BTC].origins.values()
    assert [event for event in trade_events(root, BTC) if event["event"] == "trades_begun"][1:] == []


def test_where_rest_does_not_answer_the_hole_stays_and_is_named(tmp_path: Path) -> None:
    acts = Act(39, "rest_down", BTC, 0, 500), Act(40, "refuse", BTC, 0, 20), Act(40.1, "close_all", BTC, 0, 1)
    judgement, root = life(tmp_path, *acts)
    missing = judgement.trades[BTC].missing
    assert len(missing) > 80
    hole = next(event for event in trade_events(root, BTC) if event["event"] == "trades_hole")
    assert set(range(hole["from_id"], hole["to_id"] + 1)) == missing
    assert names(root)[-1] == "trades_missing"


def test_a_hole_that_rest_could_not_fill_is_looked_for_again_by_the_next_run(tmp_path: Path) -> None:
    acts = (
        *(Act(39, "rest_down", BTC, 0, 40), Act(40, "refuse", BTC, 0, 10), Act(40.1, "close_all", BTC, 0, 1)),
        Act(70, "restart", BTC, 0, 1),
    )
    judgement, root = life(tmp_path, *acts)
    assert not judgement.trades[BTC].missing
    assert "trades_missing" in names(root)


def test_ids_that_okx_never_used_are_skipped_and_no_loss(tmp_path: Path) -> None:
    judgement, root = life(tmp_path, Act(40, "trade_skip", BTC, 0, 7))
    assert not judgement.trades[BTC].missing
    (skipped,) = [event for event in trade_events(root, BTC) if event["event"] == "trades_skipped"]
    assert skipped["size"] == 7


def test_a_message_that_both_feeds_lose_is_filled_and_one_that_one_loses_is_not_worth_a_word(tmp_path: Path) -> None:
    both = [Act(40, "trade_drop", BTC, which, 1) for which in (0, 1)]
    judgement, root = life(tmp_path, *both, Act(60, "trade_drop", BTC, 0, 1), Act(61, "trade_garbage", BTC, 1, 1))
    assert not judgement.trades[BTC].missing
    assert names(root) == ["trades_begun", "trades_hole", "trades_filled"]


def test_a_part_of_an_order_on_one_feed_and_the_whole_on_the_other_is_one_overlap(tmp_path: Path) -> None:
    halves = [Act(40 + at, "trade_half", BTC, 0, 1) for at in range(20)]
    judgement, root = life(tmp_path, *halves)
    assert judgement.trades[BTC].overlaps >= 3
    assert not judgement.trades[BTC].missing
    assert names(root) == ["trades_begun"]


def test_the_same_world_makes_the_same_ids_and_fields_whatever_befalls_the_recorder(tmp_path: Path) -> None:
    """Not the receive time, the origin, the place, nor how the matches of an order are summed up."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    _, calm = life(tmp_path / "a")
    _, rough = life(
        tmp_path / "b",
        *(Act(20, "trade_drop", BTC, 0, 1), Act(40, "refuse", BTC, 0, 20), Act(40.1, "close_all", BTC, 0, 1)),
        *(Act(80, "kill", BTC, 0, 5), Act(110, "trade_half", BTC, 0, 1)),
    )
    assert _fields(rough) == _fields(calm)


def _fields(root: Path) -> dict[int, tuple[str, ...]]:
    found = {}
    for line in trade_lines(root, BTC):
        last = int(line["tradeId"])
        for one in range(last - int(line["count"] or 1) + 1, last + 1):
            found[one] = tuple(line[name] for name in ("px", "side", "ts", "source"))
    return found


def test_the_minutes_of_the_journal_count_the_lines_and_ids_of_the_files(tmp_path: Path) -> None:
    _, root = life(tmp_path, Act(50, "restart", BTC, 0, 5))
    events = [json.loads(line) for path in root.glob("meta/okx/journal/*") for line in path.read_bytes().splitlines()]
    of_trades = [event.get("trades", {}) for event in events if event["event"] == "minute"]
    minutes = [trades[BTC] for trades in of_trades if BTC in trades]
    lines = trade_lines(root, BTC)
    assert sum(minute["lines"] for minute in minutes) == len(lines)
    assert sum(minute["ids"] for minute in minutes) == sum(int(line["count"] or 1) for line in lines)
    assert max(minute["last_id"] for minute in minutes) == max(int(line["tradeId"]) for line in lines)


def test_each_hour_of_trades_is_closed_with_its_digest(tmp_path: Path) -> None:
    _, root = life(tmp_path)
    closed = [event for event in trade_events(root, BTC) if event["event"] == "hour_closed"]
    for event in closed:
        assert event["kind"] == "trades"
    newest = {event["hour"]: event for event in closed}
    for hour, event in newest.items():
        data = (root / "raw/okx/trades" / BTC / hour[:10] / f"{hour[11:13]}.jsonl").read_bytes()
        assert (event["lines"], event["bytes"]) == (data.count(b"\n"), len(data))
    assert len(newest) == 2


def test_books_and_trades_are_in_the_right_order_by_their_numbers(tmp_path: Path) -> None:
    schedule = Schedule(3, (BTC_SIM, ETH_SIM), 2, 40, "seed=3")
    verdict = torture(schedule, tmp_path)
    assert verdict.complaints == []
    placed = 0
    for inst_id in schedule.inst_ids:
        books = written_lines(tmp_path, inst_id)
        numbers = [book["seqId"] for book in books]
        assert numbers == sorted(set(numbers))
        for line in trade_lines(tmp_path, inst_id):
            at = bisect_left(numbers, line["seqId"])
            if 0 < at < len(books):
                placed += 1
                # Behind the book before it in time too, and no later than the one that holds what it took.
                assert books[at - 1]["timestamp_utc"] < line["timestamp_utc"] <= books[at]["timestamp_utc"]
    assert placed > 200


def test_with_trades_off_no_trade_is_subscribed_or_written(tmp_path: Path) -> None:
    source = capture("okx-ws/tickvault_2026-08-24_BTC-USDT_books.jsonl")
    frames = [_as_swap(json.loads(frame)) for frame in source.read_bytes().splitlines() if b'"data"' in frame]
    path = write_frames(tmp_path / "x.jsonl", frames)
    record_replay(tmp_path / "vault", [path], Settings(instruments=(BTC_SIM,), trades=False))
    assert not (tmp_path / "vault/raw/okx/trades").exists()


def test_the_trades_of_the_capture_of_2022_come_out_id_by_id(tmp_path: Path) -> None:
    frames = [_as_swap(json.loads(frame)) for frame in received_frames(REAL_2022) if b'"data"' in frame]
    frames = [frame for frame in frames if frame["arg"]["channel"] in ("books", "trades")]
    inst_ids = ("BTC-USDT-SWAP", "UNI-USD-SWAP", "BTC-USD-220527-SWAP")
    path = write_frames(tmp_path / "2022.jsonl", frames)
    record_replay(tmp_path / "vault", [path], Settings(instruments=inst_ids, cadence_sec=0.5))
    sent = [frame["data"][0] for frame in frames if frame["arg"]["channel"] == "trades"]
    assert len(sent) == 74
    for inst_id in inst_ids:
        lines = trade_lines(tmp_path / "vault", inst_id)
        kept = ("instId", "tradeId", "px", "sz", "side", "ts")
        ours = [one for one in sent if one["instId"] == inst_id]
        assert [{name: line[name] for name in kept} for line in lines] == [
            {name: one[name] for name in kept} for one in ours
        ]
        assert {(line["count"], line["source"], line["seqId"], line["origin"]) for line in lines} == {
            (None, None, None, "ws")
        }
        names_ = [event["event"] for event in trade_events(tmp_path / "vault", inst_id)]
        assert [name for name in names_ if name.startswith("trades_")] == ["trades_begun"]
        read = l2vault.open(tmp_path / "vault").trades(inst_id)
        assert [(trade.first_id, trade.last_id, trade.price_text, trade.size_text, trade.side) for trade in read] == [
            (int(one["tradeId"]), int(one["tradeId"]), one["px"], one["sz"], one["side"]) for one in ours
        ]
        assert (read.coverage.ids, read.findings) == (len(ours), [])
        length_ms = read.coverage.end_ms - read.coverage.start_ms
        assert read.coverage.share() == max(0, length_ms - 2) / length_ms  # all but the first and the last millisecond


def _as_swap(frame: dict) -> dict:
    inst_id = frame["arg"]["instId"]
    if not inst_id.endswith("-SWAP"):
        inst_id += "-SWAP"
    frame["arg"]["instId"] = inst_id
    for data in frame["data"]:
        if "instId" in data:
            data["instId"] = inst_id
    return frame


def test_the_judge_sees_a_missing_a_doubled_and_an_altered_line(tmp_path: Path) -> None:
    """So that the laws above are not kept by a judge that sees nothing."""
    judgement, root = life(tmp_path, seconds=60)
    truth = {one: None for one in judgement.trades[BTC].origins}
    assert truth
    path = sorted(root.glob(f"raw/okx/trades/{BTC}/*/*.jsonl"))[0]
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    matches = _matches_of(lines)
    assert judge_trades(root, BTC, matches).complaints == []
    for damaged, what in (
        (lines[:5] + lines[6:], "unexplained"),
        (lines[:5] + lines[4:], "doubles"),
        ([*lines[:5], lines[5].replace(b'"px":"', b'"px":"1'), *lines[6:]], "wrong"),
    ):
        path.write_bytes(b"".join(damaged))
        verdict = judge_trades(root, BTC, matches)
        assert getattr(verdict, what), what
    path.unlink()
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(whole))
    assert judge_trades(root, BTC, matches).complaints == []


def _matches_of(lines: list[bytes]):
    """The truth as the undamaged lines tell it; of several matches the last has the whole size."""
    from support.trade_judge import Match

    found = {}
    for line in map(json.loads, lines):
        last = int(line["tradeId"])
        for one in range(last - int(line["count"]) + 1, last + 1):
            sz = line["sz"] if one == last else "0"
            found[one] = Match(line["px"], sz, line["side"], line["ts"], line["source"])
    return found


def test_the_start_is_a_minute_before_midnight() -> None:
    assert START_MS % 3_600_000 > 3_500_000
