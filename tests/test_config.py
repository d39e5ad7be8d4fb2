"""Settings: who beats whom, and what is refused with which cure."""

from pathlib import Path

import pytest

from l2vault.config import Settings, load_settings, load_vault
from l2vault.errors import UsageError, VaultError

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
    with pytest.raises(UsageError, match=r"--cadence = '.*' \(flag\) is impossible\. Try: 0\.5, 1, 2 or 5"):
        load({"cadence_sec": cadence})


@pytest.mark.parametrize("depth", [0, 401, -5])
def test_an_impossible_depth_is_refused(depth: int) -> None:
    with pytest.raises(UsageError, match=r"--depth = -?\d+ \(flag\) is impossible\. Try: 1 to 400"):
        load({"depth": depth})


@pytest.mark.parametrize("name", ["BTC-USDT", "BTC-USD-220527", "../X-SWAP", "BTC\0-USDT-SWAP", "BTC-ÜSD-SWAP"])
def test_only_swaps_are_recorded(name: str) -> None:
    with pytest.raises(UsageError, match="not a perpetual swap"):
        load({"instruments": [name]})


def test_a_name_that_no_folder_could_have_is_refused() -> None:
    with pytest.raises(UsageError, match="is 310 characters long, and OKX's names have at most 64") as refused:
        load({"instruments": ["A" * 300 + "-USDT-SWAP"]})
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "words",
    [
        ["BTC-USDT-SWAP", "ETH-USDT-SWAP"],
        [["BTC-USDT-SWAP"], ["ETH-USDT-SWAP"]],
        [["BTC-USDT-SWAP", "ETH-USDT-SWAP"]],
        [["btc-usdt-swap,eth-usdt-swap"]],
        "BTC-USDT-SWAP, ETH-USDT-SWAP",
        "btc-usdt-swap eth-usdt-swap",
    ],
)
def test_instruments_may_be_repeated_listed_joined_by_commas_and_in_lower_case(words: object) -> None:
    assert load({"instruments": words}).instruments == ("BTC-USDT-SWAP", "ETH-USDT-SWAP")


def test_an_instrument_listed_twice_is_refused() -> None:
    """T15: no instrument is subscribed twice."""
    with pytest.raises(UsageError, match="'BTC-USDT-SWAP' .flag. is listed twice"):
        load({"instruments": ["BTC-USDT-SWAP", "btc-usdt-swap"]})


def test_an_unknown_key_names_the_nearest_known_one(toml: Path) -> None:
    toml.write_text("cadense_sec = 2\n")
    with pytest.raises(UsageError, match=r"unknown key cadense_sec in .*l2vault\.toml\. Try: cadence_sec"):
        load(toml=toml)
    with pytest.raises(UsageError, match=r"unknown key L2VAULT_VAULTS in the environment\. Try: L2VAULT_VAULT"):
        load(env={"L2VAULT_VAULTS": "x"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("depth = 'many'\n", r"depth = 'many' \(.*l2vault\.toml\) is not a number\. Try: 1 to 400"),
        ("depth = 2.5\n", r"depth = 2\.5 \(.*\) is not a whole number"),
        ("depth = true\n", r"depth = True \(.*\) is not a number"),
        ("depth = [\n", "is not TOML"),
        ("a = " + "[" * 5000, "is not TOML: it is nested too deep"),
        ("max_gb = " + "9" * 5000, "holds a number of thousands of digits"),
        ("max_gb = 0x" + "f" * 5000, r"max_gb = a number of thousands of digits \(.*\) is impossible"),
        ("ws_url = 'http://x'\n", r"ws_url = 'http://x' \(.*\) is not an address\. Try: one like wss://"),
        ("ws_url = ['wss://x', 7]\n", r"ws_url = 7 \(.*\) is not text"),
        ("rest_url = 'https://'\n", "is not an address"),
        ("rest_url = 'https://x\\n'\n", "is not an address"),
        ('rest_url = "https://x\\n"\n', "holds a control character"),
        ("instruments = []\n", "names no instrument to record"),
        ("instruments = [1]\n", "is no list of names"),
        ("instruments = 5\n", "is no list of names"),
        ("fsync_sec = 0\n", r"fsync_sec = 0 \(.*\) is impossible. Try: a number of seconds above 0"),
        ("fsync_sec = inf\n", r"fsync_sec = inf \(.*\) is impossible"),
        ("min_free_gb = inf\n", r"min_free_gb = inf \(.*\) is impossible"),
        ("max_gb = nan\n", r"max_gb = nan \(.*\) is impossible. Try: a number of gigabytes above 0"),
        ("max_gb = -1\n", r"max_gb = -1 \(.*\) is impossible"),
        ("max_gb = 1" + "0" * 400 + "\n", r"max_gb = 1000.* \(.*\) is impossible"),
        ("compress_after_hours = -1\n", "compress_after_hours = -1"),
        ("archive_days = 3\n", "archive_days = 3 .* would delete at once .* Try: more days than delete_after_days"),
        ('vault = "a\\u0000b"\n', r"vault = '.*a\\x00b' \(.*\) holds a control character"),
        ('log_file = "a\\u0000b"\n', "log_file = .* holds a control character"),
        ("vault = ''\n", "vault = '' .* is empty: the vault has no name"),
        ("vault = 5\n", "vault = 5 .* is not text"),
        ("vault = '" + "x" * 5000 + "'\n", "is 5000 characters long"),
        ("vault = '~no-such-user-here/x'\n", "begins with the home of a user who is not known here"),
        ("region = 'mars'\n", "region = 'mars' .* is none of OKX's. Try: one of global"),
        ("region = []\n", "is none of OKX's"),
        ("retention = 'maybe'\n", "retention = 'maybe' .* is neither true nor false. Try: true or false, on or off"),
        ("feeds = 9\n", "feeds = 9"),
        ("lines = 9\n", "lines = 9"),
        ("a" * 500_000 + " = 1\n", "unknown key aaa"),
        ("x = 1 #" + "x" * 1_000_000, "1000007 bytes are no settings"),
    ],
)
def test_a_bad_file_is_refused_with_the_key_the_source_and_the_cure_in_bounded_length(
    toml: Path, text: str, says: str
) -> None:
    toml.write_text(text)
    with pytest.raises(UsageError, match=says) as refused:
        load(toml=toml)
    assert refused.value.cure and len(str(refused.value)) < 900
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("name", [field for field in Settings.__struct_fields__])
@pytest.mark.parametrize(
    "value", [None, True, -1, 2**80, float("nan"), "", "\0", "x" * 100_000, [], [[]], {}, {"a": 1}]
)
def test_no_value_whatever_is_more_than_a_sentence(name: str, value: object) -> None:
    try:
        load(launcher={name: value})
    except UsageError as error:
        assert name in str(error) and "(the launcher)" in str(error) and len(str(error)) < 500


def test_a_file_with_a_byte_order_mark_is_read(toml: Path) -> None:
    toml.write_bytes(b"\xef\xbb\xbfdepth = 7\r\n")
    assert load(toml=toml).depth == 7


@pytest.mark.parametrize("text", [r'vault = "C:\Users\Me\Vault"', r'  vault="D:\l2\x"'])
def test_a_windows_path_in_double_quotes_is_explained(toml: Path, text: str) -> None:
    toml.write_text(f"depth = 7\n{text}\n")
    with pytest.raises(UsageError, match="in double quotes a backslash begins an escape, in vault too") as refused:
        load(toml=toml)
    path = text.split('"')[1]
    assert refused.value.cure == f"write vault = '{path}' in single quotes, or \"{path.replace(chr(92), '/')}\""


@pytest.mark.parametrize(
    ("word", "means"), [("on", 1), ("YES", 1), ("true", 1), ("1", 1), ("off", 0), ("No", 0), ("0", 0)]
)
def test_truth_in_the_environment_may_be_spelt_in_the_usual_ways(word: str, means: int) -> None:
    assert load(env={"L2VAULT_RETENTION": word}).retention is bool(means)


def test_an_error_names_the_source_as_the_user_knows_it(toml: Path) -> None:
    toml.write_text("depth = 0\n")
    with pytest.raises(UsageError, match=r"^L2VAULT_DEPTH = '0' \(the environment\)"):
        load(env={"L2VAULT_DEPTH": "0"}, toml=toml)
    with pytest.raises(UsageError, match=r"^depth = 0 \(the launcher\)"):
        load(launcher={"depth": 0})
    with pytest.raises(UsageError, match=r"^--max-gb = -1 \(flag\)"):
        load({"max_gb": -1})


def test_a_former_name_is_read_with_a_hint_that_names_the_present_one(toml: Path) -> None:
    hints: list[str] = []
    toml.write_text("lines = 1\n")
    assert load_settings({}, {}, toml, {}, hint=hints.append).feeds == 1
    assert load_settings({}, {"L2VAULT_LINES": "1"}, None, {}, hint=hints.append).feeds == 1
    assert load_settings({"lines": "1"}, {}, None, {}, hint=hints.append).feeds == 1
    assert [hint.split(" (")[0] for hint in hints] == ["lines", "L2VAULT_LINES", "--lines"]
    assert [hint.split("name of ")[1].split(",")[0] for hint in hints] == ["feeds", "L2VAULT_FEEDS", "--feeds"]
    toml.write_text("lines = 1\nfeeds = 2\n")
    assert load(toml=toml).feeds == 2


class TestTheVaultAlone:
    """Verbs that only read a vault look at nothing else."""

    def test_a_flag_beats_the_environment_beats_the_file(self, toml: Path) -> None:
        toml.write_text("vault = 'data/V'\nno_such_key = 1\n")
        assert load_vault("F", {"L2VAULT_VAULT": "E"}, None, toml.parent) == Path("F")
        assert load_vault(None, {"L2VAULT_VAULT": "E"}, None, toml.parent) == Path("E")
        assert load_vault(None, {"L2VAULT_DEPTH": "much"}, None, toml.parent) == toml.parent / "data" / "V"
        assert load_vault(None, {}, None, toml.parent / "none") == Path("Vault")

    def test_a_broken_file_matters_only_where_it_is_needed(self, toml: Path) -> None:
        toml.write_text("depth = [\n")
        assert load_vault("F", {}, None, toml.parent) == Path("F")
        assert load_vault(None, {"L2VAULT_VAULT": "E"}, None, toml.parent) == Path("E")
        with pytest.raises(UsageError, match="is not TOML"):
            load_vault(None, {}, None, toml.parent)

    @pytest.mark.parametrize("name", ["", " "])
    def test_an_empty_name_is_no_vault(self, name: str) -> None:
        with pytest.raises(VaultError, match="no vault here: L2VAULT_VAULT = "):
            load_vault(None, {"L2VAULT_VAULT": name}, None)

    @pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
    def test_a_name_that_is_none_is_refused(self, name: str) -> None:
        with pytest.raises(UsageError, match="L2VAULT_VAULT = "):
            load_vault(None, {"L2VAULT_VAULT": name}, None)


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


def test_a_folder_given_as_a_flag_may_have_a_newline_in_its_name_but_no_nul(tmp_path: Path) -> None:
    assert load_vault(Path("new\nline"), {}, None, tmp_path) == Path("new\nline")
    with pytest.raises(UsageError, match="holds a control character"):
        load_vault(Path("a\0b"), {}, None, tmp_path)


def test_deep_books_are_of_none_unless_named_and_only_of_what_is_recorded(toml: Path) -> None:
    assert load().deep == ()
    toml.write_text('instruments = ["SOL-USDT-SWAP", "BTC-USDT-SWAP"]\ndeep = ["BTC-USDT-SWAP"]\n')
    assert load(toml=toml).deep == ("BTC-USDT-SWAP",)
    assert load({"deep": [["sol-usdt-swap"], ["BTC-USDT-SWAP"]]}, toml=toml).deep == ("SOL-USDT-SWAP", "BTC-USDT-SWAP")
    assert load(env={"L2VAULT_DEEP": ""}, toml=toml).deep == ()
    words = r"L2VAULT_DEEP = 'ETH-USDT-SWAP' \(the environment\) is not recorded.*Try: .* L2VAULT_INSTRUMENTS too"
    with pytest.raises(UsageError, match=words):
        load(env={"L2VAULT_DEEP": "ETH-USDT-SWAP"}, toml=toml)
    with pytest.raises(UsageError, match="is not a perpetual swap"):
        load({"deep": "BTC-USDT"})
    many = [f"X{at}-USDT-SWAP" for at in range(51)]
    with pytest.raises(UsageError, match="names 51 instruments.*Try: at most 50"):
        load({"instruments": many, "deep": many})


def test_rpi_books_are_chosen_as_deep_books_are(toml: Path) -> None:
    assert load().rpi == ()
    toml.write_text('instruments = ["SOL-USDT-SWAP", "BTC-USDT-SWAP"]\nrpi = ["BTC-USDT-SWAP"]\n')
    both = load(toml=toml)
    assert (both.rpi, both.deep) == (("BTC-USDT-SWAP",), ())
    assert load({"rpi": [["sol-usdt-swap"]]}, toml=toml).rpi == ("SOL-USDT-SWAP",)
    assert load(env={"L2VAULT_RPI": ""}, toml=toml).rpi == ()
    with pytest.raises(UsageError, match=r"--rpi = 'ETH-USDT-SWAP' \(flag\) is not recorded.*Try: .* --inst too"):
        load({"rpi": [["BTC-USDT-SWAP", "ETH-USDT-SWAP"]]}, toml=toml)
    many = [f"X{at}-USDT-SWAP" for at in range(51)]
    with pytest.raises(UsageError, match="names 51 instruments.*Try: at most 50"):
        load({"instruments": many, "rpi": many})
