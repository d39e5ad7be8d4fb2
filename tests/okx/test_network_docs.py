"""docs/network.md says what the code says: its phrases are those of the log, its hosts those of the regions."""

import re
from pathlib import Path

from l2vault.okx.hosts import REGIONS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "network.md").read_text(encoding="utf-8")


def test_every_phrase_that_the_page_explains_is_one_of_the_log() -> None:
    names = ("failures", "proxies", "connection")
    source = "\n".join((ROOT / "l2vault" / "okx" / f"{name}.py").read_text(encoding="utf-8") for name in names)
    table = PAGE.split("| the log says |", 1)[1].split("\n\n", 1)[0]
    phrases = re.findall(r"^\| `([^`]+)` \|", table, re.M)
    assert len(phrases) >= 15
    assert [phrase for phrase in phrases if phrase not in source] == []
    assert "goes on at" in (ROOT / "l2vault" / "recording" / "feeds.py").read_text(encoding="utf-8")


def test_the_page_lists_every_host_of_every_region_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z-]+)`[^|]*\|([^|]*)\|([^|]*)\|$", PAGE, re.M)
    listed = {name: (re.findall(r"`([^`]+)`", ws), re.findall(r"`([^`]+)`", rest)) for name, ws, rest in rows}
    expected = {
        name: ([url.split("/")[2] for url in region.ws_urls], [region.rest_url.split("/")[2]])
        for name, region in REGIONS.items()
    }
    assert {name: row for name, row in listed.items() if name in expected} == expected
