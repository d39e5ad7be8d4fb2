"""Coverage as a value: counting, cutting, and asking it for one moment."""

import pytest

from l2vault.vault.coverage.model import Coverage, Hole, Stretch

COVERAGE = Coverage(
    "BTC-USDT-SWAP",
    0,
    20_000,
    [
        Stretch(0, 6_000, 2_000, "recorded", ""),
        Stretch(8_000, 8_000, 2_000, "quiet", ""),
        Stretch(10_000, 14_000, 2_000, "missing", "chain"),
        Stretch(16_000, 18_000, 2_000, "unknown", ""),
    ],
    [Hole(9_100, 15_500, "missing", "chain", 3), Hole(16_000, 20_000, "unknown", "", 2)],
)


def counts(coverage):
    return [coverage.count(state) for state in ("recorded", "quiet", "missing", "unknown")]


def test_slots_are_counted_by_state():
    assert (counts(COVERAGE), COVERAGE.slots) == ([4, 1, 3, 2], 10)


@pytest.mark.parametrize(
    ("t_ms", "expected"),
    [
        (-1, ("unknown", "")),
        (0, ("recorded", "")),
        (7_999, ("recorded", "")),
        (8_000, ("quiet", "")),
        (9_099, ("quiet", "")),
        (9_100, ("missing", "chain")),
        (15_499, ("missing", "chain")),
        (15_500, ("quiet", "")),
        (16_000, ("unknown", "")),
        (20_000, ("unknown", "")),
    ],
)
def test_a_moment_has_the_state_of_its_slot_unless_it_lies_in_a_hole(t_ms, expected):
    assert COVERAGE.at(t_ms) == expected


def test_a_part_has_the_slots_and_holes_of_the_part():
    part = COVERAGE.clip(5_000, 12_001)
    assert (part.start_ms, part.end_ms, counts(part)) == (5_000, 12_001, [1, 1, 2, 0])
    assert part.holes == [Hole(9_100, 12_001, "missing", "chain", 2)]
    assert part.stretches[0] == Stretch(6_000, 6_000, 2_000, "recorded", "")


def test_a_part_that_reaches_beyond_is_no_more_than_the_whole():
    assert COVERAGE.clip(-5, 10**9) == COVERAGE


def test_pieces_are_cut_at_the_multiples_and_make_up_the_whole():
    pieces = list(COVERAGE.clip(1_000, 20_000).every(8_000))
    assert [(piece.start_ms, piece.end_ms) for piece in pieces] == [(1_000, 8_000), (8_000, 16_000), (16_000, 20_000)]
    assert [counts(piece) for piece in pieces] == [[3, 0, 0, 0], [0, 1, 3, 0], [0, 0, 0, 2]]


def test_a_hole_between_two_slots_stays_in_the_list():
    coverage = Coverage(
        "X", 0, 4_000, [Stretch(0, 2_000, 2_000, "recorded", "")], [Hole(100, 900, "missing", "chain", 0)]
    )
    assert coverage.clip(0, 2_000).holes == [Hole(100, 900, "missing", "chain", 0)]
    assert coverage.at(500) == ("missing", "chain")
