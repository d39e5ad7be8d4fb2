"""The live tail of changes: each push once, over hours, restarts and cuts."""

import gzip
from itertools import islice
from pathlib import Path

import pytest

from l2vault.book.change_line import RecordedChange, from_change_line
from l2vault.vault.reading.follow_changes import FollowChanges
from l2vault.vault.store.change_writer import ChangeWriter
from l2vault.vault.store.follower import followed_at
from l2vault.vault.store.layout import HOUR_MS, Layout, packed_path
from support.changes_vault import INST, START_MS, pushes


class Ended(Exception):
    pass


class Recorder:
    """Writes the next pushes each time the follower sleeps."""

    def __init__(self, layout: Layout, batch: int = 7) -> None:
        self.layout = layout
        layout.follow_file.parent.mkdir(parents=True)
        self.writer = ChangeWriter(layout)
        self.sent = pushes(60)
        self.at = 0
        self.batch = batch
        self.touches: set[int | None] = set()

    def go_on(self, seconds: float = 0.0) -> None:
        self.touches.add(followed_at(self.layout))
        if self.at >= len(self.sent):
            raise Ended
        for push in self.sent[self.at : self.at + self.batch]:
            if push.ts_ms // HOUR_MS != self.sent[max(0, self.at - 1)].ts_ms // HOUR_MS:
                hour_ms = push.ts_ms // HOUR_MS * HOUR_MS
                self.writer.write(RecordedChange(hour_ms, self._whole(), "book", 1))
            self.writer.write(RecordedChange(push.ts_ms, push, "ws", 1), "our_restart" if push.is_snapshot else None)
            self.at += 1
        self.writer.flush()

    def _whole(self) -> object:
        from l2vault.book.book import Book
        from l2vault.book.replay import full_book

        book = Book()
        for push in self.sent[: self.at]:
            book.apply(push)
        return full_book(INST, book, 0)


def test_each_push_comes_once_over_the_turn_of_an_hour(tmp_path: Path) -> None:
    recorder = Recorder(Layout(tmp_path))
    recorder.go_on()
    follow = FollowChanges(recorder.layout, INST, START_MS, 0.3, recorder.go_on)
    found = list(islice(follow, len(recorder.sent)))
    assert [snapshot.seq_id for snapshot in found] == [push.seq_id for push in recorder.sent]
    assert follow.findings == []
    with pytest.raises(Ended):
        next(follow)
    assert len(recorder.touches) > 10, "the follower shows itself again and again"


def test_from_now_on_nothing_older_comes(tmp_path: Path) -> None:
    recorder = Recorder(Layout(tmp_path))
    recorder.go_on()
    follow = FollowChanges(recorder.layout, INST, None, 0.2, recorder.go_on)
    assert next(follow).seq_id == recorder.sent[7].seq_id


def test_a_file_that_a_restart_cut_and_completed_is_read_on(tmp_path: Path) -> None:
    recorder = Recorder(Layout(tmp_path))
    recorder.go_on()

    def killed_and_started(seconds: float) -> None:
        path = packed_path(recorder.layout.of("changes").hour_file(INST, START_MS))
        if recorder.at in (14, 28):
            path.write_bytes(path.read_bytes() + (b"torn" if recorder.at == 14 else b""))
            recorder.writer = ChangeWriter(recorder.layout)
            full = recorder._whole()
            recorder.writer.write(RecordedChange(full.ts_ms, full, "book", 2))
        recorder.go_on()

    follow = FollowChanges(recorder.layout, INST, START_MS, 0.2, killed_and_started)
    found = [snapshot.seq_id for snapshot in islice(follow, 100)]
    assert found == [push.seq_id for push in recorder.sent[:100]]


def test_where_the_vault_cannot_be_written_to_it_follows_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(Layout(tmp_path))
    recorder.go_on()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(Path, "touch", refuse)
    follow = FollowChanges(recorder.layout, INST, START_MS, 0.2, recorder.go_on)
    assert len(list(islice(follow, 30))) == 30


def test_a_file_that_cannot_be_read_is_a_finding_at_its_beginning(tmp_path: Path) -> None:
    recorder = Recorder(Layout(tmp_path))
    recorder.go_on()
    (path,) = recorder.layout.of("changes").raw.rglob("*.gz")
    path.write_bytes(b"no gzip at all")
    follow = FollowChanges(recorder.layout, INST, START_MS, 0.2, recorder.go_on)
    assert list(follow._new(follow._first())) == []
    (finding,) = follow.findings
    assert (finding.path, finding.offset, finding.is_of_file) == (path, 0, True)


def test_a_change_that_fits_no_book_is_a_finding_where_its_line_stands(tmp_path: Path) -> None:
    recorder = Recorder(Layout(tmp_path), batch=5)
    recorder.go_on()
    recorder.at += 1  # one that is lost, and nobody noticed
    recorder.go_on()
    recorder.writer.close()
    follow = FollowChanges(recorder.layout, INST, START_MS, 0.2, recorder.go_on)
    assert len(list(follow._new(follow._first()))) == 5
    (finding,) = follow.findings
    assert finding.reason.startswith("a change that fits no book")
    line, *behind = gzip.decompress(finding.path.read_bytes())[finding.offset :].splitlines()
    assert from_change_line(line).change.seq_id == recorder.sent[6].seq_id and len(behind) == 4
