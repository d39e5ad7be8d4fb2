"""The results page: its arithmetic is right, its verdicts follow, and what could not be run is told, not left out."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from bench_feed import CONTENDERS, Fed, Runs, sizes_table  # noqa: E402
from bench_job import Job  # noqa: E402
from bench_reading import BOOK, OURS, TABLE  # noqa: E402
from bench_storage import Storage  # noqa: E402
from material import Feed, cut  # noqa: E402
from pages import APPEND, GZIP, LISTS, RETENTION, Findings, page, targets  # noqa: E402
from report import Target, percentile, ratio, spread, table  # noqa: E402

from l2vault.book.book import Book  # noqa: E402
from l2vault.book.change import BookChange  # noqa: E402

SCRIPTS = sorted([*BENCHMARKS.glob("*.py"), *BENCHMARKS.glob("feed/*.py")])


def findings(missing: str = "") -> Findings:
    """A run in which l2vault takes 10 µs a message and everybody else 100; `missing` could not be installed."""
    runs = {one.name: Runs(one, "1.0", [100.0, 100.0], [100.0, 100.0], [50.0, 50.0], "same") for one in CONTENDERS}
    runs["l2vault"].cpu_us = [10.0, 10.0]
    if missing:
        runs[missing] = Runs(
            next(one for one in CONTENDERS if one.name == missing), failures=["no wheel for this system"]
        )
    latency = [1.0, 2.0, 3.0]
    jobs = [
        Job(count, lines, 120, 0.1, 5.0, 40.0, 0.01, 9.0, 120, 0.5, latency, None, latency, latency, None)
        for count, lines in ((2, 2), (300, 1))
    ]
    storage = Storage({LISTS: [10.0, 10.0], APPEND: [20.0, 20.0]}, {GZIP: [1.0], RETENTION: [1.1]}, 20_000, 38.0)
    reading = {TABLE: {"json": [2.0], OURS: [1.0]}, BOOK: {"json": [2.0], f"{OURS} on the archive": [0.5]}}
    feed = Feed(1000, 50_000, 2_000_000, "1", "2")
    return Findings(0.0, 60.0, 2, False, feed, runs, storage, reading, {"gzip -6": 400, "archive": 100}, jobs)


def verdicts(of: Findings) -> dict[str, str]:
    return {one.what: one.verdict for one in targets(of)}


def test_a_ratio_is_taken_within_each_round_and_then_the_middle() -> None:
    found = ratio([1.0, 30.0, 3.0], [2.0, 40.0, 2.0])
    assert (found.median, found.lowest, found.highest) == (0.75, 0.5, 1.5)


def test_rounds_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter|longer"):
        ratio([1.0], [1.0, 2.0])


def test_a_spread_shows_the_middle_and_both_ends() -> None:
    assert spread([3.0, 1.0, 2.0]) == "2.0 (1.0 to 3.0)"


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 201)]
    assert [percentile(values, percent) for percent in (50, 99, 100)] == [100.0, 198.0, 200.0]
    assert percentile([7.0], 99) == 7.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


@pytest.mark.parametrize(("measured", "verdict"), [(2.5, "met"), (2.51, "MISSED"), (None, "not measured")])
def test_a_target_is_met_up_to_its_limit(measured: float | None, verdict: str) -> None:
    assert Target("against the floor", measured, 2.5).verdict == verdict


def test_a_table_is_markdown() -> None:
    assert table(["a", "b"], [[1, "x"]]) == "| a | b |\n| --- | --- |\n| 1 | x |"


def test_the_verdicts_follow_from_the_run() -> None:
    found = verdicts(findings())
    assert found["processor time a message against cryptofeed"] == "met"
    assert found["a line encoded and appended, against msgspec encoding its lists"] == "MISSED"
    assert found["retention of an hour, against `gzip -6` alone"] == "met"


def test_a_missed_target_comes_with_its_reason_and_a_met_one_without() -> None:
    text = page(findings())
    assert "*Line.*" in text
    assert "*Feed.*" not in text


def test_a_contender_that_cannot_be_run_is_told_with_its_reason() -> None:
    found = findings(missing="nautilus_trader")
    assert verdicts(found)["processor time a message against nautilus_trader"] == "not measured"
    assert "no wheel for this system" in page(found)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_script_compiles(script: Path) -> None:
    compile(script.read_text(encoding="utf-8"), str(script), "exec")


def test_every_contender_has_its_script() -> None:
    assert all((BENCHMARKS / "feed" / one.script).is_file() for one in CONTENDERS)


def test_smaller_messages_make_the_same_book_in_a_chain_of_their_own() -> None:
    bids = [(f"{100 - at}", f"{at + 1}", "0", "1") for at in range(6)]
    asks = [(f"{101 + at}", f"{at + 1}", "0", "1") for at in range(6)]
    full = BookChange("X", True, bids, asks, 1000, 50, -1, 0)
    up = BookChange(
        "X", False, [("101.5", "3", "0", "1"), ("95", "0", "0", "0")], [("101", "0", "0", "0")], 1100, 90, 50, 0
    )
    whole, pieces = Book(), Book()
    for change in (full, up):
        whole.apply(change)
    pushes = list(cut([full, up], 2))
    for change in pushes:
        pieces.apply(change)
        assert pieces.top(1)[0][0][0] < pieces.top(1)[1][0][0] or not change.asks
    assert pieces.top(400) == whole.top(400)
    assert [(each.prev_seq_id, each.seq_id) for each in pushes] == [(-1, 50), (50, 51), (51, 52)]
    assert [len(each.bids) + len(each.asks) for each in pushes[1:]] == [1, 2]


def test_the_table_of_sizes_has_a_ratio_a_size_and_the_reason_where_one_failed() -> None:
    run = findings("nautilus_trader")
    rows = sizes_table([Fed(Feed(1000, 14_000, 1, "1", "2"), run.runs), Fed(run.feed, run.runs)]).splitlines()
    assert rows[0] == "| contender | 14 levels: µs | l2vault / this | 50 levels: µs | l2vault / this |"
    assert (
        "| cryptofeed | 100.0 (100.0 to 100.0) | 0.10 (0.10 to 0.10) | 100.0 (100.0 to 100.0) | 0.10 (0.10 to 0.10) |"
        in rows
    )
    assert "| nautilus_trader | no wheel for this system |  | no wheel for this system |  |" in rows
    assert {row.count("|") for row in rows} == {6}
