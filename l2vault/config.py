"""Settings of the recorder: flags beat `L2VAULT_*` beats `l2vault.toml` beats the launcher's values beat defaults.

Every value is checked here, once; an unknown key is an error that names the nearest known one.
"""

import difflib
import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from l2vault.book.book import CHANNEL_DEPTH
from l2vault.errors import UsageError

CONFIG_NAME: Final = "l2vault.toml"
ENV_PREFIX: Final = "L2VAULT_"
SHORTEST_CADENCE_MS: Final = 100
"""OKX pushes `books` every 100 ms; a finer grid would only repeat lines that cannot exist."""
LONGEST_CADENCE_MS: Final = 3_600_000
MOST_FEEDS: Final = 4
"""OKX allows 3 connects a second and address; more feeds prove nothing more."""
REGIONS: Final = ("global", "eea", "us", "demo-trading")
FORMER_NAMES: Final = {"lines": "feeds"}
"""Settings of earlier versions, accepted under their new name."""

_PATHS: Final = ("vault", "log_file")
_SWAP: Final = re.compile(r"[A-Z0-9]+(-[A-Z0-9]+)+-SWAP")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `l2vault.toml` may say, with the defaults. Times are in the unit of their name."""

    vault: str = "Vault"
    instruments: tuple[str, ...] = ("BTC-USDT-SWAP", "ETH-USDT-SWAP")
    cadence_sec: float = 2.0
    depth: int = 400
    feeds: int = 2
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

    @property
    def cadence_ms(self) -> int:
        return round(self.cadence_sec * 1000)

    def digest(self) -> str:
        """Names this configuration in the journal: equal digests, equal settings."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:16]


def load_settings(
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    config_file: Path | None,
    defaults: Mapping[str, object],
    folder: Path = Path(),
) -> Settings:
    """One Settings of all four sources; raises UsageError naming the source, the key and the cure.

    `flags` and `defaults` hold only what was given. `config_file` None looks for `l2vault.toml` in `folder`. Relative
    paths in the file are relative to it, so that they mean the same wherever the recorder is started from.
    """
    values: dict[str, object] = dict(defaults)
    _check_keys(values, "the launcher")
    values |= _from_file(config_file, folder)
    values |= _from_environment(environment)
    values |= flags
    values = {FORMER_NAMES.get(key, key): value for key, value in values.items()}
    if isinstance(values.get("ws_url"), str):
        values["ws_url"] = [part.strip() for part in str(values["ws_url"]).split(",") if part.strip()]
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"a setting has the wrong type: {error}.", "correct it as docs/configuration.md shows"
        ) from error
    _check(settings)
    return settings


def _from_file(config_file: Path | None, folder: Path) -> dict[str, Any]:
    path = config_file or folder / CONFIG_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if config_file is None:
            return {}
        raise UsageError(f"no config file {path}.", "name an existing file, or leave --config out") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}.", "make it a readable UTF-8 file") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}.", 'lines like cadence_sec = 2 or vault = "Vault"') from error
    _check_keys(values, str(path))
    for key in _PATHS:
        if isinstance(values.get(key), str):
            values[key] = str(path.parent / Path(values[key]).expanduser())
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    given = {
        name[len(ENV_PREFIX) :].lower(): value for name, value in environment.items() if name.startswith(ENV_PREFIX)
    }
    _check_keys(given, "the environment", ENV_PREFIX)
    values: dict[str, Any] = dict(given)
    if "instruments" in given:
        values["instruments"] = [part.strip() for part in given["instruments"].split(",") if part.strip()]
    return values


def _check_keys(values: Mapping[str, object], source: str, prefix: str = "") -> None:
    known = [field.name for field in msgspec.structs.fields(Settings)]
    for key in values:
        if key not in known and key not in FORMER_NAMES:
            near = difflib.get_close_matches(key, known, 1, 0.4)
            name = prefix + (key.upper() if prefix else key)
            nearest = prefix + (near[0].upper() if prefix else near[0]) if near else ""
            cure = nearest if near else f"one of {', '.join(known)}"
            raise UsageError(f"unknown key {name} in {source}.", cure)


def _check(settings: Settings) -> None:
    cadence_ms = settings.cadence_sec * 1000
    if not SHORTEST_CADENCE_MS <= cadence_ms <= LONGEST_CADENCE_MS or cadence_ms != round(cadence_ms):
        raise UsageError(
            f"cadence_sec = {settings.cadence_sec} is impossible.",
            "0.5, 1, 2 or 5: from 0.1 s (OKX's own pace) to 3600 s, in whole milliseconds",
        )
    if not 1 <= settings.depth <= CHANNEL_DEPTH:
        raise UsageError(f"depth = {settings.depth} is impossible.", f"1 to {CHANNEL_DEPTH} levels a side")
    if not 1 <= settings.feeds <= MOST_FEEDS:
        raise UsageError(f"feeds = {settings.feeds} is impossible.", "2 (each compared with the other), or 1")
    if settings.region not in REGIONS:
        raise UsageError(f"region = {settings.region!r} is none of OKX's.", f"one of {', '.join(REGIONS)}")
    if not settings.fsync_sec > 0:
        raise UsageError(f"fsync_sec = {settings.fsync_sec} is impossible.", "a number of seconds above 0, such as 5")
    for url in settings.ws_url:
        _check_url("ws_url", url, ("ws", "wss"), "wss://ws.okx.com/ws/v5/public")
    if settings.rest_url:
        _check_url("rest_url", settings.rest_url, ("http", "https"), "https://www.okx.com")
    _check_instruments(settings.instruments)


def _check_url(key: str, url: str, schemes: tuple[str, ...], example: str) -> None:
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise UsageError(f"{key} = {url!r} is not an address.", f"one like {example}")


def _check_instruments(instruments: tuple[str, ...]) -> None:
    if not instruments:
        raise UsageError("no instrument to record.", "instruments = BTC-USDT-SWAP, say")
    for inst_id in instruments:
        if not _SWAP.fullmatch(inst_id):
            raise UsageError(
                f"{inst_id!r} is not a perpetual swap, and only those are recorded.",
                "an OKX name such as BTC-USDT-SWAP, in capitals",
            )
        if instruments.count(inst_id) > 1:
            raise UsageError(f"{inst_id} is listed twice.", "list each instrument once")


def environment() -> Mapping[str, str]:
    """The process's own environment, the one place that reads it."""
    return os.environ
