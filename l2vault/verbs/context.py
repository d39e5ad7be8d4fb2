"""What a verb runs in: the settings, and the vault they or a flag name. Read once, by `cli`; never changed."""

from dataclasses import dataclass
from pathlib import Path

from l2vault.config import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """`vault` is the folder; `is_vault_named`: by a flag, and not by a settings file, a launcher or the default.

    `loaded` is None for a verb that reads no other setting than the place of the vault, so that a fault in another one
    is none of its business.
    """

    vault: Path
    is_vault_named: bool = False
    loaded: Settings | None = None
    alerts: tuple[object, ...] = ()
    """The tables `[[alert]]` of the settings file as they were written, for the verb that reads them."""

    @property
    def settings(self) -> Settings:
        """Of a verb that takes them all."""
        assert self.loaded is not None, "cli.py says which verbs have none"
        return self.loaded
