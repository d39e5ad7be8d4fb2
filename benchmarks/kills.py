"""Kills each verb that brings history in or out, or has the disk refuse it, at many acts; runs it again and judges.

    .venv/bin/python benchmarks/kills.py [--moments 20] [--verb NAME ...] [--disk DIR]

An act is a write, a sync, a rename, a deletion, a folder made (tests/support/acts.py). At `--moments` acts of each verb
and behind each new name (0: at all acts) the verb runs in a process of its own that gets SIGKILL there, then again to
its end: files byte for byte and events of the journal must be those of an undisturbed run, with nothing half-written,
doubled or false in between. The same acts are then refused by a disk that is full, over its quota, faulty once, or gone
for good: one sentence with the file and the cure, and the same again. `--disk`: the folder of a small file system
of its own (mount -t tmpfs -o size=3m tmpfs DIR), which is then really full, with six sizes of room left. Prints each
complaint and the counts; exits with 1 on any. `make kills`.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from l2vault.history import download  # noqa: E402
from l2vault.sim.server.archive import ArchiveServer, Shelf  # noqa: E402
from support import tiny_archive as tiny  # noqa: E402
from support.acts import Disk, Fault  # noqa: E402
from support.disturbed import Kill, Trial  # noqa: E402
from support.history_verbs import FETCH, VERBS, Verb, asked, run, to_export  # noqa: E402

FAULTS: Final[tuple[Fault, ...]] = ("full", "quota", "error", "gone")
NAUTILUS: Final = Verb("export nautilus", ("export", "nautilus", "--out", "out"), to_export)
EVERY: Final = (*VERBS, *((NAUTILUS,) if find_spec("nautilus_trader") else ()), FETCH)
ROOMS: Final = (4_096, 12_288, 24_576, 40_960, 65_536, 98_304)
MOST_DISK_BYTES: Final = 64 << 20
_WINDOWS_CODE: Final = 15
_BLOCK_BYTES: Final = 300
"""So that a file of a few hundred bytes comes in pieces."""


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=20, help="acts of each verb, spread over its run; 0: all")
    parser.add_argument("--verb", action="append", default=[], help="only this, such as 'export csv'; may come again")
    parser.add_argument("--disk", type=Path, help="the empty folder of a disk of a few MB, to be filled")
    parser.add_argument("--die", nargs=3, metavar=("VERB", "FOLDER", "ACT"), help=argparse.SUPPRESS)
    args = parser.parse_args(words)
    download._BLOCK_BYTES = _BLOCK_BYTES
    if args.die:
        return _die(_named(args.die[0]), Path(args.die[1]), int(args.die[2]))
    chosen = [each for each in EVERY if not args.verb or each.name in args.verb]
    bad = tried = 0
    with tempfile.TemporaryDirectory() as folder:
        server = ArchiveServer(Shelf(tiny.offered(Path(folder) / "offered")))
        variables = asked(server)
        for number, verb in enumerate(chosen):
            trial = Trial(verb, Path(folder) / str(number), variables)
            every = list(range(1, len(trial.acts) + 1))
            moments = sorted({*trial.moments(args.moments), *trial.behind_names}) if args.moments else every
            complaints = list(_complaints(trial, moments, _killer(verb, variables)))
            for at, text in complaints:
                print(f"{verb.name}, act {at} ({trial.acts[at - 1]}): {text}", flush=True)
            counts = f"{len(moments)} kills, {len(FAULTS) * len(moments)} refusals"
            print(f"{verb.name}: {len(trial.acts)} acts, {counts}, {len(complaints)} complaints", flush=True)
            tried += (1 + len(FAULTS)) * len(moments)
            if args.disk and verb is not FETCH:  # which asks for the room of a real day before it begins
                complaints += _complaints_when_full(verb, args.disk, variables)
                tried += len(ROOMS)
            bad += len(complaints)
        server.close()
    print(f"{len(chosen)} verbs, {tried} disturbed runs, {bad} complaints")
    return 1 if bad else 0


def _complaints(trial: Trial, moments: Sequence[int], kill: Kill) -> Iterator[tuple[int, str]]:
    """What is wrong, with the act."""
    for at in moments:
        yield from ((at, text) for text in trial.killed(at, kill))
        for fault in FAULTS:
            yield from ((at, text) for text in trial.refused(fault, at))


def _complaints_when_full(verb: Verb, disk: Path, variables: Mapping[str, str]) -> list[tuple[int, str]]:
    """The same on a disk that is really full, with the bytes that it had left."""
    if shutil.disk_usage(disk).free > MOST_DISK_BYTES:
        raise SystemExit(f"{disk} has too much room to be filled")
    trial = Trial(verb, disk / "trial", variables)
    found = [(room, text) for room in ROOMS for text in trial.filled(room)]
    shutil.rmtree(disk / "trial")
    for room, text in found:
        print(f"{verb.name}, {room} bytes left: {text}", flush=True)
    return found


def _killer(verb: Verb, variables: Mapping[str, str]) -> Kill:
    """Runs the verb in a process that is killed at an act."""

    def kill(folder: Path, at: int) -> None:
        words = [sys.executable, __file__, "--die", verb.name, str(folder), str(at)]
        ran = subprocess.run(words, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
        if ran.returncode not in (-getattr(signal, "SIGKILL", 0), _WINDOWS_CODE):
            raise SystemExit(f"{verb.name} was not killed at act {at}: code {ran.returncode}\n{ran.stderr[-2000:]}")

    return kill


def _die(verb: Verb, folder: Path, at: int) -> int:
    """The verb, killed at an act; its code where it has fewer. On Windows `os.kill` ends a process with this code."""

    def kill() -> None:
        os.kill(os.getpid(), getattr(signal, "SIGKILL", _WINDOWS_CODE))

    return run(verb, folder, Disk("kill", at, kill)).code


def _named(name: str) -> Verb:
    return next(verb for verb in EVERY if verb.name == name)


if __name__ == "__main__":
    sys.exit(main())
