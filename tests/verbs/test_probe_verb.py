"""`l2vault probe` from its flags to its page and exit code, against an exchange on another thread."""

import asyncio
import json
import threading
from contextlib import contextmanager

import pytest

from l2vault.cli import main
from l2vault.sim.faults.spec import parse_faults
from l2vault.sim.server.server import SimOptions, Simulator

BTC = "BTC-USDT-SWAP"


@contextmanager
def exchange(faults=None):
    """A built-in exchange with a loop of its own, since the verb runs one too."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    simulator = Simulator(SimOptions(inst_ids=(BTC,), faults=parse_faults(faults) if faults else None))

    def serve():
        asyncio.set_event_loop(loop)
        loop.run_until_complete(simulator.start())
        ready.set()
        loop.run_forever()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield ["--inst", BTC, "--ws-url", simulator.ws_url, "--rest-url", simulator.rest_url]
    finally:
        asyncio.run_coroutine_threadsafe(simulator.stop(grace_sec=0.2), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_page_that_ends_with_a_verdict_and_nothing_is_recorded(capsys, tmp_path):
    with exchange() as flags:
        code = main(["probe", "--minutes", "0.02", *flags])
    text = capsys.readouterr().out

    assert code == 0
    assert text.startswith("l2vault probe ")
    assert "\nVERDICT: fit to record\n" in text
    assert f"BOOKS OF {BTC}" in text
    assert list(tmp_path.iterdir()) == []


def test_json_is_one_object_and_a_misfit_exits_with_1(capsys):
    with exchange("refuse:how=403") as flags:
        code = main(["probe", "--minutes", "0.02", "--json", *flags])
    data = json.loads(capsys.readouterr().out)

    assert code == 1
    assert data["schema"] == "l2vault.probe/1"
    assert data["verdict"]["fit"] is False
    assert data["verdict"]["reasons"][0]["what"] == "127.0.0.1 refuses this address (HTTP 403)"


@pytest.mark.parametrize(
    ("flag", "value"), [("--minutes", "0"), ("--minutes", "x"), ("--region", "moon"), ("--inst", "BTC")]
)
def test_what_cannot_be_probed_is_wrong_usage(flag, value, capsys):
    assert main(["probe", flag, value]) == 2
    assert value in capsys.readouterr().err
