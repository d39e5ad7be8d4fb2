"""Hosts and ports: the regions, the port that OKX closed, and which address a feed uses."""

import re
import subprocess
from pathlib import Path

import pytest

from l2vault.config import REGIONS as REGION_NAMES
from l2vault.okx.hosts import REGIONS, Route, addresses, closed_port_warnings

ROOT = Path(__file__).resolve().parents[2]
A, B, C = "wss://a.test/x", "wss://b.test/x", "wss://c.test/x"


def test_every_region_of_the_settings_has_hosts_without_a_port() -> None:
    assert set(REGIONS) == set(REGION_NAMES)
    for region in REGIONS.values():
        for url in (*region.ws_urls, region.rest_url):
            assert re.fullmatch(r"(wss|https)://[a-z]+\.okx\.com(/ws/v5/public)?", url)


def test_the_second_address_of_the_global_region_is_another_host() -> None:
    assert addresses("global", (), "").ws_urls == ("wss://ws.okx.com/ws/v5/public", "wss://wsaws.okx.com/ws/v5/public")


def test_named_addresses_beat_the_region() -> None:
    hosts = addresses("demo-trading", (A, B), "https://rest.test")
    assert (hosts.ws_urls, hosts.rest_url) == ((A, B), "https://rest.test")
    assert hosts.headers == {"x-simulated-trading": "1"}


@pytest.mark.parametrize("host", ["ws.okx.com", "wsaws.okx.com", "wseea.okx.com", "OKX.com"])
def test_the_closed_port_is_named_and_left_out(host: str) -> None:
    configured = f"wss://{host}:8443/ws/v5/public"
    assert addresses("global", (configured, A), "").ws_urls == (f"wss://{host}/ws/v5/public", A)
    (warning,) = closed_port_warnings([configured, A])
    assert warning.startswith(f"OKX closed port 8443 on 2026-10-31; using wss://{host}/ws/v5/public.")
    assert "ws_url" in warning


@pytest.mark.parametrize("url", ["ws://127.0.0.1:8443/x", "wss://notokx.com:8443/x", "wss://ws.okx.com:443/x"])
def test_other_hosts_and_ports_are_left_alone(url: str) -> None:
    assert addresses("global", (url,), "").ws_urls == (url,)
    assert closed_port_warnings([url]) == []


def test_no_shipped_text_pairs_an_okx_host_with_the_closed_port() -> None:
    for path in _shipped():
        text = path.read_text(encoding="utf-8", errors="replace")
        paired = [line for line in text.splitlines() if "okx.com" in line.lower() and "8443" in line]
        assert paired == [], path
        assert not re.search(r"okx\.com\W{0,9}8443", text, re.I), path


def _shipped() -> list[Path]:
    """What a clone holds, without the tests; where there is no clone, what lies there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        names = [name for name in listed.stdout.split("\0") if name and not name.startswith("tests/")]
        paths = [ROOT / name for name in names]
    else:
        paths = [path for folder in ("l2vault", "docs", "examples") for path in (ROOT / folder).rglob("*")]
        paths += [path for path in ROOT.iterdir() if path.suffix in (".py", ".md", ".toml", ".sh", ".bat")]
    found = [path for path in paths if path.is_file() and path.suffix not in (".png", ".pyc")]
    assert len(found) > 50
    return found


def test_a_route_moves_on_after_three_failures_in_a_row() -> None:
    route = Route([A, B, C])
    assert [route.failed() for _ in range(3)] == [False, False, True]
    assert route.url == B
    assert [route.failed() for _ in range(2)] == [False, False]
    route.worked()
    assert [route.failed() for _ in range(3)] == [False, False, True]
    assert route.url == C
    assert route.move()
    assert route.url == A


def test_the_second_feed_begins_at_the_second_address_where_there_is_one() -> None:
    assert [Route([A, B], first).url for first in range(3)] == [A, B, A]
    only = Route([A], 1)
    assert [only.failed() for _ in range(6)] == [False] * 6
    assert only.url == A
