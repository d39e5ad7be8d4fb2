"""The cost of the feed and of reading, this tree beside another commit of it: ratios of processor time.

    python benchmarks/against.py COMMIT [--rounds 7] [--messages 10000]

Both trees answer the same questions in processes of their own, in turns within each round, with the packages of this
environment and on the same frames and files, which the other commit made (so that both can read them). Printed is the
middle of the rounds' ratios, with the lowest and the highest; exits with 1 if a middle is above --limit.

Of an hour that was checked (`l2vault.vault.coverage.checked`), as retention and the recorder check all that have ended,
this tree's coverage trusts the note. Of any other it reads the lines, which the first edition did not: it took any text
with a time at its beginning for a line. Those ratios (PROVED) are printed, and held to no limit.
"""

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from against_questions import CHECKED, FORMS
from bench_feed import loopback_server
from looped_hour import START_MS
from material import INST_ID, hour_lines, write_frames
from venvs import ROOT

from l2vault.vault.store.layout import HOUR_MS, Layout

QUESTIONS = Path(__file__).with_name("against_questions.py")
LIMIT = 1.05
LISTED_HOURS = 720
PROVED = tuple(f"coverage, {form}" for form in FORMS)
"""Questions to which this tree proves by reading what the first edition assumed."""


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A folder with the files of a commit."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        subprocess.run(["git", "-C", str(ROOT), "worktree", "add", "--detach", "-q", str(tree), commit], check=True)
        try:
            yield tree
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(tree)], check=True)


def make_vaults(root: Path) -> None:
    """One hour in each form, and a month of hours of one line. (The vault `archive` is still gzip.)"""
    lines = hour_lines()
    for form in FORMS:
        path = Layout(root / form).hour_file(INST_ID, START_MS)
        path.parent.mkdir(parents=True)
        if form == "plain":
            path.write_bytes(lines)
        else:
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(lines, 6))
    for hour in range(LISTED_HOURS):
        path = Layout(root / "month").hour_file(INST_ID, START_MS + hour * HOUR_MS)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(lines[: lines.index(b"\n") + 1]))


def make_checked(root: Path) -> None:
    """The same hours as an ordinary vault has them: each is followed by another, and was read and found good."""
    for form in FORMS:
        shutil.copytree(root / form, root / f"{form}{CHECKED}")
        path = Layout(root / f"{form}{CHECKED}").hour_file(INST_ID, START_MS + HOUR_MS)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    ask(ROOT, str(QUESTIONS), "check", str(root))


def ask(tree: Path, *words: str) -> dict[str, float]:
    """Seconds of processor time by question, asked of the package in a tree."""
    environment = dict(os.environ, PYTHONPATH=f"{tree}{os.pathsep}{ROOT / 'benchmarks'}")
    done = subprocess.run(
        [sys.executable, *words], env=environment, cwd=tree, capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        raise SystemExit(f"{tree}: {' '.join(words)} failed\n{done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(lines[-1].removeprefix("RESULT "))
    return result


def feed_sec(tree: Path, at: dict[str, str], frames: int) -> dict[str, float]:
    client = tree / "benchmarks" / "feed" / "l2vault_client.py"
    return {"feed": ask(tree, str(client), at["ws_url"], at["rest_url"], INST_ID, str(frames))["cpu_sec"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", help="the commit to compare with")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--only", choices=("feed", "reading"))
    parser.add_argument("--limit", type=float, default=LIMIT)
    args = parser.parse_args()
    ratios: dict[str, list[float]] = {}
    with checked_out(args.commit) as other, tempfile.TemporaryDirectory() as folder:
        frames, vault = Path(folder, "frames"), Path(folder, "vault")
        feed = write_frames(frames, args.messages, is_checksummed=False)
        make_vaults(vault)
        ask(other, str(QUESTIONS), "archive", str(vault))
        make_checked(vault)
        with loopback_server(frames) as at:
            for number in range(args.rounds):
                print(f"round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)
                trees = (other, ROOT) if number % 2 else (ROOT, other)
                cost: dict[Path, dict[str, float]] = {tree: {} for tree in trees}
                for tree in trees:
                    if args.only != "reading":
                        cost[tree] |= feed_sec(tree, at, feed.frames)
                    if args.only != "feed":
                        cost[tree] |= ask(tree, str(QUESTIONS), "ask", str(vault))
                for name, seconds in cost[ROOT].items():
                    ratios.setdefault(name, []).append(seconds / cost[other][name])
    is_over = False
    for name, each in ratios.items():
        mark = "" if median(each) <= args.limit else "  over the limit"
        if mark and name in PROVED:
            mark = "  proved by reading"
        is_over |= mark == "  over the limit"
        print(f"{name:36}{median(each):6.3f}   ({min(each):.3f} to {max(each):.3f}){mark}")
    return 1 if is_over else 0


if __name__ == "__main__":
    sys.exit(main())
