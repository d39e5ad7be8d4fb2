"""A recorder killed again and again: whatever it wrote reads, nothing is doubled, only the time down is missing."""

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from l2vault.book.snapshot import from_line, to_line
from l2vault.book.utc import utc_ms
from l2vault.vault.journal.change_events import ChangesLost
from l2vault.vault.journal.events import Event, Recovered, Started, Stopped, Synced, UncleanEnd
from l2vault.vault.journal.log import read_journal
from l2vault.vault.store.follower import touch
from l2vault.vault.store.layout import Layout
from support.captured import PAIR, book_frames, looped, pair
from support.judge import Judgement
from support.judge_changes import change_lines, judge_chain
from support.reference import NaiveMarket, seen_by_chain
from support.signals import as_from_a_terminal

KILLS = 10
SPEED = 10
SECONDS = 344
ROUNDS = 2
"""Eleven minutes of exchange time, over one of ours: more than ten restarts take, even on a busy machine."""
PATIENCE_SEC = 60.0


def test_killed_at_ten_scattered_moments_it_loses_only_the_time_down(tmp_path: Path) -> None:
    captures = [looped(path, tmp_path / f"{path.name}.looped.jsonl", ROUNDS) for path in pair(tmp_path, SECONDS)]
    vault, rng = tmp_path / "vault", Random(20)
    runs: list[dict[str, str]] = []
    flushed: list[dict[str, list[bytes]]] = []
    with _simulator(captures, str(SPEED)) as urls:
        for _ in range(KILLS):
            with _recorder(vault, urls) as process:
                # Scattered by what is on the disk, so that no run is killed before it did anything.
                _until_grown(vault, process, rng.randrange(40_000, 160_000))
                process.kill()
            runs.append(_last_times(vault))
            flushed.append({inst_id: sum(change_lines(vault, inst_id), []) for inst_id in PAIR})
        with _recorder(vault, urls) as process:
            _until_grown(vault, process, 80_000)
            process.terminate()
            assert process.wait(PATIENCE_SEC) == 0 or sys.platform == "win32"
    events = list(read_journal(Layout(vault)))
    assert sum(isinstance(event, Started) for event in events) == KILLS + 1
    assert sum(isinstance(event, UncleanEnd) for event in events) == KILLS
    assert isinstance(events[-1], Stopped) or sys.platform == "win32"
    undisturbed = NaiveMarket(cadence_ms=2000)
    for inst_id, path in zip(PAIR, captures, strict=True):
        newest_ms = utc_ms(_lines(vault, inst_id)[-1]["timestamp_utc"])
        for push in book_frames(path):
            undisturbed.feed(push)
            if int(push["data"][0]["ts"]) > newest_ms + 2000:
                break
    for inst_id in PAIR:
        _assert_only_the_time_down_is_missing(vault, inst_id, undisturbed.expected_lines(inst_id, 400), runs, events)
        _assert_flushed_changes_stay_and_the_rest_is_named(vault, inst_id, [at[inst_id] for at in flushed], events)


def test_bytes_torn_off_by_a_power_cut_are_kept_aside_and_the_journal_says_so(tmp_path: Path) -> None:
    vault, captures = tmp_path / "vault", pair(tmp_path, SECONDS)
    with _simulator(captures, "20") as urls, _recorder(vault, urls) as process:
        _until_grown(vault, process, 150_000)
        process.kill()
    file = next(vault.glob(f"raw/okx/l2_perps/{PAIR[0]}/*/*.jsonl"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    with _simulator(captures, "20") as urls, _recorder(vault, urls) as process:
        _until_grown(vault, process, 80_000)
        process.terminate()
        process.wait(PATIENCE_SEC)
    recovered = [event for event in read_journal(Layout(vault)) if isinstance(event, Recovered)]
    assert [vault / event.file for event in recovered] == [file]
    kept = (vault / recovered[0].kept_in).read_bytes()
    sound = whole[: recovered[0].offset]
    assert sound + kept == whole[:-100]
    after = b"".join(path.read_bytes() for path in sorted(vault.glob(f"raw/okx/l2_perps/{PAIR[0]}/*/*.jsonl")))
    assert after.startswith(sound) and after.endswith(b"\n")
    for line in after.splitlines():
        assert to_line(from_line(line)) == line


def test_a_second_recorder_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    with _simulator([], "1") as urls, _recorder(vault, urls) as first:
        _until_grown(vault, first, 1)
        second = subprocess.run(_command(vault, urls), capture_output=True, text=True, check=False, cwd=tmp_path)
        assert second.returncode == 1
        assert f"process {first.pid} " in second.stderr and "Try: " in second.stderr
        assert first.poll() is None
        first.kill()


def _assert_only_the_time_down_is_missing(
    vault: Path, inst_id: str, wanted: list[dict], runs: list[dict[str, str]], events: list[Event]
) -> None:
    written = _lines(vault, inst_id)
    times = [line["timestamp_utc"] for line in written]
    assert times == sorted(set(times)), "in order, none doubled"
    by_time = {line["timestamp_utc"]: line for line in wanted}
    for line in written:
        wanted_line = seen_by_chain(line, by_time[line["timestamp_utc"]])
        assert line == wanted_line, "each is a line of the undisturbed run"
    starts = [at for at, event in enumerate(events) if isinstance(event, Started)]
    for run, (begin, end) in enumerate(zip(starts, [*starts[1:], len(events)], strict=True)):
        synced = [e.ts for e in events[begin:end] if isinstance(e, Synced) and e.inst_id == inst_id]
        assert len(synced) == 1 and synced[0] is not None
        last = runs[run][inst_id] if run < len(runs) else times[-1]
        up = [at for at in by_time if synced[0] <= at <= last]
        assert [at for at in times if synced[0] <= at <= last] == up, "nothing is missing while it ran"


def _assert_flushed_changes_stay_and_the_rest_is_named(
    vault: Path, inst_id: str, flushed: list[list[bytes]], events: list[Event]
) -> None:
    """What could be read of the changes when the recorder was killed can be read for good; each loss begins there."""
    rows = sum(change_lines(vault, inst_id), [])
    assert len(rows) > len(flushed[-1]) > 100
    lost = [event for event in events if isinstance(event, ChangesLost) and event.inst_id == inst_id]
    begins = {event.from_ for event in lost}
    for before in filter(None, flushed):
        assert rows[: len(before)] == before
        assert json.loads(before[-1])["timestamp_utc"] in begins
    assert {event.cause for event in lost} <= {"our_restart", "full_book"}, "the looped capture begins anew unasked"
    judgement = Judgement()
    judge_chain(judgement, vault, inst_id)
    assert judgement.complaints == []
    for path in vault.glob(f"raw/okx/book_changes/{inst_id}/*/*.jsonl.gz"):
        gzip.decompress(path.read_bytes())  # each was completed


def _last_times(vault: Path) -> dict[str, str]:
    last = {inst_id: max(vault.glob(f"raw/okx/l2_perps/{inst_id}/*/*.jsonl")) for inst_id in PAIR}
    return {inst_id: json.loads(path.read_bytes().splitlines()[-1])["timestamp_utc"] for inst_id, path in last.items()}


def _lines(vault: Path, inst_id: str) -> list[dict]:
    """Every line, read as a stranger would. A torn one fails here: killing a process tears nothing."""
    files = sorted(vault.glob(f"raw/okx/l2_perps/{inst_id}/*/*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def _until_grown(vault: Path, process: subprocess.Popen[bytes], by_bytes: int) -> None:
    """Wait until the data files have grown by so much in this run, and each instrument has a line."""
    before = _size(vault)
    deadline = time.monotonic() + PATIENCE_SEC
    while _size(vault) < before + by_bytes or any(not list(vault.glob(f"raw/*/*/{i}/*/*.jsonl")) for i in PAIR):
        assert process.poll() is None, "the recorder ended by itself"
        assert time.monotonic() < deadline, "nothing was written"
        touch(Layout(vault))  # whoever follows makes the changes come five times a second
        time.sleep(0.002)


def _size(vault: Path) -> int:
    return sum(path.stat().st_size for path in vault.glob("raw/okx/l2_perps/*/*/*.jsonl"))


@contextmanager
def _simulator(captures: list[Path], speed: str) -> Iterator[dict[str, str]]:
    source = ["--replay", *map(str, captures), "--speed", speed] if captures else ["--inst", *PAIR]
    command = [sys.executable, "-m", "l2vault", "sim", "--quiet", "--exit-with-stdin", *source]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(PATIENCE_SEC)


@contextmanager
def _recorder(vault: Path, urls: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        _command(vault, urls), stderr=subprocess.DEVNULL, env=_environment(), preexec_fn=as_from_a_terminal()
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _command(vault: Path, urls: dict[str, str]) -> list[str]:
    named = [word for inst_id in PAIR for word in ("--inst", inst_id)]
    addresses = ["--ws-url", urls["ws_url"], "--rest-url", urls["rest_url"]]
    log = ["--changes", "--log-file", str(vault.parent / "l2_exporter.log")]
    return [sys.executable, "-m", "l2vault", "record", "--vault", str(vault), *named, *addresses, *log]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("L2VAULT_")}
