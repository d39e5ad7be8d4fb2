"""The command line: exit codes, one-line errors with a cure, and the verbs' help."""

import json
import logging
import socket
from pathlib import Path

import pytest

import l2vault
from l2vault import cli
from l2vault.vault.journal.events import Alive, Disconnected, Started, Stopped
from l2vault.vault.journal.log import read_journal
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.lock import VaultLock
from l2vault.verbs.demo import demo_exchange


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("verb", sorted(set(cli.VERBS) - {"record", "sim", "probe", "merge", "fetch", "backfill"}))
@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_no_vault_and_never_the_working_folder(
    verb: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a script gives it whose variable is not set; the working folder here would do as a vault."""
    Path("raw/okx").mkdir(parents=True)
    for way in ("flag", "the environment"):
        monkeypatch.setenv("L2VAULT_VAULT", name)
        needed = ["csv", "--out", "x"] if verb == "export" else []
        assert cli.main([verb, *needed, *(["--vault", name] if way == "flag" else [])]) == 1
        err = capsys.readouterr().err
        assert err.startswith("l2vault: no vault here: ") and f"= '{name}' ({way}) names no folder. Try: " in err
    assert [path.as_posix() for path in Path().rglob("*")] == ["raw", "raw/okx"]


@pytest.mark.parametrize("verb", cli.VERBS)
def test_the_help_of_every_verb_ends_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([verb, "--help"]) == 0
    assert f"Example: l2vault {verb}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["recrod"], "no verb 'recrod'. Try: l2vault record"),
        (["xyz\x1b[2J"], r"no verb 'xyz\x1b[2J'. Try: l2vault --help"),
        (["record", "--inst", "BTC-USDT"], "--inst = 'BTC-USDT' (flag) is not a perpetual swap"),
        (["record", "--cadence", "0"], "--cadence = '0' (flag) is impossible. Try: 0.5, 1, 2 or 5"),
        (["record", "--cadence", "soon"], "--cadence = 'soon' (flag) is not a number. Try: 0.5, 1, 2 or 5"),
        (["record", "--depth", "500"], "--depth = '500' (flag) is impossible. Try: 1 to 400"),
        (["record", "--feeds", "9"], "--feeds = '9' (flag) is impossible"),
        (["record", "--vault", ""], "--vault: the name is empty"),
        (["retain", "--max-gb", "nan"], "--max-gb = nan (flag) is impossible. Try: a number of gigabytes above 0"),
        (["retain", "--max-gb", "-1"], "--max-gb = -1.0 (flag) is impossible"),
        (["retain", "--min-free-gb", "inf"], "--min-free-gb = inf (flag) is impossible"),
        (["ls", "--vault", "a\0b"], "--vault = 'a\\x00b' (flag) holds a control character"),
        (["spread", "--last", "1000000h"], "--last: the duration '1000000h' is longer than a century. Try: "),
        (["spread", "--last", "5"], "'5' is no duration. Try: a number and its unit"),
        (["depth", "--sizes", "1,500,250"], "'1,500,250' could be one number or several. Try: 1_500_250 or 1.5M"),
        (["heatmap", "--plot", "x.jpg"], "'x.jpg' is no name of a picture. Try: as PNG: a name that ends in .png"),
        (["show", "--at", "noon"], "'noon' is not a time. Try: one such as 2026-01-31T12:00Z"),
        (["walls", "--top", "0"], "--top: '0' is no whole number from 1 up"),
        (["ls", "--" + "x" * 100_000], "unrecognized arguments: --xxx"),
        (["record", "--ws-url", "okx.com"], "--ws-url = 'okx.com' (flag) is not an address"),
        (["record", "--duration", "-1"], "--duration"),
        (["record", "--config", "absent.toml"], "no config file absent.toml"),
        (
            ["fetch", "BTC-USDT", "--from", "2024-08-20"],
            "'BTC-USDT' is not a perpetual swap, and only those are fetched",
        ),
        (["fetch", "A" * 5_000, "--from", "2024-08-20"], "is not a perpetual swap"),
        (["fetch", "\udcff", "--from", "2024-08-20"], r"'\udcff' is not a perpetual swap"),
        (["sim", "--speed", "slow"], "--speed"),
        (["sim", "--port", "70000"], "--port"),
        (["sim", "--inst", "0"], "--inst 0 is out of range"),
    ],
)
def test_wrong_usage_is_one_line_with_a_cure_and_code_2(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert says in err
    assert "Try: " in err
    assert err.count("\n") == 1 and len(err) < 600
    assert err.count("Try: ") == 1
    assert not list(Path().iterdir()), "nothing is made"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["merge", "--into", "m", "--", "-a", "-b"], "no vault at -a"),
        (["walls", "--", "BTC-USDT-SWAP", "--at", "now"], "unrecognized arguments: --at now"),
    ],
)
def test_behind_two_dashes_nothing_is_an_option(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) != 0
    assert says in capsys.readouterr().err


def test_without_a_verb_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    assert "usage: l2vault" in capsys.readouterr().out


def test_where_python_drops_docstrings_every_verb_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As under PYTHONOPTIMIZE=2."""
    monkeypatch.setattr(l2vault, "__doc__", None)
    assert cli.main(["--help"]) == 0
    assert "flight recorder" in capsys.readouterr().out


def test_a_misspelt_key_in_the_config_file_is_named_with_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    Path("l2vault.toml").write_text("dept = 100\n")
    assert cli.main(["record"]) == 2
    assert "unknown key dept in l2vault.toml. Try: depth" in capsys.readouterr().err


def test_a_vault_that_is_a_file_is_refused_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    Path("notes.txt").write_text("mine")
    assert cli.main(["record", "--vault", "notes.txt", "--duration", "1"]) == 1
    err = capsys.readouterr().err
    assert "notes.txt" in err and "Try: " in err
    assert Path("notes.txt").read_text() == "mine"


def test_a_vault_in_use_is_refused_with_its_holder(capsys: pytest.CaptureFixture[str]) -> None:
    lock = VaultLock(Layout(Path("Vault")))
    lock.acquire("2026-01-01T00:00:00.000Z")
    try:
        assert cli.main(["record", "--duration", "1"]) == 1
    finally:
        lock.release()
    assert "is being recorded by process" in capsys.readouterr().err


def test_a_port_in_use_is_named_with_the_cure(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["sim", "--port", str(port)]) == 1
    err = capsys.readouterr().err
    assert f"Port {port} on 127.0.0.1" in err and "Try: another port" in err


def test_no_network_is_waited_out_saying_what_for(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    urls = ["--ws-url", f"ws://127.0.0.1:{port}/ws/v5/public", "--rest-url", f"http://127.0.0.1:{port}"]
    assert cli.main(["record", *urls, "--duration", "0.8"]) == 0
    err = capsys.readouterr().err
    assert f"Feed 1 cannot connect: 127.0.0.1:{port} refuses connections" in err
    assert "Next try in" in err
    assert "No instrument row of BTC-USDT-SWAP yet" in err and "Recording goes on without it" in err
    events = list(read_journal(Layout(Path("Vault"))))
    assert isinstance(events[0], Started) and isinstance(events[-1], Stopped)
    assert not any(isinstance(event, Disconnected | Alive) for event in events)


def test_the_demo_records_beside_the_real_vault_and_never_into_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["record", "--demo", "--cadence", "0.5", "--duration", "3"]) == 0
    assert not Path("Vault").exists()
    for inst_id in ("BTC-USDT-SWAP", "ETH-USDT-SWAP"):
        files = list(Path("demo").glob(f"raw/okx/l2_perps/{inst_id}/*/*.jsonl"))
        line = json.loads(files[0].read_text().splitlines()[0])
        assert (line["instId"], len(line["bids_top400"]), line["gap_detected"]) == (inst_id, 400, False)
    log = Path("l2_exporter.log").read_text()
    assert "Stopped (as long as asked) after " in log
    assert "in sync on feed 1" in log and "Snapshot written" in log
    assert "in sync on feed 1" in capsys.readouterr().err


def test_an_instrument_okx_does_not_know_is_named_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """60018 for one arg of the request."""
    with demo_exchange(["BTC-USDT-SWAP"]) as exchange:
        urls = ["--ws-url", exchange.ws_url, "--rest-url", exchange.rest_url]
        words = ["record", "--inst", "NOPE-USDT-SWAP", "--inst", "BTC-USDT-SWAP", *urls, "--duration", "2.5"]
        assert cli.main([*words, "--cadence", "0.5"]) == 0
    err = capsys.readouterr().err
    assert "OKX does not know NOPE-USDT-SWAP (60018). Check its name at OKX" in err
    assert list(Path("Vault").glob("raw/okx/l2_perps/BTC-USDT-SWAP/*/*.jsonl"))
    assert not Path("Vault/raw/okx/l2_perps/NOPE-USDT-SWAP").exists()
