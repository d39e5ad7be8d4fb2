"""After any crash the files hold whole lines again, no byte is lost, and what is already written is known."""

import gzip
import json
import os
import zlib
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2vault.book.snapshot import Snapshot, from_line, to_line
from l2vault.book.utc import utc_ms
from l2vault.errors import VaultError
from l2vault.vault.store import newest
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.vault.store.newest import LastLine, last_line, last_line_of_hour, newest_time
from l2vault.vault.store.recovery import Aside, Cut, Recovery, future_lines, recover, set_aside

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
HOUR_START_MS = utc_ms("2026-11-22T15:00:00.000Z")


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "Vault")


def line(ts_ms=HOUR_START_MS, inst_id=BTC, gap_detected=False, levels=2):
    side = [(str(1000 - rank), "5", "0", "2") for rank in range(levels)]
    return to_line(Snapshot(inst_id, ts_ms, levels, side, side, 0, ts_ms, ts_ms - 1, gap_detected)) + b"\n"


def put(layout, data, ts_ms=HOUR_START_MS, inst_id=BTC):
    path = layout.hour_file(inst_id, ts_ms)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def pack(layout, data, ts_ms=HOUR_START_MS, inst_id=BTC):
    path = put(layout, b"", ts_ms, inst_id)
    path.unlink()
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(data))
    return packed


def image(layout):
    """Every file of the vault, by its path within, and its bytes."""
    files = (path for path in layout.root.rglob("*") if path.is_file())
    return {path.relative_to(layout.root).as_posix(): path.read_bytes() for path in files}


def sound_part(data):
    """The rule in its plainest form: drop lines from the end until one has its newline and reads."""
    lines = data.split(b"\n")[:-1]
    while lines and not reads(lines[-1]):
        lines.pop()
    return b"".join(one + b"\n" for one in lines)


def reads(one):
    """Whether it is one JSON object, of whatever version."""
    try:
        return isinstance(json.loads(one), dict)
    except ValueError:
        return False


def cuts(recovered, layout):
    """Offset, length and kept bytes of each cut."""
    return [(cut.offset, cut.cut_bytes, (layout.root / cut.kept_in).read_bytes()) for cut in recovered.cuts]


def cut_after(sound, data):
    return [(len(sound), len(data) - len(sound), data[len(sound) :])] if sound != data else []


WHOLE = [line(HOUR_START_MS + 2000 * number, levels=number) for number in (1, 2, 3)]
ENDS = [sum(map(len, WHOLE[:count])) for count in range(len(WHOLE) + 1)]


def last_times(recovery: Recovery) -> dict[str, int]:
    return {inst_id: line.ts_ms for inst_id, line in recovery.last.items()}


@settings(deadline=None, max_examples=60)  # every example waits for the disk
@given(
    cut=st.integers(0, ENDS[-1]),
    rubbish=st.one_of(st.just(b""), st.just(b"\n"), st.integers(1, 5000).map(bytes), st.binary(max_size=300)),
    block=st.integers(1, 3000),
)
def test_a_file_cut_at_any_byte_and_soiled_is_cut_back_to_its_whole_lines(tmp_path_factory, cut, rubbish, block):
    layout = Layout(tmp_path_factory.mktemp("vault"))
    data = b"".join(WHOLE)[:cut] + rubbish
    path = put(layout, data)
    sound = sound_part(data)
    with mock.patch.object(newest, "BLOCK_BYTES", block):
        recovered = recover(layout)
        assert path.read_bytes() == sound
        assert cuts(recovered, layout) == cut_after(sound, data)
        before = image(layout)
        assert recover(layout) == ([], recovered.last)
        assert image(layout) == before


@settings(deadline=None, max_examples=60)  # every example waits for the disk
@given(cut=st.integers(0, ENDS[-1]))
def test_every_whole_line_before_a_cut_still_reads(tmp_path_factory, cut):
    layout = Layout(tmp_path_factory.mktemp("vault"))
    path = put(layout, b"".join(WHOLE)[:cut])
    last_ms = last_times(recover(layout))
    times = [from_line(one).ts_ms for one in path.read_bytes().splitlines()]
    assert times == [from_line(one[:-1]).ts_ms for one, end in zip(WHOLE, ENDS[1:], strict=True) if end <= cut]
    assert last_ms == ({BTC: times[-1]} if times else {})


def test_a_recovery_is_told_with_paths_that_hold_wherever_the_vault_is_moved(layout):
    put(layout, line() + b"torn")
    assert recover(layout).cuts == [
        Cut(
            BTC,
            "raw/okx/l2_perps/BTC-USDT-SWAP/2026-11-22/15.jsonl",
            len(line()),
            4,
            f"meta/okx/torn/BTC-USDT-SWAP_2026-11-22T15.jsonl_at_{len(line())}_{zlib.crc32(b'torn'):08x}",
            HOUR_START_MS,
        )
    ]


@pytest.mark.parametrize(
    ("data", "sound"),
    [
        (b"", b""),
        (line(), line()),
        (b"\n", b""),
        (b"\x00" * 600_000, b""),
        (line() + b"\x00" * 600_000, line()),
        (line() + b"\x00" * 600_000 + b"\n", line()),
        (line()[:-1] + b"\x00" * 2_000_000 + b"\n", b""),
        (line() + b"\n\n", line()),
        (line() + line()[:-1], line()),
        (line() + line()[:-2] + b"\n", line()),
        (line() + b'{"some":"other","json":1}\n', line() + b'{"some":"other","json":1}\n'),
        (line() + b"rubbish\n" + line(HOUR_START_MS + 1), line() + b"rubbish\n" + line(HOUR_START_MS + 1)),
        (b"not a single good line\n" * 3, b""),
        (line(levels=399) * 40 + b"{", line(levels=399) * 40),
    ],
    ids=[
        "empty file",
        "whole line",
        "empty line",
        "only NULs",
        "NULs after a power cut",
        "NULs that end in a newline",
        "a line whose newline became NULs",
        "empty lines behind",
        "newline missing",
        "brace missing",
        "JSON of another kind",
        "rubbish before a good line",
        "no good line",
        "longer than a block",
    ],
)
def test_what_is_cut_is_what_follows_the_last_good_line(layout, data, sound):
    path = put(layout, data)
    recovered = recover(layout)
    assert path.read_bytes() == sound
    assert cuts(recovered, layout) == cut_after(sound, data)


def test_a_good_line_is_not_made_of_the_beginning_of_a_longer_one(layout):
    """The line, then NULs up to a newline, so that reading backwards the line begins a block of its own."""
    length = len(line()) - 1
    data = line()[:-1] + b"\x00" * (2 * length - 1) + b"\n"
    path = put(layout, data)
    longest = mock.patch("l2vault.vault.store.line.LONGEST_LINE_BYTES", length + 10)
    with mock.patch.object(newest, "BLOCK_BYTES", length), longest:
        recovered = recover(layout)
    assert path.read_bytes() == b""
    assert cuts(recovered, layout) == cut_after(b"", data)


def test_a_cut_is_on_the_disk_before_recording_starts(layout, monkeypatch):
    synced, real_fsync = [], os.fsync

    def fsync(handle):
        synced.append(os.fstat(handle))
        real_fsync(handle)

    path = put(layout, line() + b"torn")
    monkeypatch.setattr(os, "fsync", fsync)
    recover(layout)
    assert os.path.samestat(synced[-1], path.stat())
    assert synced[-1].st_size == len(line())


def test_a_sound_file_is_not_even_touched(layout):
    path = put(layout, line())
    os.utime(path, (1, 1))
    assert recover(layout).cuts == []
    assert path.stat().st_mtime == 1
    assert not layout.torn.exists()


def test_only_the_end_of_a_large_file_is_read(layout):
    data = line(levels=399) * 400
    put(layout, data + b"torn")
    read = 0
    real = newest.joined

    def counting(head, tail):
        nonlocal read
        read += len(head)
        return real(head, tail)

    with mock.patch.object(newest, "joined", counting):
        recover(layout)
    assert len(data) > 5_000_000
    assert read < 4 * newest.BLOCK_BYTES


def test_the_two_newest_hours_of_every_instrument_are_checked(layout):
    torn = line() + b"torn"
    hours = {ts_ms: put(layout, torn, ts_ms) for ts_ms in (HOUR_START_MS + hour * HOUR_MS for hour in (-20, -1, 0))}
    other = put(layout, torn, HOUR_START_MS - 30 * HOUR_MS, "DELISTED-USDT-SWAP")
    files = [layout.root / cut.file for cut in recover(layout).cuts]
    oldest, *newest = hours.values()
    assert files == [*reversed(newest), other]
    assert oldest.read_bytes() == torn


def test_compressed_hours_do_not_count_among_the_two(layout):
    packed = [pack(layout, line(), HOUR_START_MS + hour * HOUR_MS).read_bytes() for hour in (1, 2, 3)]
    paths = [put(layout, line() + b"torn", HOUR_START_MS - hour * HOUR_MS) for hour in (0, 1)]
    assert [layout.root / cut.file for cut in recover(layout).cuts] == paths
    assert [path.read_bytes() for path in sorted(layout.raw.rglob("*.gz"))] == packed


def test_a_file_torn_twice_at_one_place_keeps_both_ends(layout):
    kept = []
    for torn in (b"first", b"second"):
        put(layout, line() + torn)
        kept += [cut.kept_in for cut in recover(layout).cuts]
    assert [(layout.root / name).read_bytes() for name in kept] == [b"first", b"second"]


class Killed(BaseException):
    """Stands for the death of the process: nothing may catch it."""


def killed_at(step):
    """Every call that makes something durable counts; the process dies at the given one, before it takes effect."""
    left = step

    def guard(real):
        def call(*args):
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return real(*args)

        return call

    return mock.patch.multiple(os, fsync=guard(os.fsync), replace=guard(os.replace))


def test_killed_at_any_moment_and_started_again_it_does_what_it_would_have_done(tmp_path):
    def torn_vault(name):
        layout = Layout(tmp_path / name)
        for inst_id in (BTC, ETH):
            put(layout, line() + b"\x00torn", inst_id=inst_id)
        return layout

    undisturbed = torn_vault("undisturbed")
    expected = recover(undisturbed)
    steps = 0
    while True:
        layout = torn_vault(f"killed at {steps}")
        try:
            with killed_at(steps):
                recover(layout)
            break
        except Killed:
            again = recover(layout)
        assert again.last == expected.last
        assert {cut.file for cut in again.cuts} <= {cut.file for cut in expected.cuts}
        assert image(layout) == image(undisturbed)
        steps += 1
    assert steps >= 6  # two files: draft synced, draft renamed, data file synced


def test_nothing_is_cut_while_the_bytes_cannot_be_kept(layout):
    data = line() + b"torn"
    path = put(layout, data)
    layout.torn.parent.mkdir(parents=True)
    layout.torn.write_bytes(b"a file where the folder should be")
    with pytest.raises(VaultError, match=r"15\.jsonl.* Try: "):
        recover(layout)
    assert path.read_bytes() == data


def test_a_file_that_may_not_be_read_is_named_with_the_cure(layout, monkeypatch):
    path = put(layout, line())
    real_open = Path.open

    def refuse(opened, *args, **options):
        if opened == path:
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(opened, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(VaultError, match=r"15\.jsonl.*Permission denied.* Try: "):
        recover(layout)


def test_foreign_files_and_folders_are_left_alone(layout):
    put(layout, line())
    day = layout.hour_file(BTC, HOUR_START_MS).parent
    (day / "16.jsonl").mkdir()
    foreign = [
        layout.raw / "notes.txt",
        layout.raw / "BTC-USDT-SWAP" / ".DS_Store",
        layout.raw / "BTC-USDT-SWAP" / "2026-99-99" / "15.jsonl",
        day / "17.jsonl.gz.packing",
        day / "copy of 15.jsonl",
    ]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not ours")
    before = image(layout)
    assert recover(layout) == ([], {BTC: LastLine(HOUR_START_MS, HOUR_START_MS, HOUR_START_MS)})
    assert image(layout) == before


def test_a_new_vault_has_nothing_to_recover(layout):
    assert recover(layout) == ([], {})
    assert not layout.root.exists()


def hours_of(*contents):
    """Contents by hour, newest first, each as the function that puts it there and the bytes."""
    return [(kind, data, HOUR_START_MS - hour * HOUR_MS) for hour, (kind, data) in enumerate(contents)]


@pytest.mark.parametrize(
    "contents",
    [
        hours_of((put, line(7) + line(8, gap_detected=True))),
        hours_of((put, line(7) + line(8)[:-1])),
        hours_of((put, line(7) + b"rubbish\n" + line(8, gap_detected=True))),
        hours_of((put, line(8, gap_detected=True) * 3), (put, line(7))),
        hours_of((put, b""), (put, b"rubbish"), (put, line(7))),
        hours_of((put, b""), (pack, line(6) + line(7) + line(8, gap_detected=True))),
        hours_of((pack, line(8, gap_detected=True) * 20), (pack, line(7))),
        hours_of((pack, line(7) + line(8, gap_detected=True) * 20)),
        hours_of((pack, line(7) + b"rubbish\n")),
        hours_of((pack, b""), (put, line(7) + b"torn")),
    ],
    ids=[
        "flagged behind",
        "torn behind",
        "rubbish and flagged behind",
        "an hour of flagged lines",
        "hours without a line",
        "only a compressed one holds a line",
        "a compressed hour of flagged lines",
        "many flagged behind in a compressed hour",
        "rubbish in a compressed hour",
        "an empty compressed hour",
    ],
)
def test_the_last_unflagged_time_is_found_however_far_back_it_is(layout, contents):
    for write, data, hour_ms in contents:
        write(layout, data, hour_ms)
    assert last_times(recover(layout)) == {BTC: 7}


def test_of_one_hour_the_plain_file_is_newer_than_the_compressed_one(layout):
    pack(layout, line(5) + line(6))
    put(layout, line(7))
    assert last_times(recover(layout)) == {BTC: 7}


def test_each_instrument_has_a_last_time_of_its_own(layout):
    put(layout, line(7))
    put(layout, line(9, ETH), HOUR_START_MS - HOUR_MS, ETH)
    put(layout, line(9, gap_detected=True), inst_id="NEW-USDT-SWAP")
    assert last_times(recover(layout)) == {BTC: 7, ETH: 9}


def test_a_damaged_compressed_hour_gives_what_it_can(layout):
    packed = pack(layout, line(6) + line(7))
    packed.write_bytes(packed.read_bytes()[:-8])
    pack(layout, line(5), HOUR_START_MS - HOUR_MS)
    assert last_times(recover(layout)) == {BTC: 7}
    packed.write_bytes(b"no gzip at all")
    assert last_times(recover(layout)) == {BTC: 5}


def newer(ts_ms):
    """A line of a later version, with one more key."""
    return line(ts_ms)[:-2] + b',"venue":"okx"}\n'


def test_lines_of_a_later_version_are_not_torn_and_what_follows_goes_behind_them(layout):
    data = line(7) + newer(8) + newer(9)
    path = put(layout, data)
    recovered = recover(layout)
    assert recovered.cuts == []
    assert path.read_bytes() == data
    assert recovered.last == {BTC: LastLine(9, 9, 9)}
    put(layout, data + b'{"timestamp_utc":"1970-01')
    assert cuts(recover(layout), layout) == [(len(data), 25, b'{"timestamp_utc":"1970-01')]


def test_a_cut_says_from_when_on_nothing_is_known_of_the_instrument(layout):
    put(layout, line(7) + b"torn")
    put(layout, b"torn", inst_id=ETH)
    found = recover(layout).cuts
    assert [(cut.inst_id, cut.since_ms) for cut in found] == [(BTC, 7), (ETH, None)]


def test_a_flagged_end_moves_the_newest_time_and_not_that_of_the_last_book(layout):
    put(layout, line(7) + line(9, gap_detected=True))
    assert recover(layout).last == {BTC: LastLine(7, 7, 9)}


LIMIT_MS = HOUR_START_MS + 10_000


def test_lines_from_the_future_behind_good_ones_are_set_aside_with_their_bytes(layout):
    good, future = line(HOUR_START_MS), line(LIMIT_MS + 1) + b"rubbish\n" + line(LIMIT_MS + 2000, gap_detected=True)
    path = put(layout, good + future)
    moved = set_aside(layout, BTC, LIMIT_MS)
    assert path.read_bytes() == good
    assert moved is not None
    assert (layout.root / moved.kept_in).read_bytes() == future
    file = path.relative_to(layout.root).as_posix()
    assert moved == Aside(BTC, file, 2, LIMIT_MS + 1, LIMIT_MS + 2000, moved.kept_in)
    assert set_aside(layout, BTC, LIMIT_MS) is None


def test_an_hour_of_the_future_goes_as_a_whole_and_leaves_no_empty_file(layout):
    put(layout, line(HOUR_START_MS))
    path = put(layout, line(HOUR_START_MS + HOUR_MS), HOUR_START_MS + HOUR_MS)
    moved = set_aside(layout, BTC, LIMIT_MS)
    assert moved is not None
    assert moved.lines == 1
    assert not path.exists()
    assert (layout.root / moved.kept_in).read_bytes() == line(HOUR_START_MS + HOUR_MS)
    assert last_line(layout, BTC) == LastLine(HOUR_START_MS, HOUR_START_MS, HOUR_START_MS)


def test_lines_later_than_a_limit_are_left_out_though_whole_hours_are(layout):
    put(layout, line(HOUR_START_MS))
    put(layout, line(HOUR_START_MS + 2 * HOUR_MS), HOUR_START_MS + 2 * HOUR_MS)
    assert last_line(layout, BTC, HOUR_START_MS + HOUR_MS) == LastLine(HOUR_START_MS, HOUR_START_MS, HOUR_START_MS)


def test_the_newest_time_is_that_of_any_line_and_minus_one_where_there_is_none(layout):
    assert newest_time(layout, BTC) == -1
    put(layout, line(HOUR_START_MS))
    put(layout, b"", HOUR_START_MS + HOUR_MS)
    assert newest_time(layout, BTC) == HOUR_START_MS


@pytest.mark.parametrize("second", [put, pack])
def test_more_than_one_file_or_a_compressed_one_is_left_for_a_person(layout, second):
    put(layout, line(HOUR_START_MS))
    put(layout, line(HOUR_START_MS + HOUR_MS), HOUR_START_MS + HOUR_MS)
    second(layout, line(HOUR_START_MS + 2 * HOUR_MS), HOUR_START_MS + 2 * HOUR_MS)
    before = image(layout)
    assert len(future_lines(layout, BTC, LIMIT_MS)) == 2
    assert set_aside(layout, BTC, LIMIT_MS) is None
    assert image(layout) == before


def test_without_a_line_from_the_future_nothing_is_touched(layout):
    put(layout, line(LIMIT_MS))
    put(layout, line(LIMIT_MS - HOUR_MS), LIMIT_MS - HOUR_MS)
    before = image(layout)
    assert set_aside(layout, BTC, LIMIT_MS) is None
    assert set_aside(layout, "NO-SUCH-SWAP", LIMIT_MS) is None
    assert image(layout) == before


def test_a_future_line_followed_by_a_good_one_stays_where_it_is(layout):
    data = line(LIMIT_MS + 1) + line(LIMIT_MS)
    path = put(layout, data)
    assert set_aside(layout, BTC, LIMIT_MS) is None
    assert path.read_bytes() == data


def test_the_end_of_one_hour_is_found_in_whatever_form_it_is(layout):
    assert last_line_of_hour(layout, BTC, HOUR_START_MS) == LastLine(-1, None, -1)
    pack(layout, line(5) + line(6, gap_detected=True))
    assert last_line_of_hour(layout, BTC, HOUR_START_MS) == LastLine(5, 5, 6)
    put(layout, line(8, gap_detected=True))
    assert last_line_of_hour(layout, BTC, HOUR_START_MS) == LastLine(5, 5, 8)
    snapshots = layout.archived_hour(BTC, HOUR_START_MS).snapshots
    snapshots.parent.mkdir(parents=True)
    snapshots.write_bytes(b"")
    end_ms = HOUR_START_MS + HOUR_MS - 1
    assert last_line_of_hour(layout, BTC, HOUR_START_MS) == LastLine(end_ms, None, end_ms), "nothing can be added"
