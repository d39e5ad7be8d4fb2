"""What `against.py` asks of a tree: only what both editions offer, under the names that each has for it.

python benchmarks/against_questions.py archive VAULTS
python benchmarks/against_questions.py check VAULTS
python benchmarks/against_questions.py ask VAULTS
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

try:
    from l2vault.vault.archive.write import archive_hour
    from l2vault.vault.reading.vault import open_vault
    from l2vault.vault.store.layout import HOUR_MS, Layout
except ImportError:  # the first edition
    from l2vault.vault.archive import archive_hour
    from l2vault.vault.layout import HOUR_MS, Layout
    from l2vault.vault.reader import open_vault

from l2vault.book.snapshot import from_line, to_line

INST_ID = "BTC-USDT-SWAP"
MOMENTS = 12
LEAST_SEC = 0.5
FORMS = ("plain", "gzip", "archive")
CHECKED = ", checked"
"""After the name of a form: the vault of it whose hours were read and found good, and the question asked of that."""


def archive(root: Path) -> dict[str, float]:
    """Archive the hour of the vault `archive`, whose gzip goes."""
    layout = Layout(root / "archive")
    packed = next(layout.root.rglob("*.jsonl.gz"))
    hour_file = layout.parse_hour_file(packed)
    assert hour_file is not None
    archive_hour(layout, hour_file)
    packed.unlink()
    return {}


def check(root: Path) -> dict[str, float]:
    """Read the hours of the vaults that are to be checked, as retention does, and note that they are good."""
    from l2vault.vault.coverage.checked import check_hours

    for form in FORMS:
        hours = check_hours(Layout(root / f"{form}{CHECKED}"), sys.maxsize)
        assert hours == 1, f"{form}: {hours} hours were found good"
    return {}


def ask(root: Path) -> dict[str, float]:
    return {name: _cost(question) for name, question in _questions(root).items()}


def _questions(root: Path) -> dict[str, Callable[[], object]]:
    layout = Layout(root / "plain")
    hour_file = layout.parse_hour_file(next(layout.root.rglob("*.jsonl")))
    assert hour_file is not None
    start_ms = hour_file.hour_ms
    end_ms = start_ms + HOUR_MS
    moments = [start_ms + (2 * at + 1) * HOUR_MS // (2 * MOMENTS) for at in range(MOMENTS)]
    lines = next((root / "plain").rglob("*.jsonl")).read_bytes().splitlines()[:400]
    snapshots = [from_line(line) for line in lines]
    questions: dict[str, Callable[[], object]] = {
        "a snapshot to its line": lambda: [to_line(snapshot) for snapshot in snapshots * 3],
        "a line to its snapshot": lambda: [from_line(line) for line in lines],
        "hours of a month listed": lambda: open_vault(root / "month").spans(INST_ID),
    }
    for form in FORMS:
        where, vault = root / form, open_vault(root / form)
        questions |= {
            f"snapshots, {form}": lambda at=where: sum(1 for _ in open_vault(at).snapshots(INST_ID, start_ms, end_ms)),
            f"levels, {form}": lambda at=where: open_vault(at).levels(INST_ID, start_ms, end_ms).arrow,
            f"book_at, {form}": lambda of=vault: [of.book_at(INST_ID, t_ms) for t_ms in moments],
            f"coverage, {form}": lambda at=where: open_vault(at).coverage(INST_ID, start_ms, end_ms),
        }
        checked = root / f"{form}{CHECKED}"
        questions[f"coverage, {form}{CHECKED}"] = lambda at=checked: open_vault(at).coverage(INST_ID, start_ms, end_ms)
    return questions


def _cost(question: Callable[[], object]) -> float:
    """Seconds of processor time: what is imported only once is not counted, and short questions are asked again until
    half a second is spent, of which the middle is taken."""
    question()
    costs: list[float] = []
    while sum(costs) < LEAST_SEC:
        began = time.process_time()
        question()
        costs.append(time.process_time() - began)
    return median(costs)


if __name__ == "__main__":
    verb, place = sys.argv[1], Path(sys.argv[2])
    print(f"RESULT {json.dumps({'archive': archive, 'check': check, 'ask': ask}[verb](place))}")
