"""Where changes are whole: by the lines that are there and by what was noted as lost."""

import pytest

from l2vault.book.change_line import ChangeHead
from l2vault.vault.coverage.changes import ChangeCoverage, breaks_of, cover_changes, lost_changes
from l2vault.vault.coverage.compute import MissingLines
from l2vault.vault.coverage.proved import TimeStretch
from l2vault.vault.coverage.sync_history import NEVER_MS
from l2vault.vault.journal.change_events import ChangesLost
from support.hours import HOUR_AT_MS, INST, at, entries

SPAN = HOUR_AT_MS, HOUR_AT_MS + 10_000
TIMES = [HOUR_AT_MS + offset_ms for offset_ms in range(1_000, 9_001, 500)]


def lost(from_ms: int | None, to_ms: int | None, cause: str = "queue", inst_id: str = INST) -> ChangesLost:
    bounds = None if from_ms is None else at(from_ms), None if to_ms is None else at(to_ms)
    return ChangesLost(at(0), inst_id, bounds[0], cause, bounds[1])


def states(
    *events: ChangesLost, times: list[int] = TIMES, gone: tuple[MissingLines, ...] = ()
) -> list[tuple[object, ...]]:
    found: ChangeCoverage = cover_changes(INST, SPAN, [times], lost_changes(entries(events), INST), gone)
    return [(each.start_ms - HOUR_AT_MS, each.end_ms - HOUR_AT_MS, each.state, each.cause) for each in found.stretches]


def test_from_the_first_line_to_the_last_all_are_there() -> None:
    assert states() == [(0, 1_000, "unknown", ""), (1_000, 9_001, "proved", ""), (9_001, 10_000, "unknown", "")]
    assert states(times=[]) == [(0, 10_000, "unknown", "")]


@pytest.mark.parametrize(
    ("to_ms", "percent"),
    [(HOUR_AT_MS + 2_000, "100 %"), (HOUR_AT_MS + 3_000, "66.67 %"), (HOUR_AT_MS + 10**8, "0.002 %")],
)
def test_it_is_shown_with_its_share_which_is_whole_only_where_all_is_there(to_ms: int, percent: str) -> None:
    proved = TimeStretch(HOUR_AT_MS, HOUR_AT_MS + 2_000, "proved", "")
    rest = TimeStretch(proved.end_ms, to_ms, "unknown", "")
    stretches = [each for each in (proved, rest) if each.start_ms < each.end_ms]
    assert f" {percent.partition(' ')[0]} % proved" in repr(ChangeCoverage(INST, HOUR_AT_MS, to_ms, stretches, 4))


def test_what_was_lost_is_missing_with_its_cause() -> None:
    assert states(lost(3_000, 4_000), lost(5_000, 6_000, inst_id="ETH-USDT-SWAP"))[1:4] == [
        (1_000, 3_001, "proved", ""),
        (3_001, 4_000, "missing", "queue"),
        (4_000, 9_001, "proved", ""),
    ]


def test_a_hole_that_has_begun_ends_where_the_event_says_that_ends_it() -> None:
    assert states(lost(3_000, None), lost(3_000, 3_400)) == states(lost(3_000, 3_400))


def test_a_hole_that_nothing_ended_goes_on_to_the_next_line() -> None:
    assert (3_001, 3_500, "missing", "queue") in states(lost(3_000, None))
    assert states(lost(9_000, None))[-1] == (9_001, 10_000, "missing", "queue")


def test_changes_that_another_feed_or_rest_contradicted_are_unknown() -> None:
    assert (3_001, 4_000, "unknown", "audit") in states(lost(3_000, 4_000, "audit"))


def test_where_the_file_is_gone_nothing_is_known_whatever_was_noted() -> None:
    gone = MissingLines(HOUR_AT_MS + 2_000, HOUR_AT_MS + 5_000, "retention")
    assert states(lost(3_000, 4_000), gone=(gone,))[2] == (2_000, 5_000, "unknown", "retention")


def test_a_share_is_of_the_time_of_the_span() -> None:
    found = cover_changes(INST, SPAN, [TIMES], lost_changes(entries([lost(3_000, 5_001)]), INST), ())
    assert (found.share(), found.share("missing"), found.lines) == (0.6001, 0.2, 17)


def head(offset_ms: int, seq_id: int, before: int = -1, origin: str = "ws", action: str = "update") -> ChangeHead:
    return ChangeHead(at(offset_ms), action, seq_id, before, origin)


FULL = head(1_000, 1, action="snapshot")


@pytest.mark.parametrize(
    ("later", "unknown"),
    [
        ([(2_000, head(2_000, 2, 1)), (3_000, head(3_000, 3, 2))], []),
        ([(2_000, head(2_000, 9, action="snapshot")), (3_000, head(3_000, 10, 9))], [(1_001, 2_000)]),
        ([(2_000, head(2_000, 9, origin="rest", action="snapshot"))], [(1_001, 2_000)]),
        ([(2_000, head(2_000, 1, origin="book", action="snapshot")), (3_000, head(3_000, 2, 1))], []),
        ([(1_000, head(1_000, 8, origin="book", action="snapshot")), (3_000, head(3_000, 9, 8))], []),
        ([(2_000, head(2_000, 8, origin="book", action="snapshot"))], [(1_001, 2_000)]),
        (
            [
                (2_000, head(2_000, 9, 8)),
                (3_000, head(3_000, 10, 9)),
                (4_000, head(4_000, 11, action="snapshot")),
                (5_000, head(5_000, 12, 11)),
            ],
            [(1_001, 4_000)],
        ),
        ([(2_000, None), (3_000, head(3_000, 3, 2)), (4_000, head(4_000, 4, action="snapshot"))], [(1_001, 4_000)]),
        ([(2_000, head(2_000, 9, 8)), (3_000, head(3_000, 10, 9))], [(1_001, None)]),
    ],
)
def test_where_lines_do_not_follow_each_other_nothing_is_known_whatever_the_journal_lacks(
    later: list[tuple[int, ChangeHead | None]], unknown: list[tuple[int, int | None]]
) -> None:
    lines = [(HOUR_AT_MS + offset_ms, one) for offset_ms, one in [(1_000, FULL), *later]]
    found = [(each.start_ms, each.end_ms, each.state) for each in breaks_of(lines)]
    assert found == [
        (HOUR_AT_MS + start_ms, NEVER_MS if end_ms is None else HOUR_AT_MS + end_ms, "unknown")
        for start_ms, end_ms in unknown
    ]


def test_a_break_is_unknown_and_missing_where_the_journal_says_why() -> None:
    breaks = list(breaks_of([(TIMES[0], FULL), (TIMES[4], head(3_000, 9, action="snapshot"))]))

    def painted(*events: ChangesLost) -> list[tuple[int, str, str]]:
        found = cover_changes(INST, SPAN, [TIMES], lost_changes(entries(events), INST), (), breaks)
        return [(each.start_ms - HOUR_AT_MS, each.state, each.cause) for each in found.stretches][1:4]

    assert painted() == [(1_000, "proved", ""), (1_001, "unknown", ""), (3_000, "proved", "")]
    assert painted(lost(1_000, 3_000)) == [(1_000, "proved", ""), (1_001, "missing", "queue"), (3_000, "proved", "")]
