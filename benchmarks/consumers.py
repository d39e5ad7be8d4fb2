"""Whether the tools that our exports and replays are for read them, and come to the very books of the vault:
`make consumers`.

Each tool runs in an environment of its own, made once under `benchmarks/.venvs`, as a child that knows nothing of us
but the exported files (`consumer_hftbacktest.py`, `consumer_nautilus.py`). It is asked for its book at 1,000 random
times, which must be `book_at` level by level, and none where the vault knows none. So is nautilus_trader's Tardis
Machine client on `l2vault replay` (`consumer_machine.py`). tardis-dev is a live client of that replay, whose books must
be the vault's at each push, and of `l2vault sim`, whose books must be those of its REST (`consumer_tardis_dev.mjs`).
The vault is recorded from the built-in exchange, with a lost message and a connection that breaks; a second one has
sampled books alone.

    python benchmarks/consumers.py [--vault DIR ...] [--times 1000]
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote
from urllib.request import urlopen

import numpy as np
from venvs import ROOT, Place, npm_of, venv_of

from l2vault.book.moments import as_ms
from l2vault.book.utc import DAY_MS, utc_micros, utc_ms, utc_text
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.reading.vault import Vault, open_vault
from l2vault.vault.store.layout import Layout

sys.path.insert(0, str(ROOT / "tests"))
from support.exported import known_book  # noqa: E402

INST: Final = "BTC-USDT-SWAP"
HFTBACKTEST: Final = ("hftbacktest==2.4.4", "msgspec", "filelock", "websockets")
NAUTILUS: Final = ("nautilus_trader==1.231.0", "filelock", "websockets")
TARDIS_DEV: Final = "tardis-dev@13.35.3"
RECORD_SEC: Final = 75
MACHINE_TYPES: Final = ("book_change", "trade", "quote", "derivative_ticker")
SIM_BOOKS: Final = 150
"""Pushes of the built-in exchange that tardis-dev takes: 15 s."""
WITHIN_SEC: Final = 300
FAULTS: Final = "drop:at=20s,k=3;close:code=4004,at=45s"
_SEED: Final = 1
_LOCAL: Final = 1 << 30
_BOOK_KINDS: Final = (1, 3, 4)


class Consumer(NamedTuple):
    """A tool, the format it reads, and what it is asked."""

    name: str
    form: str
    script: str
    requirements: tuple[str, ...]


CONSUMERS: Final = (
    Consumer("hftbacktest", "hftbacktest", "consumer_hftbacktest.py", HFTBACKTEST),
    Consumer("hftbacktest's Tardis converter", "tardis-csv", "consumer_hftbacktest.py", HFTBACKTEST),
    Consumer("nautilus_trader's catalogue", "nautilus", "consumer_nautilus.py", NAUTILUS),
    Consumer("nautilus_trader's Tardis loader", "tardis-csv", "consumer_nautilus.py", NAUTILUS),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vault", action="append", type=Path, help="in place of a recording made now; may come again")
    parser.add_argument("--times", type=int, default=1000, help="random times at which books are compared")
    args = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        vaults = args.vault or [recorded(Path(folder) / "recorded"), without_changes(Path(folder))]
        for number, path in enumerate(vaults):
            for consumer in CONSUMERS:
                said = judged(consumer, path, Path(folder) / f"{number}", args.times)
                print(f"{path.name}, {consumer.name}: {said or 'equal'}", flush=True)
                failed += bool(said)
            clients = {"nautilus_trader's Tardis Machine client": machine_judged, "tardis-dev, live": live_judged}
            for name, judge in clients.items():
                said = judge(path, Path(folder) / f"{number}", args.times)
                print(f"{path.name} by l2vault replay, {name}: {said or 'equal'}", flush=True)
                failed += bool(said)
        said = sim_judged()
        print(f"l2vault sim, tardis-dev, live: {said or 'equal'}", flush=True)
        failed += bool(said)
        for tool, requirements in ((HFTBACKTEST[0], HFTBACKTEST), (NAUTILUS[0], NAUTILUS)):
            said = page_runs(tool.partition("==")[0], requirements, vaults[0], Path(folder) / "page")
            print(f"docs/exports.md with {tool}: {said or 'every block runs'}", flush=True)
            failed += bool(said)
    return 1 if failed else 0


def page_runs(tool: str, requirements: tuple[str, ...], vault: Path, folder: Path) -> str:
    """What is wrong with the page's blocks for a tool, and with the example; empty if nothing is."""
    place = venv_of(tool, requirements)
    if place.python is None:
        return place.reason
    folder.mkdir(exist_ok=True)
    page = (ROOT / "docs" / "exports.md").read_text(encoding="utf-8")
    blocks = [code for _, code in re.findall(r"^```(\w+)\n(.*?)^```$", page, re.M | re.S)]
    forms = {"hftbacktest": ("hftbacktest", "tardis-csv"), "nautilus_trader": ("nautilus", "tardis-csv")}[tool]
    for form in forms:
        (line,) = [code.strip() for code in blocks if f"l2vault export {form} " in code]
        out = folder / line.split()[-1]
        if not out.exists():
            own(str(place.python), [*line.split()[1:-1], str(out), "--vault", str(vault)])
    scripts = [["-c", code] for code in blocks if f"from {tool}" in code]
    if tool == "hftbacktest":
        scripts.append([str(ROOT / "examples" / "backtest.py"), str(vault), INST])
    for script in scripts:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        words = [str(place.python), *script]
        ran = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if ran.returncode:
            return ran.stderr[-2000:]
    return ""


def recorded(path: Path) -> Path:
    """A vault with every change and trade, a lost message and a broken connection, in real time."""
    sim = [sys.executable, "-m", "l2vault", "sim", "--quiet", "--exit-with-stdin", "--inst", INST, "--faults", FAULTS]
    with subprocess.Popen(sim, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as exchange:
        assert exchange.stdin is not None and exchange.stdout is not None
        try:
            urls = json.loads(exchange.stdout.readline())
            words = ["record", "--inst", INST, "--changes", "--feeds", "1", "--duration", str(RECORD_SEC)]
            words += ["--vault", str(path), "--log-file", str(path.with_suffix(".log"))]
            own(sys.executable, [*words, "--ws-url", urls["ws_url"], "--rest-url", urls["rest_url"]])
        finally:
            exchange.stdin.close()
    return path


def without_changes(folder: Path) -> Path:
    """The same recording as it would be without the setting `changes`."""
    import shutil

    path = folder / "sampled"
    shutil.copytree(folder / "recorded", path, ignore=shutil.ignore_patterns("book_changes"))
    return path


def judged(consumer: Consumer, vault: Path, folder: Path, times: int) -> str:
    """What is wrong, in a sentence; empty if nothing is."""
    place = venv_of(consumer.requirements[0].partition("==")[0], consumer.requirements)
    if place.python is None:
        return place.reason
    out = folder / consumer.form
    if not out.exists():
        python = str(place.python) if consumer.form == "nautilus" else sys.executable
        own(python, ["export", consumer.form, INST, "--vault", str(vault), "--out", str(out)])
    label = json.loads((out / "coverage.json").read_text(encoding="utf-8"))
    asked = _times(out, consumer, label, times)
    question = folder / "question.json"
    answer = _ask(place, consumer, out, question, [ns for ns, _ in asked], label)
    return _compared(open_vault(vault), answer, [ms for _, ms in asked])


def machine_judged(vault: Path, folder: Path, times: int) -> str:
    """nautilus_trader's Tardis Machine client, of whole days as it asks for them. What is wrong; empty if nothing."""
    place = venv_of(NAUTILUS[0].partition("==")[0], NAUTILUS)
    if place.python is None:
        return place.reason
    label = json.loads((folder / "nautilus" / "coverage.json").read_text(encoding="utf-8"))
    first, last = (utc_ms(label[key]) for key in ("from", "to"))
    days = {"first_day": utc_text(first)[:10], "day_after": utc_text(last - 1 + DAY_MS)[:10]}
    with serving("replay", "--vault", str(vault)) as urls:
        span = {"from": days["first_day"], "to": days["day_after"], "symbols": [INST], "exchange": "okex-swap"}
        # Of the types that it asks for: of fewer, times of receipt are put in order less often.
        messages = normalized(urls["rest_url"], span | {"dataTypes": MACHINE_TYPES})
        received = sorted(
            (utc_micros(each["localTimestamp"]) * 1000, utc_ms(each["timestamp"]))
            for each in messages
            if each["type"] == "book_change"
        )
        asked = _at_random(received, times)
        question = {
            "url": urls["ws_url"].rpartition("/ws/")[0],
            "trades": _sized_trades(vault, days),
            "times_ns": [ns for ns, _ in asked],
            "inst_id": INST,
            "types": MACHINE_TYPES,
        }
        path = folder / "machine.json"
        path.write_text(json.dumps(question | days | label["instrument"]), encoding="utf-8")
        words = [str(place.python), str(ROOT / "benchmarks" / "consumer_machine.py"), str(path)]
        ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=WITHIN_SEC)
    if ran.returncode:
        return ran.stderr[-3000:]
    # It cuts amounts, which it reads as floats, to whole lots: 145262.61 becomes 145262.6.
    lot = float(label["instrument"]["lot_size"])
    return _compared(open_vault(vault), json.loads(ran.stdout.splitlines()[-1]), [ms for _, ms in asked], lot)


def _sized_trades(vault: Path, days: dict[str, str]) -> int:
    span = as_ms(days["first_day"]), as_ms(days["day_after"])
    rows = TradeReader(Layout(vault)).rows(INST, span, print)
    return sum(row.size is not None for row in rows)


def live_judged(vault: Path, folder: Path, times: int) -> str:
    """tardis-dev on the replay as OKX: its book after each push is that of the vault, and each hole a disconnect."""
    opened = open_vault(vault)
    with serving("replay", "--vault", str(vault), "--speed", "max") as urls:
        found, reason = tardis_dev(urls["ws_url"], 1 << 30)
    if reason:
        return reason
    books = [each for each in found if each["type"] == "book"]
    compared = 0
    for each in random.Random(_SEED).sample(books, min(times, len(books))):
        wanted = known_book(opened, INST, each["ts"])
        # The last book before a hole is still pushed in the very millisecond in which the hole begins.
        if wanted != ({}, {}) and tuple(dict(side) for side in each["sides"]) != wanted:
            return f"another book at {utc_text(each['ts'])}"
        compared += wanted != ({}, {})
    holes = len(opened.coverage(INST, opened.first_line_ms(INST) or 0, (opened.newest_line_ms(INST) or 0) + 1).holes)
    last = max(number for number, each in enumerate(found) if each["type"] != "disconnect")
    kinds = Counter(each["type"] for each in found[:last])
    if not (kinds["disconnect"] == holes > 0 and kinds["trade"] > 100 and compared > 30):
        return f"{dict(kinds)} before its end, {compared} books compared, where the vault has {holes} holes"
    return ""


def sim_judged() -> str:
    """tardis-dev on the built-in exchange: its books are those that REST gives of the same time."""
    by_rest: dict[int, tuple[dict[float, float], ...]] = {}
    with serving("sim", "--inst", INST) as urls:
        child = tardis_dev_child(urls["ws_url"], SIM_BOOKS)
        if isinstance(child, str):
            return child
        with child:
            assert child.stdout is not None
            found = []
            for line in child.stdout:
                found.append(json.loads(line))
                if found[-1]["type"] == "book" and len(found) % 10 == 0:
                    with urlopen(f"{urls['rest_url']}/api/v5/market/books?instId={INST}&sz=400") as answer:
                        (row,) = json.load(answer)["data"]
                    sides = [{float(level[0]): float(level[1]) for level in row[side]} for side in ("bids", "asks")]
                    by_rest[int(row["ts"])] = tuple(sides)
    books = {each["ts"]: tuple(dict(side) for side in each["sides"]) for each in found if each["type"] == "book"}
    compared = [ts for ts in by_rest if ts in books]
    wrong = [ts for ts in compared if books[ts] != by_rest[ts]]
    trades = sum(each["type"] == "trade" for each in found)
    if wrong or len(compared) < 5 or not trades or len(books) < SIM_BOOKS - 5:
        return f"{len(wrong)} of {len(compared)} books differ from REST's; {len(books)} books, {trades} trades"
    return ""


@contextmanager
def serving(*words: str) -> Iterator[dict[str, str]]:
    """A verb that serves until it is ended, and its addresses."""
    command = [sys.executable, "-m", "l2vault", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.terminate()


def normalized(url: str, options: dict[str, object]) -> list[dict[str, Any]]:
    with urlopen(f"{url}/replay-normalized?options={quote(json.dumps(options))}") as answer:
        return [json.loads(line) for line in answer]


def tardis_dev(url: str, books: int) -> tuple[list[dict[str, Any]], str]:
    """What it makes of a server's messages until that ends, and what is wrong."""
    child = tardis_dev_child(url, books)
    if isinstance(child, str):
        return [], child
    out, _ = child.communicate(timeout=WITHIN_SEC)
    return [json.loads(line) for line in out.splitlines()], "" if child.returncode == 0 else f"exit {child.returncode}"


def tardis_dev_child(url: str, books: int) -> "subprocess.Popen[str] | str":
    """Or the reason why there is none."""
    place = npm_of("tardis-dev", TARDIS_DEV)
    if place.folder is None:
        return place.reason
    script = ROOT / "benchmarks" / "consumer_tardis_dev.mjs"
    environment = {**os.environ, "WSS_URL_OKEX_SWAP": url}
    words = ["node", str(script), str(place.folder), INST, str(books)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)


def own(python: str, words: Sequence[str]) -> None:
    """Our own command line, under an interpreter."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([python, "-m", "l2vault", *words], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


def _ask(
    place: Place, consumer: Consumer, out: Path, question: Path, times: list[int], label: dict[str, dict[str, str]]
) -> list[list[dict[str, float]]]:
    """Books of the tool, by price, at its own times."""
    asked = {"folder": str(out), "form": consumer.form, "inst_id": INST, "times_ns": times, **label["instrument"]}
    question.write_text(json.dumps(asked), encoding="utf-8")
    script = ROOT / "benchmarks" / consumer.script
    ran = subprocess.run([str(place.python), str(script), str(question)], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{consumer.name} failed:\n{ran.stderr[-3000:]}")
    found: list[list[dict[str, float]]] = json.loads(ran.stdout.splitlines()[-1])
    return found


def _times(out: Path, consumer: Consumer, label: dict[str, object], count: int) -> list[tuple[int, int]]:
    """Times by the tool's clock in nanoseconds, each with the exchange's in milliseconds whose book it must show."""
    return _at_random(sorted(_received(out, consumer)), count)


def _at_random(received: list[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """Random times of receipt, each with the exchange's of the last event received by then."""
    rng = random.Random(_SEED)
    first, last = received[0][0], received[-1][0]
    asked = sorted(rng.randrange(first, last) for _ in range(count))
    local = np.array([ns for ns, _ in received])
    return [(ns, received[int(np.searchsorted(local, ns, side="right")) - 1][1]) for ns in asked]


def _received(out: Path, consumer: Consumer) -> Iterator[tuple[int, int]]:
    """Receive time in nanoseconds and exchange time in milliseconds of each row of the books."""
    if consumer.form == "hftbacktest":
        for path in sorted(out.glob("*.npz")):
            data = np.load(path)["data"]
            kinds = np.isin(data["ev"] & 0xFF, _BOOK_KINDS) & (data["ev"] & _LOCAL > 0)
            yield from zip(
                data["local_ts"][kinds].tolist(), (data["exch_ts"][kinds] // 1_000_000).tolist(), strict=True
            )
    elif consumer.form == "tardis-csv":
        from support.exported import csv_rows

        for path in sorted(out.glob("*incremental*")):
            for row in csv_rows(path):
                yield int(row["local_timestamp"]) * 1000, int(row["timestamp"]) // 1000
    else:
        import pyarrow.parquet as pq

        for path in sorted(out.glob("data/order_book_delta*/*/*.parquet")):
            table = pq.read_table(path, columns=["ts_init", "ts_event"])
            yield from zip(
                table["ts_init"].to_pylist(), (ns // 1_000_000 for ns in table["ts_event"].to_pylist()), strict=True
            )


def _compared(vault: Vault, books: list[list[dict[str, float]]], times_ms: list[int], within: float = 0) -> str:
    """What is wrong; quantities may be less than the vault's by `within`."""
    empty = 0
    for sides, t_ms in zip(books, times_ms, strict=True):
        found = tuple({float(price): qty for price, qty in side.items()} for side in sides)
        wanted = known_book(vault, INST, t_ms)
        empty += not wanted[0]
        if not all(map(partial(_is_alike, within), found, wanted)):
            counts = [len(side) for side in (*found, *wanted)]
            return f"another book at {utc_text(t_ms)}: {counts[:2]} levels, where the vault has {counts[2:]}"
    if not 0 < empty < len(times_ms):
        return f"{empty} of {len(times_ms)} times lie in holes: nothing is compared"
    return ""


def _is_alike(within: float, found: dict[float, float], wanted: dict[float, float]) -> bool:
    if not within:
        return found == wanted
    return found.keys() == wanted.keys() and all(-1e-6 < wanted[key] - found[key] < within + 1e-6 for key in wanted)


if __name__ == "__main__":
    sys.exit(main())
