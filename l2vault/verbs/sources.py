"""`--sources`: whose books a verb reads. Apart from `words`, because the recorder loads those and reads no vault."""

import argparse

from l2vault.errors import UsageError
from l2vault.foreign import quoted
from l2vault.vault.reading.sources import SOURCES, Source


def configure_sources(parser: argparse.ArgumentParser) -> None:
    """`--sources recorded,archive`"""
    parser.add_argument(
        "--sources",
        type=_sources,
        metavar="LIST",
        help="recorded, archive (of OKX), or recorded,archive: that in its holes (default: recorded, and what l2vault "
        "repair filled)",
    )


def _sources(text: str) -> tuple[Source, ...]:
    words = text.lower().replace(" ", "").split(",")
    if set(words) - set(SOURCES):
        error = UsageError(f"{quoted(text, 64)} are no sources.", "recorded, archive or recorded,archive")
        raise argparse.ArgumentTypeError(str(error))
    return tuple(source for source in SOURCES if source in words)
