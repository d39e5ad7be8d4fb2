"""The front door: `l2vault VERB ...`. Finds the verb, gathers its settings, turns errors into a line and an exit code.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted; `status` has 3 too. Only the chosen verb's module is
loaded.
"""

import argparse
import difflib
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn, TextIO

import msgspec

import l2vault
from l2vault.config import FORMER_NAMES, Settings, environment, load_alerts, load_settings, load_vault
from l2vault.errors import L2VaultError
from l2vault.foreign import printable, quoted
from l2vault.verbs.context import Context

VERBS: Final = (
    "record",
    "sim",
    "probe",
    "status",
    "alert",
    "retain",
    "ls",
    "show",
    "verify",
    "coverage",
    "archive",
    "restore",
    "merge",
    "push",
    "export",
    "replay",
    "fetch",
    "backfill",
    "audit",
    "repair",
    "spread",
    "imbalance",
    "depth",
    "walls",
    "zones",
    "shifts",
    "flow",
    "heatmap",
    "evaluate",
    "screen",
    "watch",
)
INTERRUPTED: Final = 130

NEED_NO_SETTING: Final = frozenset({"sim", "merge"})
_TAKE_SETTINGS: Final = frozenset({"record", "probe", "retain", "restore", "repair", "push"})
_MAKE_NO_VAULT: Final = frozenset(VERBS) - {"record", "sim", "probe", "merge", "fetch", "backfill"}
"""They work on a vault that is there. Those that take no settings read of them its place and nothing else."""
_WORK_WITHOUT_STDOUT: Final = frozenset({"record", "retain"})
"""`pythonw` on Windows, under which a scheduler runs them, has none."""

_USAGE: Final = 2
_MESSAGE_CHARS: Final = 400
_DESCRIPTION: Final = "l2vault: the flight recorder of OKX perpetual-swap order books."
_EPILOG: Final = "Each verb has its own help: l2vault record --help. Settings: docs/configuration.md."


class _Parser(argparse.ArgumentParser):
    """argparse, with its errors in our form, with names of files and folders that are some, and with a verb's words
    before, between and behind its options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register("type", Path, _path)
        self._is_mixing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """argparse takes all words that may be left out where the first of them stands, so that it knows nothing of the
        instrument in `evaluate walls --last 4h BTC-USDT-SWAP`; unless it reads the options first. Doing that it would
        lose a `--`, behind which nothing is an option: then all stands in its order."""
        is_in_order = self._subparsers is not None or not self._get_positional_actions() or "--" in (args or ())
        if self._is_mixing or is_in_order:
            return super().parse_known_args(args, namespace)
        self._is_mixing = True  # up to Python 3.11 it calls this method again
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_mixing = False

    def error(self, message: str) -> NoReturn:
        text = printable(message, _MESSAGE_CHARS)
        cure = "" if "Try: " in text else f"{'' if text.endswith('.') else '.'} Try: {self.prog} --help"
        self.exit(_USAGE, f"{self.prog}: {text}{cure}\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """argparse would lose an error of the stream."""
        (file or sys.stderr).write(message)


class _Nowhere(io.TextIOBase):
    """For streams that a process without a console, as under `pythonw`, has not."""

    def write(self, text: str) -> int:
        return len(text)


class _StdoutError(Exception):
    """What stdout answered, told apart from what files did."""


class _Stdout:
    """stdout while a verb runs. One that was closed before we began is None: whoever writes learns it."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        if self.stream is None:
            raise _StdoutError("it is closed")
        with _own_errors():
            return self.stream.write(text)

    def flush(self) -> None:
        if self.stream is not None:
            with _own_errors():
                self.stream.flush()


@contextmanager
def _own_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # the reader of our output has left, as in `l2vault ls | head -1`
        raise
    except (OSError, ValueError) as error:  # a stream that is closed is a ValueError
        raise _StdoutError(getattr(error, "strerror", None) or str(error)) from error


def main(
    argv: Sequence[str] | None = None, defaults: Mapping[str, object] | None = None, folder: Path | None = None
) -> int:
    """Run one verb and return its exit code. `defaults` are a launcher's settings, weaker than file and flags.

    `folder` is where `l2vault.toml` is looked for: the working folder unless given.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    verb = words[0] if words else "--help"
    stdout: Any = sys.stdout
    if stdout is None and verb in _WORK_WITHOUT_STDOUT:
        stdout = _Nowhere()
    stderr: Any = sys.stderr
    sys.stderr = _Nowhere() if stderr is None else stderr
    sys.stdout = _Stdout(stdout)
    try:
        return _guarded(words or ["--help"], defaults or {}, folder or Path())
    finally:
        sys.stdout, sys.stderr = stdout, stderr


def launch(verb: str | None, folder: Path, values: Mapping[str, object]) -> int:
    """`main` for a launcher script: vault, log and `l2vault.toml` are those beside it, wherever it is started from.

    A relative `vault` among the values is beside the script too. Without a verb the first word typed is one.
    """
    beside = {"vault": "Vault", "log_file": "l2_exporter.log", **values}
    for name in ("vault", "log_file"):
        given = beside[name]
        if isinstance(given, str) and given.strip() and not given.startswith("~"):
            beside[name] = str(folder / given)
    return main([*([] if verb is None else [verb]), *sys.argv[1:]], beside, folder)


def _guarded(words: list[str], defaults: Mapping[str, object], folder: Path) -> int:
    """The exit code; whatever went wrong is one line on stderr."""
    try:
        code = _run(words, defaults, folder)
        sys.stdout.flush()
    except L2VaultError as error:
        _say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _leave_stdout()
        return 0
    except _StdoutError as error:
        _say(f"stdout takes no more: {printable(error)}. The output is not complete.")
        _leave_stdout()
        return 1
    except OSError as error:
        place = "the operating system refused something" if error.filename is None else printable(error.filename)
        _say(f"{place}: {printable(error.strerror or error)}.")
        return 1
    return code


def _run(words: list[str], defaults: Mapping[str, object], folder: Path) -> int:
    named = words[:1] if words[0] in VERBS else list(VERBS)
    if words[0] not in VERBS and not words[0].startswith("-"):
        near = difflib.get_close_matches(words[0][:32], VERBS, 1, 0.4)
        _say(f"no verb {quoted(words[0], 32)}. Try: {f'l2vault {near[0]}' if near else 'l2vault --help'}")
        return _USAGE
    verbs = {name: import_module(f"l2vault.verbs.{name}") for name in named}
    try:
        args = _build_parser(verbs).parse_args(words)
    except SystemExit as leaving:  # argparse has printed its help or error
        return leaving.code if isinstance(leaving.code, int) else _USAGE
    return int(verbs[args.verb].run(_context(args, defaults, folder), args))


def _context(args: argparse.Namespace, defaults: Mapping[str, object], folder: Path) -> Context:
    """Of the verb that was parsed: what it needs of the settings, and no more is read."""
    flags = _flags(args)
    is_vault_named = "vault" in flags
    if args.verb in NEED_NO_SETTING:
        return Context(Path(), is_vault_named)
    if args.verb in _MAKE_NO_VAULT:
        vault = load_vault(args.vault, environment(), args.config, folder, defaults)
        if args.verb == "alert":
            return Context(vault, is_vault_named, alerts=load_alerts(args.config, folder))
        if args.verb not in _TAKE_SETTINGS:
            return Context(vault, is_vault_named)
    settings = load_settings(flags, environment(), args.config, defaults, folder, _say)
    return Context(Path(settings.vault), is_vault_named, settings)


def _build_parser(verbs: Mapping[str, ModuleType]) -> argparse.ArgumentParser:
    parser = _Parser(prog="l2vault", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"l2vault {l2vault.__version__}")
    choices = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, verb in verbs.items():
        sub = choices.add_parser(name, help=verb.HELP, description=verb.HELP, epilog=f"Example: {verb.EXAMPLE}")
        sub.add_argument("--config", type=Path, metavar="FILE", help="settings file (default: l2vault.toml if present)")
        verb.configure(sub)
    return parser


def _flags(args: argparse.Namespace) -> dict[str, object]:
    """The settings given as flags: an option that is one has the setting's name as its destination."""
    names = [*(field.name for field in msgspec.structs.fields(Settings)), *FORMER_NAMES]
    given = {name: getattr(args, name, None) for name in names}
    if "instruments" in args and args.inst_ids:  # words.configure_instruments: INST and --inst mean the same
        given["instruments"] = [args.inst_ids, args.instruments or []]
    return {name: str(value) if name == "vault" else value for name, value in given.items() if value is not None}


def _path(text: str) -> Path:
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty")
    if "\0" in text:
        raise argparse.ArgumentTypeError("the name holds a NUL")
    return Path(text)


def _leave_stdout() -> None:
    """Let what is still buffered go nowhere: Python writes it at its end, and would complain again."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _say(text: str) -> None:
    with suppress(OSError, ValueError):  # a terminal that has gone away
        sys.stderr.write(f"l2vault: {text}\n")
