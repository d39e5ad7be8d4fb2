"""Alerts on the market: each fires where its event was planted and nowhere else, in a replay as in a run."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from l2vault import cli
from l2vault.alerts import market_feed
from l2vault.alerts.market_feed import Tail
from l2vault.alerts.outbox import Entry
from l2vault.alerts.replay import Replayed, replay
from l2vault.alerts.rule import Receiver, Rule, read_rules
from l2vault.alerts.run import EVERY_SEC, AlertRun
from l2vault.book.utc import utc_text
from l2vault.vault.reading.vault import open_vault
from support import market_vault as planted
from support.hours import HOUR_AT_MS, INST
from support.manual_clock import ManualClock
from support.market_vault import MarketVault


def rule(when: str, **keys: object) -> Rule:
    table = {"when": when, "instruments": [INST], "command": ["x"], "clear": "10s", **keys}
    return read_rules([table], {})[0]


def replayed(vault: MarketVault, *rules: Rule) -> list[Replayed]:
    return replay(open_vault(vault.layout.root), rules, planted.SPAN)


def second(ts_ms: int) -> float:
    return (ts_ms - HOUR_AT_MS) / 1000


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> MarketVault:
    made = MarketVault(tmp_path_factory.mktemp("market") / "Vault")
    made.write()
    return made


PULLED, CONSUMED = planted.PULLED_WALL, planted.CONSUMED_WALL
PULLED_ASK, CONSUMED_BID, LAST_ASK = f"{INST} ask 60050", f"{INST} bid 59995", f"{INST} ask 60450"
ASK, BID = f"{INST} ask", f"{INST} bid"
WHEN = [
    (rule("wall above 5M", **{"for": "20s"}), [(PULLED_ASK, *PULLED), (CONSUMED_BID, *CONSUMED)]),
    (rule("wall above 5M", side="bid"), [(CONSUMED_BID, *CONSUMED)]),
    (rule("wall above 5M", within_bps=2), [(CONSUMED_BID, *CONSUMED)]),
    (rule("wall above 7M"), []),
    (rule("wall born above 5M"), [(PULLED_ASK, 60, 120), (CONSUMED_BID, 180, 240), (LAST_ASK, 550, None)]),
    (rule("wall pulled above 5M"), [(PULLED_ASK, 120, 180)]),
    (rule("wall consumed above 5M"), [(CONSUMED_BID, 240, 300)]),
    (rule("wall consumed above 5M", side="ask"), []),
    (rule("spread above 10bps"), [(INST, *planted.WIDE)]),
    (rule("spread above 20bps"), []),
    (rule("imbalance beyond 0.9"), [(ASK, *PULLED), (BID, *CONSUMED), (BID, *planted.LEANING)]),
    (rule("imbalance beyond 0.9", side="ask"), [(ASK, *PULLED)]),
    (rule("depth below 20k", within_bps=10), [(ASK, *planted.THIN)]),
    (rule("depth below 20k", within_bps=10, side="bid"), []),
    (rule("depth below 20k", within_bps=20), [(ASK, *planted.THIN)]),
    (rule("shift beyond 5M", within_bps=10), [(ASK, 60, 180), (BID, 180, 300)]),
    (rule("shift beyond 5M"), [(BID, 180, 300)]),
    (rule("funding beyond 0.05%"), [(INST, *planted.FUNDED)]),
    (rule("funding beyond 0.2%"), []),
    (rule("price crosses 60200-60300"), [(f"{INST} up", planted.CROSSED, None)]),
    (rule("price crosses 60500"), []),
]


@pytest.mark.parametrize(("asked", "expected"), WHEN, ids=[f"{asked.name} {n}" for n, (asked, _) in enumerate(WHEN)])
def test_an_alert_fires_where_its_event_was_planted_and_nowhere_else(
    vault: MarketVault, asked: Rule, expected: list[tuple[str, int, int | None]]
) -> None:
    (found,) = replayed(vault, asked)
    fired = [(entry.of, second(entry.since_ms), entry.until_ms) for entry in found.fired]
    fired = [one for one in fired if one[1] < planted.HOLE[0]]
    assert [of for of, _, _ in fired] == [of for of, _, _ in expected]
    for (_, since, until_ms), (_, begin, end) in zip(fired, expected, strict=True):
        assert begin <= since <= begin + 5, "a step is 5 s"
        assert end is None or (until_ms is not None and end <= second(until_ms) <= end + 10)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zones each two minutes: the planted market lasts for ten."""
    monkeypatch.setattr(market_feed, "ZONES_EVERY_MS", 120_000)


def test_a_price_that_crosses_a_computed_zone_fires_and_one_that_leaves_it_alone_does_not(
    vault: MarketVault, often: None
) -> None:
    """Mid is 60,000, above all bids, then wide with asks at 60,100, and 60,400 in the end."""
    ask, bid, both = replayed(
        vault,
        *(rule("price crosses zone", name=side, side=side) for side in ("ask", "bid")),
        rule("price crosses zone"),
    )
    assert all(second(entry.since_ms) < planted.CROSSED for entry in bid.fired), "it was above those"
    each = {(entry.of, entry.since_ms) for entry in (*ask.fired, *bid.fired)}
    assert {(entry.of, entry.since_ms) for entry in both.fired} == each, "each rule sees each crossing"
    assert all(entry.of.startswith(f"{INST} ask ") for entry in ask.fired)
    ups = {second(entry.since_ms) for entry in ask.fired if entry.of.endswith(" up")}
    assert len([since for since in ups if planted.CROSSED <= since <= planted.CROSSED + 5]) == 1
    assert any("ask zone" in entry.text and "upwards" in entry.text for entry in ask.fired)
    wide, after = planted.WIDE[0], planted.WIDE[1] + 5
    assert all(wide <= since <= after or since >= planted.CROSSED for since in ups), "and at no other time"


def test_zones_that_cannot_be_computed_are_not_known(vault: MarketVault) -> None:
    """The hour before the first quarter has no book."""
    (found,) = replayed(vault, rule("price crosses zone"))
    assert found.fired == []
    assert (INST, market_feed.NO_ZONES) in found.unknown_ms


@pytest.mark.parametrize("when", ["wall pulled above 5M", "wall consumed above 5M"])
def test_without_trades_nobody_knows_how_a_wall_ended(tmp_path: Path, when: str) -> None:
    made = MarketVault(tmp_path / "Vault", has_trades=False)
    made.write()
    (found,) = replayed(made, rule(when))
    assert found.fired == []
    assert any("trades" in why for _, why in found.unknown_ms)


def test_over_a_hole_an_alert_neither_fires_nor_recovers_and_what_had_not_fired_must_hold_anew(
    vault: MarketVault,
) -> None:
    """The wall of `HELD_WALL` stood 10 s before the hole, and stands after it."""
    (waited, at_once) = replayed(vault, rule("wall above 5M"), rule("wall above 5M", name="now", **{"for": "1s"}))
    last = [entry for entry in waited.fired if entry.of.endswith("60450")]
    assert [entry.state for entry in last] == ["firing"]
    assert planted.HOLE[1] <= second(last[0].since_ms) <= planted.HOLE[1] + 5
    before = [entry for entry in at_once.fired if entry.of.endswith("60450")]
    assert [(entry.state, entry.until_ms) for entry in before] == [("firing", None)], "it never recovered"
    assert second(before[0].since_ms) < planted.HOLE[0]
    lasted = planted.HOLE[1] - planted.HOLE[0]
    assert abs(waited.unknown_ms[INST, "the book is not in sync"] / 1000 - lasted) <= 10


ALL = [
    rule("wall above 5M"),
    rule("wall born above 5M"),
    rule("wall pulled above 5M"),
    rule("wall consumed above 5M"),
    rule("spread above 10bps", most_an_hour=1),
    rule("imbalance beyond 0.9", quiet="03:06-03:07"),
    rule("depth below 20k", again="20s"),
    rule("shift beyond 5M"),
    rule("funding beyond 0.05%"),
    rule("price crosses 60200-60300"),
    rule("price crosses zone"),
]


class Sent:
    """What a run sends, in order."""

    def __init__(self) -> None:
        self.messages: list[dict[str, object]] = []

    def __call__(self, receiver: Receiver, body: bytes) -> str | None:
        self.messages.append(json.loads(body))
        return None


def live_run(root: Path, rules: list[Rule], sent: Sent) -> None:
    made, clock = MarketVault(root), ManualClock()
    clock.wall_offset_ms = HOUR_AT_MS - 5_000 - clock.now_ms
    run = AlertRun(rules, str(root), clock, sent)
    for now_sec in range(0, planted.SECONDS, round(EVERY_SEC)):
        made.write(now_sec + 1)  # so that one step is closed at each look
        clock.advance(round(EVERY_SEC * 1000))
        run.step()


def _said(entry: Entry) -> dict[str, object]:
    """As a message has it."""
    return {
        "of": entry.of,
        "state": entry.state,
        "since": utc_text(entry.since_ms),
        "until": None if entry.until_ms is None else utc_text(entry.until_ms),
        "is_reminder": entry.is_reminder,
        "text": entry.text,
        "cure": entry.cure,
    }


def test_a_replay_of_a_span_and_a_run_over_it_send_the_same(tmp_path: Path, vault: MarketVault, often: None) -> None:
    sent = Sent()
    live_run(tmp_path / "Vault", ALL, sent)
    for each in replayed(vault, *ALL):
        of_run = [message for message in sent.messages if message["alert"] == each.rule.name]
        assert each.messages, each.rule.name
        said = [[_said(entry) for entry in entries] for _, entries in each.messages]
        of_run_said = [message["entries"] for message in of_run]
        assert of_run_said == said[: len(of_run_said)]
        assert len(said) - len(of_run_said) <= 1, "the newest steps are not closed yet"


def test_a_run_says_once_what_cannot_be_known_and_once_that_it_can_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        live_run(tmp_path / "Vault", [rule("spread above 10bps")], Sent())
    lines = [record.getMessage() for record in caplog.records if "spread" in record.getMessage()]
    assert [line for line in lines if "cannot be known" in line] == [
        f"spread above 10bps: cannot be known of {INST} now, and neither fires nor recovers: the book is not in sync"
    ]
    assert len([line for line in lines if "is known" in line]) == 1


def test_a_recorder_that_dies_leaves_the_market_unknown_after_the_longest_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made, clock, sent = MarketVault(tmp_path / "Vault"), ManualClock(), Sent()
    run = AlertRun([rule("spread above 0.1bps")], str(made.layout.root), clock, sent)
    made.write(50)
    for looks, count in ((18, 0), (4, 1)):
        for _ in range(looks):
            clock.advance(5_000)
            run.step()
        assert caplog.text.count("no book of the last 90 s") == count
    assert [message["state"] for message in sent.messages] == ["firing"], "and it does not recover"


def test_a_market_that_cannot_be_read_keeps_no_alert_on_the_recorder_from_being_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, clock, sent = MarketVault(tmp_path / "Vault"), ManualClock(), Sent()
    made.write(50)
    absent = read_rules([{"when": "recorder absent", "command": ["x"]}], {})[0]
    run = AlertRun([rule("price crosses 60200-60300"), absent], str(made.layout.root), clock, sent)

    def refuse(tail: Tail) -> bool:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(Tail, "read", refuse)
        for _ in range(5):
            clock.advance(5_000)
            run.step()
    assert [message["alert"] for message in sent.messages] == ["recorder absent"]
    assert caplog.text.count("the market cannot be read") == 1
    run.step()
    made.write()
    clock.advance(5_000)
    run.step()
    assert sent.messages[-1]["alert"] == "price crosses 60200-60300"


def test_a_vault_that_comes_later_and_hours_of_lines_at_once_are_followed(tmp_path: Path) -> None:
    clock, sent = ManualClock(), Sent()
    run = AlertRun([rule("price crosses 60200-60300")], str(tmp_path / "Vault"), clock, sent)
    run.step()
    made = MarketVault(tmp_path / "Vault")
    run.step()
    made.write()
    clock.advance(5_000)
    run.step()
    (message,) = sent.messages
    assert [entry["of"] for entry in message["entries"]] == [f"{INST} up"]  # type: ignore[attr-defined]


def test_a_vault_without_the_instruments_row_is_not_known_and_ends_no_run(tmp_path: Path) -> None:
    made = MarketVault(tmp_path / "Vault")
    made.write()
    made.layout.instrument_file(INST).unlink()
    (found,) = replayed(made, rule("wall above 5M"))
    assert found.fired == []
    assert any("no instrument row" in why for _, why in found.unknown_ms)


ALERTS_TOML = """
[[alert]]
when = "wall pulled above 5M"
instruments = ["BTC-USDT-SWAP"]
webhook = "${NOT_SET_HERE}"

[[alert]]
name = "wide"
when = "spread above 50bps"
instruments = ["BTC-USDT-SWAP"]

[[alert]]
when = "feed down"
"""


def replay_verb(tmp_path: Path, vault: MarketVault, *words: str) -> int:
    (tmp_path / "l2vault.toml").write_text(ALERTS_TOML, encoding="utf-8")
    given = ["--config", str(tmp_path / "l2vault.toml"), "--vault", str(vault.layout.root)]
    return cli.main(["alert", "replay", *given, *words])


def test_the_verb_says_how_often_when_and_what_it_could_not_know_and_needs_no_address(
    tmp_path: Path, vault: MarketVault, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay_verb(tmp_path, vault, "--last", "7d") == 0
    page = capsys.readouterr().out
    assert "wall pulled above 5M: fired 1 time, 2 messages to each receiver" in page
    assert "by day: 2024-08-20 1" in page and "BTC-USDT-SWAP ask 60050" in page
    assert "wide: would not have fired" in page
    assert "feed down is about the recorder" in page
    assert replay_verb(tmp_path, vault, "--from", "2024-08-20T03:03Z", "--to", "2024-08-20T03:05Z", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["schema"] == "l2vault.alert.replay/1"
    assert [alert["fired"] for alert in said["alerts"]] == [0, 0]
    assert said["not_replayed"] == ["feed down"]


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["--last", "1h", "--from", "2024-08-20"], 2, "both say"),
        (["--from", "2025-01-01"], 1, "a time in 2024-08-20T03:00:00.000Z"),
    ],
)
def test_a_span_that_cannot_be_is_refused(
    tmp_path: Path, vault: MarketVault, capsys: pytest.CaptureFixture[str], words: list[str], code: int, why: str
) -> None:
    assert replay_verb(tmp_path, vault, *words) == code
    assert why in capsys.readouterr().err


def test_nothing_but_replay_has_a_span(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["alert", "test", "--last", "7d"]) == 2
    assert "only replay" in capsys.readouterr().err


def test_alerts_on_the_recorder_alone_load_no_library_of_the_market() -> None:
    code = (
        "import sys\nfrom l2vault.alerts.rule import read_rules\nfrom l2vault.alerts.run import AlertRun\n"
        "from l2vault.clock import Clock\nimport l2vault.verbs.alert\n"
        "AlertRun(read_rules([{'when': 'feed down', 'command': ['x']}], {}), 'none', Clock(), lambda *_: None).step()\n"
        "names = 'numpy', 'polars', 'pyarrow', 'asyncio', 'apprise', 'l2vault.alerts.market_feed'\n"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
