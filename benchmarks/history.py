"""History in and out, as its verbs are typed, judged slot by slot against what the exchange knows. `make history`.

    python benchmarks/history.py [--only midnight|utc8|long] [--hours 6] [--days 30]

Three markets of the built-in exchange, a process each. Six hours have a message each 10 ms and 400 levels: three are
over 00:00 UTC, where OKX cuts its files of books (`midnight`), three over 16:00 UTC, where it cuts trades and funding
(`utc8`). `long`: 30 days with a message each 2 s, 20 levels, in which the archive lacks days, hours and single lines.
There files come torn, cut off, refused or of another size before they come whole, one is damaged on the disk, and verbs
are killed and begun again.

Of each market a vault was recorded too, with holes and with wrong books at known times. `l2vault fetch`, `backfill`,
`audit`, `repair` and `export` run in processes of their own against the exchange's archive. Then every grid time is
compared: the vault that was made, the one that was repaired, and each exported file have the market's own book of that
time, or no book where none can be known; an audit calls each recorded line what it is. Exits with 1 on any difference.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from l2vault.book.utc import DAY_MS, HOUR_MS, utc_ms, utc_text  # noqa: E402
from l2vault.sim.server.archive import ArchiveServer, Shelf, parse_archive_faults  # noqa: E402
from support.history_judge import (  # noqa: E402
    Judged,
    exported_rows,
    judge_audit,
    judge_books,
    judge_deep,
    judge_export,
    judge_funding,
    judge_trades,
    read_document,
)
from support.history_world import INST, Plan, World, make_world  # noqa: E402

PARTS = ("midnight", "utc8", "long")
MIDDLES = {"midnight": utc_ms("2026-03-05T00:00:00.000Z"), "utc8": utc_ms("2026-03-08T16:00:00.000Z")}
FORMATS = {"midnight": ("csv", "hftbacktest"), "utc8": ("parquet", "tardis-csv"), "long": ("parquet",)}
FIRST_DAY_MS = utc_ms("2026-04-01T00:00:00.000Z")


class Said(NamedTuple):
    """What a verb came to; `cpu_sec` and `peak_mb` of its process."""

    code: int
    out: str
    err: str
    cpu_sec: float = 0.0
    peak_mb: float = 0.0


Run = Callable[..., Said]
"""Runs a verb; `kill_at`: after so many seconds of processor time it is killed."""


class Verbs:
    """The verbs of one vault, each call in a process of its own."""

    def __init__(self, root: Path, server: ArchiveServer, depth: int) -> None:
        self.root = root
        self._env = {**os.environ, "L2VAULT_ARCHIVE_HOSTS": server.host, "L2VAULT_DEPTH": str(depth)}
        self._rest = ("--rest-url", server.url)

    def __call__(self, verb: str, *words: str, kill_at: float = float("inf")) -> Said:
        rest = self._rest if verb in ("fetch", "backfill", "repair") else ()
        command = [sys.executable, "-m", "l2vault", verb, *words, *rest]
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            process = subprocess.Popen(command, stdout=out, stderr=err, env=self._env, text=True)
            cpu_sec, peak_mb = _watched(process, kill_at)
            for file in (out, err):
                file.seek(0)
            return Said(process.returncode, out.read(), err.read(), cpu_sec, peak_mb)


def _watched(process: "subprocess.Popen[str]", kill_at: float) -> tuple[float, float]:
    """Wait for its end, or end it; the processor time and the most memory it had."""
    spent = peak = 0.0
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            times = watched.cpu_times()
            spent, peak = max(spent, times.user + times.system), max(peak, watched.memory_info().rss / 1e6)
        except psutil.NoSuchProcess:
            break
        if spent >= kill_at:
            process.kill()
            break
        time.sleep(0.05 if kill_at == float("inf") else 0.005)
    process.wait()
    return spent, peak


@contextmanager
def served(world: World, faults: str = "") -> Iterator[ArchiveServer]:
    """The exchange's archive on this machine."""
    server = ArchiveServer(Shelf(world.files, parse_archive_faults(faults) if faults else ()))
    try:
        yield server
    finally:
        server.close()


class Findings:
    """What was judged, printed as it comes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._begun = time.monotonic()
        self.is_good = True

    def judge(self, judged: Judged) -> None:
        self.is_good = self.is_good and judged.is_good
        self.say(str(judged))

    def expect(self, is_right: bool, what: str) -> None:
        self.is_good = self.is_good and is_right
        self.say(what if is_right else f"DIFFERS: {what}")

    def say(self, text: str) -> None:
        print(f"[{self._name} {time.monotonic() - self._begun:4.0f} s] {text}", flush=True)


def _failed(said: Said, most: int = 0) -> str:
    """What it said on stderr, if its exit code is not one of those that are expected."""
    return "" if said.code <= most else f" exit code {said.code}: {said.err.strip()}"


def days_of(world: World) -> tuple[str, ...]:
    """`--from D --to D` for all of the market."""
    first, last = min(span[0] for span in world.plan.spans), max(span[1] for span in world.plan.spans) - 1
    return "--from", utc_text(first)[:10], "--to", utc_text(last)[:10]


def dense_plan(part: str, hours: float) -> Plan:
    """Half of the hours, around a midnight, over which nothing was recorded for a while."""
    at, half_ms = MIDDLES[part], round(hours * HOUR_MS / 4)
    off = [(at - half_ms // 3, at + half_ms // 4)]
    return Plan(10, [(at - half_ms, at + half_ms)], 400, off=off, wrong_every=53, traded_share=0.07)


def long_plan(days: int) -> Plan:
    """Of each week and a half about every kind of damage there is, at other days each time."""

    def at(day: int, clock: str) -> int:
        return FIRST_DAY_MS + day * DAY_MS + utc_ms(f"1970-01-01T{clock}.000Z")

    def spans(every: int, rest: int, one: str, two: str, more: int = 0) -> list[tuple[int, int]]:
        return [(at(day, one), at(day + more, two)) for day in range(rest, days, every)]

    silences = spans(7, 1, "05:03:20", "07:41:10") + spans(11, 5, "13:20:00", "13:24:30")
    off = spans(3, 1, "02:10:00", "04:55:00") + spans(5, 2, "23:20:00", "00:50:00", more=1)
    off += spans(10, 8, "00:00:00", "00:00:00", more=1) + spans(7, 1, "07:00:00", "09:00:00")
    return Plan(
        2_000,
        [(FIRST_DAY_MS, FIRST_DAY_MS + days * DAY_MS)],
        20,
        silences=silences,
        lying=[at(day, "10:07:00") for day in range(2, days, 9)],
        absent=[utc_text(at(day, "00:00:00"))[:10] for day in range(3, days, 13)],
        off=off,
        wrong_every=997,
        traded_share=0.1,
    )


def make_and_judge(
    world: World, vault: Path, run: Run, found: Findings, formats: Sequence[str], has_deep: bool = True
) -> None:
    """A vault that has nothing of its own: fetched, backfilled, exported."""
    archive, days, place = vault / "okx_archive", days_of(world), ("--vault", str(vault))
    kinds = [("books400",), *([("books5000", "--deep")] if has_deep else []), ("trades",), ("funding",)]
    for what, *_ in kinds:
        said = run("fetch", INST, *days, "--what", what, *place)
        found.expect(said.code in (0, 1), f"fetch {what}: {said.out.count('listed')} files{_failed(said, 1)}")
    for what in kinds:
        said = run("backfill", INST, *days, "--what", *what, *place)
        cost = f"{said.cpu_sec:.0f} s of processor, {said.peak_mb:.0f} MB at most"
        found.expect(said.code == 0, f"backfill {what[0]}: {cost}: {said.out.strip()}{_failed(said)}")
    found.judge(judge_books("backfilled books", archive, world, "archive"))
    for span in world.plan.spans if has_deep else ():
        found.judge(judge_deep("deep books", archive, world, span))
    found.judge(judge_trades("hours of trades", archive, world))
    found.judge(judge_funding("rates of funding", archive, world))
    export_and_judge(world, archive, run, found, formats)


def export_and_judge(world: World, archive: Path, run: Run, found: Findings, formats: Sequence[str]) -> None:
    spans = world.plan.spans
    span = ("--from", utc_text(spans[0][0]), "--to", utc_text(spans[-1][1]))  # a last day without a file included
    for form in formats:
        with tempfile.TemporaryDirectory(dir=archive.parent.parent) as folder:
            out = Path(folder) / form
            said = run("export", form, INST, *span, "--vault", str(archive), "--out", str(out))
            found.expect(said.code == 0, f"export {form}: {said.cpu_sec:.0f} s of processor{_failed(said)}")
            if said.code == 0:
                found.judge(judge_export(f"exported {form}", exported_rows(form, out), world))


def audit_and_judge(world: World, vault: Path, run: Run, found: Findings, days: Sequence[int]) -> None:
    """Each day of the recorded vault against the archive."""
    for day_ms in days:
        date = utc_text(day_ms)[:10]
        said = run("audit", INST, "--day", date, "--json", "--vault", str(vault))
        if not any(day_ms <= ts_ms < day_ms + DAY_MS for ts_ms in world.lines[::2]):
            is_told = said.code == (0 if date in world.plan.absent else 1) and "Traceback" not in said.err
            found.expect(is_told, f"audit {date}, of which nothing was recorded: {said.err.strip()}")
            continue
        document = read_document(said.out)
        is_absent = date in world.plan.absent
        code = 0 if is_absent or not document["counts"]["ours"] else 1
        found.expect(said.code == code, f"audit {date}: {document.get('state')}, {said.cpu_sec:.0f} s of processor")
        if is_absent:
            found.expect(document["state"] == "no witness", f"audit {date}: without a file no witness")
        else:
            found.judge(judge_audit(f"hours and disagreements of {date}", world, day_ms, document))


def repair_and_judge(world: World, vault: Path, run: Run, found: Findings, kills: Sequence[float] = ()) -> None:
    """The holes of the recorded vault filled, taken back, and filled again."""
    first_ms, last_ms = min(span[0] for span in world.plan.spans), max(span[1] for span in world.plan.spans)
    words = ("repair", INST, "--vault", str(vault), "--from", utc_text(first_ms), "--to", utc_text(last_ms))
    for kill_at in kills:
        found.say(f"repair killed: exit code {run(*words, kill_at=kill_at).code}")
    said = run(*words)
    cost = f"{said.cpu_sec:.0f} s of processor, {said.peak_mb:.0f} MB at most"
    found.expect(said.code in (0, 1), f"repair: {cost}: {said.out.partition(chr(10))[0]}{_failed(said, 1)}")
    found.judge(judge_books("repaired books", vault, world, "joined"))
    found.expect(run(*words, "--undo").code == 0, "repair --undo")
    found.judge(judge_books("books after the undo", vault, world, "recorded"))
    found.expect(run(*words).code == said.code, "repair again")
    found.judge(judge_books("books repaired again", vault, world, "joined"))


def dense(part: str, hours: float, folder: Path, found: Findings) -> None:
    own = folder / "Own"
    world = make_world(dense_plan(part, hours), folder / "served", own)
    found.say(f"{world.pushes} pushes and their archive made, {len(world.lines) // 2} books recorded")
    with served(world) as server:
        run = Verbs(own, server, world.plan.depth)
        make_and_judge(world, folder / "New", run, found, FORMATS[part])
        for what in ("books400", "trades"):
            run("fetch", INST, *days_of(world), "--what", what, "--vault", str(own))
        days = sorted({ts_ms // DAY_MS * DAY_MS for ts_ms in world.lines[::2]})
        audit_and_judge(world, own, run, found, days)
        repair_and_judge(world, own, run, found)


KILLS = (0.05, 0.2, 0.4)
"""Seconds of processor for each of the days, after which a backfill is killed: long before the last days."""
SPOILED = (("torn", 1), ("cut", 2), ("403", 4), ("wrong-size", 5), ("html", 7), ("huge", 9))
"""What is wrong with the files of which days, at first."""
UNLISTED_DAY = 0


def long(days: int, folder: Path, found: Findings) -> None:
    own, new = folder / "Own", folder / "New"
    world = make_world(long_plan(days), folder / "served", own)
    found.say(f"{world.pushes} pushes and their archive made, {len(world.lines) // 2} books recorded")
    absent = ",".join(f"hole=*400lv-{date}*" for date in world.plan.absent)
    lasting = ",".join([f"unlisted=*400lv-{_date(UNLISTED_DAY)}*", *([absent] if absent else [])])
    spoiled = ",".join(f"{kind}=*400lv-{_date(day)}*" for kind, day in SPOILED if day < days)
    at_first = ",".join(each for each in (spoiled, lasting) if each)
    for vault, faults in ((new, at_first), (new, lasting), (own, lasting)):
        with served(world, faults) as server:
            _fetch(world, vault, Verbs(vault, server, world.plan.depth), found, is_spoiled=faults != lasting)
    with served(world, lasting) as server, ThreadPoolExecutor(2) as pool:  # most of the work is in other processes
        run, own_run = (Verbs(vault, server, world.plan.depth) for vault in (new, own))
        parts = [pool.submit(_long_new, world, new, run, found), pool.submit(_long_own, world, own, own_run, found)]
        for part in parts:
            part.result()


def _long_new(world: World, vault: Path, run: Run, found: Findings) -> None:
    _interrupt(world, vault, run, found)
    make_and_judge(world, vault, run, found, FORMATS["long"], has_deep=False)


def _long_own(world: World, vault: Path, run: Run, found: Findings) -> None:
    (span,) = world.plan.spans
    audit_and_judge(world, vault, run, found, range(*span, DAY_MS))
    repair_and_judge(world, vault, run, found, kills=(1.0, 4.0))


def _date(day: int) -> str:
    return utc_text(FIRST_DAY_MS + day * DAY_MS)[:10]


def _fetch(world: World, vault: Path, run: Run, found: Findings, is_spoiled: bool) -> None:
    """Every file that is to be had at this server; those that are spoiled stay away, and are named."""
    words = ("fetch", INST, *days_of(world), "--vault", str(vault))
    for kill_at in (0.3, 0.5, 0.8) if is_spoiled else ():
        found.say(f"fetch killed: exit code {run(*words, kill_at=kill_at).code}")
    said = run(*words, *(() if is_spoiled else ("--older",)))
    days = world.plan.spans[0][1] - world.plan.spans[0][0]
    wanted = days // DAY_MS - len(world.plan.absent)
    if is_spoiled:
        away = sum(kind != "cut" for kind, day in SPOILED if day < days // DAY_MS)
        wanted -= away + (days // DAY_MS > UNLISTED_DAY)
    here = len(list((vault / "okx_archive" / "files" / "books400").glob("*.tar.gz")))
    found.expect(here == wanted, f"fetch: {here} files of {wanted} that are to be had; exit code {said.code}")
    found.expect(said.code == (1 if is_spoiled or world.plan.absent else 0), f"fetch: {said.err.strip()[-300:]}")


def _interrupt(world: World, vault: Path, run: Run, found: Findings) -> None:
    """A backfill that is killed, then one that comes to a damaged file; the file is deleted and fetched again."""
    words = (INST, "--vault", str(vault))
    days = (world.plan.spans[0][1] - FIRST_DAY_MS) // DAY_MS
    for kill_at in KILLS:
        found.say(f"backfill killed: exit code {run('backfill', *words, kill_at=kill_at * days).code}")
    (damaged,) = (vault / "okx_archive" / "files" / "books400").glob(f"*{_date(max(0, days - 2))}.tar.gz")
    with damaged.open("r+b") as file:
        file.seek(damaged.stat().st_size // 2)
        file.write(bytes(100))
    said = run("backfill", *words)
    is_told = said.code == 1 and damaged.name in said.err and "Traceback" not in said.err
    found.expect(is_told, f"backfill of a damaged file: exit code {said.code}, {said.err.strip()[-300:]}")
    damaged.unlink()
    said = run("fetch", *words, *days_of(world), "--older")
    found.expect(damaged.is_file(), f"fetched again: exit code {said.code}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", choices=PARTS, help="one of the three, in this process")
    parser.add_argument("--hours", type=float, default=6, help="at 10 ms, half of them each midnight (default: 6)")
    parser.add_argument("--days", type=int, default=30, help="at 2 s (default: 30)")
    args = parser.parse_args()
    if args.only is None:
        return _all(sys.argv[1:])
    found = Findings(args.only)
    with tempfile.TemporaryDirectory() as folder:
        if args.only == "long":
            long(args.days, Path(folder), found)
        else:
            dense(args.only, args.hours, Path(folder), found)
    found.say("all of it as the exchange knows" if found.is_good else "NOT all of it as the exchange knows")
    return 0 if found.is_good else 1


def _all(words: Sequence[str]) -> int:
    """Side by side, on as many cores as there are."""
    parts = [subprocess.Popen([sys.executable, __file__, *words, "--only", only]) for only in PARTS]
    return max(part.wait() for part in parts)


if __name__ == "__main__":
    sys.exit(main())
