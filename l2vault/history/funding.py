"""A file of OKX's archive of funding as context of the archive's vault: a line at each settlement, with its rate alone.

The file has all swaps, so that little of it is one instrument's; it is read whole for each.
"""

from collections.abc import Iterable
from typing import Final

from l2vault.book.context import Context, Funding, to_line
from l2vault.book.utc import HOUR_MS, utc_text
from l2vault.errors import LineError
from l2vault.history.books import DayReport
from l2vault.history.hours import HourKeeper, HourNote
from l2vault.history.naming import Wanted
from l2vault.history.rows import Rate, rate_of
from l2vault.vault.journal.merge_events import Merged, MergedSpan

_QUOTED: Final = 80


def keep_funding(wanted: Wanted, lines: Iterable[bytes], keeper: HourKeeper, sha256: str, report: DayReport) -> None:
    """The hours of a file in which the instrument settled. Raises LineError, with the number of the row."""
    rates: dict[int, Rate] = {}
    others = ""
    for number, line in enumerate(lines, 1):
        try:
            rate = rate_of(line)
            if rate is None or rate.inst_id != wanted.inst_id:
                others = others or ("" if rate is None else rate.inst_id)
                continue
            if not wanted.span[0] <= rate.time_ms < wanted.span[1]:
                raise LineError(f"a rate of {utc_text(rate.time_ms)} in the file of {wanted.date}")
        except LineError as error:
            raise LineError(f"row {number}: {error}") from error
        rates[rate.time_ms] = rate
        report.lines += 1
    if wanted.is_month and others and not rates:  # a file of a day has all swaps, of which ours need not be one
        raise LineError(f"it holds rates of {others[:_QUOTED]!r}, and none of {wanted.inst_id}")
    for hour_ms in sorted({time_ms // HOUR_MS * HOUR_MS for time_ms in rates}):
        own = [rates[time_ms] for time_ms in sorted(rates) if hour_ms <= time_ms < hour_ms + HOUR_MS]
        _keep(wanted, hour_ms, own, (keeper, {wanted.name: sha256}), report)


def _keep(
    wanted: Wanted, hour_ms: int, rates: list[Rate], to: tuple[HourKeeper, dict[str, str]], report: DayReport
) -> None:
    keeper, files = to
    note = keeper.note(wanted.inst_id, hour_ms)
    if note is not None and note.files == files:
        report.kept_hours += 1
        return
    bounds = utc_text(rates[0].time_ms), utc_text(hour_ms + HOUR_MS)
    values = {"funding": [MergedSpan(*bounds, "present", "")]}
    brought = {wanted.name: len(rates)}
    event = Merged("", wanted.inst_id, utc_text(hour_ms), "context", brought, values=values)
    draft = keeper.draft(wanted.inst_id, hour_ms)
    with draft.dropped_on_error():
        for rate in rates:
            draft.add(to_line(_settled(rate)))
        keeper.keep(wanted.inst_id, hour_ms, draft, event, HourNote(files, 0, 0, 0, ""))
    report.hours += 1
    report.books += len(rates)


def _settled(rate: Rate) -> Context:
    """The rate of the period that ended then, which is what `Funding` calls the rate of `time`."""
    funding = Funding(rate.time_ms, rate.rate, str(rate.time_ms), settled_rate=rate.rate, settle_state="settled")
    return Context(rate.inst_id, rate.time_ms, funding=funding)
