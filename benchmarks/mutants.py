"""Plants a seeded sample of small faults, one at a time, and runs the tests on each: `make mutants`.

    python benchmarks/mutants.py [--sample 300] [--seed 1] [--jobs 2] [--minutes 60] [--room okx] [--list]

A mutant first meets its room's tests, those of its own module before those that import it and all others; the
survivors of all rooms then meet every other test that can reach their module. A mutant is killed by a failing test or
by one that does not end. Prints what became of each, and the survivors with file, line and diff; exits with 1 if more
than a tenth survived.

Each of the `jobs` works on a copy of the tree of its own. `benchmarks/mutations.py` says why the mutants are our own
and not mutmut's.
"""

import argparse
import ast
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from xml.etree import ElementTree

from mutations import Mutant, mutants_of

from l2vault.verbs.words import minutes

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("okx", "book", "recording", "vault")
ALLOWED_SHARE = 0.1
SLOWER = 3
"""A run that takes so many times as long as the whole clean run of the same files does not end, unless the clean tree
takes as long by now: then the machine is busy."""
LEAST_SEC = 60
NO_END = -1
"""The exit status of a run that did not end in time."""


@dataclass
class Fate:
    mutant: Mutant
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
        self._environment = os.environ | {"PYTHONPATH": str(self.root), "HYPOTHESIS_STORAGE_DIRECTORY": str(folder)}
        self._environment["PYTHONDONTWRITEBYTECODE"] = ""  # compiling the tests anew for each would take half the time
        sys.path.insert(0, str(ROOT / "tests"))
        from support.captured import CAPTURES

        self._environment["L2_CAPTURES"] = str(CAPTURES)

    def run(self, files: Iterable[str], within_sec: float, *more: str) -> tuple[int, str]:
        """Exit status of pytest, NO_END if there is none, and what it printed."""
        command = [sys.executable, "-m", "pytest", "-x", "-n0", "-p", "no:cacheprovider", "--tb=no", *more, *files]
        process = subprocess.Popen(
            command, cwd=self.root, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            said, _ = process.communicate(timeout=within_sec)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return NO_END, ""
        return process.returncode, said

    def judge(self, mutant: Mutant, files: list[str], within_sec: float) -> str:
        """What killed it; empty if nothing did."""
        place = self.root / mutant.path.relative_to(ROOT)
        whole = place.read_text(encoding="utf-8")
        self._write(place, mutant.source())
        try:
            status, said = self.run(files, within_sec)
        finally:
            self._write(place, whole)
        if status == 0:
            return ""
        if status == NO_END:
            is_busy = self.run(files, within_sec)[0] == NO_END
            return self.judge(mutant, files, 2 * within_sec) if is_busy else "does not end"
        failed = [line.split()[1] for line in said.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        return next(iter(failed), "it does not even start")

    def _write(self, place: Path, text: str) -> None:
        """Python takes a compiled file for the source of the same second and length."""
        for compiled in place.parent.glob(f"__pycache__/{place.stem}.*.pyc"):
            compiled.unlink()
        place.write_text(text, encoding="utf-8")


class Tests:
    """Which test files there are, how long each takes, and what each can reach."""

    def __init__(self) -> None:
        self.files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py"))
        self.seconds: Counter[str] = Counter()
        self._imports: dict[str, set[str]] = {}

    def of_room(self, room: str) -> list[str]:
        return [name for name in self.files if name.startswith(f"tests/{room}/")]

    def measure(self, copy: Copy, files: list[str]) -> float:
        """Run them on the clean tree, where they must pass; seconds in all."""
        began = time.monotonic()
        report = copy.root.parent / "clean.xml"
        status, said = copy.run(files, 1800, f"--junitxml={report}")
        if status != 0:
            raise SystemExit(f"the tests fail without any mutant:\n{said[-2000:]}")
        for case in ElementTree.parse(report).iter("testcase"):
            name = str(case.get("classname")).replace(".", "/") + ".py"
            self.seconds[name] += float(case.get("time", 0))  # type: ignore[assignment]
        return time.monotonic() - began

    def stages(self, mutant: Mutant, files: list[str]) -> list[list[str]]:
        """Those of the module, then those that import it, then the others, each time the quick ones first: most
        mutants are killed by the first few files, before the many others are even loaded."""
        stem = mutant.path.stem
        own = [name for name in files if Path(name).stem in (f"test_{stem}", f"test_{stem}s")]
        near = [name for name in files if name not in own and _module(mutant.path) in self._imported(ROOT / name)]
        far = [name for name in files if name not in own and name not in near]
        return [sorted(stage, key=self.seconds.__getitem__) for stage in (own, near, far) if stage]

    def others(self, mutant: Mutant, room_files: list[str]) -> list[str]:
        """Every other test that imports the mutant's module, however far off, or starts processes of its own."""
        target = _module(mutant.path)
        rest = [name for name in self.files if name not in room_files]
        return [name for name in rest if self._starts_processes(name) or target in self._reached(ROOT / name)]

    def _starts_processes(self, name: str) -> bool:
        text = (ROOT / name).read_text(encoding="utf-8")
        return "subprocess" in text or "l2vault.cli" in text or "l2vault.entry" in text

    def _reached(self, path: Path) -> set[str]:
        reached: set[str] = set()
        waiting = list(self._imported(path))
        while waiting:
            name = waiting.pop()
            if name not in reached:
                reached.add(name)
                source = _source(name)
                waiting += self._imported(source) if source else ()
        return reached

    def _imported(self, path: Path) -> set[str]:
        key = str(path)
        if key not in self._imports:
            names: set[str] = set()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
            self._imports[key] = {name for name in names if name.startswith(("l2vault", "support"))}
        return self._imports[key]


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _source(name: str) -> Path | None:
    base = (ROOT / "tests" if name.startswith("support") else ROOT) / Path(*name.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.exists()), None)


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
        self.tests = Tests()
        self._clean_sec: dict[str, float] = {}

    def measure(self, rooms: Iterable[str]) -> None:
        def one(room: str) -> None:
            copy = self._free.get()
            try:
                self._clean_sec[room] = self.tests.measure(copy, self.tests.of_room(room))
            finally:
                self._free.put(copy)

        with ThreadPoolExecutor(self._jobs) as pool:
            list(pool.map(one, rooms))
        print("the clean tree:", {room: f"{sec:.0f} s" for room, sec in self._clean_sec.items()}, flush=True)

    def by_rooms(self, mutants: list[Mutant]) -> list[Fate]:
        with ThreadPoolExecutor(self._jobs) as pool:
            fates = pool.map(self._by_room, mutants)
            return [fate for fate in fates if fate is not None]

    def by_all(self, fates: list[Fate]) -> None:
        with ThreadPoolExecutor(self._jobs) as pool:
            list(pool.map(self._by_others, fates))

    def _by_room(self, mutant: Mutant) -> Fate | None:
        if self._budget.left_sec <= 0:
            return None
        room = mutant.path.relative_to(ROOT / "l2vault").parts[0]
        fate = Fate(mutant)
        for files in self.tests.stages(mutant, self.tests.of_room(room)):
            fate.by = fate.by or self._judge(mutant, files, max(LEAST_SEC, SLOWER * self._clean_sec[room]))
        self._say(fate, "survives its room")
        return fate

    def _by_others(self, fate: Fate) -> None:
        if self._budget.left_sec <= 0:
            return
        room = fate.mutant.path.relative_to(ROOT / "l2vault").parts[0]
        files = self.tests.others(fate.mutant, self.tests.of_room(room))
        fate.by = self._judge(fate.mutant, files, 1800)
        fate.is_tried_on_all = True
        self._say(fate, "survives all")

    def _judge(self, mutant: Mutant, files: list[str], within_sec: float) -> str:
        copy = self._free.get()
        try:
            return copy.judge(mutant, files, within_sec) if files else ""
        finally:
            self._free.put(copy)

    def _say(self, fate: Fate, words: str) -> None:
        with self._saying:
            print(f"{fate.mutant.path.relative_to(ROOT)}:{fate.mutant.line}: {fate.by or words}", flush=True)


def report(fates: list[Fate], planted: int) -> int:
    survivors = [fate for fate in fates if not fate.by]
    untried = planted - len(fates)
    only_room = sum(not fate.is_tried_on_all for fate in survivors)
    print(f"\n{len(fates)} mutants: {len(fates) - len(survivors)} killed, {len(survivors)} survived", end="")
    print(f" ({only_room} of them met their room's tests only)" if only_room else "", end="")
    print(f"; {untried} were not tried" if untried else "")
    for room in ROOMS:
        of_room = [fate for fate in fates if fate.mutant.path.relative_to(ROOT / "l2vault").parts[0] == room]
        print(f"  {room:10} {sum(bool(fate.by) for fate in of_room):4} of {len(of_room)} killed")
    for fate in survivors:
        print(f"\n{fate.mutant.path.relative_to(ROOT)}:{fate.mutant.line}\n{fate.mutant.diff()}")
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
        run.measure(rooms)
        fates = run.by_rooms(mutants)
        run.by_all([fate for fate in fates if not fate.by])
    return report(fates, len(mutants))


if __name__ == "__main__":
    sys.exit(main())
