"""Which tests of the suite run which lines: one clean run under coverage.py, a context for each test.

A mutant needs no other tests than those that run its statement. Lines that run while a module is imported belong to no
test: a constant is reached by the tests that run a line which names it, anything else by every test of its module. A
fixture of a whole file runs in the first test that asks for it, so a line of a fixture is reached by all of its file.
What programs do that tests start is not measured.
"""

import ast
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from coverage import CoverageData
from mutations import Mutant

CONFIGURATION = "[run]\nsource = l2vault\n"


@dataclass
class Reach:
    root: Path
    """The tree that was measured."""
    seconds: Counter[str] = field(default_factory=Counter)
    """Of each test, by its node id."""
    failed: set[str] = field(default_factory=set)
    """Tests that fail without any mutant."""
    _contexts: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    _of_file: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _naming: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def measured(cls, root: Path, environment: dict[str, str], jobs: int) -> "Reach":
        """Run the whole suite of the tree `root` once."""
        scratch = root.parent
        (scratch / "coveragerc").write_text(CONFIGURATION, encoding="utf-8")
        data, report = scratch / "coverage.db", scratch / "clean.xml"
        command = [*whole_suite(jobs, report), "--cov=l2vault", f"--cov-config={scratch / 'coveragerc'}"]
        command += ["--cov-context=test", "--cov-report="]
        ran = subprocess.run(
            command, cwd=root, env=environment | {"COVERAGE_FILE": str(data)}, capture_output=True, text=True
        )
        if ran.returncode not in (0, 1):
            raise SystemExit(f"the suite did not run without any mutant:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
        return cls.read(root, data, report)

    @classmethod
    def read(cls, root: Path, data: Path, report: Path) -> "Reach":
        """From the files of a run."""
        reach = cls(root)
        for test, outcome, seconds in results(root, report):
            reach.seconds[test] += seconds  # type: ignore[assignment]
            if outcome == "failed":
                reach.failed.add(test)
            elif outcome == "passed":
                reach._of_file[test.partition("::")[0]].append(test)
        covered = CoverageData(str(data))
        covered.read()
        for name in covered.measured_files():
            reach._contexts[Path(name).relative_to(root).as_posix()] = covered.contexts_by_lineno(name)
        for path in sorted((root / "l2vault").rglob("*.py")):
            reach._note_names(path)
        return reach

    def tests(self, mutant: Mutant, tree: Path) -> list[str]:
        """Node ids of the tests that run the mutated statement, the module's own and the quick ones first."""
        name = mutant.path.relative_to(tree).as_posix()
        found = self._running(name, _statement_lines(mutant))
        if not found:
            constant = _constant_of(mutant)
            if constant is not None:
                found = {test for where, line in self._naming[constant] for test in self._running(where, [line])}
            elif self._runs_at_import(name, mutant):
                found = self._running(name, self._contexts.get(name, {}))
        stem, room = mutant.path.stem, f"tests/{name.split('/')[1]}/"

        def rank(test: str) -> tuple[int, float, str]:
            file = test.partition("::")[0]
            is_own = Path(file).stem in (f"test_{stem}", f"test_{stem}s")
            return 0 if is_own else 1 if file.startswith(room) else 2, self.seconds[test], test

        return sorted(found - self.failed, key=rank)

    def _running(self, name: str, lines: Iterable[int]) -> set[str]:
        contexts = self._contexts.get(name, {})
        tests: set[str] = set()
        for line in lines:
            for context in contexts.get(line, ()):
                test, _, phase = context.rpartition("|")
                if phase == "setup":
                    tests.update(self._of_file[test.partition("::")[0]])
                elif test:
                    tests.add(test)
        return tests

    def _runs_at_import(self, name: str, mutant: Mutant) -> bool:
        contexts = self._contexts.get(name, {})
        return any("" in contexts.get(line, ()) for line in _statement_lines(mutant))

    def _note_names(self, path: Path) -> None:
        """Where each upper-case name is used."""
        name = path.relative_to(self.root).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            used = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
            if used.isupper():
                self._naming[used].append((name, node.lineno))


def whole_suite(jobs: int, report: Path) -> list[str]:
    """The command that runs all tests of the tree it is started in."""
    spread = ["-n", str(jobs), "--dist", "loadfile", "--no-loadscope-reorder"]
    return [sys.executable, "-m", "pytest", *spread, "-p", "no:cacheprovider", "--tb=no", f"--junitxml={report}"]


def results(root: Path, report: Path) -> Iterator[tuple[str, str, float]]:
    """From pytest's report of a run in the tree `root`: node id, `passed`, `failed` or `skipped`, seconds."""
    for case in ElementTree.parse(report).iter("testcase"):
        file, classes = _file_and_classes(root, str(case.get("classname")).split("."))
        is_failed = case.find("failure") is not None or case.find("error") is not None
        outcome = "failed" if is_failed else "passed" if case.find("skipped") is None else "skipped"
        yield "::".join([file, *classes, str(case.get("name"))]), outcome, float(case.get("time", 0))


def _file_and_classes(root: Path, parts: list[str]) -> tuple[str, list[str]]:
    """Of the dotted name that a report gives: `tests.test_launchers.TestShell`."""
    for length in range(len(parts), 0, -1):
        file = "/".join(parts[:length]) + ".py"
        if (root / file).exists():
            return file, parts[length:]
    raise SystemExit(f"no file of tests is called {'.'.join(parts)}")


def _statement_lines(mutant: Mutant) -> range:
    """Lines of the innermost statement around the mutant, without those of a body that it has."""
    found = range(mutant.line, mutant.line + 1)
    innermost = 0
    for node in ast.walk(ast.parse(mutant.path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.stmt) and node.lineno > innermost and node.end_lineno is not None:
            body = getattr(node, "body", None)
            last = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno
            if node.lineno <= mutant.line <= last:
                innermost, found = node.lineno, range(node.lineno, last + 1)
    return found


def _constant_of(mutant: Mutant) -> str | None:
    """The upper-case name that the mutated statement of a module or class gives a value."""
    for node in ast.walk(ast.parse(mutant.path.read_text(encoding="utf-8"))):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)) if name.isupper():
                if node.lineno <= mutant.line <= (node.end_lineno or node.lineno):
                    return name
    return None
