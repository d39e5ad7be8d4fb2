"""Plants a seeded sample of small faults, one at a time, and runs the tests on each: `make mutants`.

    python benchmarks/mutants.py [--sample 300] [--seed 1] [--jobs 2] [--minutes 60] [--room okx] [--list]

A clean run of the suite tells which tests run which lines (`benchmarks/reach.py`). A mutant first meets, alone, the
quickest tests that run its statement, those of its module and room before others: most are killed there. The others
are then planted together, and the whole suite runs on them: a mutant is killed by a test that fails there and also
fails on it alone. That is repeated with those that are left until nothing fails. Prints what became of each, and the
survivors with file, line and diff; exits with 1 if more than a tenth survived.

Each of the `jobs` works on a copy of the tree of its own. `benchmarks/mutations.py` says why the mutants are our own
and not mutmut's.
"""

import argparse
import hashlib
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from mutations import Mutant, mutants_of
from reach import Reach, results, whole_suite

from l2vault.verbs.words import minutes

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("okx", "book", "recording", "vault")
ALLOWED_SHARE = 0.1
SLOWER = 3
"""A run that takes so many times as long as the same tests took in the clean run does not end, unless the clean tree
takes as long by now: then the machine is busy."""
LEAST_SEC = 60
FIRST = 60
FIRST_SEC = 30
"""A mutant meets alone at most so many tests, which took at most so long in the clean run."""
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
    is_tried_on_all: bool = False


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
        with self._planted([mutant]):
            status, said = self.run(tests, within_sec)
        if status == 0:
            return ""
        if status == NO_END:
            is_busy = self.run(tests, within_sec)[0] == NO_END
            return self.judge(mutant, tests, 2 * within_sec) if is_busy else "does not end"
        failed = [line.split(maxsplit=1)[1] for line in said.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        return next(iter(failed), "it does not even start")

    def suite(self, mutants: list[Mutant], jobs: int, within_sec: float) -> set[str] | None:
        """The tests of the whole suite that fail with all of these planted; None where it does not end or start."""
        report = self.root.parent / "together.xml"
        report.unlink(missing_ok=True)
        command = [*whole_suite(jobs, report), "-p", "no:cov"]
        with self._planted(mutants), suppress(subprocess.TimeoutExpired):
            subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, timeout=within_sec)
        if not report.exists():
            return None
        return {test for test, outcome, _ in results(self.root, report) if outcome == "failed"}

    @contextmanager
    def _planted(self, mutants: list[Mutant]) -> Iterator[None]:
        """None may overlap another."""
        whole: dict[Path, str] = {}
        for mutant in sorted(mutants, key=lambda each: each.start, reverse=True):
            place = self.root / mutant.path.relative_to(ROOT)
            text = place.read_text(encoding="utf-8")
            whole.setdefault(place, text)
            self._write(place, text[: mutant.start] + mutant.text + text[mutant.end :])
        try:
            yield
        finally:
            for place, text in whole.items():
                self._write(place, text)

    def _write(self, place: Path, text: str) -> None:
        """Python takes a compiled file for the source of the same second and length."""
        for compiled in place.parent.glob(f"__pycache__/{place.stem}.*.pyc"):
            compiled.unlink()
        place.write_text(text, encoding="utf-8")


def sample(rooms: Iterable[str], size: int, seed: int) -> list[Mutant]:
    """By rooms and seed alone, in random order. A mutant is drawn by what it does to its line, wherever that stands, so
    that another edition of the tree has the same ones but where it has other lines."""
    drawn = {}
    for room in rooms:
        for path in sorted((ROOT / "l2vault" / room).rglob("*.py")):
            met: Counter[str] = Counter()
            for mutant in mutants_of(path):
                fault = f"{path.relative_to(ROOT).as_posix()}\n{mutant.fault()}"
                met[fault] += 1
                key = f"{seed}\n{met[fault]}\n{fault}"
                drawn[hashlib.sha256(key.encode()).digest()] = mutant
    return [drawn[place] for place in sorted(drawn)[:size]]


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
        self._clean_sec = took = time.monotonic() - began
        failed = sorted(self._reach.failed)
        print(f"the clean tree: {len(self._reach.seconds)} tests in {took:.0f} s, failed: {failed}", flush=True)
        if len(failed) > MAY_FAIL_MEASURED:
            raise SystemExit("these tests fail without any mutant")

    def by_reaching(self, mutants: list[Mutant]) -> list[Fate]:
        with ThreadPoolExecutor(self._jobs) as pool:
            fates = pool.map(self._by_reaching, mutants)
            return [fate for fate in fates if fate is not None]

    def _by_reaching(self, mutant: Mutant) -> Fate | None:
        if self._budget.left_sec <= 0:
            return None
        tests = self._reach.tests(mutant, ROOT)
        fate = Fate(mutant, len(tests))
        fate.by = self._judge(mutant, self._first(tests))
        self._say(fate, f"survives the first of {len(tests)} tests")
        return fate

    def _first(self, tests: list[str]) -> list[str]:
        took = accumulate(self._reach.seconds[test] for test in tests)
        return [test for test, until in zip(tests[:FIRST], took, strict=False) if until < FIRST_SEC] or tests[:1]

    def by_all(self, fates: list[Fate]) -> None:
        """The whole suite, on as many of them at once as do not overlap."""
        waiting = list(fates)
        while waiting and self._budget.left_sec > 0:
            chosen: list[Fate] = []
            for fate in waiting:
                if not any(_overlap(fate.mutant, other.mutant) for other in chosen):
                    chosen.append(fate)
            self._together(chosen)
            waiting = [fate for fate in waiting if fate not in chosen]

    def _together(self, fates: list[Fate]) -> None:
        """Until the suite passes on those that are left. Where nothing that fails fails on one alone, in halves."""
        left = list(fates)
        while left and self._budget.left_sec > 0:
            failed = self._suite([fate.mutant for fate in left])
            if failed is not None and not failed:
                for fate in left:
                    fate.is_tried_on_all = True
                    self._say(fate, "survives all")
                return
            self._blame(left, failed or set())
            still = [fate for fate in left if not fate.by]
            if len(still) == len(left):
                self._together(left[: len(left) // 2])
                self._together(left[len(left) // 2 :])
                return
            left = still

    def _suite(self, mutants: list[Mutant]) -> set[str] | None:
        copy = self._free.get()
        try:
            failed = copy.suite(mutants, self._jobs + 1, max(LEAST_SEC, SLOWER * self._clean_sec))
        finally:
            self._free.put(copy)
        found = None if failed is None else failed - self._reach.failed
        told = "it does not end" if found is None else f"{len(found)} tests fail"
        print(f"{len(mutants)} mutants together: {told}", flush=True)
        return found

    def _blame(self, fates: list[Fate], failed: set[str]) -> None:
        """Tell which of those planted together fail these tests: each alone meets those that run its statement, and
        those that run nobody's, since they start programs. Of one that is alone whatever failed is its own."""
        reached = [set(self._reach.tests(fate.mutant, ROOT)) for fate in fates]
        nobodys = failed.difference(*reached)
        with ThreadPoolExecutor(self._jobs) as pool:
            found = pool.map(
                lambda fate, own: self._judge(fate.mutant, sorted((own & failed) | nobodys)), fates, reached
            )
        for fate, by in zip(fates, found, strict=True):
            fate.by = by or ((", ".join(sorted(failed)) or "does not end") if len(fates) == 1 else "")
            if fate.by:
                self._say(fate, "")

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


def _overlap(one: Mutant, other: Mutant) -> bool:
    return one.path == other.path and one.start < other.end and other.start < one.end


def report(fates: list[Fate], planted: int) -> int:
    survivors = [fate for fate in fates if not fate.by]
    untried = planted - len(fates)
    print(f"\n{len(fates)} mutants: {len(fates) - len(survivors)} killed, {len(survivors)} survived", end="")
    some = sum(not fate.is_tried_on_all for fate in survivors)
    print(f" ({some} of them did not meet the whole suite)" if some else "", end="")
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
        run.by_all([fate for fate in fates if not fate.by])
    return report(fates, len(mutants))


if __name__ == "__main__":
    sys.exit(main())
