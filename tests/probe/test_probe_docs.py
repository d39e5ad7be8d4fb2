"""docs/probe.md against the code: its page is one the probe prints, and every row of it is explained."""

import re
from pathlib import Path

from l2vault.probe import verdict
from l2vault.probe.questions import _UNASKED
from l2vault.verbs.documents import schema_of
from l2vault.verbs.format import PAGE_WIDTH

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "probe.md").read_text(encoding="utf-8")
(PAGE,) = re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL)
EXPLAINED = {
    name for row in re.findall(r"^\| (`[^|]*)\|", TEXT, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)
}


def labels():
    """What stands in the column of labels, section headings and the verdict apart."""
    rows = PAGE.partition("\nCONNECTIONS")[2].partition("\nVERDICT")[0].splitlines()
    return {row[:26].strip() for row in rows if row.startswith("  ") and row[:26].strip()}


def test_the_page_is_as_wide_as_pages_are_and_ends_with_a_verdict():
    assert all(len(line) <= PAGE_WIDTH for line in PAGE.splitlines())
    assert "\nVERDICT: fit to record\n" in PAGE


def test_every_row_of_the_page_is_explained():
    instruments = {"BTC-USDT-SWAP", "ETH-USDT-SWAP"}
    alike = {label.replace("feed 2, ", "feed 1, ") for label in labels()}

    assert alike - instruments <= EXPLAINED | {"nothing"}


def test_every_point_that_is_never_asked_is_listed():
    assert {label for _, label, _ in _UNASKED} <= EXPLAINED & labels()


def test_the_bounds_of_the_verdict_are_those_of_the_code():
    assert f"more than {verdict.CLOCK_MS // 1000} s off" in TEXT
    assert f"more than {verdict.DELAY_MS // 1000} s late" in TEXT
    assert f"once in {verdict.BREAKS_OF_MESSAGES:,} messages" in TEXT
    assert (verdict.MOST_BREAKS, verdict.MOST_ENDS_A_MINUTE) == (2, 0.5)
    assert f"`{schema_of('probe')}`" in TEXT
