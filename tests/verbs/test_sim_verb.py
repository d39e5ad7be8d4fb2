"""The verb `sim`: what its flags become, which of them mean nothing together, and how long it lives."""

import asyncio
import json
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from l2vault import cli
from l2vault.errors import L2VaultError
from l2vault.sim.server.options import SimOptions
from l2vault.verbs import demo as demo_module
from l2vault.verbs import sim as sim_module
from l2vault.verbs.demo import demo_exchange

SIM = [sys.executable, "-m", "l2vault", "sim", "--quiet"]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[SimOptions]:
    """The options with which the exchange would have been started."""
    options: list[SimOptions] = []

    async def serve(given: SimOptions, stop: asyncio.Event, announce: object) -> None:
        options.append(given)

    monkeypatch.setattr(sim_module, "serve_simulator", serve)
    monkeypatch.setattr(sim_module, "stop_on_signals", lambda stop, finished: None)
    return options


def test_without_flags_it_is_a_market_of_two_instruments(served: list[SimOptions]) -> None:
    assert cli.main(["sim"]) == 0
    assert served == [SimOptions(inst_ids=("BTC-USDT-SWAP", "ETH-USDT-SWAP"), has_whales=True)]


def test_a_market_takes_instruments_and_a_seed(served: list[SimOptions]) -> None:
    assert cli.main(["sim", "--inst", "SOL-USDT-SWAP", "BTC-USD-SWAP", "--seed", "7", "--port", "8443"]) == 0
    assert cli.main(["sim", "--inst", "3", "--seed", "0"]) == 0
    assert served[0] == SimOptions(inst_ids=("SOL-USDT-SWAP", "BTC-USD-SWAP"), seed=7, port=8443, has_whales=True)
    assert (len(served[1].inst_ids), served[1].seed) == (3, 0)


@pytest.mark.parametrize(("words", "speed"), [("1", 1.0), ("10", 10.0), ("0.5", 0.5), ("max", None), ("inf", None)])
def test_a_replay_takes_pace_and_hold(words: str, speed: float | None, served: list[SimOptions]) -> None:
    assert cli.main(["sim", "--replay", "a", "b", "--speed", words, "--hold", "0", "--verbatim", "--once"]) == 0
    (options,) = served
    assert options.replay == (Path("a"), Path("b"))
    assert (options.speed, options.hold_sec, options.verbatim, options.once) == (speed, 0.0, True, True)


def test_a_replay_alone_runs_at_its_own_pace_after_a_second(served: list[SimOptions]) -> None:
    assert cli.main(["sim", "--replay", "a"]) == 0
    (options,) = served
    assert (options.speed, options.hold_sec, options.verbatim, options.once) == (1.0, 1.0, False, False)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--replay", "a", "--inst", "2"], "an instrument means nothing with --replay. Try: leave it out"),
        (["--replay", "a", "--seed", "0"], "--seed means nothing with --replay. Try: leave it out"),
        (["--verbatim"], "--verbatim means nothing without --replay. Try: --replay FILE"),
        (["--once"], "--once means nothing without --replay. Try: --replay FILE"),
        (["--speed", "1"], "--speed means nothing without --replay. Try: --replay FILE"),
        (["--speed", "max", "--inst", "2"], "--speed means nothing without --replay. Try: --replay FILE"),
        (["--hold", "1"], "--hold means nothing without --replay. Try: --replay FILE"),
        (["--replay", "a", "--speed", "nan"], "--speed: 'nan' is no pace; say 1, 10, ... or max"),
        (["--replay", "a", "--speed", "0"], "--speed: '0' is no pace"),
        (["--replay", "a", "--hold", "-1"], "--hold: '-1' is no duration"),
        (["--replay", "a", "--hold", "inf"], "--hold: 'inf' is no duration"),
        (["--replay"], "--replay"),
        (["--inst", "301"], "--inst 301 is out of range. Try: 1 to 300, or names"),
        (["--inst", "BTC-USDT"], "BTC-USDT"),
    ],
)
def test_what_would_be_ignored_or_is_impossible_is_wrong_usage(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sim", *words]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert "Try: " in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["absent.jsonl", "a folder", "empty.jsonl"])
def test_a_replay_that_cannot_be_had_is_one_line_with_a_cure(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a folder").mkdir()
    Path("empty.jsonl").touch()
    assert cli.main(["sim", "--replay", name]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert name in captured.err
    assert "Try: " in captured.err
    assert captured.err.count("\n") == 1


def test_it_lives_as_long_as_the_stdin_it_follows() -> None:
    with subprocess.Popen([*SIM, "--exit-with-stdin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None and process.stdout is not None
            addresses = json.loads(process.stdout.readline())
            assert addresses["ws_url"].startswith("ws://127.0.0.1:")
            assert process.poll() is None
            process.stdin.close()
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_an_end_of_its_own_is_not_held_up_by_a_stdin_that_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [*SIM, "--exit-with-stdin", "--port", str(taken.getsockname()[1])]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.wait(20) == 1
                assert process.stderr is not None
                (line,) = process.stderr.read().splitlines()
            finally:
                process.kill()
    assert line.startswith("l2vault: Port ")


@pytest.mark.skipif(sys.platform == "win32", reason="its stand-ins are shell scripts")
class TestDemoExchange:
    """The exchange as a child process that misbehaves."""

    def _stand_in(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    def test_one_that_does_not_start_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._stand_in(tmp_path, monkeypatch, "exit 3")
        with (
            pytest.raises(L2VaultError, match=r"did not start\. Try: l2vault sim, to see why"),
            demo_exchange(["BTC-USDT-SWAP"]),
        ):
            pytest.fail("it has no addresses")

    def test_one_that_does_not_end_is_killed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        addresses = json.dumps({"ws_url": "ws://127.0.0.1:1", "rest_url": "http://127.0.0.1:2"})
        self._stand_in(tmp_path, monkeypatch, f"echo $$ > pid\necho '{addresses}'\nexec sleep 60")
        monkeypatch.setattr(demo_module, "STOP_WITHIN_SEC", 0.05)
        with demo_exchange(["BTC-USDT-SWAP"]) as exchange:
            assert exchange == ("ws://127.0.0.1:1", "http://127.0.0.1:2")
        psutil = pytest.importorskip("psutil")
        assert not psutil.pid_exists(int(Path("pid").read_text()))
