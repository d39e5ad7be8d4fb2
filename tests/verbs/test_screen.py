"""`l2vault screen` from outside: as a process, with its address on stdout."""

import asyncio
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from filelock import FileLock

from l2vault import allocator, cli
from l2vault.clock import Clock
from l2vault.errors import VaultError, extra
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.lock import is_held
from l2vault.verbs import screen as verb
from support.screen_site import write_vault

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
serving = pytest.importorskip("l2vault.web.serve")


def test_it_prints_its_address_and_serves_the_page_there(tmp_path: Path) -> None:
    vault = write_vault(tmp_path / "Vault").root
    words = [sys.executable, "-m", "l2vault", "screen", "--vault", str(vault), "--port", "0", "--no-browser"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        try:
            assert child.stdout is not None
            said = child.stdout.readline()
            assert said.startswith("the screen is at http://127.0.0.1:")
            with urllib.request.urlopen(said.split()[-1] + "api/instruments", timeout=20) as answer:
                assert b"BTC-USDT-SWAP" in answer.read()
        finally:
            child.terminate()


def test_beyond_loopback_the_address_has_a_token_and_without_it_there_is_no_data(tmp_path: Path) -> None:
    vault = write_vault(tmp_path / "Vault").root
    words = [sys.executable, "-m", "l2vault", "screen", "--vault", str(vault), "--port", "0", "--no-browser"]
    with subprocess.Popen(
        [*words, "--host", "0.0.0.0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None and child.stderr is not None
        address, _, token = child.stdout.readline().split()[-1].partition("#token=")
        assert len(token) > 40
        for headers, status in (({}, 401), ({"Authorization": f"Bearer {token}"}, 200)):
            request = urllib.request.Request(f"{address}api/instruments", headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    assert answer.status == status
            except urllib.error.HTTPError as error:
                assert error.code == status
        child.terminate()
        child.wait(20)
        assert token not in child.stdout.read() + child.stderr.read()


def test_a_vault_that_is_none_and_a_port_that_is_none_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["screen", "--vault", str(tmp_path / "none"), "--no-browser"]) == 1
    assert "no vault at" in capsys.readouterr().err
    assert cli.main(["screen", "--port", "70000"]) == 2
    assert "'70000' is no port" in capsys.readouterr().err


@pytest.mark.parametrize("is_own", [True, False])
def test_the_screen_alone_begins_anew_and_never_in_somebody_s_program(
    is_own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[bool] = []
    monkeypatch.setattr(verb, "is_own", lambda: is_own)
    monkeypatch.setattr(allocator, "begin_anew", lambda: begun.append(True))
    assert cli.main(["screen", "--vault", str(tmp_path / "none"), "--no-browser"]) == 1
    assert begun == [True] * is_own


def test_sigterm_ends_the_recorder_of_the_demo_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = list[str]()

    class Recorder:
        def communicate(self, timeout: float) -> None:
            """Closes its stdin, and waits for its end."""
            ended.append("ended")

    async def served(*given: object) -> None:
        config = uvicorn.Config(lambda scope: None, lifespan="off", log_config=None, port=0)
        server = uvicorn.Server(config)
        asyncio.get_running_loop().call_later(0, signal.raise_signal, signal.SIGTERM)
        await server.serve()

    monkeypatch.setattr("l2vault.web.serve.serve", served)
    monkeypatch.setattr("l2vault.verbs.screen.start_child", lambda *words, **given: Recorder())
    monkeypatch.setattr("l2vault.verbs.screen._wait_for_books", lambda *given: None)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end:
        cli.main(["screen", "--demo", "--no-browser", "--vault", str(write_vault(tmp_path / "Vault").root)])
    assert (end.value.code, ended, signal.getsignal(signal.SIGTERM)) == (0, ["ended"], before)


def test_the_recorder_of_the_demo_ends_in_order_where_the_screen_is_killed(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "Demo")
    words = [sys.executable, "-m", "l2vault", "screen", "--demo", "--port", "0", "--no-browser"]
    with subprocess.Popen([*words, "--vault", str(layout.root)], stdout=subprocess.PIPE, cwd=tmp_path) as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith(b"the screen is at ")
        assert is_held(layout) is True
        child.kill()
    with FileLock(layout.lock_file).acquire(timeout=30):
        newest = max((layout.root / "meta" / "okx" / "journal").glob("*.jsonl"))
        assert '"event":"stopped"' in newest.read_text(encoding="utf-8").splitlines()[-1]


def test_behind_heavy_work_the_allocator_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Given(Exception):
        pass

    def screen(*_: object, trim: object, **others: object) -> None:
        raise Given(trim)

    monkeypatch.setattr(serving, "listen", lambda host, port: None)
    monkeypatch.setattr(serving, "Screen", screen)
    with pytest.raises(Given) as given:
        asyncio.run(serving.serve(tmp_path, "127.0.0.1", 0, None, print, Clock()))
    assert given.value.args == (allocator.trim,)


@pytest.mark.parametrize("is_own", [True, False])
def test_a_question_keeps_freed_memory_in_a_process_of_ours_alone(
    is_own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[bool]()
    monkeypatch.setattr(allocator, "keep_freed", lambda: asked.append(True))
    monkeypatch.setattr("l2vault.verbs.analysis.is_own", lambda: is_own)
    words = ["--vault", str(write_vault(tmp_path / "Vault").root), "--last", "5m"]
    assert cli.main(["spread", "BTC-USDT-SWAP", *words]) == 0
    assert asked == [True] * is_own


def test_a_missing_extra_is_named_with_its_command() -> None:
    with pytest.raises(VaultError, match=r"needs the screen extra .*\[screen\]"), extra("screen"):
        raise ModuleNotFoundError("No module named 'starlette'")
