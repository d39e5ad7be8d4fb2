"""Books of the archive by our own law: what the exchange knew, slot by slot, and what a file proves of itself."""

from pathlib import Path

import msgspec
import pytest

from l2vault.book.change_line import to_change_line
from l2vault.book.utc import HOUR_MS, utc_ms, utc_text
from l2vault.errors import LineError, VaultError
from l2vault.history.books import NO_BOOK, SILENCE, BookDay, Law
from l2vault.history.hours import HourKeeper
from l2vault.history.unpack import lines_of
from l2vault.vault.checking.verify import Verification
from l2vault.vault.journal.log import verb_journal
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.layout import Layout, packed_path
from support.archive_world import BEGIN_MS, DAY, END_MS, INST, MIDNIGHT_MS, ArchiveWorld
from support.fetched import is_as_the_exchange_knows

LAW = Law(2_000, 400)
AT = "2026-01-05T00:00:00.000Z"


def keeper_of(root: Path) -> HourKeeper:
    layout = Layout(root)
    return HourKeeper(layout, "books", verb_journal(layout, "backfill", lambda: AT, lambda: 0), lambda: AT)


def days(world: ArchiveWorld) -> list[tuple[list[bytes], tuple[str, str], tuple[int, int]]]:
    files = [file for file in world.files if file.kind == "books400"]
    spans = [(MIDNIGHT_MS - 24 * HOUR_MS, MIDNIGHT_MS), (MIDNIGHT_MS, MIDNIGHT_MS + 24 * HOUR_MS)]
    return [
        (list(lines_of(file.path)), (file.name, f"sha of {file.date}"), span)
        for file, span in zip(files, spans, strict=True)
    ]


def fill(root: Path, world: ArchiveWorld, *, apart: bool = False) -> Vault:
    """Both days at once, or the second by a run of its own."""
    day = BookDay(INST, LAW, keeper_of(root))
    (first, name, span), (second, *rest) = days(world)
    day.read(first, name, span, lambda _: None)
    day.end(is_followed=not apart)
    carried = day.carried()
    if apart:
        keeper = keeper_of(root)
        assert carried is not None
        keeper.carry(INST, carried)
        day = BookDay(INST, LAW, keeper)
        kept = keeper.carried(INST, span[0])
        assert kept is not None and to_change_line(kept) == to_change_line(carried)
        day.begin_with(kept, name)
    day.read(second, *rest, lambda _: None)
    day.end(is_followed=False)
    return Vault(Layout(root))


@pytest.mark.parametrize("apart", [False, True])
def test_every_slot_over_a_midnight_is_what_the_exchange_knew(world: ArchiveWorld, tmp_path: Path, apart: bool) -> None:
    vault = fill(tmp_path, world, apart=apart)
    is_as_the_exchange_knows(vault, world)
    coverage = vault.coverage(INST, BEGIN_MS, END_MS)
    assert (coverage.count("recorded"), coverage.count("unverifiable")) == (len(list(world.due(LAW.cadence_ms))), 0)
    first_ms = next(world.due(LAW.cadence_ms)).grid_ms
    assert all(hole.end_ms <= first_ms or hole.start_ms > END_MS - 4_000 for hole in coverage.holes)
    assert not list(Verification(vault.layout, END_MS + 24 * HOUR_MS).run()), "it is a vault like any other"
    # Behind the last full book of each day nothing proves it; before that, the next one does.
    assert 0 < coverage.unaudited < coverage.slots / 2
    assert [line.at(MIDNIGHT_MS + 60_000)[0] for line in [coverage]] == ["recorded"]


def test_made_again_nothing_changes_and_lost_notes_are_made_good(world: ArchiveWorld, tmp_path: Path) -> None:
    fill(tmp_path, world)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    fill(tmp_path, world)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    Layout(tmp_path).merged_file(INST, MIDNIGHT_MS).unlink()
    vault = fill(tmp_path, world)
    is_as_the_exchange_knows(vault, world)


def test_a_book_that_stands_over_the_start_of_an_hour_is_no_hole_of_the_archive(tmp_path: Path) -> None:
    """The first line of the hour comes late because nothing changed: that of the hour before is known to stand."""
    hour_ms, day = MIDNIGHT_MS + HOUR_MS, BookDay(INST, LAW, keeper_of(tmp_path))
    row = {"instId": INST, "asks": [["101", "1", "1"]], "bids": [["100", "1", "1"]]}
    times = -10_000, -500, 7_300, 9_400, 60_000
    lines = [
        msgspec.json.encode(
            {**row, "ts": str(hour_ms + after_ms), "action": "update" if after_ms > -10_000 else "snapshot"}
        )
        for after_ms in times
    ]
    day.read(lines, ("file", "sha"), (MIDNIGHT_MS, MIDNIGHT_MS + 24 * HOUR_MS), lambda _: None)
    day.end(is_followed=False)
    coverage = Vault(Layout(tmp_path)).coverage(INST, hour_ms - 10_000, hour_ms + 60_000)
    assert (coverage.count("quiet"), coverage.holes) == (31, [])
    earlier = Vault(Layout(tmp_path)).coverage(INST, hour_ms - HOUR_MS, hour_ms)
    assert [(hole.end_ms, hole.cause) for hole in earlier.holes] == [(hour_ms - 10_000, NO_BOOK)]


def altered(lines: list[bytes], number: int, **fields: object) -> list[bytes]:
    row = msgspec.json.decode(lines[number])
    return [*lines[:number], msgspec.json.encode({**row, **fields}), *lines[number + 1 :]]


def test_a_stretch_that_does_not_rebuild_to_the_next_full_book_is_unverifiable(
    world: ArchiveWorld, tmp_path: Path
) -> None:
    lines, name, span = days(world)[1]
    at = next(number for number, line in enumerate(lines) if number > 100 and b'"bids":[[' in line)
    price = msgspec.json.decode(lines[at])["bids"][0][0]
    lines = altered(lines, at, bids=[[price, "123456789", "7"]])
    second = next(number for number, line in enumerate(lines) if number and b'"snapshot"' in line[:60])
    whole = msgspec.json.decode(lines[second])
    if whole["bids"] and any(level[0] == price for level in whole["bids"]):
        whole["bids"] = [[*level[:1], "1", *level[2:]] if level[0] == price else level for level in whole["bids"]]
    else:
        whole["bids"] = whole["bids"][:-1]
    lines = altered(lines, second, bids=whole["bids"])
    day = BookDay(INST, LAW, keeper_of(tmp_path))
    day.read(lines, name, span, lambda _: None)
    day.end(is_followed=False)
    assert (day.report.whole, day.report.rebuilt) == (1, 0)
    coverage = Vault(Layout(tmp_path)).coverage(INST, MIDNIGHT_MS, END_MS)
    whole_ms = int(whole["ts"])
    states = {coverage.at(whole_ms - at_ms)[0] for at_ms in range(10_000, 90_000, 2_000)}
    assert "unverifiable" in states and states <= {"unverifiable", "unknown"}, "and quiet slots rest on such a line"
    assert coverage.at(whole_ms + 60_000)[0] in ("recorded", "quiet")


def line_at(offset_ms: int, action: str, size: str) -> bytes:
    sides = {"asks": [["101", "5", "1"]], "bids": [["100", size, "2"]]}
    return msgspec.json.encode({"instId": INST, "action": action, "ts": str(MIDNIGHT_MS + offset_ms), **sides})


def test_a_long_silence_is_a_hole_and_a_short_one_is_quiet(tmp_path: Path) -> None:
    lines = [
        *(line_at(7, "snapshot", "1.0"), line_at(100_007, "update", "3"), line_at(150_000, "update", "4")),
        *(line_at(155_000, "update", "5.0"), line_at(230_000, "snapshot", "5"), line_at(231_000, "update", "6")),
        line_at(240_000, "update", "7"),
    ]
    day = BookDay(INST, LAW, keeper_of(tmp_path))
    day.read(lines, ("file", "sha"), (MIDNIGHT_MS, MIDNIGHT_MS + 24 * HOUR_MS), lambda _: None)
    day.end(is_followed=False)
    coverage = Vault(Layout(tmp_path)).coverage(INST, MIDNIGHT_MS, MIDNIGHT_MS + 240_000)
    seconds = {at: coverage.at(MIDNIGHT_MS + at * 1000) for at in (50, 110, 140, 152, 160, 220, 232, 239)}
    lost, quiet = ("missing", SILENCE), ("quiet", "")
    assert [seconds[at] for at in (50, 160, 220)] == [lost] * 3, "nothing for more than a minute is no evidence"
    assert [seconds[at] for at in (110, 140)] == [quiet] * 2
    assert seconds[152][0] == "quiet" and seconds[239][0] == "quiet"
    assert (day.report.whole, day.report.rebuilt) == (1, 1), "5.0 and 5 are one size"


def test_a_file_that_begins_late_says_so(world: ArchiveWorld, tmp_path: Path) -> None:
    lines, name, span = days(world)[1]
    cut = next(number for number, line in enumerate(lines) if number and b'"snapshot"' in line[:60])
    day = BookDay(INST, LAW, keeper_of(tmp_path))
    day.read(lines[5:cut] + lines[cut:], name, span, lambda _: None)
    day.end(is_followed=False)
    coverage = Vault(Layout(tmp_path)).coverage(INST, MIDNIGHT_MS, END_MS)
    assert (coverage.holes[0].kind, coverage.holes[0].cause) == ("missing", NO_BOOK)
    assert coverage.holes[0].end_ms >= utc_ms(f"{DAY}T00:15:00.000Z")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"instId": "ETH-USDT-SWAP"}, "line 21: a line of 'ETH-USDT-SWAP'"),
        ({"ts": "1767402000000"}, f"line 21: a line of {utc_text(1767402000000)[:10]}"),
        ({"bids": [["1", "2"]]}, "line 21: no line of books"),
        ({"bids": [["1", "x", "2"]]}, "line 21: no line of books"),
        ({"bids": [["1", "2", "x"]]}, "line 21: no line of books"),
        ({"ts": ""}, "line 21: no line of books: ts"),
    ],
)
def test_a_line_that_is_none_ends_it_by_its_number_and_leaves_nothing_half_written(
    world: ArchiveWorld, tmp_path: Path, fields: dict[str, object], says: str
) -> None:
    lines, name, span = days(world)[1]
    day = BookDay(INST, LAW, keeper_of(tmp_path))
    with pytest.raises(LineError, match=says):
        day.read(altered(lines, 20, **fields), name, span, lambda _: None)
    day.drop()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_torn_hour_is_told_in_one_sentence(world: ArchiveWorld, tmp_path: Path) -> None:
    keeper = keeper_of(tmp_path)
    fill(tmp_path, world)
    path = packed_path(Layout(tmp_path).hour_file(INST, MIDNIGHT_MS))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(VaultError, match=r"00\.jsonl\.gz"):
        list(keeper.lines(INST, MIDNIGHT_MS))
