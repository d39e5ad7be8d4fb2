"""Settings of the recorder: flags beat `L2VAULT_*` beats `l2vault.toml` beats the launcher's values beat defaults.

Every value is checked here, once. An error names the key as the user writes it, the value, where it comes from and the
cure; an unknown key is an error that names the nearest known one.
"""

import difflib
import hashlib
import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from l2vault.book.book import CHANNEL_DEPTH
from l2vault.errors import UsageError, VaultError
from l2vault.foreign import printable
from l2vault.grammar import no_toml, split_names, why_no_store

CONFIG_NAME: Final = "l2vault.toml"
ALERTS: Final = "alert"
"""The tables of the settings file that are for `l2vault alert` alone: a fault in one never keeps a recorder from
starting."""
ENV_PREFIX: Final = "L2VAULT_"
SHORTEST_CADENCE_MS: Final = 100
"""OKX pushes `books` every 100 ms; a finer grid would only repeat lines that cannot exist."""
LONGEST_CADENCE_MS: Final = 3_600_000
MOST_FEEDS: Final = 4
"""OKX allows 3 connects a second and address; more feeds prove nothing more."""
REGIONS: Final = ("global", "eea", "us", "demo-trading")
FORMER_NAMES: Final = {"lines": "feeds"}
"""Settings of earlier versions, accepted under their new name."""
SWAP: Final = re.compile(r"[A-Z0-9]+(-[A-Z0-9]+)+-SWAP")
LONGEST_INST_ID: Final = 64
"""OKX's longest name has 27 characters; a folder of this one and its files still have room in every file system."""
LONGEST_PATH: Final = 4096
LONGEST_URL: Final = 2048
MOST_DEEP: Final = 50
"""Instruments sampled each 30 s by `books-full`: a third of the 10 requests in 2 s that OKX allows; `books-rpi`: 20."""
LARGEST: Final = 1e9
"""Of hours, days and gigabytes: what is larger is no setting that anyone means."""

_VALUE_CHARS: Final = 64
_FILE_BYTES: Final = 1_000_000
"""A settings file has some hundred bytes; what is larger is another file named by mistake."""
_PATHS: Final = ("vault", "log_file")
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9][0-9]{0,4})?", re.ASCII)
_ON: Final = frozenset({"on", "yes", "true", "1"})
_OFF: Final = frozenset({"off", "no", "false", "0"})
_FLAGS: Final = {"instruments": "--inst", "cadence_sec": "--cadence", "push_url": "--to"}
"""Flags that are not the setting's name with hyphens."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `l2vault.toml` may say, with the defaults. Times are in the unit of their name."""

    vault: str = "Vault"
    instruments: tuple[str, ...] = ("BTC-USDT-SWAP", "ETH-USDT-SWAP")
    cadence_sec: float = 2.0
    depth: int = 400
    feeds: int = 2
    trades: bool = True
    context: bool = True
    changes: bool = False
    deep: tuple[str, ...] = ()
    rpi: tuple[str, ...] = ()
    columns: bool = True
    region: str = "global"
    ws_url: tuple[str, ...] = ()
    rest_url: str = ""
    record_unverifiable: bool = False
    log_file: str = "l2_exporter.log"
    fsync_sec: float = 5.0
    retention: bool = True
    compress_after_hours: float = 6.0
    delete_after_days: float = 5.0
    archive_days: float | None = None
    max_gb: float | None = None
    min_free_gb: float | None = None
    trust_clock: bool = False
    archive_hosts: tuple[str, ...] = ("static.okx.com",)
    push_url: str = ""
    keep_until_pushed: bool = False

    @property
    def cadence_ms(self) -> int:
        return round(self.cadence_sec * 1000)

    def digest(self) -> str:
        """Names this configuration in the journal: equal digests, equal settings."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:16]


class Given(NamedTuple):
    """A setting as it was given: the key and the source as the user knows them."""

    key: str
    value: object
    source: str

    @property
    def shown(self) -> str:
        value = self.value
        if isinstance(value, list | tuple) and len(value) == 1:
            value = value[0]
        text = printable(value, _VALUE_CHARS)
        if isinstance(value, str):
            text = f"'{text}'"
        return f"{self.key} = {text} ({self.source})"

    def refuse(self, why: str, cure: str) -> UsageError:
        return UsageError(f"{self.shown} {why}.", cure)


_NAMES: Final = tuple(field.name for field in msgspec.structs.fields(Settings))
_DEFAULTS: Final = {field.name: field.default for field in msgspec.structs.fields(Settings)}


def load_settings(
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    config_file: Path | None,
    defaults: Mapping[str, object],
    folder: Path = Path(),
    hint: Callable[[str], None] = lambda sentence: None,
) -> Settings:
    """One Settings of all four sources; raises UsageError naming the source, the key and the cure.

    `flags` and `defaults` hold only what was given. `config_file` None looks for `l2vault.toml` in `folder`. Relative
    paths in the file are relative to it, so that they mean the same wherever the recorder is started from. `hint` is
    called with a sentence for each setting that is given by a former name.
    """
    file, values = _from_file(config_file, folder)
    given: dict[str, Given] = {}
    given |= _given(defaults, "the launcher", str)
    given |= _given(values, printable(file), str)
    given |= _given(_ours(environment), "the environment", _environment_name)
    given |= _given({key: value for key, value in flags.items() if value is not None}, "flag", _flag)
    for setting in given.values():
        _tell_former(setting, hint)
    checked = {name: _CHECKS[name](setting) for name, setting in given.items()}
    _check_archive_days(given, checked)
    settings = Settings(**checked)
    for key, names in (("deep", settings.deep), ("rpi", settings.rpi)):
        for name in [each for each in names if each not in settings.instruments]:
            cure = f"a name that stands in {_like(given[key].key, 'instruments')} too"
            raise given[key]._replace(value=name).refuse("is not recorded", cure)
    return settings


def load_vault(
    flag: str | Path | None,
    environment: Mapping[str, str],
    config_file: Path | None,
    folder: Path = Path(),
    defaults: Mapping[str, object] | None = None,
) -> Path:
    """The vault's folder alone, for verbs that need one: no other setting is looked at, and no file where it is named.

    Raises VaultError for an empty name, as a shell's variable that is not set leaves it (it would be the working
    folder); UsageError for another name that is none, and for a file that is needed and does not read.
    """
    setting = _vault_setting(flag, environment, config_file, folder, defaults or {})
    if isinstance(setting.value, str) and not setting.value.strip():
        cure = "the folder that the recorder writes to"
        raise VaultError(f"no vault here: {setting.shown} names no folder.", cure)
    return Path(_path(setting))


def _vault_setting(
    flag: str | Path | None,
    environment: Mapping[str, str],
    config_file: Path | None,
    folder: Path,
    defaults: Mapping[str, object],
) -> Given:
    if flag is not None:
        return Given("--vault", str(flag), "flag")
    name = f"{ENV_PREFIX}VAULT"
    if name in environment and config_file is None:
        return Given(name, environment[name], "the environment")
    file, values = _from_file(config_file, folder, are_keys_checked=False)
    if name in environment:
        return Given(name, environment[name], "the environment")
    if "vault" not in values and "vault" in defaults:
        return Given("vault", defaults["vault"], "the launcher")
    return Given("vault", values.get("vault", Settings().vault), printable(file))


def load_alerts(config_file: Path | None, folder: Path = Path()) -> tuple[object, ...]:
    """The tables `[[alert]]` of the settings file as they are written; whoever uses them checks them."""
    file, values = _from_file(config_file, folder, are_keys_checked=False)
    found = values.get(ALERTS, [])
    if not isinstance(found, list):
        raise UsageError(f"alert in {printable(file)} is no list of tables.", "[[alert]] with two brackets")
    return tuple(found)


def environment() -> Mapping[str, str]:
    """The process's own environment, the one place that reads it."""
    return os.environ


def _given(values: Mapping[str, object], source: str, name: Callable[[str], str]) -> dict[str, Given]:
    """By the settings' present names; a former name gives way to the present one of the same source."""
    found: dict[str, Given] = {}
    for key, value in values.items():
        if key not in _NAMES and key not in FORMER_NAMES:
            raise _unknown(key, source, name)
        if key in _NAMES or FORMER_NAMES[key] not in values:
            found[FORMER_NAMES.get(key, key)] = Given(name(key), value, source)
    return found


def _unknown(key: str, source: str, name: Callable[[str], str]) -> UsageError:
    short = key[:LONGEST_INST_ID]
    near = difflib.get_close_matches(short, _NAMES, 1, 0.4) if short == key else []
    cure = name(near[0]) if near else f"one of {', '.join(map(name, _NAMES))}"
    return UsageError(f"unknown key {printable(name(key), _VALUE_CHARS)} in {source}.", cure)


def _environment_name(key: str) -> str:
    return ENV_PREFIX + key.upper()


def _flag(key: str) -> str:
    return _FLAGS.get(key, "--" + key.replace("_", "-"))


def _tell_former(setting: Given, hint: Callable[[str], None]) -> None:
    for former, present in FORMER_NAMES.items():
        for name in (str, _environment_name, _flag):
            if setting.key == name(former):
                hint(f"{setting.key} ({setting.source}) is the former name of {name(present)}, and still read")


def _from_file(config_file: Path | None, folder: Path, are_keys_checked: bool = True) -> tuple[Path, dict[str, Any]]:
    path = config_file or folder / CONFIG_NAME
    shown = printable(path)
    try:
        text = _text_of(path)
    except FileNotFoundError:
        if config_file is None:
            return path, {}
        raise UsageError(f"no config file {shown}.", "name an existing file, or leave --config out") from None
    except (OSError, ValueError) as error:  # text that is not UTF-8 is a ValueError
        raise UsageError(f"cannot read {shown}: {printable(error)}.", "make it a readable UTF-8 file") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise no_toml(shown, text, error) from error
    except ValueError as error:  # Python reads no integer of over 4300 digits
        raise UsageError(f"{shown} holds a number of thousands of digits.", "lines like cadence_sec = 2") from error
    except RecursionError as error:
        raise UsageError(f"{shown} is not TOML: it is nested too deep.", "lines like cadence_sec = 2") from error
    if are_keys_checked:
        values.pop(ALERTS, None)
        _given(values, shown, str)
    for key in _PATHS:
        value = values.get(key)
        if isinstance(value, str) and value.strip() and not value.startswith("~") and len(value) <= LONGEST_PATH:
            values[key] = str(path.parent / value)
    return path, values


def _text_of(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise OSError("it is no file")
    if path.is_file() and path.stat().st_size > _FILE_BYTES:
        raise OSError(f"{path.stat().st_size} bytes are no settings")
    return path.read_text(encoding="utf-8-sig")  # Notepad and PowerShell 5 write a byte order mark


def _ours(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name[len(ENV_PREFIX) :].lower(): value for name, value in environment.items() if name.startswith(ENV_PREFIX)
    }


def _number(setting: Given, cure: str) -> float:
    """A finite number, of text too; raises UsageError for anything else, truth values included."""
    value = setting.value
    number = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value) if abs(value) <= LARGEST else math.inf
    elif isinstance(value, str) and len(value) <= _VALUE_CHARS:
        try:
            number = float(value)
        except ValueError:
            raise setting.refuse("is not a number", cure) from None
    else:
        raise setting.refuse("is not a number", cure)
    if not math.isfinite(number) or abs(number) > LARGEST:
        raise setting.refuse("is impossible", cure)
    return number


def _whole(least: int, most: int, cure: str) -> Callable[[Given], int]:
    def check(setting: Given) -> int:
        number = _number(setting, cure)
        if number != int(number):
            raise setting.refuse("is not a whole number", cure)
        if not least <= number <= most:
            raise setting.refuse("is impossible", cure)
        return int(number)

    return check


def _amount(cure: str, is_zero_allowed: bool = False) -> Callable[[Given], float]:
    def check(setting: Given) -> float:
        number = _number(setting, cure)
        if number < 0 or (number == 0 and not is_zero_allowed):
            raise setting.refuse("is impossible", cure)
        return number

    return check


def _cadence(setting: Given) -> float:
    cure = "0.5, 1, 2 or 5: from 0.1 s (OKX's own pace) to 3600 s, in whole milliseconds"
    ms = _number(setting, cure) * 1000
    if not SHORTEST_CADENCE_MS <= ms <= LONGEST_CADENCE_MS or abs(ms - round(ms)) > 1e-6:
        raise setting.refuse("is impossible", cure)
    return round(ms) / 1000


def _truth(setting: Given) -> bool:
    value = setting.value
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    if word not in _ON | _OFF:
        raise setting.refuse("is neither true nor false", "true or false, on or off, yes or no, 1 or 0")
    return word in _ON


def _text(setting: Given, longest: int, cure: str, may_control: bool = False) -> str:
    value = setting.value
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str):
        raise setting.refuse("is not text", cure)
    if len(value) > longest:
        raise setting.refuse(f"is {len(value)} characters long", cure)
    if "\0" in value or (not may_control and any(char < " " or char == "\x7f" for char in value)):
        raise setting.refuse("holds a control character", cure)
    return value


def _path(setting: Given) -> str:
    is_folder = setting.key.lower().endswith("vault")
    cure = (
        "a folder, with slashes, as in D:/l2/Vault" if is_folder else "a file, with slashes, as in D:/l2/recorder.log"
    )
    may_control = setting.source == "flag"  # a shell gives what was meant; in a file "D:\\new" is a slip
    value = _text(setting, LONGEST_PATH, cure, may_control)
    if not value.strip():
        raise setting.refuse(f"is empty: the {'vault' if is_folder else 'file'} has no name", cure)
    try:
        return str(Path(value).expanduser())
    except RuntimeError:
        raise setting.refuse("begins with the home of a user who is not known here", cure) from None


def _region(setting: Given) -> str:
    value = setting.value
    if value not in REGIONS:
        raise setting.refuse("is none of OKX's", f"one of {', '.join(REGIONS)}")
    return str(value)


def _ws_urls(setting: Given) -> tuple[str, ...]:
    value = setting.value
    words = value if isinstance(value, list | tuple) else [value]
    parts: list[object] = []
    for word in words:
        parts += [part.strip() for part in word.split(",") if part.strip()] if isinstance(word, str) else [word]
    return tuple(_url(setting._replace(value=part), ("ws", "wss"), "wss://ws.okx.com/ws/v5/public") for part in parts)


def _rest_url(setting: Given) -> str:
    return "" if setting.value == "" else _url(setting, ("http", "https"), "https://www.okx.com")


def _url(setting: Given, schemes: tuple[str, ...], example: str) -> str:
    url = _text(setting, LONGEST_URL, f"one like {example}")
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0 and not {" ", "\\"} & {*url}
    except ValueError:
        is_valid = False
    if not is_valid:
        raise setting.refuse("is not an address", f"one like {example}")
    return url


def _swaps(least: int, most: float = math.inf) -> Callable[[Given], tuple[str, ...]]:
    def check(setting: Given) -> tuple[str, ...]:
        cure = "an OKX name such as BTC-USDT-SWAP"
        if not _are_words(setting.value):
            raise setting.refuse("is no list of names", cure)
        names = split_names(setting.value)
        if len(names) < least:
            raise setting.refuse("names no instrument to record", cure)
        if len(names) > most:
            raise setting.refuse(f"names {len(names)} instruments", f"at most {most}: OKX limits requests")
        for name in names:
            one = setting._replace(value=name)
            if len(name) > LONGEST_INST_ID:
                why = f"is {len(name)} characters long, and OKX's names have at most {LONGEST_INST_ID}"
                raise one.refuse(why, cure)
            if not SWAP.fullmatch(name):
                raise one.refuse("is not a perpetual swap, and only those are recorded", cure)
            if names.count(name) > 1:
                raise one.refuse("is listed twice", "each instrument once")
        return tuple(names)

    return check


def _hosts(setting: Given) -> tuple[str, ...]:
    cure = "a name such as static.okx.com, or 127.0.0.1:8080 for one of this machine"
    if not _are_words(setting.value):
        raise setting.refuse("is no list of hosts", cure)
    names = [name.lower() for name in split_names(setting.value)]
    for name in names:
        if not _HOST.fullmatch(name) or len(name) > LONGEST_INST_ID:
            raise setting._replace(value=name).refuse("is no host", cure)
    if not names:
        raise setting.refuse("names no host", cure)
    return tuple(dict.fromkeys(names))


def _push_url(setting: Given) -> str:
    """No refusal repeats the value, which may hold a secret."""
    url = _text(setting._replace(value=setting.value if isinstance(setting.value, str) else None), LONGEST_URL, "text")
    if url and (why := why_no_store(url)):
        raise setting._replace(value="...").refuse(why, "one like s3://bucket/prefix; docs/push.md has the variables")
    return url


def _are_words(value: object) -> bool:
    if isinstance(value, str):
        return True
    return isinstance(value, list | tuple) and all(_are_words(word) for word in value)


def _check_archive_days(given: Mapping[str, Given], checked: Mapping[str, object]) -> None:
    archive_days = checked.get("archive_days")
    delete_after_days = checked.get("delete_after_days", _DEFAULTS["delete_after_days"])
    if isinstance(archive_days, float) and isinstance(delete_after_days, float) and archive_days <= delete_after_days:
        raise given["archive_days"].refuse(
            f"would delete at once what is archived after {delete_after_days:g} days",
            f"more days than {_like(given['archive_days'].key, 'delete_after_days')}",
        )


def _like(key: str, name: str) -> str:
    """A setting's name as the source of `key` spells it."""
    if key.startswith("--"):
        return _flag(name)
    return _environment_name(name) if key.startswith(ENV_PREFIX) else name


_CHECKS: Final[Mapping[str, Callable[[Given], Any]]] = {
    "vault": _path,
    "instruments": _swaps(1),
    "cadence_sec": _cadence,
    "depth": _whole(1, CHANNEL_DEPTH, f"1 to {CHANNEL_DEPTH} levels a side"),
    "feeds": _whole(1, MOST_FEEDS, "2 (each compared with the other), or 1"),
    "trades": _truth,
    "context": _truth,
    "changes": _truth,
    "deep": _swaps(0, MOST_DEEP),
    "rpi": _swaps(0, MOST_DEEP),
    "columns": _truth,
    "region": _region,
    "ws_url": _ws_urls,
    "rest_url": _rest_url,
    "record_unverifiable": _truth,
    "log_file": _path,
    "fsync_sec": _amount("a number of seconds above 0, such as 5"),
    "retention": _truth,
    "compress_after_hours": _amount("0 or more hours, such as 6", is_zero_allowed=True),
    "delete_after_days": _amount("a number of days above 0, such as 5"),
    "archive_days": _amount("a number of days above 0, or leave it out"),
    "max_gb": _amount("a number of gigabytes above 0, or leave it out"),
    "min_free_gb": _amount("a number of gigabytes above 0, or leave it out"),
    "trust_clock": _truth,
    "archive_hosts": _hosts,
    "push_url": _push_url,
    "keep_until_pushed": _truth,
}
assert tuple(_CHECKS) == _NAMES
