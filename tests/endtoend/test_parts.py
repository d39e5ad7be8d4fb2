"""Trades, context and changes can do without working: whatever their code raises, the books are the same bytes, the
journal names the part, and the part comes back without claiming what it missed."""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from l2vault.book.trade import TradePush
from l2vault.okx import context_messages, messages
from l2vault.okx.context import ContextGrid, Freshness
from l2vault.okx.pipeline import Pipeline
from l2vault.okx.trade_chain import TradeChain
from l2vault.recording.change_keeper import ChangeKeeper
from l2vault.recording.changes import ChangeRelay
from l2vault.recording.context import ContextKeeper
from l2vault.recording.counters import Counters
from l2vault.vault.store import writer
from l2vault.vault.store.change_writer import ChangeWriter
from l2vault.vault.store.days import DayWriter
from support.judge_changes import change_rows
from support.rough import INST_IDS, Act, Judgement, Plan, live_through
from support.trade_judge import trade_events, trade_lines

SECONDS = 90
"""Long enough for a part to come back after its first pause."""
PLAN = Plan(1, 2, SECONDS, (), "none")
SHORT_PLAN = Plan(1, 2, 45, (), "none")
Wire = tuple[object, str]


class Breaker:
    """Makes calls of a function raise, in the middle of what it does: those whose number `is_broken` says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, wire: Wire, is_broken: Callable[[int], bool]) -> None:
        self.calls = self.raised = 0
        owner, name = wire
        whole = getattr(owner, name)

        def act(*args: object, **kwargs: object) -> object:
            self.calls += 1
            answer = whole(*args, **kwargs)
            if is_broken(self.calls):
                self.raised += 1
                raise TypeError("a bug of ours\nGAP DETECTED: forged \x1b[2J")
            return answer

        monkeypatch.setattr(owner, name, act)


def books(root: Path) -> dict[str, bytes]:
    folder = root / "raw" / "okx" / "l2_perps"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.jsonl*")}


@cache
def undisturbed(plan: Plan = PLAN) -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        assert live_through(plan, Path(folder)).complaints == []
        return books(Path(folder) / "vault0")


def failures(root: Path) -> list[dict]:
    paths = sorted((root / "meta" / "okx" / "journal").glob("*.jsonl"))
    events = [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]
    return [event for event in events if event["event"] == "task_failed"]


def is_behind_the_end(complaint: str, ends: dict[str, int]) -> bool:
    """Of ids behind the last line nobody claims anything: a part that fails at the end of a run leaves them so, and
    the next run names them."""
    found = re.fullmatch(r"(\S+): id (\d+) is nowhere", complaint)
    return found is not None and int(found[2]) > ends[found[1]]


def live(tmp_path: Path, plan: Plan = PLAN) -> tuple[Judgement, Path]:
    judgement = live_through(plan, tmp_path)
    root = tmp_path / "vault0"
    ends = {
        inst_id: max((int(line["tradeId"]) for line in trade_lines(root, inst_id)), default=0) for inst_id in INST_IDS
    }
    assert [one for one in judgement.complaints if not is_behind_the_end(one, ends)] == []
    assert books(root) == undisturbed(plan)
    return judgement, root


TRADES: dict[str, Wire] = {
    "a push": (TradeChain, "offer"),
    "a second that passes": (TradeChain, "tick"),
    "what is written of a push": (Counters, "traded"),
    "the reading of a push": (messages, "trade_fault"),
    "the check of its time": (Pipeline, "_dated"),
    "its line": (writer, "trade_to_line"),
}
CONTEXT: dict[str, Wire] = {
    "a push": (ContextKeeper, "take"),
    "the grid": (ContextGrid, "take"),
    "what is current": (Freshness, "take"),
    "a second that passes": (ContextKeeper, "tick"),
    "the summary": (ContextKeeper, "summary"),
    "the end": (ContextKeeper, "close"),
    "the file of a day": (DayWriter, "sync"),
    "the reading of a push": (context_messages, "_ms"),
    "its line": (writer, "context_to_line"),
}
CHANGES: dict[str, Wire] = {
    "a push": (ChangeRelay, "take"),
    "a book that was proved": (ChangeKeeper, "proved"),
    "what waits": (ChangeKeeper, "hand_on"),
    "a line": (ChangeWriter, "write"),
    "a flush": (ChangeWriter, "flush"),
    "the latency": (ChangeKeeper, "note_latency"),
    "the end": (ChangeKeeper, "finish"),
}
WIRES = [
    pytest.param(part, wire, id=f"{part}: {name}")
    for part, wires in (("trades", TRADES), ("context", CONTEXT), ("changes", CHANGES))
    for name, wire in wires.items()
]


@pytest.mark.parametrize(("part", "wire"), WIRES)
def test_a_part_that_always_fails_costs_the_books_nothing_and_is_named(
    part: str, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed(SHORT_PLAN)
    breaker = Breaker(monkeypatch, wire, lambda call: True)
    _, root = live(tmp_path, SHORT_PLAN)
    failed = failures(root)
    assert breaker.raised
    assert {event["task"] for event in failed} == {part}
    assert len(failed) <= 15, "later and later"
    assert all(event["error"].isprintable() and "a bug of ours" in event["error"] for event in failed)


SELDOM = {"flush": 8, "sync": 1}
"""Calls that come less than thirty times in a life: which one fails."""
ENDS = ("the end", "the summary", "the latency")


@pytest.mark.parametrize(("part", "wire"), [one for one in WIRES if not str(one.id).endswith(ENDS)])
def test_a_part_that_failed_once_comes_back_and_claims_nothing_of_what_it_missed(
    part: str, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed()
    breaker = Breaker(monkeypatch, wire, lambda call: call == SELDOM.get(wire[1], 30))
    judgement, root = live(tmp_path)
    assert breaker.raised
    assert judgement.complaints == []
    assert {event["task"] for event in failures(root)} == {part}
    for inst_id in INST_IDS:
        if part == "trades":
            verdict = judgement.trades[inst_id]
            assert not verdict.missing, "REST had them"
            assert len(verdict.origins) > 100
            holes = [event for event in trade_events(root, inst_id) if event["event"] == "trades_hole"]
            assert all(hole["cause"] in ("task_failed", "chain", "disk_full") for hole in holes)
        if part == "context":
            assert all(share > 0.8 for share in judgement.present[inst_id].values())
        if part == "changes":
            rows = [row for file in change_rows(root, inst_id) for row in file]
            assert rows[-1]["timestamp_utc"] > "2026-01-01T00:00"
            assert sum(row["action"] == "snapshot" for row in rows) <= 5


def test_ids_that_a_failure_took_are_a_hole_of_that_cause_until_rest_brings_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed()
    Breaker(monkeypatch, (Counters, "traded"), lambda call: call == 40)
    judgement, root = live(tmp_path)
    holes = [event for inst_id in INST_IDS for event in trade_events(root, inst_id) if event["event"] == "trades_hole"]
    assert holes and {hole["cause"] for hole in holes} == {"task_failed"}
    origins = [origin for inst_id in INST_IDS for origin in judgement.trades[inst_id].origins.values()]
    assert origins.count("rest") >= 1
    assert origins.count("ws") > 200


def test_ids_that_rest_does_not_have_either_are_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(1, 2, SECONDS, (Act(5, "rest_down", INST_IDS[0], 0, SECONDS),), "none")
    undisturbed(plan)
    Breaker(monkeypatch, (TradeChain, "offer"), lambda call: call == 200)
    judgement, root = live(tmp_path, plan)
    assert any(judgement.trades[inst_id].missing for inst_id in INST_IDS)
    events = [event["event"] for inst_id in INST_IDS for event in trade_events(root, inst_id)]
    assert "trades_missing" in events


def test_no_trade_is_written_twice_by_a_chain_that_began_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed()
    Breaker(monkeypatch, (TradeChain, "tick"), lambda call: call % 5 == 0)
    _, root = live(tmp_path)
    for inst_id in INST_IDS:
        ids = [line["tradeId"] for line in trade_lines(root, inst_id) if not line.get("overlap")]
        assert len(ids) == len(set(ids)) > 10


def test_the_context_is_called_lost_from_a_failure_to_its_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed()
    Breaker(monkeypatch, (ContextGrid, "take"), lambda call: call == 200)
    _, root = live(tmp_path)
    paths = sorted((root / "meta" / "okx" / "journal").glob("*.jsonl"))
    events = [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]
    of_btc = [one for one in events if one["event"] == "context" and one["inst_id"] == INST_IDS[0]]
    lost = next(at for at, one in enumerate(of_btc) if one.get("cause") == "task_failed")
    assert of_btc[lost]["feed"] == 0, "no feed had a part in it"
    assert set(of_btc[lost]["kinds"]) == {"mark", "index", "funding", "open_interest", "limits"}
    back = [kind for one in of_btc[lost + 1 :] if one["state"] == "present" for kind in one["kinds"]]
    assert sorted(back) == sorted(of_btc[lost]["kinds"]), "each comes back once"


def test_a_push_of_its_own_class_of_ours_is_what_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The breaker breaks what it is meant to break: a line of trades, and no line of books."""
    Breaker(monkeypatch, TRADES["its line"], lambda call: True)
    with pytest.raises(TypeError, match="a bug of ours"):
        writer._line_of(TradePush("X", "1", "1", "1", "buy", "1", "1", "0", 1, 1, "ws"))
