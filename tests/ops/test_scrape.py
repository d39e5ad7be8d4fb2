"""The screen's `/metrics`, scraped by a real Prometheus, and the dashboard's queries asked of what it scraped."""

import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import msgspec

from l2vault.vault.health.form import ChangesHealth, TaskHealth
from l2vault.vault.store.lock import VaultLock
from support.healths import BTC, ETH, WRITTEN_MS, ago, health, instrument
from support.programs import need_program
from support.screen_asked import Asked, ClockAt
from support.screen_site import write_vault

DASHBOARD = json.loads(
    (Path(__file__).resolve().parents[2] / "ops" / "grafana" / "l2vault.json").read_text(encoding="utf-8")
)
TRIES = 600
"""Of a twentieth of a second: it takes two to five seconds of them, on a busy machine more."""
HISTORY = re.compile(r"\b(rate|increase|delta|changes|offset)\b")
"""What such a query answers needs minutes of scrapes: `promtool` asks those in `test_prometheus.py`."""


@contextmanager
def served(asked: Asked) -> Iterator[str]:
    """The application on a port of the system's."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = asked.raw(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def prometheus(program: str, folder: Path, target: str) -> Iterator[Callable[[str], list]]:
    """It scrapes `target` every second; gives what a query answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "l2vault", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    words = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    words.append(f"--web.listen-address=127.0.0.1:{port}")
    log = folder / "log"
    with log.open("wb") as file:
        child = subprocess.Popen([program, *words], stdout=file, stderr=file)

    def query(expr: str) -> list:
        with urlopen(f"http://127.0.0.1:{port}/api/v1/query?{urlencode({'query': expr})}") as answer:
            found: list = json.load(answer)["data"]["result"]
        return found

    try:
        for _ in range(TRIES):
            assert child.poll() is None, log.read_text(encoding="utf-8")
            try:
                if query("l2vault_healthy"):
                    break
            except URLError:
                pass
            time.sleep(0.05)  # it is another program's time that passes
        yield query
    finally:
        child.terminate()
        child.wait()


def test_a_real_prometheus_scrapes_the_screen_and_answers_the_dashboards_queries(tmp_path: Path) -> None:
    program = need_program("prometheus", "the Debian package prometheus")
    layout = write_vault(tmp_path / "Vault")
    instruments = [instrument(BTC, changes=ChangesHealth("kept", None, None)), instrument(ETH)]
    one = health(instruments=instruments, tasks=[TaskHealth(ago(5), "audit", "x", 3)])
    (layout.root / "meta" / "okx" / "health.json").write_bytes(msgspec.json.encode(one))
    lock = VaultLock(layout)
    lock.acquire("2026-11-26T12:00:00.000Z")
    asked = Asked(layout.root, clock=ClockAt(WRITTEN_MS + 1000))
    try:
        with served(asked) as target, prometheus(program, tmp_path, target) as query:
            assert [row["value"][1] for row in query("l2vault_healthy")] == ["1"]
            assert query(f'up{{instance="{target}"}}')[0]["value"][1] == "1"
            assert {row["metric"]["inst"] for row in query("l2vault_in_sync")} == {BTC, ETH}
            expressions = {each["expr"] for panel in DASHBOARD["panels"] for each in panel["targets"]}
            now = {each.replace("$instance", ".*").replace("$inst", ".*") for each in expressions}
            of_now = {each for each in now if not HISTORY.search(each)}
            assert len(of_now) >= 15
            assert [each for each in of_now if not query(each)] == []
            assert query("l2vault_no_such_thing") == []
    finally:
        asked.screen.stop()
        lock.release()
