"""The law by which an hour of books is joined, slot by slot, on hours of a few slots."""

from collections.abc import Sequence

from l2vault.book.utc import utc_text
from l2vault.vault.coverage.model import Coverage, Hole, HoleKind, State, Stretch
from l2vault.vault.merging.books import HourOf, Joined, Line, common_holes, join
from support.hours import CADENCE_MS, HOUR_AT_MS

SLOTS = 8
HOUR = HOUR_AT_MS, HOUR_AT_MS + SLOTS * CADENCE_MS


def line(slot: float, seq_id: int | None, levels: str = "", is_flagged: bool = False) -> Line:
    """`slot` in cadences from the hour's start; equal `seq_id` have equal levels unless said otherwise."""
    ts_ms = HOUR_AT_MS + round(slot * CADENCE_MS)
    name = levels or str(seq_id)
    return Line(ts_ms, seq_id, name.encode(), f"{ts_ms} {name} {is_flagged}".encode(), is_flagged, "")


def vault(states: str, *lines: Line, before: Line | None = None) -> HourOf:
    """A letter a slot, that of the hour's end too if it matters: recorded, the same unaudited, quiet, former quiet
    (form 1), disputed, blind (unverifiable), lost, altered."""
    meaning: dict[str, tuple[State, str]] = {
        "r": ("recorded", ""),
        "u": ("recorded", ""),
        "q": ("quiet", ""),
        "f": ("quiet", "journal v1"),
        "d": ("disputed", ""),
        "b": ("unverifiable", ""),
        "l": ("missing", "chain"),
        "a": ("unknown", "unreadable"),
    }
    slots = [HOUR_AT_MS + at * CADENCE_MS for at in range(len(states))]
    stretches = [
        Stretch(at, at, CADENCE_MS, *meaning[letter], letter == "u") for at, letter in zip(slots, states, strict=True)
    ]
    holes = [
        Hole(each.first_ms, each.first_ms + CADENCE_MS, each.state, each.cause, 1)
        for each in stretches
        if _is(each.state)
    ]
    return HourOf(lines, Coverage("", *HOUR, stretches, holes), before)


def _is(state: State) -> bool:
    return state not in ("recorded", "quiet")


def joined(*vaults: HourOf, before: Line | None = None) -> Joined:
    return join(vaults, HOUR, CADENCE_MS, before)


def places(slots: Sequence[int]) -> list[int]:
    return [(slot - HOUR_AT_MS) // CADENCE_MS for slot in slots]


def unaudited(*vaults: tuple[str, str]) -> list[int]:
    """Of these states and origins of one book at each slot; where a vault is quiet its book is that of the slot."""
    hours = []
    for states, origin in vaults:
        lines = [line(at, at)._replace(origin=origin) for at, letter in enumerate(states) if letter != "l"]
        hours.append(vault(states, *lines))
    return places(joined(*hours).unaudited)


def test_a_book_that_nobody_audited_is_confirmed_by_a_second_vault_that_came_to_it() -> None:
    assert unaudited(("uuuuuuuu", "one")) == list(range(8))
    assert unaudited(("uuuuuuuu", "one"), ("uullllll", "other")) == list(range(2, 8))
    assert unaudited(("uuuuuuuu", "one"), ("rlllllll", "other")) == list(range(1, 8))


def test_what_the_result_has_already_is_no_second_word_of_the_vault_that_brought_it() -> None:
    assert unaudited(("uuuuuuuu", "one"), ("uuuuuuuu", "one")) == list(range(8))
    assert unaudited(("uuuuuuuu", "merged"), ("uuuuuuuu", "one")) == list(range(8))
    assert unaudited(("uuuuuuuu", "one"), ("uuuuuuuu", "other")) == [], "another vault's, merged before"
    assert unaudited(("rruuuuuu", "one"), ("uuuuuuuu", "one")) == list(range(2, 8)), "confirmed in an earlier merge"
    assert unaudited(("uuuuuuuu", "one"), ("rruuuuuu", "one")) == list(range(2, 8)), "audited since"


def test_what_one_lacks_comes_from_the_other() -> None:
    one = vault("rrllllrr", *(line(at, at) for at in (0, 1, 6, 7)))
    other = vault("llrrllrr", *(line(at, at) for at in (2, 3, 6, 7)))
    found = joined(one, other)
    assert [(nth, each.seq_id) for nth, each in found.chosen] == [(0, 0), (0, 1), (1, 2), (1, 3), (0, 6), (0, 7)]
    assert [(each.from_, each.to, each.cause) for each in found.holes] == [
        (utc_text(HOUR_AT_MS + 4 * CADENCE_MS), utc_text(HOUR_AT_MS + 6 * CADENCE_MS), "chain")
    ]
    assert not (found.disputed or found.aside or found.unaligned)


def test_other_levels_at_one_seq_id_are_a_dispute_and_both_are_kept() -> None:
    one = vault("rrrrrrrr", *(line(at, at) for at in range(8)))
    other = vault("rrrrrrrr", *(line(at, at, "wrong" if at == 3 else "") for at in range(8)))
    for vaults in ((one, other), (other, one)):
        found = joined(*vaults)
        assert places(found.disputed) == [3]
        assert [(nth, each.ts_ms) for nth, each in found.aside] == [(1, HOUR_AT_MS + 3 * CADENCE_MS)]
        assert all(nth == 0 for nth, _ in found.chosen)


def test_a_book_that_stands_on_in_both_is_disputed_over_all_its_slots() -> None:
    one, other = vault("rqqqqqqr", line(0, 1), line(7, 2)), vault("rqqqqqqr", line(0, 1, "wrong"), line(7, 2))
    assert places(joined(one, other).disputed) == [0, 1, 2, 3, 4, 5, 6]


def test_of_lines_of_different_seq_id_the_later_one_stands() -> None:
    """Two connections may batch their 100 ms differently."""
    one, other = vault("rrllllll", line(0, 1), line(0.96, 5)), vault("rrllllll", line(0, 1), line(0.99, 6))
    for vaults in ((one, other), (other, one)):
        found = joined(*vaults)
        assert [each.seq_id for _, each in found.chosen] == [1, 6]
        assert (found.unaligned, found.disputed, found.aside) == (1, [], [])


def test_quiet_rests_on_the_same_book_of_another_vault() -> None:
    """A heartbeat made the other vault write the same book again, later; then it lost it."""
    one, other = vault("rqqqqqqq", line(0, 1)), vault("rqqrllll", line(0, 1), line(2.5, 1))
    found = joined(one, other)
    assert [(each.seq_id, nth) for nth, each in found.chosen] == [(1, 0), (1, 1)]
    assert [places([slot])[0] for slot, _ in found.quiet] == [1, 2, 4, 5, 6, 7]
    assert {since for slot, since in found.quiet if slot > HOUR_AT_MS + 3 * CADENCE_MS} == {line(2.5, 1).ts_ms}


def test_a_change_that_another_vault_proves_never_to_have_been_is_disputed() -> None:
    one, other = vault("rqqqqqqq", line(0, 1)), vault("rqrqqqqq", line(0, 1), line(1.96, 2))
    found = joined(one, other)
    assert places(found.disputed) == [3, 4, 5, 6, 7]  # at slot 2 a batch may explain it


def test_quiet_of_the_first_journal_form_and_of_a_book_that_is_not_there_is_not_quiet() -> None:
    assert joined(vault("rfffffff", line(0, 1)), vault("llllllll")).quiet == []
    assert joined(vault("qqqqqqqq"), vault("llllllll")).quiet == []
    earlier = line(-1, 7)
    found = joined(vault("qqllllll", before=earlier), vault("llllllll"), before=earlier)
    assert [since for _, since in found.quiet] == [earlier.ts_ms] * 2
    assert joined(vault("qqllllll", before=earlier), vault("llllllll"), before=line(-0.5, 8)).quiet == []


def test_lines_of_an_altered_file_are_left_out_and_counted() -> None:
    found = joined(vault("rarrllll", *(line(at, at) for at in range(4))), vault("llllllll"))
    assert ([each.seq_id for _, each in found.chosen], found.left_out) == ([0, 2, 3], 1)


def test_a_verified_line_is_better_than_one_of_a_blind_stream() -> None:
    one, other = vault("bbbbllll", *(line(at, None, "x") for at in range(4))), vault("llrrllll", line(2, 2), line(3, 3))
    found = joined(one, other)
    assert [nth for nth, _ in found.chosen] == [0, 0, 1, 1]
    assert places(found.unverifiable) == [0, 1]


def test_a_dispute_of_one_vault_stays_one() -> None:
    one, other = (
        vault("rdrrrrrr", *(line(at, at) for at in range(8))),
        vault("rrrrrrrr", *(line(at, at) for at in range(8))),
    )
    assert places(joined(one, other).disputed) == [1]


def test_the_last_book_before_a_broken_chain_is_written_only_where_no_vault_went_on() -> None:
    flagged = line(2, 1, is_flagged=True)
    lost = vault("rrllllrr", line(0, 0), line(1, 1), flagged, line(6, 6), line(7, 7))
    whole = vault("rrrrrrrr", *(line(at, at) for at in range(8)))
    assert not any(each.is_flagged for _, each in joined(lost, whole).chosen)
    found = joined(lost, vault("rrllllrr", *(line(at, at) for at in (0, 1, 6, 7))))
    assert [each.is_flagged for _, each in found.chosen] == [False, False, True, False, False]
    assert found.chosen[2][1] == flagged


def test_common_holes_have_the_causes_of_those_that_know_one() -> None:
    def hole(from_ms: int, to_ms: int, kind: HoleKind, cause: str) -> Hole:
        return Hole(from_ms, to_ms, kind, cause, 0)

    one = [hole(10, 50, "missing", "chain"), hole(60, 90, "unknown", "no file")]
    other = [
        hole(0, 20, "missing", "disconnect, silence"),
        hole(30, 80, "unknown", ""),
        hole(85, 99, "missing", "silence"),
    ]
    assert [(each.from_[-4:-1], each.to[-4:-1], each.state, each.cause) for each in common_holes([one, other])] == [
        ("010", "020", "missing", "chain, disconnect, silence"),
        ("030", "050", "missing", "chain"),
        ("060", "080", "unknown", ""),
        ("085", "090", "missing", "silence"),
    ]


def test_what_is_blind_at_the_end_of_an_hour_is_said_by_the_hour_that_has_its_line() -> None:
    """The next one has no line of that slot."""
    lines = [line(at, at) for at in (*range(8), 7.5)]
    found = joined(vault("rrrrrrrrb", *lines), vault("llllllllb", lines[-1]))
    assert places(found.unverifiable) == [8]
    assert (places(found.disputed), found.unaligned) == ([], 0)
    assert found.chosen[-1][1] == lines[-1]
