"""`--sources`: whose books a verb reads. Apart from `words`, because the recorder loads those and reads no vault."""

import argparse

from l2vault.errors import UsageError
from l2vault.vault.coverage.model import Source
from l2vault.vault.reading.sources import sources_named


def configure_sources(parser: argparse.ArgumentParser) -> None:
    """`--sources recorded,archive`"""
    parser.add_argument(
        "--sources",
        type=sources_asked,
        metavar="LIST",
        help="recorded, archive (of OKX), or recorded,archive: that in its holes (default: recorded, and what l2vault "
        "repair filled)",
    )


def sources_asked(text: str) -> tuple[Source, ...]:
    """For argparse."""
    try:
        return sources_named(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
