"""Plants a seeded sample of small faults, one at a time, and runs the tests on each: `make mutants`.

    python benchmarks/mutants.py [--sample 300] [--seed 1] [--jobs 2] [--minutes 60] [--room okx] [--list]

A clean run of the suite tells which tests run which lines (`benchmarks/reach.py`). A mutant meets the tests that run
its statement: its module's own, its room's, then all others. Survivors meet the tests that start programs, whose lines
are not measured. A mutant is killed by a failing test or by one that does not end. Prints what became of each, and the
survivors with file, line and diff; exits with 1 if more than a tenth survived.

Each of the `jobs` works on a copy of the tree of its own. `benchmarks/mutations.py` says why the mutants are our own
and not mutmut's.
"""

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

from mutations import Mutant, mutants_of
from reach import Reach

from l2vault.verbs.words import minutes

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("okx", "book", "recording", "vault")
ALLOWED_SHARE = 0.1
SLOWER = 3
"""A run that takes so many times as long as the same tests took in the clean run does not end, unless the clean tree
takes as long by now: then the machine is busy."""
LEAST_SEC = 60
FIRST = 60
"""So many tests are tried before the others are even loaded: they kill most mutants."""
MAY_FAIL_MEASURED = 5
"""Tests that do not bear to be measured are left out; more of them are a broken tree."""
NO_END = -1
"""The exit status of a run that did not end in time."""


@dataclass
class Fate:
    mutant: Mutant
    reached: int
    """How many tests run its statement."""
    by: str = ""
    """The test that killed it, or that it was too slow; empty for a survivor."""
    is_tried_on_programs: bool = False


@dataclass
class Budget:
    end: float

    @property
    def left_sec(self) -> float:
        return self.end - time.monotonic()


class Copy:
    """A tree of our own, with the real captures where this one finds them."""

    def __init__(self, folder: Path) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for name in listed.stdout.splitlines():
            target = folder / "tree" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).exists():
                shutil.copy2(ROOT / name, target)
        self.root = folder / "tree"
        self.environment = os.environ | {"PYTHONPATH": str(self.root), "HYPOTHESIS_STORAGE_DIRECTORY": str(folder)}
        self.environment["PYTHONDONTWRITEBYTECODE"] = ""  # compiling the tests anew for each would take half the time
        sys.path.insert(0, str(ROOT / "tests"))
        from support.captured import CAPTURES

        self.environment["L2_CAPTURES"] = str(CAPTURES)

    def run(self, tests: list[str], within_sec: float) -> tuple[int, str]:
        """Exit status of pytest, NO_END if there is none, and what it printed."""
        chosen = self.root.parent / "tests.txt"
        chosen.write_text("\n".join(tests), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-x", "-n0", "-p", "no:cacheprovider", "-p", "no:cov", "--tb=no"]
        process = subprocess.Popen(
            [*command, f"@{chosen}"],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            said, _ = process.communicate(timeout=within_sec)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return NO_END, ""
        return process.returncode, said

    def judge(self, mutant: Mutant, tests: list[str], within_sec: float) -> str:
        """What killed it; empty if nothing did."""
        place = self.root / mutant.path.relative_to(ROOT)
        whole = place.read_text(encoding="utf-8")
        self._write(place, mutant.source())
        try:
            status, said = self.run(tests, within_sec)
        finally:
            self._write(place, whole)
        if status == 0:
            return ""
        if status == NO_END:
            is_busy = self.run(tests, within_sec)[0] == NO_END
            return self.judge(mutant, tests, 2 * within_sec) if is_busy else "does not end"
        failed = [line.split()[1] for line in said.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        return next(iter(failed), "it does not even start")

    def _write(self, place: Path, text: str) -> None:
        """Python takes a compiled file for the source of the same second and length."""
        for compiled in place.parent.glob(f"__pycache__/{place.stem}.*.pyc"):
            compiled.unlink()
        place.write_text(text, encoding="utf-8")


def sample(rooms: Iterable[str], size: int, seed: int) -> list[Mutant]:
    """The same for the same tree, rooms and seed."""
    every = [
        mutant
        for room in rooms
        for path in sorted((ROOT / "l2vault" / room).rglob("*.py"))
        for mutant in mutants_of(path)
    ]
    return Random(seed).sample(every, min(size, len(every)))


class Run:
    """Mutants against tests, several at a time, within the budget."""

    def __init__(self, copies: list[Copy], budget: Budget) -> None:
        self._free: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for copy in copies:
            self._free.put(copy)
        self._jobs = len(copies)
        self._budget = budget
        self._saying = threading.Lock()
        began = time.monotonic()
        self._reach = Reach.measured(copies[0].root, copies[0].environment, self._jobs + 1)
        took = time.monotonic() - began
        failed = sorted(self._reach.failed)
        print(f"the clean tree: {len(self._reach.seconds)} tests in {took:.0f} s, failed: {failed}", flush=True)
        if len(failed) > MAY_FAIL_MEASURED:
            raise SystemExit("these tests fail without any mutant")

    def by_reaching(self, mutants: list[Mutant]) -> list[Fate]:
        with ThreadPoolExecutor(self._jobs) as pool:
            fates = pool.map(self._by_reaching, mutants)
            return [fate for fate in fates if fate is not None]

    def by_programs(self, fates: list[Fate]) -> None:
        with ThreadPoolExecutor(self._jobs) as pool:
            list(pool.map(self._by_programs, fates))

    def _by_reaching(self, mutant: Mutant) -> Fate | None:
        if self._budget.left_sec <= 0:
            return None
        tests = self._reach.tests(mutant, ROOT)
        fate = Fate(mutant, len(tests))
        for some in (tests[:FIRST], tests[FIRST:]):
            fate.by = fate.by or self._judge(mutant, some)
        self._say(fate, f"survives {len(tests)} tests")
        return fate

    def _by_programs(self, fate: Fate) -> None:
        if self._budget.left_sec <= 0:
            return
        met = set(self._reach.tests(fate.mutant, ROOT))
        fate.by = self._judge(fate.mutant, [test for test in self._reach.starters() if test not in met])
        fate.is_tried_on_programs = True
        self._say(fate, "survives all")

    def _judge(self, mutant: Mutant, tests: list[str]) -> str:
        copy = self._free.get()
        try:
            within_sec = max(LEAST_SEC, SLOWER * sum(self._reach.seconds[test] for test in tests))
            return copy.judge(mutant, tests, within_sec) if tests else ""
        finally:
            self._free.put(copy)

    def _say(self, fate: Fate, words: str) -> None:
        with self._saying:
            print(f"{fate.mutant.path.relative_to(ROOT)}:{fate.mutant.line}: {fate.by or words}", flush=True)


def report(fates: list[Fate], planted: int) -> int:
    survivors = [fate for fate in fates if not fate.by]
    untried = planted - len(fates)
    print(f"\n{len(fates)} mutants: {len(fates) - len(survivors)} killed, {len(survivors)} survived", end="")
    some = sum(not fate.is_tried_on_programs for fate in survivors)
    print(f" ({some} of them did not meet every test that starts programs)" if some else "", end="")
    print(f"; {untried} were not tried" if untried else "")
    for room in ROOMS:
        of_room = [fate for fate in fates if fate.mutant.path.relative_to(ROOT / "l2vault").parts[0] == room]
        print(f"  {room:10} {sum(bool(fate.by) for fate in of_room):4} of {len(of_room)} killed")
    for fate in survivors:
        print(f"\n{fate.mutant.path.relative_to(ROOT)}:{fate.mutant.line} ({fate.reached} tests)\n{fate.mutant.diff()}")
    return 1 if len(survivors) > ALLOWED_SHARE * len(fates) else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=minutes, default=60)
    parser.add_argument("--room", choices=ROOMS, action="append", help="only mutants of this one")
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    args = parser.parse_args()
    rooms = args.room or ROOMS
    mutants = sample(rooms, args.sample, args.seed)
    if args.list:
        for mutant in mutants:
            print(f"{mutant.path.relative_to(ROOT)}:{mutant.line}\n{mutant.diff()}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        copies = [Copy(Path(folder) / str(number)) for number in range(args.jobs)]
        run = Run(copies, Budget(time.monotonic() + 60 * args.minutes))
        fates = run.by_reaching(mutants)
        run.by_programs([fate for fate in fates if not fate.by])
    return report(fates, len(mutants))


if __name__ == "__main__":
    sys.exit(main())
