"""A plan of faults as people write it: a TOML file, or one line such as `drop:at=12.5s,k=3;close:code=4004,at=30s`.

Reads and checks; every complaint names the kind or key, the nearest known one, and the cure.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from l2vault.errors import UsageError
from l2vault.sim.faults.kinds import CONN_WORDS, KINDS, Kind, Param, duration_ms
from l2vault.sim.faults.plan import ALL_INSTRUMENTS, Fault, FaultPlan, Unit, Value, When, Who

_UNITS: Final[dict[str, Unit]] = {"at": "time", "push": "push", "frame": "frame", "request": "request"}
_EXAMPLE: Final = "drop:inst=BTC-USDT-SWAP,at=12.5s,k=3;close:code=4004,at=30s,conn=first"
_WHOLE: Final = re.compile(r"[1-9]\d{0,8}")


def parse_faults(text_or_path: str) -> FaultPlan:
    """The plan in a TOML file of that name, or else in the text itself. Raises UsageError for one that cannot be."""
    if not text_or_path.strip():
        raise UsageError("an empty text is neither a file nor a plan of faults.", _EXAMPLE)
    first = text_or_path.partition(";")[0].strip()
    if text_or_path.endswith(".toml") or not (":" in first or "=" in first or first in KINDS):
        return _from_file(Path(text_or_path))
    seed: int | None = None
    faults = []
    for part in filter(None, (part.strip() for part in text_or_path.split(";"))):
        kind, colon, rest = part.partition(":")
        if colon or "=" not in part:
            faults.append(_fault(kind.strip(), _pairs(kind, rest)))
        else:
            seed = _seed(_pairs("the plan", part))
    return FaultPlan(tuple(faults), seed)


def _from_file(path: Path) -> FaultPlan:
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no file")
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = _nearest(str(path), KINDS, 0.7)
        cure = near or f"a file that exists, or a plan such as {_EXAMPLE}"
        raise UsageError(f"{str(path)!r} is neither a file nor a kind of fault.", cure) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.", "a readable UTF-8 file") from error
    except (ValueError, RecursionError) as error:  # TOML's own, and integers of over 4300 digits
        raise UsageError(f"{path} is not TOML: {error}.", 'tables like [[fault]] with kind = "drop"') from error
    rows = content.pop("fault", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"`fault` in {path} is no list of tables.", "one [[fault]] for each")
    seed = _seed({key: str(value) for key, value in content.items()}, ("seed", "fault"))
    return FaultPlan(tuple(_from_table(row, path) for row in rows), seed)


def _from_table(row: dict[str, Any], path: Path) -> Fault:
    values = {key: _text(value) for key, value in row.items()}
    kind = values.pop("kind", None)
    if kind is None:
        raise UsageError(f"a [[fault]] in {path} has no kind.", f"one of {', '.join(KINDS)}")
    return _fault(kind, values)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _seed(values: Mapping[str, str], known: tuple[str, ...] = ("seed",)) -> int | None:
    for key in values:
        if key != "seed":
            raise _unknown("key", key, "the plan", known)
    text = values.get("seed")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"seed={text} is no seed.", "a whole number, such as seed=7")
    return int(text)


def _pairs(kind: str, text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for pair in filter(None, (pair.strip() for pair in text.split(","))):
        key, equals, value = (piece.strip() for piece in pair.partition("="))
        if not equals or not value:
            raise UsageError(f"{pair!r} of {kind} is no key=value.", _EXAMPLE)
        if key in values:
            raise UsageError(f"{kind} has {key} twice.", "one of them, or two faults with a ; between")
        values[key] = value
    return values


def _fault(name: str, values: dict[str, str]) -> Fault:
    kind = KINDS.get(name)
    if kind is None:
        raise _unknown("kind of fault", name, "the plan", KINDS)
    for key in values:
        if key not in kind.keys and key not in kind.params:
            raise _unknown("key", key, name, [*kind.params, *sorted(kind.keys)])
    params = {key: _param(name, key, param, values.get(key, param.default)) for key, param in kind.params.items()}
    if kind.family == "push" and params.get("channel", "books") != "books" and "frame" in values:
        raise UsageError(f"{name} of trades has frame, which counts frames of books.", "push= counts trades")
    return Fault(name, values.get("inst", ALL_INSTRUMENTS), _who(name, values), _when(name, kind, values), params)


def _param(kind: str, key: str, param: Param, text: str) -> Value:
    value = param.read(text)
    if value is None:
        raise UsageError(f"{key}={text} of {kind} is not possible.", param.example)
    return value


def _who(kind: str, values: Mapping[str, str]) -> Who:
    return who(values.get("conn", "all"), kind)


def who(text: str, kind: str) -> Who:
    """The connections that a word such as `all`, `first`, `odd` or `3` stands for."""
    if text in CONN_WORDS:
        return Who(place=CONN_WORDS[text])
    if text in ("even", "odd"):
        return Who(parity=int(text == "odd"))
    if _WHOLE.fullmatch(text):
        return Who(number=int(text))
    near = _nearest(text, [*CONN_WORDS, "even", "odd"])
    raise UsageError(
        f"conn={text} of {kind} is no connection.", near or f"{', '.join(CONN_WORDS)}, even, odd or a number"
    )


def _when(name: str, kind: Kind, values: Mapping[str, str]) -> When:
    """The rule of the common keys. Raises UsageError for those that contradict each other."""
    _no_two(name, values, [key for key in _UNITS if key in kind.keys])
    _no_two(name, values, ["k", "for"])
    _no_two(name, values, ["p", "every"])
    start_key = next((key for key in _UNITS if key in values), "at")
    unit = _UNITS[start_key]
    if unit == "time":
        start = _time(name, "at", values) or 0
        every = _time(name, "every", values)
    else:
        start = _number(name, start_key, values) or 1
        every = _number(name, "every", values)
    if every == 0:
        raise UsageError(f"every={values['every']} of {name} is not possible.", "a time or a number above 0")
    times = _number(name, "times", values)
    if times is not None and not {"p", "every"} & values.keys():
        raise UsageError(f"times of {name} says nothing without every or p.", f"{name}:...,every=30s,times={times}")
    return When(
        unit=unit,
        start=start,
        every=every,
        chance=_chance(name, values),
        times=times,
        until_ms=_time(name, "until", values),
        pushes=(_number(name, "k", values) or kind.pushes) if "for" not in values else None,
        lasts_ms=_lasts(name, kind, values),
    )


def _lasts(name: str, kind: Kind, values: Mapping[str, str]) -> int | None:
    lasts_ms = _time(name, "for", values)
    if lasts_ms == 0:
        raise UsageError(f"for={values['for']} of {name} is not possible.", "a time above 0, such as 10s")
    return kind.lasts_ms if lasts_ms is None else lasts_ms


def _chance(name: str, values: Mapping[str, str]) -> float | None:
    if "p" not in values:
        return None
    try:
        chance = float(values["p"])
    except ValueError:
        chance = -1.0
    if not 0 < chance <= 1:
        raise UsageError(f"p={values['p']} of {name} is no probability.", "a number above 0 and up to 1, such as 0.01")
    return chance


def _time(name: str, key: str, values: Mapping[str, str]) -> int | None:
    if key not in values:
        return None
    value = duration_ms(values[key])
    if value is None:
        raise UsageError(f"{key}={values[key]} of {name} is no time.", "10s, 500ms, 2m, or seconds alone")
    return value


def _number(name: str, key: str, values: Mapping[str, str]) -> int | None:
    if key not in values:
        return None
    if not _WHOLE.fullmatch(values[key]):
        raise UsageError(f"{key}={values[key]} of {name} is no count.", "a whole number from 1")
    return int(values[key])


def _no_two(name: str, values: Mapping[str, str], keys: list[str]) -> None:
    given = [key for key in keys if key in values]
    if len(given) > 1:
        raise UsageError(f"{name} has {given[0]} and {given[1]}, which contradict each other.", f"{given[0]} alone")


def _unknown(what: str, name: str, where: str, known: Iterable[str]) -> UsageError:
    known = list(known)
    return UsageError(f"unknown {what} {name!r} in {where}.", _nearest(name, known) or f"one of {', '.join(known)}")


def _nearest(name: str, known: Iterable[str], likeness: float = 0.4) -> str | None:
    return next(iter(difflib.get_close_matches(name, list(known), 1, likeness)), None)
