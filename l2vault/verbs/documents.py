"""What the verbs print for programs: one line of JSON a document, each with the name and version of its form.

A schema grows keys and never changes what one means. Where a key gets another name both stand until the next minor
version, and its number stays; it rises when a key goes or means something else.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

SCHEMAS: Final = {
    **dict.fromkeys(("sim", "probe", "status", "retain", "ls", "show", "verify", "coverage"), 1),
    **dict.fromkeys(("spread", "imbalance", "depth", "walls", "zones", "shifts", "flow", "heatmap", "evaluate"), 1),
    "alert": 1,
    "audit": 1,
}
"""The version of each verb's JSON."""


def schema_of(verb: str, kind: str = "books") -> str:
    """`l2vault.walls/1`; of another kind than books `l2vault.show.context/1`."""
    return f"l2vault.{verb if kind == 'books' else f'{verb}.{kind}'}/{SCHEMAS[verb]}"


def document(verb: str, content: Mapping[str, object] | msgspec.Struct, kind: str = "books") -> str:
    """One line of JSON: `schema` first, then the content."""
    found = msgspec.structs.asdict(content) if isinstance(content, msgspec.Struct) else content
    return msgspec.json.encode({"schema": schema_of(verb, kind), **found}).decode() + "\n"
