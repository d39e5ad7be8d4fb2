"""Every error l2vault raises on purpose. Each message says what, which file, key or instrument, and the cure."""

import gc
import os
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

_CLONE: Final = Path(__file__).resolve().parent.parent
_OF_EXTRA: Final = re.compile(r"""\bextra\s*==\s*['"]([\w-]+)['"]""")
_OWN: Final = re.compile(r"l2vault\[([\w-]+)\]")


def install_command(extra: str) -> str:
    """The command that installs an extra into the environment that is running, from any folder.

    In a clone it installs the clone again with the extra. Elsewhere it names the packages of the extra themselves,
    never this project: what stands under its name on a package index may be somebody else's.
    """
    pip = f'"{sys.executable}" -m pip install'
    if (_CLONE / "pyproject.toml").is_file():
        return f'{pip} -e "{_CLONE}[{extra}]"'
    packages = _packages(extra)
    return f"{pip} {' '.join(packages)}" if packages else f'{pip} -e ".[{extra}]" in the folder of the clone'


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around the import of what an extra brings: raises VaultError with the cure where that is absent or does not load,
    UsageError where the environment forbids polars to begin."""
    _insist_on_threads()
    try:
        with _uncollected():
            yield
    except ModuleNotFoundError as error:
        raise VaultError(f"this needs the {name} extra ({error}).", install_command(name)) from error
    except (ImportError, MemoryError) as error:  # a library that is there
        why = str(error).strip().split("\n")[0] or "too little memory"
        cure = f"with more memory; if there is enough, install it anew: {install_command(name)}"
        raise VaultError(f"the {name} extra does not load ({why}).", cure) from error


@contextmanager
def _uncollected() -> Iterator[None]:
    """While libraries are loaded nearly nothing that is made is given up: to look for it again and again takes a sixth
    of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _insist_on_threads() -> None:
    """Polars panics at its first question where it may have no thread."""
    if re.fullmatch(r"\+?0+", os.environ.get("POLARS_MAX_THREADS", "")):
        raise UsageError("POLARS_MAX_THREADS in the environment is 0.", "a whole number from 1 up, or without it")


def analysis_extra() -> AbstractContextManager[None]:
    """Around the import of what the reading half needs."""
    return extra("analysis")


def _packages(extra: str) -> list[str]:
    """What the extra asks for, quoted for a shell; empty where the installed package has no metadata."""
    import importlib.metadata  # it loads sockets, which a process without this error need not

    try:
        needs = importlib.metadata.requires("l2vault") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found = [need.split(";")[0].strip() for need in needs if extra in _OF_EXTRA.findall(need)]
    # An extra may include another one of ours, whose packages stand for it.
    packages = [_packages(own[1]) if (own := _OWN.fullmatch(need)) else [f'"{need}"'] for need in found]
    return [package for some in packages for package in some]


class L2VaultError(Exception):
    """Root of our errors. `cure` is what the user can do about it; printed after the message."""

    exit_code = 1

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message} Try: {self.cure}" if self.cure else self.message


class UsageError(L2VaultError):
    """The command line, the environment or the config file asks for something impossible: exit code 2."""

    exit_code = 2


class LevelError(L2VaultError):
    """A price or quantity on the wire is not a plain decimal number."""


class LineError(L2VaultError):
    """A line of a vault file is none of those that `docs/format.md` defines."""


class VaultError(L2VaultError):
    """The vault cannot be used: locked, unwritable, or not a vault."""


class RestError(L2VaultError):
    """OKX's REST interface refused, failed or answered something unreadable."""


class CaptureError(L2VaultError):
    """A capture file cannot be read or holds no order book frames."""
