"""A vault that somebody wishes ill: journal, data files, rows and folders changed at random, by a seed.

`vault_of` makes a small vault of both journal forms and all forms of hours; `spoil` changes it; `read_all` asks every
reading verb and the public door about what is left, and returns what ended in anything but an answer.
"""

import gzip
import io
import json
import logging
import os
import re
import shutil
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from itertools import islice
from pathlib import Path
from random import Random
from typing import Final

import l2vault
from l2vault import cli
from l2vault.book.utc import utc_text
from l2vault.errors import UsageError, VaultError
from l2vault.vault.archive.write import archive_hour
from l2vault.vault.journal import events as noted
from l2vault.vault.journal.log import verb_journal
from l2vault.vault.journal.places import closed_hours, newest_place, previous_run
from l2vault.vault.reading.follow import Follow
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import HOUR_AT_MS, INST, at, journal_v1_of, line, lost, put, started, synced
from support.vaults import good_vault

FORMER: Final = -24 * HOUR_MS
"""Where the hour of version 0.1 stands, from the first hour of the others on."""
SPARSE_BYTES: Final = int(os.environ.get("L2_SPARSE_BYTES", 1 << 26))
"""The holes put into files; a run by hand takes a gigabyte."""
DEEP: Final = 100_000

_TEXTS: Final = (
    *(
        "",
        "\0",
        " ",
        "x" * 300_000,
        "../../../etc/passwd",
        "BTC-USDT-SWAP/../..",
        "\x1b[2J\n",
        "NaN",
        "1e400",
        "\ud800",
    ),
    *("9999-12-31T23:59:59.999Z", "9999-12-30T00:00:00.000Z", "0001-01-01T00:00:00.000Z", "1969-12-31T23:59:59.999Z"),
    *("2024-08-20T03:00:60.000Z", "2024-02-30T00:00:00.000Z", "2024-08-20T03:00:00Z", "2024-08-20T03:00:00.000+00:00"),
    *(utc_text(HOUR_AT_MS), utc_text(HOUR_AT_MS + FORMER), utc_text(HOUR_AT_MS + 70_000), "a" * 12),
)
_VALUES: Final = (
    *(None, True, -1, 0, 1, 2, 1.5, -0.0, 1e308, 1 << 31, (1 << 63) - 1, 1 << 63, -(1 << 63) - 1, 1 << 80, 10**400),
    *([], {}, [[]], [None], {"": None}, [["1", "1", "0", "1"]] * 3, ["1", "1", "0"], *_TEXTS),
)

Spoil = Callable[[Path, Random], None]
KINDS: Final[dict[str, Spoil]] = {}


def vault_of(root: Path) -> Layout:
    """An hour that version 0.1 recorded, then three of form 2: one archived, one compressed, one plain."""
    layout = good_vault(root)
    put(layout, [line(FORMER + nth * 2_000) for nth in range(60)])
    slots = [
        noted.Slots(at(FORMER + minute * 60_000), {INST: 30}, {INST: at(FORMER + minute * 60_000)}, {})
        for minute in (1, 2)
    ]
    journal_v1_of(layout, started(FORMER), synced(FORMER), *slots, noted.Alive(at(FORMER + 121_000)))
    journal_v1_of(layout, lost(FORMER + 121_000, "our_restart"), noted.Stopped(at(FORMER + 121_000), "asked to stop"))
    verb = verb_journal(layout, "archive", lambda: at(9 * HOUR_MS), lambda: 1)
    first = layout.hour_file(INST, HOUR_AT_MS)
    file = layout.parse_hour_file(first)
    assert file is not None
    archive_hour(layout, file)
    first.unlink()
    for action in ("archive", "delete"):
        verb.append(noted.Retained(at(9 * HOUR_MS), action, first.relative_to(root).as_posix(), "asked", 1, 0))
    packed = layout.hour_file(INST, HOUR_AT_MS + HOUR_MS)
    packed.with_name(f"{packed.name}.gz").write_bytes(gzip.compress(packed.read_bytes()))
    packed.unlink()
    return layout


def spoil(root: Path, seed: int) -> list[str]:
    """Between one and four changes; their names, to be read in a complaint."""
    rng = Random(seed)
    names = [rng.choice(sorted(KINDS)) for _ in range(rng.choice((1, 1, 2, 4)))]
    for name in names:
        with suppress(OSError):  # what it would change was changed already
            KINDS[name](root, rng)
    return names


def _kind(change: Spoil) -> Spoil:
    KINDS[change.__name__] = change
    return change


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def _any(root: Path, rng: Random) -> Path:
    """A file: of the journal as often as any other."""
    journal = [path for path in _files(root) if path.parent.name == "journal"]
    files = journal if journal and rng.random() < 0.5 else _files(root)
    if not files:
        raise FileNotFoundError
    return rng.choice(files)


def _with_json(root: Path, rng: Random) -> Path:
    files = [path for path in _files(root) if path.suffix in (".jsonl", ".gz", ".json")]
    journal = [path for path in files if path.parent.name == "journal"]
    if not files:
        raise FileNotFoundError
    return rng.choice(journal if journal and rng.random() < 0.6 else files)


def _edit(path: Path, edit: Callable[[bytes], bytes]) -> None:
    data = path.read_bytes()
    if path.suffix == ".gz":
        with suppress(OSError, EOFError):
            data = gzip.compress(edit(gzip.decompress(data)))
    else:
        data = edit(data)
    path.write_bytes(data)


def _edit_lines(path: Path, edit: Callable[[list[bytes]], object]) -> None:
    def edited(data: bytes) -> bytes:
        lines = data.split(b"\n")
        edit(lines)
        return b"\n".join(lines)

    _edit(path, edited)


@_kind
def truncated(root: Path, rng: Random) -> None:
    path = _any(root, rng)
    os.truncate(path, rng.randrange(path.stat().st_size + 1))


@_kind
def flipped(root: Path, rng: Random) -> None:
    path = _any(root, rng)
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 3, 30))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


@_kind
def zeroed(root: Path, rng: Random) -> None:
    """Zeros over a piece, or put in."""
    path = _any(root, rng)
    data = path.read_bytes()
    start = rng.randrange(len(data) + 1)
    size = rng.choice((1, 24, 4096))
    path.write_bytes(data[:start] + bytes(size) + data[start + (size if rng.random() < 0.5 else 0) :])


@_kind
def sparse(root: Path, rng: Random) -> None:
    """A file that is a hole of zeros at its end, or a line that is one between others."""
    path = _any(root, rng)
    data = path.read_bytes()
    os.truncate(path, len(data) + SPARSE_BYTES)
    if rng.random() < 0.5:
        with path.open("ab") as file:
            file.write(b"\n" + data)


@_kind
def replaced_by_a_folder(root: Path, rng: Random) -> None:
    path = _any(root, rng)
    path.unlink()
    path.mkdir()
    if rng.random() < 0.5:
        (path / "00.jsonl").write_bytes(b"{}\n")


@_kind
def replaced_by_a_link(root: Path, rng: Random) -> None:
    path = rng.choice([_any(root, rng), root / "meta/okx/journal", root / "raw/okx/l2_perps" / INST])
    targets = [path, root, root / "nowhere", Path(os.devnull), _any(root, rng)]
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    path.symlink_to(rng.choice(targets))


@_kind
def replaced_by_a_pipe(root: Path, rng: Random) -> None:
    path = _any(root, rng)
    path.unlink()
    if hasattr(os, "mkfifo"):
        os.mkfifo(path)


@_kind
def folder_replaced_by_a_file(root: Path, rng: Random) -> None:
    folders = sorted(path for path in root.rglob("*") if path.is_dir())
    path = rng.choice(folders)
    shutil.rmtree(path)
    path.write_bytes(rng.choice((b"", b"{}\n", b"\0" * 100)))


@_kind
def removed(root: Path, rng: Random) -> None:
    path = rng.choice(sorted(root.rglob("*")))
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


@_kind
def swapped(root: Path, rng: Random) -> None:
    one, other = _any(root, rng), _any(root, rng)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


@_kind
def misnamed(root: Path, rng: Random) -> None:
    path = _any(root, rng)
    names = ("9999-12-31", "0000-00-00", "1970-01-01", "2024-02-30", "2024-08-20")
    hour = rng.choice(("00", "23", "99", "07"))
    target = {
        "journal": root / "meta/okx/journal" / f"{rng.choice(names)}.jsonl",
        "data": root / "raw/okx/l2_perps" / INST / rng.choice(names) / f"{hour}.jsonl{'.gz' * (path.suffix == '.gz')}",
        "other": root
        / "raw/okx/l2_perps"
        / rng.choice(("..SWAP", "a b", "X" * 200, "ETH-USDT-SWAP"))
        / "2024-08-20/03.jsonl",
    }[rng.choice(("journal", "data", "other"))]
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


@_kind
def lines_shuffled(root: Path, rng: Random) -> None:
    def shuffle(lines: list[bytes]) -> None:
        if rng.random() < 0.5:
            rng.shuffle(lines)
        elif lines:
            lines.insert(rng.randrange(len(lines)), rng.choice(lines))
            del lines[rng.randrange(len(lines))]

    _edit_lines(_with_json(root, rng), shuffle)


@_kind
def rubbish_between(root: Path, rng: Random) -> None:
    rubbish = rng.choice(
        (
            *(b"", b"\r", b"{}", b"[]", b"null", b'"x"', b"{", b"\xff\xfe", b'{"event":5}', b'{"event":"alive"}'),
            *(
                b"[" * DEEP,
                b'{"event":' * DEEP,
                b'{"event":"lost","x":' + b"[" * DEEP + b"]" * DEEP + b"}",
                b"9" * 10_000,
            ),
            *(
                b'{"timestamp_utc":"' + b"9" * 24,
                b'{"event":"alive","at":"9999-12-31T23:59:59.999Z"}',
                b"x" * 3_000_000,
            ),
        )
    )
    _edit_lines(_with_json(root, rng), lambda lines: lines.insert(rng.randrange(len(lines) + 1), rubbish))


@_kind
def a_value_changed(root: Path, rng: Random) -> None:
    """Somewhere in one line: another value, of another type or size, or none, or a key twice."""

    def change(lines: list[bytes]) -> None:
        place = rng.randrange(len(lines))
        with suppress(ValueError):
            whole = json.loads(lines[place])
            _change_in(whole, rng)
            lines[place] = json.dumps(whole, separators=(",", ":")).encode()
            if rng.random() < 0.2:
                lines[place] = lines[place][:-1] + b",%b" % lines[place][1:]

    _edit_lines(_with_json(root, rng), change)


def _change_in(value: object, rng: Random) -> None:
    if isinstance(value, dict) and value:
        key = rng.choice(sorted(value))
        if isinstance(value[key], dict | list) and value[key] and rng.random() < 0.8:
            _change_in(value[key], rng)
        elif rng.random() < 0.2:
            del value[key]
        else:
            value[key] = rng.choice(_VALUES)
    elif isinstance(value, list) and value:
        place = rng.randrange(len(value))
        if isinstance(value[place], dict | list) and value[place] and rng.random() < 0.8:
            _change_in(value[place], rng)
        else:
            value[place] = rng.choice(_VALUES)


@_kind
def one_key_changed_everywhere(root: Path, rng: Random) -> None:
    """The same key, of whatever depth, in every line of a file."""
    value = json.dumps(rng.choice(_VALUES)).encode()

    def change(data: bytes) -> bytes:
        keys = sorted(set(re.findall(rb'"([^"]{1,40})":', data)))
        lead = b'"%b":' % (rng.choice(keys) if keys else b"at")
        head, *rest = data.split(lead)
        parts = [value + part[_end_of_value(part) :] for part in rest]
        return lead.join([head, *parts])

    _edit(_with_json(root, rng), change)


def _end_of_value(text: bytes) -> int:
    if text[:1] == b'"':
        return text.find(b'"', 1) + 1
    return next((at for at, byte in enumerate(text) if byte in b",}]\n"), 0)


@_kind
def runs_in_circles(root: Path, rng: Random) -> None:
    """Every run names one of the others, or itself, as the one before it; places stand twice."""
    for path in [each for each in _files(root) if each.parent.name == "journal"]:
        names = ["a" * 12, "b" * 12, "c" * 12]

        def change(lines: list[bytes], names: list[str] = names) -> None:
            for place, text in enumerate(lines):
                with suppress(ValueError):
                    event = json.loads(text)
                    if not isinstance(event, dict):
                        continue
                    event |= {"run": rng.choice(names), "n": rng.choice((1, 1, 2, 3, 10**14)), "mono_ms": 1}
                    if event.get("event") == "started" or rng.random() < 0.1:
                        event |= {"previous_run": rng.choice(names), "previous_n": rng.choice((0, 1, 10**14))}
                    run, n, mono = event.pop("run"), event.pop("n"), event.pop("mono_ms")
                    lines[place] = json.dumps(
                        {**event, "run": run, "n": n, "mono_ms": mono}, separators=(",", ":")
                    ).encode()

        _edit_lines(path, change)


class _Ended(Exception):
    """There is nothing more to follow."""


START, END = utc_text(HOUR_AT_MS), utc_text(HOUR_AT_MS + 2 * HOUR_MS + 80_000)
VERBS: Final = (
    ["ls"],
    ["ls", "--json"],
    ["verify", "--chain"],
    ["coverage"],
    ["coverage", INST, "--by", "hour", "--json"],
    ["show", INST],
    ["show", INST, "--at", utc_text(HOUR_AT_MS + 45_000)],
    ["watch", INST, "--once"],
    ["walls", INST, "--from", START, "--to", END, "--min-size", "1"],
    ["depth", INST, "--last", "1h"],
    ["retain", "--dry-run"],
)


def read_all(root: Path) -> Iterator[str]:
    """What ended in anything but an answer or a refusal that says why."""
    logger = logging.getLogger("l2vault")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        for words in VERBS:
            yield from _complaint(" ".join(words), lambda words=words: _verb([*words, "--vault", str(root)]))
        for ask in (_door, _journal, _follow):
            yield from _complaint(ask.__name__, lambda ask=ask: ask(root))
    finally:
        logger.setLevel(level)


def _complaint(name: str, ask: Callable[[], object]) -> Iterator[str]:
    try:
        ask()
    except (VaultError, UsageError):
        return
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is a finding
        if isinstance(error, KeyboardInterrupt):
            raise
        where = "".join(traceback.format_tb(error.__traceback__)[-3:])
        yield f"{name}: {type(error).__name__}: {str(error)[:300]}\n{where}"


def _verb(words: list[str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.main(words)
    if code not in (0, 1, 2) or "Traceback" in err.getvalue():
        raise AssertionError(f"exit code {code}: {err.getvalue()[-500:]}")
    if code == 1 and not out.getvalue() and not err.getvalue().strip():
        raise AssertionError("exit code 1 without a word")


def _door(root: Path) -> None:
    """The public door, all of what is there."""
    vault = l2vault.open(root)
    repr(vault)
    for inst_id in vault.instruments:
        for ask in (
            lambda inst_id=inst_id: repr(vault.coverage(inst_id)),
            lambda inst_id=inst_id: list(vault.snapshots(inst_id)),
            lambda inst_id=inst_id: vault.books(inst_id).walls().frame,
            lambda inst_id=inst_id: vault.book_at(inst_id, HOUR_AT_MS + HOUR_MS + 30_000),
            lambda inst_id=inst_id: vault.levels(inst_id).to_arrow(),
        ):
            with suppress(VaultError, UsageError):
                ask()


def _journal(root: Path) -> None:
    """What a recorder reads of the journal when it starts; an error of the file system stops it, and says so."""
    layout = Layout(root)
    for ask in (previous_run, newest_place, closed_hours):
        with suppress(OSError):
            ask(layout)


def _follow(root: Path) -> None:
    looks = iter(range(6))

    def sleep(seconds: float) -> None:
        if next(looks, None) is None:
            raise _Ended

    for since_ms in (None, HOUR_AT_MS + FORMER):
        following = Follow(Layout(root), INST, since_ms, 0.0, sleep)
        with suppress(_Ended):
            for _ in islice(following, 10_000):
                pass
        looks = iter(range(6))
