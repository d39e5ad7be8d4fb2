"""What coverage says of a moment and of a part of a span is what it says of the whole, whichever lines were loaded."""

import pytest

from l2vault.vault.journal import events as noted
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.layout import Layout
from support.hours import HOUR_AT_MS, INST, at, journal_of, line, lost, minute, put, quiet, started, synced

KILLED = [started(0), synced(1_000)]
"""Nothing was noted but that the book was held; the lines tell until when."""
NOTED = [started(0), synced(1_000), minute(12_000, quiet(5_900, 8_000, 10_000), first=2_000, last=12_000)]
ENDED = [started(0), synced(1_000), lost(13_000, "chain"), synced(25_300)]
OFFSETS = [*range(1_900, 13_000, 2_000), *range(25_900, 31_000, 2_000)]
AGAIN = [started(60_000), synced(61_000)]


def vault(folder, before, after):
    layout = Layout(folder / "Vault")
    offsets = [offset for offset in OFFSETS if before is not NOTED or offset not in (7_900, 9_900)]
    put(layout, [line(offset) for offset in (*offsets, 61_900, 63_900, 65_900)])
    journal_of(layout, *before)
    if after:
        journal_of(layout, *after, run="2")
    return Vault(layout)


FILE = "raw/okx/l2_perps/BTC-USDT-SWAP/2024-08-20/03.jsonl"
CUT_BACK = [AGAIN[0], noted.Recovered(at(60_000), FILE, 100, 9, "", INST, at(30_000)), AGAIN[1]]
CASES = {
    "killed": (KILLED, ()),
    "killed and begun again": (KILLED, AGAIN),
    "killed and cut back": (KILLED, CUT_BACK),
    "noted": (NOTED, ()),
    "noted and begun again": (NOTED, AGAIN),
    "noted and cut back": (NOTED, CUT_BACK),
    "ended": (ENDED, ()),
    "ended and begun again": (ENDED, AGAIN),
}


@pytest.mark.parametrize(("before", "after"), CASES.values(), ids=CASES)
def test_a_part_of_a_span_has_the_holes_of_the_whole(tmp_path, before, after):
    read = vault(tmp_path, before, after)
    whole = read.coverage(INST, HOUR_AT_MS, HOUR_AT_MS + 90_000)
    assert whole.holes and whole.count("recorded") > 5
    for start_ms in range(0, 70_000, 1_700):
        for length_ms in (1, 1_999, 2_000, 9_300):
            span = HOUR_AT_MS + start_ms, HOUR_AT_MS + start_ms + length_ms
            part = read.coverage(INST, *span)
            expected = [
                (max(hole.start_ms, span[0]), min(hole.end_ms, span[1]), hole.kind, hole.cause)
                for hole in whole.holes
                if hole.start_ms < span[1] and hole.end_ms > span[0]
            ]
            assert [(hole.start_ms, hole.end_ms, hole.kind, hole.cause) for hole in part.holes] == expected, span


def test_a_book_stands_at_every_moment_up_to_the_newest_line_of_a_killed_recorder(tmp_path):
    read = vault(tmp_path, KILLED, AGAIN)
    for offset in range(1_900, 12_000, 100):
        found = read.book_at(INST, HOUR_AT_MS + offset)
        assert (found.state, found.cause) == ("recorded", ""), offset
    assert read.book_at(INST, HOUR_AT_MS + 45_000).state == "missing"
