"""`--sources`: whose books a verb reads. Apart from `words`, because the recorder loads those and reads no vault."""

import argparse

from l2vault.errors import UsageError
from l2vault.foreign import quoted
from l2vault.vault.coverage.model import Source
from l2vault.vault.reading.sources import SOURCES


def configure_sources(parser: argparse.ArgumentParser) -> None:
    """`--sources recorded,archive`"""
    parser.add_argument(
        "--sources",
        type=sources_named,
        metavar="LIST",
        help="recorded, archive (of OKX), or recorded,archive: that in its holes (default: recorded, and what l2vault "
        "repair filled)",
    )


def sources_named(text: str) -> tuple[Source, ...]:
    """`recorded,archive`, in that order however they stand."""
    words = text.lower().replace(" ", "").split(",")
    if set(words) - set(SOURCES):
        error = UsageError(f"{quoted(text, 64)} are no sources.", "recorded, archive or recorded,archive")
        raise argparse.ArgumentTypeError(str(error))
    return tuple(source for source in SOURCES if source in words)
