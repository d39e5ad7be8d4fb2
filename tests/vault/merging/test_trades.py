"""Trades of several vaults by their ids: each once, with what contradicts kept aside."""

import msgspec

from l2vault.book.id_set import IdSet
from l2vault.book.trade import Numberings, TradePush
from l2vault.book.utc import utc_text
from l2vault.vault.coverage.trades import TradeCoverage, TradeHole, trade_history
from l2vault.vault.journal.merge_events import Merged, MergedBegun, MergedIds
from l2vault.vault.merging.trades import join_trades, missing_ids
from support.hours import HOUR_AT_MS, INST, entries


def push(first: int, last: int, px: str = "100", overlap: bool = False) -> TradePush:
    count = last - first + 1
    ts = str(HOUR_AT_MS + last)
    return TradePush(INST, str(last), px, str(count), "buy", ts, str(count), "0", None, 10**15, "ws", overlap)


def joined(*vaults: list[TradePush]) -> tuple[list[tuple[int, TradePush]], list[tuple[int, TradePush]]]:
    found = join_trades(vaults, Numberings())
    return found.chosen, found.aside


def test_of_the_others_come_only_lines_whose_ids_lack_marked_where_some_stand() -> None:
    one, other = [push(1, 3), push(7, 7)], [push(1, 2), push(3, 5), push(6, 6), push(7, 7)]
    chosen, aside = joined(one, other)
    assert chosen == [(0, one[0]), (0, one[1]), (1, push(3, 5, overlap=True)), (1, other[2])]
    assert aside == []
    again, _ = joined([each for _, each in chosen], one, other)
    assert again == [(0, each) for _, each in chosen]


def test_a_line_whose_ids_were_known_in_part_is_whole_where_nobody_else_has_them() -> None:
    assert joined([], [push(3, 5, overlap=True)])[0] == [(1, push(3, 5))]


def test_the_same_ids_at_another_price_are_kept_aside() -> None:
    one, other = [push(1, 3)], [push(1, 3, px="101"), push(4, 4)]
    chosen, aside = joined(one, other)
    assert (chosen, aside) == ([(0, one[0]), (1, other[1])], [(1, other[0])])


def test_ids_are_missing_only_where_no_vault_has_them() -> None:
    hole = TradeHole(10, 19, HOUR_AT_MS + 1, HOUR_AT_MS + 9, "missing", "disconnect", "REST gave none")
    earlier = msgspec.structs.replace(hole, first_id=1, last_id=2, from_ms=HOUR_AT_MS - 1)
    coverage = TradeCoverage(INST, HOUR_AT_MS, HOUR_AT_MS + 3_600_000, [], [], [hole, earlier], [])
    known = {0: IdSet([(1, 12), (15, 40)])}
    bounds = utc_text(HOUR_AT_MS + 1), utc_text(HOUR_AT_MS + 9)
    assert missing_ids([coverage], known, Numberings()) == [
        MergedIds(13, 14, *bounds, "missing", "disconnect", "REST gave none")
    ]


def test_the_history_of_merged_hours_has_each_numbering_once_and_its_holes() -> None:
    """Two vaults began at different ids, and both saw OKX begin its ids anew."""
    day = 86_400_000

    def event(at_ms: int, begun: list[tuple[int, int]], *ids: MergedIds) -> Merged:
        named = [MergedBegun(id_, utc_text(ms)) for id_, ms in begun]
        return Merged(utc_text(at_ms), INST, utc_text(at_ms), "trades", {}, begun=named, ids=list(ids))

    texts = utc_text(HOUR_AT_MS + 50), utc_text(HOUR_AT_MS + 60)
    later = utc_text(HOUR_AT_MS + day + 50), utc_text(HOUR_AT_MS + day + 60)
    stale = event(HOUR_AT_MS, [], MergedIds(5_000, 5_001, *texts, "missing", "chain", ""))
    first = event(
        HOUR_AT_MS,
        [(9_000, HOUR_AT_MS + 9), (9_500, HOUR_AT_MS + 40)],
        MergedIds(9_100, 9_110, *texts, "missing", "chain", ""),
    )
    anew = event(
        HOUR_AT_MS + day,
        [(7, HOUR_AT_MS + day), (9, HOUR_AT_MS + day + 3)],
        MergedIds(20, 21, *later, "skipped", "", ""),
    )
    history = trade_history(entries([stale, first, anew]), INST)
    assert [each.begun for each in history.numberings] == [(9_000, HOUR_AT_MS + 9), (7, HOUR_AT_MS + day)]
    assert [(hole.first, hole.last, hole.cause) for hole in history.numberings[0].holes] == [(9_100, 9_110, "chain")]
    assert list(history.numberings[1].skipped) == [(20, 21)]
