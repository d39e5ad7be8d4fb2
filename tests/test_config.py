"""Settings: who beats whom, and what is refused with which cure."""

from pathlib import Path

import pytest

from l2vault.config import Settings, load_settings
from l2vault.errors import UsageError

Sources = dict[str, object]


def load(
    flags: Sources | None = None,
    env: dict[str, str] | None = None,
    toml: Path | None = None,
    launcher: Sources | None = None,
) -> Settings:
    return load_settings(flags or {}, env or {}, toml, launcher or {})


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "l2vault.toml"


def test_flags_beat_environment_beats_file_beats_launcher_beats_defaults(toml: Path) -> None:
    toml.write_text("depth = 30\ncadence_sec = 5\nfsync_sec = 9\n")
    settings = load(
        {"depth": "10"}, {"L2VAULT_DEPTH": "20", "L2VAULT_CADENCE_SEC": "0.5"}, toml, {"depth": 40, "vault": "Mine"}
    )
    assert (settings.depth, settings.cadence_ms, settings.fsync_sec, settings.vault) == (10, 500, 9.0, "Mine")
    assert settings.instruments == Settings().instruments


def test_instruments_come_from_the_environment_with_commas() -> None:
    assert load(env={"L2VAULT_INSTRUMENTS": "SOL-USDT-SWAP, BTC-USD-SWAP"}).instruments == (
        "SOL-USDT-SWAP",
        "BTC-USD-SWAP",
    )


def test_l2vault_toml_in_the_working_folder_is_found(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml.write_text('instruments = ["SOL-USDT-SWAP"]\n')
    monkeypatch.chdir(toml.parent)
    assert load().instruments == ("SOL-USDT-SWAP",)


@pytest.mark.parametrize("cadence", ["0.5", "1", "2", "5", "0.1", "0.25", "3600"])
def test_cadences_that_are_whole_milliseconds_are_accepted(cadence: str) -> None:
    assert load({"cadence_sec": cadence}).cadence_ms == round(float(cadence) * 1000)


@pytest.mark.parametrize("cadence", ["0", "-1", "0.05", "0.1234567", "nan", "inf", "3601"])
def test_an_impossible_cadence_is_refused(cadence: str) -> None:
    with pytest.raises(UsageError, match=r"cadence_sec = .* is impossible\. Try: 0\.5, 1, 2 or 5"):
        load({"cadence_sec": cadence})


@pytest.mark.parametrize("depth", [0, 401, -5])
def test_an_impossible_depth_is_refused(depth: int) -> None:
    with pytest.raises(UsageError, match=r"depth = -?\d+ is impossible\. Try: 1 to 400"):
        load({"depth": depth})


@pytest.mark.parametrize("name", ["BTC-USDT", "BTC-USD-220527", "btc-usdt-swap", "BTC-USDT-SWAP\n", "../X-SWAP", ""])
def test_only_swaps_are_recorded(name: str) -> None:
    with pytest.raises(UsageError, match="not a perpetual swap"):
        load({"instruments": [name]})


def test_an_instrument_listed_twice_is_refused() -> None:
    """T15: no instrument is subscribed twice."""
    with pytest.raises(UsageError, match="BTC-USDT-SWAP is listed twice"):
        load({"instruments": ["BTC-USDT-SWAP", "BTC-USDT-SWAP"]})


def test_an_unknown_key_names_the_nearest_known_one(toml: Path) -> None:
    toml.write_text("cadense_sec = 2\n")
    with pytest.raises(UsageError, match=r"unknown key cadense_sec in .*l2vault\.toml\. Try: cadence_sec"):
        load(toml=toml)
    with pytest.raises(UsageError, match=r"unknown key L2VAULT_VAULTS in the environment\. Try: L2VAULT_VAULT"):
        load(env={"L2VAULT_VAULTS": "x"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("depth = 'many'\n", r"wrong type: Expected `int`.*depth"),
        ("depth = [\n", "is not TOML"),
        ("ws_url = 'http://x'\n", r"ws_url = 'http://x' is not an address\. Try: one like wss://"),
        ("rest_url = 'https://'\n", "rest_url = 'https://' is not an address"),
        ("instruments = []\n", "no instrument to record"),
        ("fsync_sec = 0\n", "fsync_sec = 0.0 is impossible"),
        ("feeds = 9\n", "feeds = 9"),
        ("lines = 9\n", "feeds = 9"),
    ],
)
def test_a_bad_file_is_refused_with_the_key_and_the_cure(toml: Path, text: str, says: str) -> None:
    toml.write_text(text)
    with pytest.raises(UsageError, match=says):
        load(toml=toml)


def test_a_named_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no config file"):
        load(toml=tmp_path / "absent.toml")


def test_equal_settings_have_equal_digests_and_others_do_not() -> None:
    assert load({"depth": 100}).digest() == load({"depth": "100"}).digest() != load().digest()


def test_a_relative_path_in_a_file_is_relative_to_the_file(toml: Path) -> None:
    toml.write_text('vault = "data/Vault"\nlog_file = "l2.log"\n')
    settings = load(toml=toml)
    assert Path(settings.vault) == toml.parent / "data" / "Vault"
    assert Path(settings.log_file) == toml.parent / "l2.log"


def test_a_launcher_looks_for_the_file_beside_itself_and_nowhere_else(
    toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml.write_text("depth = 7\n")
    beside = tmp_path / "launcher"
    beside.mkdir()
    monkeypatch.chdir(toml.parent)
    assert load_settings({}, {}, None, {}, beside).depth == Settings().depth
    (beside / "l2vault.toml").write_text("depth = 9\n")
    assert load_settings({}, {}, None, {}, beside).depth == 9
