"""`--sources`: whose books a verb reads. Apart from `words`, because the recorder loads those and reads no vault."""

import argparse

from l2vault.errors import UsageError
from l2vault.foreign import quoted
from l2vault.vault.reading.sources import RECORDED, SOURCES, Source


def configure_sources(parser: argparse.ArgumentParser) -> None:
    """`--sources recorded,archive`"""
    parser.add_argument(
        "--sources",
        type=_sources,
        default=RECORDED,
        metavar="LIST",
        help="recorded (default), archive (of OKX, by l2vault backfill), or recorded,archive: the archive in its holes",
    )


def _sources(text: str) -> tuple[Source, ...]:
    words = text.lower().replace(" ", "").split(",")
    if set(words) - set(SOURCES):
        error = UsageError(f"{quoted(text, 64)} are no sources.", "recorded, archive or recorded,archive")
        raise argparse.ArgumentTypeError(str(error))
    return tuple(source for source in SOURCES if source in words)
