"""Which addresses a whole recorder tries, by its settings."""

import asyncio
from pathlib import Path
from random import Random

import pytest

from l2vault.config import Settings
from l2vault.okx import websocket as websocket_module
from l2vault.okx.connection import CannotConnect, Connection
from l2vault.recorder import Recorder
from l2vault.vault.store.layout import Layout
from support.rig import settings_with
from support.virtual import over_sockets, running_clock

NOBODY = Settings(rest_url="http://127.0.0.1:9", retention=False)


async def _tried(settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> list[str]:
    urls: list[str] = []

    async def refuse(url: str, now_us: object) -> Connection:
        urls.append(url)
        raise CannotConnect("nobody there", "TCP")

    monkeypatch.setattr(websocket_module, "open_connection", refuse)
    stop = asyncio.Event()
    recorder = Recorder(settings, Layout(root), running_clock(), Random(1), lambda _: None)
    recording = asyncio.create_task(recorder.run(stop))
    while len(urls) < count:  # noqa: ASYNC110  (time has to pass)
        await asyncio.sleep(0.1)
    stop.set()
    await recording
    return urls


@over_sockets
async def test_the_feeds_of_a_region_begin_at_its_hosts_and_go_on_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    urls = await _tried(NOBODY, tmp_path, monkeypatch, 10)
    assert urls[0] == "wss://ws.okx.com/ws/v5/public"
    assert set(urls) == {"wss://ws.okx.com/ws/v5/public", "wss://wsaws.okx.com/ws/v5/public"}
    moved = "Feed 1 failed 3 times in a row at one address and goes on at wss://wsaws.okx.com/ws/v5/public"
    assert moved in caplog.messages


@over_sockets
async def test_a_configured_closed_port_is_told_at_start_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_with(NOBODY, ws_url=("wss://ws.okx.com:8443/ws/v5/public",))
    assert set(await _tried(settings, tmp_path, monkeypatch, 2)) == {"wss://ws.okx.com/ws/v5/public"}
    told = "OKX closed port 8443 on 2026-10-31; using wss://ws.okx.com/ws/v5/public. Take the port out of ws_url"
    assert [record.levelname for record in caplog.records if record.getMessage() == told] == ["WARNING"]
