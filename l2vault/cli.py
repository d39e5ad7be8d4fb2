"""The front door: `l2vault VERB ...`. Finds the verb, gathers its settings, turns errors into a line and an exit code.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. Only the chosen verb's module is loaded.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final, NoReturn

import msgspec

import l2vault
from l2vault.config import Settings, environment, load_settings
from l2vault.errors import L2VaultError

VERBS: Final = (
    "record",
    "sim",
    "probe",
    "retain",
    "ls",
    "show",
    "verify",
    "coverage",
    "archive",
    "restore",
    "spread",
    "imbalance",
    "depth",
    "walls",
    "zones",
    "shifts",
    "heatmap",
)
INTERRUPTED: Final = 130

_USAGE: Final = 2
_EPILOG: Final = "Each verb has its own help: l2vault record --help. Settings: docs/configuration.md."


class _Parser(argparse.ArgumentParser):
    """argparse, with its errors in our form."""

    def error(self, message: str) -> NoReturn:
        self.exit(_USAGE, f"{self.prog}: {message}. Try: {self.prog} --help\n")


def main(
    argv: Sequence[str] | None = None, defaults: Mapping[str, object] | None = None, folder: Path | None = None
) -> int:
    """Run one verb and return its exit code. `defaults` are a launcher's settings, weaker than file and flags.

    `folder` is where `l2vault.toml` is looked for: the working folder unless given.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    named = words[:1] if words and words[0] in VERBS else list(VERBS)
    verbs = {name: import_module(f"l2vault.verbs.{name}") for name in named}
    try:
        args = _build_parser(verbs).parse_args(words)
    except SystemExit as leaving:  # argparse has printed its help or error
        return leaving.code if isinstance(leaving.code, int) else _USAGE
    try:
        flags = _flags(args)
        args.settings = load_settings(flags, environment(), args.config, defaults or {}, folder or Path())
        args.vault = Path(args.settings.vault).expanduser()
        args.is_vault_named = "vault" in flags
        code = verbs[args.verb].run(args)
    except L2VaultError as error:
        sys.stderr.write(f"l2vault: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("l2vault: interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has left, as in `l2vault ls | head -1`
        sys.stderr.close()
        return 0
    return int(code)


def launch(verb: str, folder: Path, values: Mapping[str, object]) -> int:
    """`main` for a launcher script: vault, log and `l2vault.toml` are those beside it, wherever it is started from."""
    beside = {"vault": str(folder / "Vault"), "log_file": str(folder / "l2_exporter.log")}
    return main([verb, *sys.argv[1:]], {**beside, **values}, folder)


def _build_parser(verbs: Mapping[str, ModuleType]) -> argparse.ArgumentParser:
    parser = _Parser(prog="l2vault", description=l2vault.__doc__.splitlines()[0], epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"l2vault {l2vault.__version__}")
    choices = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, verb in verbs.items():
        sub = choices.add_parser(name, help=verb.HELP, description=verb.HELP, epilog=f"Example: {verb.EXAMPLE}")
        sub.add_argument("--config", type=Path, metavar="FILE", help="settings file (default: l2vault.toml if present)")
        verb.configure(sub)
    return parser


def _flags(args: argparse.Namespace) -> dict[str, object]:
    """The settings given as flags: an option that is one has the setting's name as its destination."""
    names = [field.name for field in msgspec.structs.fields(Settings)]
    given = {name: getattr(args, name, None) for name in names}
    return {name: str(value) if name == "vault" else value for name, value in given.items() if value is not None}
