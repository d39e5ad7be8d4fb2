"""Alerts on their way to a receiver of the test's own on 127.0.0.1, and to a command."""

import json
import logging
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from l2vault import cli
from l2vault.alerts import receivers
from l2vault.alerts.outbox import Entry
from l2vault.alerts.receivers import message, send
from l2vault.alerts.rule import Apprise, Command, Rule, Webhook
from l2vault.alerts.run import EVERY_SEC, AlertRun
from l2vault.vault.health.form import write_health
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.lock import VaultLock
from support.healths import BTC, WRITTEN_MS, health, instrument
from support.manual_clock import ManualClock

ABSENT = "recorder absent"


class Receiver(HTTPServer):
    """Keeps what it is sent, and answers what the test says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.taken: list[dict[str, object]] = []
        self.status = 200

    @property
    def hook(self) -> Webhook:
        return Webhook(f"http://127.0.0.1:{self.server_port}/SECRET")


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.status == 200:
            self.server.taken.append(body)
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
        self.end_headers()

    def do_GET(self) -> None:
        self.server.taken.append({"redirected": True})
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def clock() -> ManualClock:
    clock = ManualClock()
    clock.wall_offset_ms = WRITTEN_MS - clock.now_ms
    return clock


def go(run: AlertRun, clock: ManualClock, seconds: int) -> None:
    for _ in range(round(seconds / EVERY_SEC)):
        clock.advance(round(EVERY_SEC * 1000))
        run.step()


def test_a_recorder_that_is_killed_reaches_the_receiver_within_a_minute_and_its_return_too(
    tmp_path: Path, receiver: Receiver, clock: ManualClock
) -> None:
    layout = Layout(tmp_path / "Vault")
    lock = VaultLock(layout)
    lock.acquire("2026-11-26T10:00:00.000Z")
    write_health(layout, health())
    run = AlertRun([Rule(ABSENT, ABSENT, 0.0, (receiver.hook,))], str(layout.root), clock)
    run.step()
    assert receiver.taken == []
    lock.release()
    go(run, clock, 30)
    (message,) = receiver.taken
    assert (message["schema"], message["alert"], message["state"]) == ("l2vault.alert/1", ABSENT, "firing")
    assert "l2vault record" in str(message["text"])
    lock.acquire("2026-11-26T10:00:00.000Z")
    for _ in range(16):
        write_health(layout, health(written=clock.wall_text()))
        go(run, clock, 5)
    assert [message["state"] for message in receiver.taken] == ["firing", "recovered"]
    lock.release()


def test_a_clock_that_is_set_back_while_it_fires_changes_nothing_of_the_waits(
    tmp_path: Path, receiver: Receiver, clock: ManualClock
) -> None:
    run = AlertRun([Rule(ABSENT, ABSENT, 0.0, (receiver.hook,))], str(tmp_path / "none"), clock)
    run.step()
    clock.wall_offset_ms -= 86_400_000
    go(run, clock, 20)
    assert len(receiver.taken) == 1


def test_it_survives_a_dead_receiver_and_delivers_at_least_once(
    tmp_path: Path, receiver: Receiver, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    living = Command((sys.executable, "-c", "import sys; sys.stdin.read()"))
    run = AlertRun([Rule(ABSENT, ABSENT, 0.0, (receiver.hook, living))], str(tmp_path / "none"), clock)
    receiver.status = 500
    with caplog.at_level(logging.INFO):
        go(run, clock, 120)
    assert receiver.taken == []
    assert caplog.text.count("sent to the command") == 1, "a dead one makes no living one wait or repeat"
    assert 3 <= caplog.text.count("NOT sent to http://127.0.0.1") <= 6
    assert "it answered 500" in caplog.text and "SECRET" not in caplog.text
    receiver.status = 200
    go(run, clock, 300)
    assert len(receiver.taken) == 1


def test_an_instrument_is_named_in_title_text_and_entries(
    tmp_path: Path, receiver: Receiver, clock: ManualClock
) -> None:
    layout = Layout(tmp_path / "Vault")
    lock = VaultLock(layout)
    lock.acquire("2026-11-26T10:00:00.000Z")
    rule = Rule("holes", "hole longer than", 30.0, (receiver.hook,), for_ms=0)
    write_health(layout, health(instruments=[instrument(BTC, state="lost")]))
    AlertRun([rule], str(layout.root), clock).step()
    (message,) = receiver.taken
    assert BTC in str(message["text"]) and "holes" in str(message["title"])
    (entry,) = message["entries"]  # type: ignore[misc]
    assert (entry["of"], entry["state"], entry["until"]) == (BTC, "firing", None)
    assert entry["since"] == "2026-11-26T12:00:00.000Z"
    lock.release()


def test_a_redirect_is_not_followed_and_a_closed_port_is_a_sentence(receiver: Receiver) -> None:
    receiver.status = 302
    assert send(receiver.hook, b"{}") == "it answered 302"
    assert receiver.taken == []
    gone = Receiver()
    hook = gone.hook
    gone.server_close()
    reason = send(hook, b"{}")
    assert reason and "SECRET" not in reason


def test_a_command_gets_json_on_its_input_and_no_shell_reads_its_words(tmp_path: Path) -> None:
    code = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())"
    file = tmp_path / "a; $(b) 'c'"
    assert send(Command((sys.executable, "-c", code, str(file))), b'{"x":1}') is None
    assert json.loads(file.read_bytes()) == {"x": 1}
    fails = Command((sys.executable, "-c", "import sys; print('no\\x1b', file=sys.stderr); sys.exit(3)"))
    assert send(fails, b"{}") == "exit code 3: no\\x1b"
    assert send(Command((str(tmp_path / "absent"),)), b"{}") == "No such file or directory"


def test_a_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "WITHIN_SEC", 0.2)
    reason = send(Command((sys.executable, "-c", "import time; time.sleep(600)")), b"{}")
    assert reason == "it took longer than 0.2 s and was ended"


def _apprise_of(server: Receiver) -> Apprise:
    return Apprise(f"json://127.0.0.1:{server.server_port}/SECRET")


def test_apprise_carries_title_text_and_type_and_says_when_the_service_did_not_take_it(
    receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("apprise")
    entry = Entry("BTC", "firing", WRITTEN_MS, None, "It is gone.", "look")
    rule = Rule(ABSENT, ABSENT, 0.0, ())
    assert send(_apprise_of(receiver), message(rule, "Vault", "host", [entry], WRITTEN_MS)) is None
    (taken,) = receiver.taken
    assert (taken["title"], taken["type"]) == (f"l2vault host: {ABSENT} is firing", "warning")
    assert "It is gone." in str(taken["message"]) and "is firing" not in str(taken["message"])
    receiver.status = 500
    assert send(_apprise_of(receiver), message(rule, "Vault", "host", [], WRITTEN_MS)) == "the service did not take it"
    unknown = send(Apprise("nosuchservice://SECRET"), message(rule, "Vault", "host", [], WRITTEN_MS))
    assert unknown == "apprise knows no such address, or something lacks in it"
    said = capfd.readouterr()
    assert "SECRET" not in said.out + said.err


def test_apprise_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("apprise")
    monkeypatch.setattr(receivers, "WITHIN_SEC", 0.05)  # no interpreter starts in so little
    assert send(Apprise("json://127.0.0.1:9/SECRET"), b"{}") == "it took longer than 0.05 s and was ended"


def test_without_the_extra_the_verb_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(receivers, "find_spec", lambda name: None)
    monkeypatch.setenv("MY_PHONE", "tgram://SECRET/1")
    (tmp_path / "l2vault.toml").write_text('[[alert]]\nwhen = "feed down"\napprise = "${MY_PHONE}"\n')
    assert cli.main(["alert", "run", "--config", str(tmp_path / "l2vault.toml")]) == 1
    said = capsys.readouterr().err
    assert "needs the alerts extra" in said and "[alerts]" in said and "SECRET" not in said


def test_the_verb_sends_a_test_to_each_receiver_and_prints_no_secret(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_HOOK", receiver.hook.url)
    text = '[[alert]]\nwhen = "feed down"\nwebhook = "${MY_HOOK}"\ncommand = ["no-such-program-here", "SECRET"]\n'
    (tmp_path / "l2vault.toml").write_text(text, encoding="utf-8")
    assert cli.main(["alert", "test", "--config", str(tmp_path / "l2vault.toml")]) == 1
    said = capsys.readouterr()
    assert [message["alert"] for message in receiver.taken] == ["feed down"]
    assert "feed down: sent, http://127.0.0.1\n" in said.out
    assert "NOT sent: No such file or directory, the command no-such-program-here" in said.out
    assert "SECRET" not in said.out + said.err
