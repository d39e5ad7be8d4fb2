"""`make soak` in small: it runs, judges every line, and tells a wrong one and what grows."""

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from soak import Sample, _wrong_lines, complaints, soak  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of exchange time, at a pace that is kept where other tests have the cores."""
    made = tmp_path_factory.mktemp("soak")
    asyncio.run(soak(0.017, 15, made))
    return made


def test_every_line_is_a_book_that_the_exchange_had(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _wrong_lines(folder) == []
    said, wrong = capsys.readouterr().out.split("; of another book than the exchange had: ")
    assert int(said.removeprefix("lines read: ")) > 40
    assert int(wrong) == 0


def test_a_line_of_another_book_is_named(folder: Path) -> None:
    path = max(folder.rglob("l2_perps/BTC-USDT-SWAP/*/*.jsonl"), key=lambda each: each.stat().st_size)
    before = path.read_bytes()
    lines = before.splitlines(keepends=True)
    level = lines[2].index(b'"bids_top400":[["') + len(b'"bids_top400":[["')
    lines[2] = lines[2][:level] + b"9" + lines[2][level:]
    try:
        path.write_bytes(b"".join(lines))
        assert f"{path}: line 3 is no book that the exchange had" in _wrong_lines(folder)
    finally:
        path.write_bytes(before)


def test_what_grows_is_a_complaint(folder: Path) -> None:
    samples = [Sample(100.0 + hour, 1000, 40, 20 + hour) for hour in range(20)]
    assert [each.split(" grew")[0] for each in complaints(samples, folder) if "grew" in each] == ["tasks"]
