"""An `[[alert]]` of the settings: what reads, what is refused, and that an address is never printed."""

import tomllib
from pathlib import Path

import pytest

from l2vault import cli
from l2vault.alerts.rule import CONDITIONS, MARKET, Apprise, Command, Rule, Webhook, read_rules
from l2vault.errors import UsageError

SECRET = "https://hooks.example.com:8443/services/T0/SECRET?token=SECRET"
ENVIRONMENT = {
    "ALERT_URL": SECRET,
    "EMPTY": "",
    "ODD": "ftp://x/SECRET",
    "SPACED": "https://x/SECRET y",
    "PLAIN": "SECRET",
}


def rules(text: str) -> list[Rule]:
    return read_rules(tomllib.loads(text).get("alert", []), ENVIRONMENT)


INSTRUMENTS = 'instruments = ["BTC-USDT-SWAP"]'


def one(text: str) -> Rule:
    (rule,) = rules(f"[[alert]]\n{text}")
    return rule


def test_an_alert_needs_a_condition_and_a_receiver_and_the_rest_has_defaults() -> None:
    rule = one('when = "recorder absent"\nwebhook = "${ALERT_URL}"')
    assert rule == Rule("recorder absent", "recorder absent", 0.0, (Webhook(SECRET),))
    assert (rule.for_ms, rule.clear_ms, rule.again_ms, rule.most_an_hour) == (15_000, 60_000, 3_600_000, 6)


def test_everything_that_can_be_said_is_read() -> None:
    text = 'name = "books"\nwhen = "Book  older than 2m"\ninstruments = ["btc-usdt-swap"]\nfor = "5s"\nclear = "90s"\n'
    text += 'again = "6h"\nmost_an_hour = 3\nquiet = "22:00-07:30"\nwebhook = "${ALERT_URL}"\ncommand = ["say", "x y"]'
    receivers = (Webhook(SECRET), Command(("say", "x y")))
    times = 5_000, 90_000, 21_600_000, 3, (1320, 450)
    assert one(text) == Rule("books", "book older than", 120.0, receivers, frozenset({"BTC-USDT-SWAP"}), *times)


@pytest.mark.parametrize("name", CONDITIONS)
def test_every_condition_reads_with_its_example_and_not_without_or_with_more(name: str) -> None:
    limit = CONDITIONS[name]
    more = INSTRUMENTS if name in MARKET else ""
    assert one(f'when = "{name} {limit}"\ncommand = ["x"]\n{more}').condition == name
    for wrong in [name, f"{name} soon"] if limit else [f"{name} 30s"]:
        with pytest.raises(UsageError, match="when"):
            one(f'when = "{wrong}"\ncommand = ["x"]\n{more}')


def test_the_limits_of_conditions_on_the_market_are_in_their_units() -> None:
    def limits(text: str) -> tuple[float, float, float | None, int]:
        rule = one(f'when = "{text}"\ncommand = ["x"]\n{INSTRUMENTS}')
        return rule.limit, rule.upper, rule.within_bps, rule.for_ms

    assert limits("wall above 2.5M") == (2_500_000, 0, None, 15_000)
    assert limits("wall pulled above 500k") == (500_000, 0, None, 0)
    assert limits("spread above 1.5bps") == (1.5, 0, None, 15_000)
    assert limits("depth below 1M") == (1_000_000, 0, 5, 15_000)
    assert limits("funding beyond 0.05%") == (0.0005, 0, None, 15_000)
    assert limits("price crosses 60000-60500") == (60_000, 60_500, None, 0)
    assert limits("price crosses 60000") == (60_000, 60_000, None, 0)


WRONG = [
    ('command = ["x"]', "is no condition"),
    ('when = "feed up"\ncommand = ["x"]', "is no condition"),
    ('when = "feed down"', "sent to nobody"),
    ('when = "feed down"\nurl = "x"', "unknown key 'url'"),
    ('when = "feed down"\ncommand = "rm -rf"', "no list of words"),
    ('when = "feed down"\ncommand = []', "no list of words"),
    ('when = "feed down"\ncommand = [""]', "no list of words"),
    ('when = "feed down"\ncommand = ["x"]\nfor = 5', "is no text"),
    ('when = "feed down"\ncommand = ["x"]\nfor = "soon"', "is no duration"),
    ('when = "feed down"\ncommand = ["x"]\nquiet = "22-7"', "is no span of the day"),
    ('when = "feed down"\ncommand = ["x"]\nmost_an_hour = 0', "is impossible"),
    ('when = "feed down"\ncommand = ["x"]\nmost_an_hour = true', "is impossible"),
    ('when = "hole longer than 30s"\ncommand = ["x"]\ninstruments = "BTC"', "no list of names"),
    *(
        (f'when = "{when}"\ncommand = ["x"]\n{INSTRUMENTS}', f"{when.split(' 1s')[0]} takes no instruments")
        for when in ("recorder absent", "feed down", "not healthy", "clock off by 1s")
    ),
    ('when = "disk days below 3"\ncommand = ["x"]\ninstruments = []', "takes no instruments"),
    ('when = "disk days below many"\ncommand = ["x"]', "no limit that reads"),
    *((f'when = "disk days below {word}"\ncommand = ["x"]', "no limit that reads") for word in ("nan", "inf", "-3")),
    ('when = "feed down"\nwebhook = "${NOT_SET}"', "NOT_SET is not set"),
    ('when = "feed down"\nwebhook = "${EMPTY}"', "EMPTY is not set"),
    ('when = "feed down"\nwebhook = "${ODD}"', "ODD holds no address"),
    ('when = "feed down"\nwebhook = "${SPACED}"', "SPACED holds no address"),
    ('when = "feed down"\napprise = "${NOT_SET}"', "NOT_SET is not set"),
    ('when = "feed down"\napprise = "${PLAIN}"', "PLAIN holds no address of apprise"),
    ('when = "feed down"\napprise = "tgram://SECRET"', "is a secret"),
    ('when = "wall above 5M"\ncommand = ["x"]', "needs instruments"),
    *(
        (f'when = "{when}"\ncommand = ["x"]\n{INSTRUMENTS}\n{more}', why)
        for when, more, why in [
            ("wall above much", "", "no limit that reads"),
            ("spread above 5", "", "no limit that reads"),
            ("imbalance beyond 1", "", "no limit that reads"),
            ("funding beyond 0.05", "", "no limit that reads"),
            ("price crosses 60500-60000", "", "no limit that reads"),
            ("spread above 5bps", "within_bps = 5", "takes no within_bps"),
            ("spread above 5bps", 'side = "bid"', "takes no side"),
            ("wall above 5M", "within_bps = 0", "no distance from mid"),
            ("wall above 5M", "within_bps = true", "no distance from mid"),
            ("wall above 5M", 'side = "buy"', "no side of a book"),
            ("wall born above 5M", 'for = "5s"', "is of no use"),
        ]
    ),
    (f'when = "feed down"\nwebhook = "{SECRET}"', "is a secret"),
    (f'when = "feed down"\nwebhook = "{SECRET}/${{ALERT_URL}}"', "is a secret"),
]


@pytest.mark.parametrize(("text", "why"), WRONG, ids=[why for _, why in WRONG])
def test_what_nobody_can_mean_is_refused_with_a_cure_and_without_the_secret(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        one(text)
    assert caught.value.cure and "SECRET" not in str(caught.value)
    assert "[[alert]]" in str(caught.value)


def test_two_alerts_need_two_names_and_there_must_be_one() -> None:
    with pytest.raises(UsageError, match="two alerts have the name"):
        rules('[[alert]]\nwhen = "feed down"\ncommand = ["x"]\n' * 2)
    with pytest.raises(UsageError, match="no \\[\\[alert\\]\\]"):
        rules("")


def test_of_a_receiver_scheme_and_host_or_the_program_are_shown_and_nothing_else() -> None:
    assert Webhook(SECRET).shown == "https://hooks.example.com"
    assert "SECRET" not in repr(Webhook(SECRET)) + repr(one('when = "feed down"\nwebhook = "${ALERT_URL}"'))
    assert Apprise("tgram://SECRET/1").shown == "apprise tgram://" and "SECRET" not in repr(Apprise("tgram://SECRET/1"))
    assert Command(("say", "SECRET")).shown == "the command say"


def test_quiet_hours_may_go_over_midnight() -> None:
    over = one('when = "feed down"\ncommand = ["x"]\nquiet = "22:00-07:00"')
    within = one('when = "feed down"\ncommand = ["x"]\nquiet = "09:00-17:00"')
    at = {hour: hour * 3_600_000 for hour in range(24)}
    assert [hour for hour in at if over.is_quiet(at[hour])] == [0, 1, 2, 3, 4, 5, 6, 22, 23]
    assert [hour for hour in at if within.is_quiet(at[hour])] == list(range(9, 17))


def test_a_fault_in_an_alert_keeps_no_recorder_and_no_other_verb_from_working(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "l2vault.toml").write_text('feeds = 1\n[[alert]]\nwhen = "nonsense"\n', encoding="utf-8")
    (tmp_path / "Vault" / "meta" / "okx").mkdir(parents=True)
    config = str(tmp_path / "l2vault.toml")
    assert cli.main(["retain", "--config", config, "--vault", str(tmp_path / "Vault"), "--dry-run"]) == 0
    assert cli.main(["alert", "test", "--config", config]) == 2
    assert "is no condition" in capsys.readouterr().err
    (tmp_path / "l2vault.toml").write_text('[alert]\nwhen = "feed down"\n', encoding="utf-8")
    assert cli.main(["alert", "test", "--config", config]) == 2
    assert "two brackets" in capsys.readouterr().err
