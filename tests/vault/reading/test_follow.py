"""The live tail: every line once, as it is written, across hours, torn ends and compression."""

import gzip
import os
from itertools import islice

import pytest

from l2vault.book.snapshot import to_line
from l2vault.vault.reading import followed_hours
from l2vault.vault.reading.follow import Follow
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import HOUR_AT_MS, INST, contents, line, put


class Ended(Exception):
    """Nothing more is going to happen."""


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "Vault")


def collect(layout, *steps, since_ms=None):
    """The times that come while each wait for news is answered by the next step, and what was found."""
    waiting = iter(steps)
    came = []

    def sleep(seconds):
        assert seconds == 0.5
        step = next(waiting, None)
        if step is None:
            raise Ended
        step()

    following = Follow(layout, INST, since_ms, 0.5, sleep)
    try:
        for snapshot in following:
            came.append(snapshot.ts_ms - HOUR_AT_MS)
    except Ended:
        return came, [(each.path.name, each.offset, each.reason) for each in following.findings]
    return None


def append(layout, *snapshots, raw=b""):
    def act():
        path = layout.hour_file(INST, snapshots[0].ts_ms if snapshots else HOUR_AT_MS)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(contents(list(snapshots)) + raw)

    return act


def test_it_begins_behind_what_is_there(layout):
    put(layout, [line(0), line(2000)])
    assert collect(layout, append(layout, line(4000)), append(layout, line(6000), line(8000))) == (
        [4000, 6000, 8000],
        [],
    )


def test_it_can_begin_at_a_moment(layout):
    put(layout, [line(-2000)])
    put(layout, [line(0), line(2000), line(4000)])
    assert collect(layout, append(layout, line(6000)), since_ms=HOUR_AT_MS + 2000) == ([2000, 4000, 6000], [])


def test_it_waits_for_a_recorder_that_has_not_begun(layout):
    assert collect(layout, append(layout, line(0))) == ([0], [])


def test_it_never_gives_half_a_line(layout):
    text = to_line(line(2000)) + b"\n"
    put(layout, [line(0)])
    parts = [append(layout, raw=text[at : at + 50]) for at in range(0, len(text), 50)]
    assert collect(layout, *parts) == ([2000], [])


def test_it_goes_on_in_the_next_hour_and_misses_no_last_line(layout):
    def turn():
        append(layout, line(HOUR_MS - 1000))()
        append(layout, line(HOUR_MS + 1000))()

    put(layout, [line(0)])
    expected = [HOUR_MS - 1000, HOUR_MS + 1000, HOUR_MS + 3000]
    assert collect(layout, turn, append(layout, line(HOUR_MS + 3000))) == (expected, [])


def test_it_goes_on_after_hours_and_days_without_a_file(layout):
    put(layout, [line(0)])
    assert collect(layout, append(layout, line(30 * HOUR_MS))) == ([30 * HOUR_MS], [])


def test_it_reads_what_it_missed_of_an_hour_that_was_compressed_meanwhile(layout):
    def sleep_through():
        path = layout.hour_file(INST, HOUR_AT_MS)
        append(layout, line(4000))()
        path.with_name("03.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        append(layout, line(HOUR_MS))()

    put(layout, [line(0), line(2000)])
    assert collect(layout, sleep_through) == ([4000, HOUR_MS], [])


def test_an_hour_that_retention_took_away_is_passed_over(layout):
    def take_away():
        layout.hour_file(INST, HOUR_AT_MS).unlink()
        append(layout, line(HOUR_MS))()

    put(layout, [line(0)])
    assert collect(layout, take_away) == ([HOUR_MS], [])


def test_lines_of_one_time_are_both_given_and_none_twice(layout):
    flagged = line(2000, gap_detected=True, prev_seq_id=9)
    put(layout, [line(0)])
    assert collect(layout, append(layout, line(2000)), append(layout, flagged)) == ([2000, 2000], [])


def test_a_foreign_line_is_reported_and_the_next_one_given(layout):
    put(layout, [line(0)])
    findings = [("03.jsonl", len(contents([line(0)])), "not a snapshot line: it has no key bids_topN")]
    assert collect(layout, append(layout, raw=b"hello\n"), append(layout, line(2000))) == ([2000], findings)


def test_an_end_that_stays_torn_is_reported_once_the_next_hour_has_begun(layout):
    put(layout, [line(0)], tail=b'{"timestamp')
    findings = [("03.jsonl", len(contents([line(0)])), "a torn line, without its end")]
    assert collect(layout, append(layout, line(HOUR_MS))) == ([HOUR_MS], findings)


def test_a_torn_end_that_recovery_cuts_leaves_no_trace(layout):
    path = put(layout, [line(0)], tail=b'{"timestamp')
    assert collect(layout, lambda: path.write_bytes(contents([line(0), line(2000)]))) == ([2000], [])


def test_lines_come_one_by_one(layout):
    put(layout, [line(at * 2000) for at in range(5)])
    following = Follow(layout, INST, HOUR_AT_MS, 0.5, pytest.fail)
    assert [snapshot.ts_ms - HOUR_AT_MS for snapshot in islice(following, 3)] == [0, 2000, 4000]


def test_a_far_longer_tail_than_is_read_at_once_comes_whole(layout, monkeypatch):
    monkeypatch.setattr("l2vault.vault.reading.follow._TAIL_BYTES", 1000)
    put(layout, [line(0)])
    books = [line(at * 2000) for at in range(1, 50)]
    assert collect(layout, append(layout, *books)) == ([book.ts_ms - HOUR_AT_MS for book in books], [])


def plain(layout):
    return layout.hour_file(INST, HOUR_AT_MS)


def test_a_file_that_is_emptied_and_written_anew_gives_each_line_once_and_a_finding(layout):
    """As `copytruncate` leaves it."""
    put(layout, [line(0), line(2000)])
    where = len(contents([line(0), line(2000)]))
    steps = [
        lambda: plain(layout).write_bytes(b""),
        append(layout, line(4000)),
        append(layout, line(6000)),
    ]
    finding = ("03.jsonl", where, "the file became shorter or another one than had been read so far")
    assert collect(layout, *steps, since_ms=HOUR_AT_MS) == ([0, 2000, 4000, 6000], [finding])


def test_a_file_that_is_replaced_by_a_longer_one_between_two_looks_loses_no_line(layout):
    put(layout, [line(0), line(2000)])
    where = len(contents([line(0), line(2000)]))
    others = [line(0), line(4000), line(6000), line(8000)]
    came, findings = collect(layout, lambda: plain(layout).write_bytes(contents(others)), since_ms=HOUR_AT_MS)
    assert came == [0, 2000, 4000, 6000, 8000]
    assert findings == [("03.jsonl", where, "the file became shorter or another one than had been read so far")]


def test_a_copy_with_more_lines_in_its_place_is_no_finding(layout):
    """As rsync and editors write: another file under the same name."""

    def replace():
        copy = plain(layout).with_name("copy")
        copy.write_bytes(contents([line(0), line(2000)]))
        copy.replace(plain(layout))

    put(layout, [line(0)])
    assert collect(layout, replace, append(layout, line(4000)), since_ms=HOUR_AT_MS) == ([0, 2000, 4000], [])


def test_an_hour_that_goes_on_after_it_was_compressed_is_followed_through_both_and_again(layout):
    def compress(*books):
        plain(layout).with_name("03.jsonl.gz").write_bytes(gzip.compress(contents(list(books))))
        plain(layout).unlink()

    put(layout, [line(0)])
    steps = [
        lambda: compress(line(0), line(2000)),
        append(layout, line(4000)),
        append(layout, line(6000)),
        lambda: compress(line(0), line(2000), line(4000), line(6000), line(8000)),
        append(layout, line(HOUR_MS)),
    ]
    assert collect(layout, *steps, since_ms=HOUR_AT_MS) == ([0, 2000, 4000, 6000, 8000, HOUR_MS], [])


def test_an_hour_of_which_a_part_is_compressed_already_is_followed_from_its_beginning(layout):
    put(layout, [line(4000)])
    plain(layout).with_name("03.jsonl.gz").write_bytes(gzip.compress(contents([line(0), line(2000)])))
    assert collect(layout, append(layout, line(6000)), since_ms=HOUR_AT_MS) == ([0, 2000, 4000, 6000], [])
    assert collect(layout, append(layout, line(8000))) == ([8000], [])


def test_a_line_of_an_hour_that_is_over_is_a_finding(layout):
    put(layout, [line(0)])
    where = len(contents([line(0)]))
    steps = [append(layout, line(HOUR_MS)), append(layout, line(2000)), append(layout, line(HOUR_MS + 2000))]
    finding = ("03.jsonl", where, "lines came to this hour after the next one had begun")
    assert collect(layout, *steps) == ([HOUR_MS, HOUR_MS + 2000], [finding])


def compress(layout, *books):
    """As retention does, of what is there unless `books` are to stand in it."""
    path = plain(layout)
    held = contents(list(books)) if books else path.read_bytes()
    path.with_name("03.jsonl.gz").write_bytes(gzip.compress(held))
    path.unlink(missing_ok=True)


def delete(layout):
    plain(layout).with_name("03.jsonl.gz").unlink()


NEXT, NEXT_BUT_ONE = HOUR_MS, 2 * HOUR_MS
LATE = "lines came to this hour after the next one had begun"
GONE = "lines of this hour that were given cannot be found there any more"


def after_compression(layout, *changes):
    """Follow an hour of two lines and the two hours after it, while the first is compressed and then changed."""
    put(layout, [line(0), line(2000)])
    steps = [append(layout, line(NEXT)), lambda: compress(layout), append(layout, line(NEXT_BUT_ONE))]
    came, findings = collect(layout, *steps, *changes, *[lambda: None] * 6, since_ms=HOUR_AT_MS)
    assert came == [0, 2000, NEXT, NEXT_BUT_ONE]
    return findings


def test_an_hour_that_is_compressed_and_deleted_once_it_is_over_is_no_finding(layout):
    assert after_compression(layout, lambda: None, lambda: None, lambda: delete(layout)) == []


def test_a_line_that_comes_beside_a_compressed_hour_is_a_finding(layout):
    assert after_compression(layout, append(layout, line(4000))) == [("03.jsonl", 0, LATE)]


def test_a_line_that_comes_into_a_compressed_hour_is_a_finding_at_its_place(layout):
    where = len(contents([line(0), line(2000)]))
    change = lambda: compress(layout, line(0), line(2000), line(4000))  # noqa: E731
    assert after_compression(layout, change) == [("03.jsonl.gz", where, LATE)]


def test_a_line_that_is_altered_in_a_compressed_hour_is_two_findings_however_often_one_looks(layout):
    where = len(contents([line(0)]))
    change = lambda: compress(layout, line(0), line(2000, seq_id=77))  # noqa: E731
    assert after_compression(layout, change) == [("03.jsonl.gz", where, LATE), ("03.jsonl.gz", 0, GONE)]


def test_a_compressed_hour_that_is_damaged_later_is_a_finding(layout):
    def damage():
        path = plain(layout).with_name("03.jsonl.gz")
        path.write_bytes(path.read_bytes()[:60])

    assert after_compression(layout, damage) == [("03.jsonl.gz", 0, GONE)]


def test_a_line_altered_in_place_in_an_hour_that_is_over_is_found(layout):
    put(layout, [line(0), line(2000)])

    def alter():
        plain(layout).write_bytes(contents([line(0, seq_id=7), line(2000)]))
        os.utime(plain(layout), (1, 1))  # a file system's clock may be too coarse to tell the two times apart

    steps = [append(layout, line(NEXT)), alter, lambda: None]
    came, findings = collect(layout, *steps, since_ms=HOUR_AT_MS)
    assert came == [0, 2000, NEXT]
    assert findings == [("03.jsonl", 0, LATE), ("03.jsonl", 0, GONE)]


def test_an_hour_that_comes_after_a_later_one_had_begun_is_a_finding(layout):
    put(layout, [line(0)])
    steps = [append(layout, line(NEXT_BUT_ONE)), append(layout, line(NEXT)), lambda: None]
    assert collect(layout, *steps) == ([NEXT_BUT_ONE], [("04.jsonl", 0, "this hour came after a later one had begun")])


def test_hours_that_are_left_are_not_read_again_while_nothing_changes(layout, monkeypatch):
    """A line too early for its place, one of another hour, zeros and a torn end do not change that."""
    read = []
    real = followed_hours.hour_lines
    monkeypatch.setattr(followed_hours, "hour_lines", lambda *args: read.append(args) or real(*args))
    put(layout, [line(4000)])
    untidy = append(layout, line(2000), raw=bytes(9) + contents([line(8000), line(5 * HOUR_MS)]))
    torn = append(layout, raw=b'{"timestamp')
    steps = [untidy, torn, append(layout, line(NEXT)), *[lambda: None] * 3]
    _, findings = collect(layout, *steps, lambda: compress(layout), *[lambda: None] * 3, since_ms=HOUR_AT_MS)
    assert len(read) == 2, "once for the torn end, once when it was compressed"
    assert not {reason for _, _, reason in findings} & {LATE, GONE}


def test_lines_that_were_findings_once_are_none_where_they_are_sorted_in(layout):
    put(layout, [line(4000)])
    sort = lambda: compress(layout, line(2000), line(4000))  # noqa: E731
    steps = [append(layout, line(2000)), append(layout, line(NEXT)), sort, lambda: None]
    _, findings = collect(layout, *steps, since_ms=HOUR_AT_MS)
    assert [reason for _, _, reason in findings] == ["a line that goes back in time"]


def test_an_hour_that_changes_while_it_is_read_again_is_read_once_more(layout, monkeypatch):
    """As when it is replaced at that moment, so that what was read may be a part of it."""
    real = followed_hours.hour_lines
    reads = []

    def lines(*args):
        reads.append(args)
        if len(reads) > 1:
            yield from real(*args)
            return
        os.utime(plain(layout).with_name("03.jsonl.gz"), (1, 1))

    monkeypatch.setattr(followed_hours, "hour_lines", lines)
    assert after_compression(layout) == []
    assert len(reads) == 2


def test_only_the_hours_of_a_day_are_watched(layout):
    watched = followed_hours.FollowedHours(layout, INST, lambda finding: None)
    for hour in range(100):
        watched.add(HOUR_AT_MS + hour * HOUR_MS, {1}, (), ())
    spans = []
    for _ in range(100):
        watched.look(HOUR_AT_MS + 100 * HOUR_MS, lambda *span: spans.append(span) or [])
    assert set(spans) == {(HOUR_AT_MS + 76 * HOUR_MS, HOUR_AT_MS + 100 * HOUR_MS)}


def test_a_line_that_goes_back_in_time_is_a_finding_and_one_that_stands_twice_comes_once(layout):
    put(layout, [line(4000)])
    where = len(contents([line(4000)]))
    came, findings = collect(layout, append(layout, line(2000), line(4000), line(6000)), since_ms=HOUR_AT_MS)
    assert (came, findings) == ([4000, 6000], [("03.jsonl", where, "a line that goes back in time")])


def test_the_zeros_of_a_power_cut_cost_no_line(layout):
    put(layout, [line(0)])
    where = len(contents([line(0)]))
    came, findings = collect(layout, append(layout, raw=b"\0" * 500), append(layout, line(2000)))
    assert (came, findings) == ([2000], [("03.jsonl", where, "500 bytes of nothing, as a power cut leaves them")])


def test_a_line_behind_the_zeros_of_a_power_cut_is_where_it_begins(layout):
    put(layout, [line(4000)])
    where = len(contents([line(4000)]))
    zeros = append(layout, raw=b"\0" * 500 + contents([line(2000)]))
    _, findings = collect(layout, zeros, since_ms=HOUR_AT_MS)
    assert findings == [
        ("03.jsonl", where, "500 bytes of nothing, as a power cut leaves them"),
        ("03.jsonl", where + 500, "a line that goes back in time"),
    ]


def test_what_never_ends_is_one_finding_and_the_next_line_comes(layout, monkeypatch):
    monkeypatch.setattr("l2vault.vault.reading.follow._TAIL_BYTES", 1000)
    put(layout, [line(0)])
    where = len(contents([line(0)]))
    came, findings = collect(
        layout, append(layout, raw=b"x" * 5000), append(layout, raw=b"\n"), append(layout, line(2000))
    )
    assert (came, findings) == ([2000], [("03.jsonl", where, "not a snapshot line: far too long")])
    came, _ = collect(layout, append(layout, raw=b"x" * 5000), append(layout, raw=b"\n" + contents([line(4000)])))
    assert came == [4000], "its end and the next line may come at once"


def test_a_file_that_cannot_be_read_is_one_finding_however_often_it_is_tried(layout):
    put(layout, [line(0)])
    away = plain(layout).with_name("away")

    def hide():
        plain(layout).rename(away)
        plain(layout).mkdir()

    def give_back():
        plain(layout).rmdir()
        away.rename(plain(layout))
        append(layout, line(2000))()

    came, findings = collect(layout, hide, lambda: None, lambda: None, give_back)
    assert came == [2000]
    assert [(name, reason.split(":")[0]) for name, _, reason in findings] == [
        ("03.jsonl", "a file that cannot be read")
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_the_place_of_the_hour_is_one_finding_and_is_not_waited_for(layout):
    plain(layout).parent.mkdir(parents=True)
    os.mkfifo(plain(layout))
    came, findings = collect(layout, lambda: None, append(layout, line(HOUR_MS)))
    assert (came, findings) == ([HOUR_MS], [("03.jsonl", 0, "a file that cannot be read: no regular file")])


def test_it_starts_with_one_listing_however_many_days_there_are(layout, monkeypatch):
    folder = layout.instrument_folder(INST)
    for day in range(1, 29):
        for hour in range(24):
            path = folder / f"2024-07-{day:02d}" / f"{hour:02d}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    put(layout, [line(0)])
    looked = []
    parse = Layout.parse_hour_file
    monkeypatch.setattr(Layout, "parse_hour_file", lambda self, path: looked.append(path) or parse(self, path))
    assert collect(layout, append(layout, line(2000))) == ([2000], [])
    assert len(looked) < 24


def test_a_damaged_compressed_hour_is_one_finding_however_often_one_looks(layout):
    """It is read again only when it has changed."""
    packed = plain(layout).with_name("03.jsonl.gz")

    def compress_badly():
        packed.write_bytes(gzip.compress(contents([line(0), line(2000)]))[:-9])
        plain(layout).unlink()

    put(layout, [line(0)])
    steps = [compress_badly, lambda: None, lambda: None, append(layout, line(HOUR_MS))]
    came, findings = collect(layout, *steps)
    assert came in ([HOUR_MS], [2000, HOUR_MS])
    assert [name for name, _, _ in findings] == ["03.jsonl.gz"]
