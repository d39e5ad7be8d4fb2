"""What OKX's index offers of the files that are wanted. Asks; fetches no file."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from l2vault.book.utc import DAY_MS
from l2vault.errors import RestError
from l2vault.foreign import printable
from l2vault.history.naming import MODULES, Wanted, parse_name
from l2vault.okx.rest import OkxRest, Throttled

_DAYS_A_CALL: Final = 10
"""OKX (2026-08-06): the index keeps 10 days of daily files."""
_PAUSE_SEC: Final = 0.45
"""OKX allows 5 requests in 2 s."""
_TRIES: Final = 4
_LONGEST_PAUSE_SEC: Final = 30.0
_MOST_MB: Final = 1e6


class Offer(NamedTuple):
    """A file that the index names. `size_mb` is its size as OKX prints it, to two decimals."""

    wanted: Wanted
    url: str
    size_mb: float


class _File(msgspec.Struct):
    filename: str
    url: str
    sizeMB: str = ""


class _Group(msgspec.Struct):
    groupDetails: list[_File] = []


class _Answer(msgspec.Struct):
    details: list[_Group] = []


def ask_index(
    rest: OkxRest, wanted: Sequence[Wanted], pause: Callable[[float], None]
) -> tuple[dict[Wanted, Offer], str]:
    """What is offered, by file, and why some calls were refused (OKX refuses days beyond its window), or nothing.

    Raises RestError where OKX cannot be asked at all.
    """
    found: dict[Wanted, Offer] = {}
    refused = ""
    waiting, is_first = deque(_calls(wanted)), True
    while waiting:
        part = waiting.popleft()
        if not is_first:
            pause(_PAUSE_SEC)
        is_first = False
        try:
            rows = _patiently(rest, _query(part), pause)
        except RestError as error:
            if type(error) is not RestError:
                raise
            refused = error.message
            if len(part) > 1:  # one day out of its window, and OKX refuses all of them
                waiting.extend([each] for each in part)
            continue
        for offer in _offers(rows, part[0].inst_id):
            if offer.wanted in part:
                found[offer.wanted] = offer
    return found, refused


def _query(part: Sequence[Wanted]) -> dict[str, str]:
    return {
        "module": str(MODULES[part[0].what]),
        "instType": "SWAP",
        "instFamilyList": part[0].inst_id.removesuffix("-SWAP"),
        "dateAggrType": "monthly" if part[0].is_month else "daily",
        "begin": str(part[0].span[0]),
        "end": str(part[-1].span[1]),  # inclusive, date part only: a day more, whose files are nobody's here
    }


def _calls(wanted: Sequence[Wanted]) -> Iterable[Sequence[Wanted]]:
    """Files of one kind that follow each other."""
    part: list[Wanted] = []
    for each in wanted:
        is_next = part and (each.what, each.inst_id) == (part[0].what, part[0].inst_id)
        if part and not (is_next and (each.is_month or each.span[0] - part[0].span[0] < _DAYS_A_CALL * DAY_MS)):
            yield part
            part = []
        part.append(each)
    if part:
        yield part


def _patiently(rest: OkxRest, query: dict[str, str], pause: Callable[[float], None]) -> list[bytes]:
    """Asked again where OKX says that it was too often."""
    for attempt in range(_TRIES):
        try:
            return rest.archive_index(query)
        except Throttled as error:
            if attempt == _TRIES - 1:
                raise
            pause(min(_LONGEST_PAUSE_SEC, error.retry_after_sec or 2.0**attempt))
    raise AssertionError("the last try returns or raises")


def _offers(rows: Iterable[bytes], inst_id: str) -> Iterable[Offer]:
    """Those files whose names are of the instrument; others that came with them are passed over."""
    for row in rows:
        try:
            answer = msgspec.json.decode(row, type=_Answer)
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            raise RestError(
                f"the index of OKX's archive cannot be read: {printable(error)}.",
                "check --rest-url; if it is OKX, its format has changed",
            ) from error
        for group in answer.details:
            for file in group.groupDetails:
                wanted = parse_name(file.filename, inst_id)
                size_mb = _megabytes(file.sizeMB)
                if wanted is not None:
                    yield Offer(wanted, file.url, size_mb)


def _megabytes(text: str) -> float:
    """0 where the index says nothing that can be used."""
    try:
        size_mb = float(text)
    except ValueError:
        return 0.0
    return size_mb if 0 < size_mb < _MOST_MB else 0.0
