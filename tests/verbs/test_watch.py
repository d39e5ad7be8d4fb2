"""`l2vault watch`: the page as text, and the terminal as it was left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from l2vault import cli
from l2vault.analytics.standing_walls import SizedBook, SizedSide
from l2vault.vault.reading.vault import open_vault
from l2vault.verbs import watch as verb
from l2vault.verbs.watch import COLUMNS, LINES, Watched
from support.example_vault import make_example_vault
from support.hours import HOUR_AT_MS, INST
from support.market_vault import HOLE, SECONDS, MarketVault

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def made(tmp_path: Path) -> MarketVault:
    return MarketVault(tmp_path / "Vault")


def watched(made: MarketVault, least: float | None = 5_000_000) -> Watched:
    return Watched(open_vault(made.layout.root), INST, least)


def text(page: list[list[tuple[str, str]]]) -> list[str]:  # type: ignore[type-arg]
    return ["".join(piece[0] for piece in line).rstrip() for line in page]


def test_once_prints_the_newest_book_its_walls_and_trades_in_80_columns_and_needs_no_terminal(
    made: MarketVault, capsys: pytest.CaptureFixture[str]
) -> None:
    made.write(100)
    assert cli.main(["watch", "--vault", str(made.layout.root), "--once", "--min-size", "5M"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert len(lines) <= LINES and all(len(line) <= COLUMNS for line in lines) and "\x1b" not in out
    assert lines[0].startswith(f"{INST}  2024-08-20 03:01:40 UTC") and "NOT CURRENT" in lines[0]
    assert lines[1] == "mid 60000   spread 2 (0.333 bps)   imbalance +0.00 of 1 -0.97 of 10 -0.97 of 50"
    (rung,) = [line for line in lines if line.startswith("ask      60050")]
    assert rung.startswith("ask      60050   6.00 M   6.10 M     3*######")
    assert any("ask 60050" in line and "8.3 bps" in line for line in lines)
    assert any("since  03:01:00 UTC, placed" in line for line in lines)
    assert out.index("03:01:39.5 buy  60001         600") < out.index("03:01:38.5 buy"), "newest first"
    assert [line.split()[1] for line in lines if line.startswith("bid")] == ["59999", "59990"]


def test_new_lines_are_on_the_next_page_and_a_hole_is_said(made: MarketVault) -> None:
    made.write(40)
    view = watched(made)
    assert not view.take_new()
    assert any("none stands" in line for line in text(view.page(HOUR_AT_MS + 41_000, LINES)))
    made.write(70)
    assert view.take_new()
    page = text(view.page(HOUR_AT_MS + 71_000, LINES))
    assert "1 s ago" in page[0] and "NOT CURRENT" not in page[0]
    assert any("ask 60050" in line for line in page) and any("since  03:01:00" in line for line in page)
    made.write(130)
    assert view.take_new()
    assert any("none stands" in line for line in text(view.page(HOUR_AT_MS + 131_000, LINES)))
    made.write(HOLE[0] + 4)
    view.take_new()
    assert "NOT CURRENT" in text(view.page(HOUR_AT_MS + (HOLE[0] + 5) * 1000, LINES))[0]
    made.write(SECONDS)
    view.take_new()
    page = text(view.page(HOUR_AT_MS + SECONDS * 1000, LINES))
    assert "NOT CURRENT" not in page[0]
    assert any("since <03:10:00 UTC, found" in line for line in page), "nobody knows what stood in the hole"


@pytest.mark.parametrize("lines", [6, 10, 24, 60])
def test_a_page_is_no_longer_than_the_terminal(made: MarketVault, lines: int) -> None:
    made.write(100)
    page = text(watched(made).page(HOUR_AT_MS + 100_000, lines))
    assert len(page) <= lines and any(line.startswith("ask") for line in page)


def test_without_a_wall_size_what_stands_out_of_the_book_is_one(made: MarketVault) -> None:
    made.write(100)
    assert any("walls of 6 M or more" in line for line in text(watched(made, None).page(HOUR_AT_MS, LINES)))


def test_without_a_terminal_and_without_the_extra_it_says_what_to_do(
    made: MarketVault, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made.write(10)
    monkeypatch.setitem(sys.modules, "rich.live", None)
    assert cli.main(["watch", "--vault", str(made.layout.root)]) == 1
    assert "needs the watch extra" in capsys.readouterr().err
    monkeypatch.undo()
    pytest.importorskip("rich")
    assert cli.main(["watch", "--vault", str(made.layout.root)]) == 2
    assert f"l2vault watch {INST} --once" in capsys.readouterr().err


def test_the_page_of_the_document_is_that_of_the_example_vault(tmp_path: Path) -> None:
    vault = open_vault(make_example_vault(tmp_path / "Vault"))
    newest_ms = vault.newest_line_ms(INST)
    assert newest_ms is not None
    page = Watched(vault, INST, None).page(newest_ms + 1_000, LINES)
    document = (ROOT / "docs" / "watch.md").read_text(encoding="utf-8")
    assert "\n".join(text(page)) in document


def test_a_vault_without_a_book_is_refused(made: MarketVault, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["watch", "--vault", str(made.layout.root), "--once"]) == 1
    assert "no books yet" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo terminals are of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_terminal_is_as_it_was_when_it_is_stopped(made: MarketVault, name: str) -> None:
    pytest.importorskip("rich")
    import pty
    import signal
    import termios

    made.write(100)
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    words = [sys.executable, "-m", "l2vault", "watch", INST, "--vault", str(made.layout.root)]
    environment = os.environ | {"TERM": "xterm", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    environment |= {"COLUMNS": "80", "LINES": "24"}
    child = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=made.layout.root)
    try:
        seen = _read_until(ours, b"03:01:00 UTC")
        assert b"\x1b[?1049h" in seen and b"\x1b[?25l" in seen, "on a screen of its own, without a cursor"
        made.write(130)
        _read_until(ours, b"none stands")
        child.send_signal(getattr(signal, name))
        rest = _read_until(ours, b"\x1b[?25h")
        assert child.wait(20) == 0
        assert b"\x1b[?1049l" in rest
        assert termios.tcgetattr(theirs) == before
        assert b"Traceback" not in rest
    finally:
        child.kill()
        child.wait()
        os.close(ours)
        os.close(theirs)


def _read_until(terminal: int, wanted: bytes) -> bytes:
    """Everything up to it; the test's own time limit ends a wait in vain."""
    import select

    seen = b""
    while wanted not in seen:
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, seen[-2000:]
        seen += os.read(terminal, 65536)
    return seen


def test_what_stands_out_is_told_of_all_the_books_and_not_of_one_alone() -> None:
    """One book has an order among its largest hundredth that none of the others has."""

    def book(largest: float) -> SizedBook:
        sizes = {price: 1.0 + price % 7 for price in range(240)} | dict.fromkeys((3.5, 4.5, 5.5), largest)
        return SizedBook(0, SizedSide(sizes, False), SizedSide({}, False))

    usual, odd = book(9.0), book(5000.0)
    assert verb._standing_out([odd]) > 1e9
    assert verb._standing_out([*[usual] * 300, odd]) == pytest.approx(verb._standing_out([usual]))


def test_of_books_of_few_levels_the_largest_is_what_stands_out_however_many_books_there_are() -> None:
    few = SizedBook(0, SizedSide({price: 1.0 + price for price in range(20)}, False), SizedSide({}, False))
    assert verb._standing_out([few] * 300) == 20
