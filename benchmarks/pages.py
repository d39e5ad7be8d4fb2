"""`results.md` out of one run's findings: no figure in it comes from anywhere else."""

import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psutil
from bench_feed import Fed, Runs, sizes_table
from bench_job import Job
from bench_reading import OURS
from bench_storage import Storage
from material import INST_ID, Feed, source
from report import Target, ratio, spread, table, targets_table
from venvs import versions_here

LISTS, APPEND = "msgspec encodes the two lists", "l2vault encodes and appends the line"
GZIP, RETENTION = "gzip -6 alone", "l2vault's retention"


@dataclass(frozen=True, slots=True)
class Findings:
    began: float
    ended: float
    rounds: int
    is_quick: bool
    feed: Feed
    runs: dict[str, Runs]
    storage: Storage
    reading: dict[str, dict[str, list[float]]]
    sizes: dict[str, int]
    jobs: list[Job]
    by_size: list[Fed] = field(default_factory=list)
    """The feed with messages of other sizes, and as it is."""


def page(findings: Findings) -> str:
    parts = [_head(findings), _targets(findings), _feed(findings), _job(findings), _latency(findings)]
    return "\n\n".join([*parts, _storage(findings), _reading(findings), LIMITS]) + "\n"


def targets(findings: Findings) -> list[Target]:
    """The limits that were set before anything was measured."""
    runs, storage = findings.runs, findings.storage
    limits = {"cryptofeed": 1 / 4, "ccxt.pro": 1 / 4, "nautilus_trader": 1 / 2, "floor": 2.5}
    found = [
        Target(f"processor time a message against {name}", _against(runs["l2vault"], runs[name]), limit, kind="feed")
        for name, limit in limits.items()
    ]
    small, large = _job_of(findings, 2, 2), _job_of(findings, 300, 1)
    found += [
        Target("2 instruments, two lines: memory", small and small.peak_mb, 50, "MB"),
        Target("2 instruments, two lines: processor", small and small.cpu_share * 100, 2, "% of a core"),
        Target("300 instruments, one line: memory", large and large.peak_mb, 250, "MB"),
        Target("300 instruments, one line: processor", large and large.cpu_share * 100, 50, "% of a core"),
        Target("300 instruments, one line: the latest line", large and large.due_ms[2], 1000, "ms", kind="late"),
        Target(
            "a line encoded and appended, against msgspec encoding its lists",
            ratio(storage.line_us[APPEND], storage.line_us[LISTS]).median,
            1.5,
            kind="line",
        ),
        Target(
            "retention of an hour, against `gzip -6` alone",
            ratio(storage.hour_sec[RETENTION], storage.hour_sec[GZIP]).median,
            1.2,
        ),
    ]
    return found


def _against(ours: Runs, theirs: Runs) -> float | None:
    rounds_match = len(ours.cpu_us) == len(theirs.cpu_us) and ours.cpu_us
    return ratio(ours.cpu_us, theirs.cpu_us).median if rounds_match and not theirs.failures else None


def _job_of(findings: Findings, instruments: int, lines: int) -> Job | None:
    found = [job for job in findings.jobs if (job.instruments, job.lines) == (instruments, lines)]
    return found[0] if found else None


def _head(findings: Findings) -> str:
    began, ended = (datetime.fromtimestamp(at, UTC) for at in (findings.began, findings.ended))
    quick = "\n\n**A quick run: too short to quote anything from.**" if findings.is_quick else ""
    memory_gb = psutil.virtual_memory().total / 1e9
    return f"""# Results

Written by `make bench` on {began:%Y-%m-%d} from {began:%H:%M} to {ended:%H:%M} UTC; every figure below is of this run.
Compare ratios, not absolute times: another machine has others, and this one is shared.{quick}

Machine: {platform.system()} {platform.machine()}, {psutil.cpu_count()} cores, {memory_gb:.0f} GB.
All but the feed's contenders: {versions_here()}.
Fed with {source()}:
{findings.feed.frames} messages of {INST_ID}; on average {_mean_message(findings.feed)}.

![feed cost and the whole job](results.png)"""


def _mean_message(feed: Feed) -> str:
    return f"{feed.size_bytes // feed.frames} bytes and {feed.levels / feed.frames:.0f} levels"


def _targets(findings: Findings) -> str:
    found = targets(findings)
    missed = {REASONS[one.kind]: None for one in found if one.is_missed and one.kind in REASONS}
    return "\n\n".join(["## Against the targets", targets_table(found), *missed])


def _feed(findings: Findings) -> str:
    ours, rows = findings.runs["l2vault"], []
    for name, runs in findings.runs.items():
        if runs.failures:
            rows.append([name, runs.versions or "-", "; ".join(runs.failures), "", "", "", ""])
            continue
        against = "1" if runs is ours else str(ratio(ours.cpu_us, runs.cpu_us))
        book = f"{runs.book}, {runs.note}" if runs.note else runs.book
        rows.append(
            [name, runs.versions, spread(runs.cpu_us), against, spread(runs.wall_us), spread(runs.peak_mb), book]
        )
    head = ["contender", "versions", "processor, µs a message", "l2vault / this", "wall, µs", "peak memory, MB", "book"]
    omits = "\n".join(f"- **{name}**: {runs.contender.omits}." for name, runs in findings.runs.items())
    return f"""## Feed cost: from the socket to an applied, checked book

{findings.rounds} rounds in turns, each contender a process of its own; median (lowest to highest). Processor time of
the whole process between its first and its last book message; the server's is not counted. Frames are encoded
beforehand and sent as fast as the client reads, so that many come with one read of the socket: the floor is low then.
Their checksums are 0, as OKX's are, but for the one contender named so.

{table(head, rows)}

What each does not do, that l2vault does:

{omits}{_sizes(findings)}"""


def _sizes(findings: Findings) -> str:
    if not findings.by_size:
        return ""
    return f"""

The same with smaller messages, since OKX's own pushes of BTC-USDT-SWAP have about 14 levels: each update of the feed
is cut into several, in a chain of their own (`python benchmarks/bench_feed.py`). Processor time, µs a message, and
ours over it; median (lowest to highest).

{sizes_table(findings.by_size)}"""


def _job(findings: Findings) -> str:
    rows = [
        [
            job.instruments,
            job.lines,
            f"{job.messages_per_sec:.0f}",
            f"{job.cpu_share * 100:.2f} %",
            f"{job.packing_cpu_sec:.2f}",
            f"{job.peak_mb:.1f}",
            job.snapshots,
            f"{job.written_mb:.1f}",
            f"{job.exchange_share * 100:.0f} %",
        ]
        for job in findings.jobs
    ]
    head = ["instruments", "lines", "messages a second", "processor, of a core", "s to compress an hour"]
    head += ["peak memory, MB", "lines written", "MB written (with warm-up)", "processor of the exchange"]
    return f"""## The whole job at OKX's pace

The recorder against `l2vault sim` in another process: {findings.jobs[0].seconds:.0f} s each after a warm-up, a line
every 2 s, 400 levels a side. Once in each run the recorder's own retention compresses an hour of one instrument; what
that takes of the processor is in a column of its own, since it is once an hour and not once in two minutes.

{table(head, rows)}"""


def _latency(findings: Findings) -> str:
    rows = []
    for job in findings.jobs:
        rows.append([job.instruments, job.lines, *(_shown(each) for each in _latencies(job))])
    head = ["instruments", "lines", "received to applied", "the same while compressing", "due to on disk"]
    head += ["the same while compressing", "grid time to on disk"]
    return f"""## Latency, in the same runs

p50 / p99 / most, in ms. *Received* is when the event loop hands over the bytes; *due* is the exchange's time of the
message that shows a line to be due (so the exchange's own lateness is included); *on disk* is when `write` has
returned, before `fsync`, which comes every 5 s. Grid time includes the wait for that message: by the sampling rule a
quiet instrument's line comes with its next message, up to a minute later.

{table(head, rows)}"""


def _latencies(job: Job) -> tuple[list[float] | None, ...]:
    return job.applied_ms, job.applied_packing_ms, job.due_ms, job.due_packing_ms, job.grid_ms


def _shown(values: list[float] | None) -> str:
    return "-" if values is None else " / ".join(f"{value:.3g}" if value < 1000 else f"{value:.0f}" for value in values)


def _storage(findings: Findings) -> str:
    storage = findings.storage
    lines = [[name, spread(each), ratio(each, storage.line_us[LISTS])] for name, each in storage.line_us.items()]
    hours = [[name, spread(each, 3), ratio(each, storage.hour_sec[GZIP])] for name, each in storage.hour_sec.items()]
    return f"""## Writing and retention

A line of 800 levels, {storage.line_bytes} bytes; processor time, kernel included.

{table(["what", "µs a line", "against the first"], lines)}

An hour of {storage.hour_mb:.1f} MB. Retention writes the `.gz`, reads it back to compare it, and removes the original.

{table(["what", "seconds", "against the first"], hours)}"""


def _reading(findings: Findings) -> str:
    parts = ["## Reading"]
    for question, took in findings.reading.items():
        ours = next(each for name, each in reversed(took.items()) if name.startswith(OURS))
        rows = [[name, spread([one * 1000 for one in each]), ratio(each, ours)] for name, each in took.items()]
        parts.append(f"{question[0].upper()}{question[1:]}; wall time, all cores.")
        parts.append(table(["with", "ms", "times the last"], rows))
    sizes = [
        [name, f"{size / 1e6:.2f}", f"{findings.sizes['archive'] / size:.3f}"] for name, size in findings.sizes.items()
    ]
    parts += ["The size of that hour:", table(["form", "MB", "archive / this"], sizes), TICKVAULT]
    return "\n\n".join(parts)


TICKVAULT = """tickvault-ob is not in the table: it reads archives that tickvault's recorder has written, which is in
Rust, not in the package, and for spot markets only; so there is no archive of its own to read here."""

REASONS = {
    "feed": """*Feed.* What the floor does is in every contender's time, and a message of this feed changes many levels,
so that little is left for each. Tried, in turns on this feed: lists kept sorted by bisection (the former form), sorting
only when a book is sampled, whole columns of a message at once, prices as small integers of the tick, and tables by the
text of the price. The form that is used (keys and quantities remembered, a deleted price keeps its place) was the
quickest of those that are exact. Not checking quantities would be quicker still, and would let numbers that nobody can
read into a book. The next step would be compiled code, which the recorder does without.""",
    "late": """*The latest line.* Every instrument is due at the same grid time, and its line waits for the one thread
that encodes and writes. Pauses of a shared machine come on top: the latest lines of 2 instruments (under latency) show
how long those are. Not tried: several writing threads. Given up: retention in a thread of low priority, since such a
thread may hold the interpreter's lock while all others wait for it.""",
    "line": """*Line.* The line is little more than the lists; what it costs beyond them is mostly the system's `write`
of its bytes (the table below has both). Tried: encoding into a buffer that is kept, and a row of another shape; neither
was measurably quicker. Joining levels encoded before is not promising: most levels of a busy book change from one line
to the next, and looking one up costs what encoding it does.""",
}
"""Why a target was missed and what was tried, shown only for one that was."""

LIMITS = """## What this does not show

- Real OKX traffic: nobody has published a capture of these books. The feed is a real Binance session in OKX's form,
  whose messages carry more levels than those of OKX's BTC-USDT; the whole job runs on a made-up market.
- The capture is minutes long and looped. Each repetition is at other prices, but its quantities come again, which is
  kind to whatever remembers them, as l2vault does.
- A network: everything is loopback without TLS, which would cost every client the same.
- cryptofeed runs on uvloop with a compiled book, nautilus_trader on threads in Rust, all of whose time is counted. What
  they do for their users beyond a book is not measured, nor is what they were made for.
- Feed memory is of a process with one instrument; libraries that are loaded and not used count, as users pay for them.
- Low priority: retention was asked to have it and has not. It is a thread of the recorder, and one of low
  priority could hold the interpreter's lock while the others wait. What it does to the lines is in the latency table.
- The recorder's figures include the hooks that take the times."""
