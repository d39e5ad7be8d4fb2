"""The two tables of an hour from its lines, with what is known of the time between and behind them."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from l2vault.errors import LineError
from l2vault.vault.archived import CANNOT_READ, read_archived
from l2vault.vault.columns import Columns, read_columns, sift
from l2vault.vault.coverage import cover
from l2vault.vault.files import Finding, HourForms, PlacedLine, Report, first_ms, hour_lines
from l2vault.vault.layout import HOUR_MS, Layout
from l2vault.vault.levels import LEVELS, SNAPSHOTS, Hour, hour_of_lines
from l2vault.vault.testimony import Testimony

_FARTHEST_MS: Final = HOUR_MS
"""A next line later than this after the hour is not asked for: OKX's heartbeat brings one a minute."""


class Setting(NamedTuple):
    """What surrounds the lines of an hour: the journal's word, and the time of the next hour's first line, if any."""

    testimony: Testimony
    next_ms: int | None


def build_hour(columns: Columns, inst_id: str, hour_ms: int, setting: Setting) -> Hour:
    """The tables of the lines of an hour."""
    end_ms = hour_ms + HOUR_MS
    after_ms = end_ms if setting.next_ms is None else min(setting.next_ms, end_ms + _FARTHEST_MS)
    times = columns.ts_ms[~columns.gap_detected].tolist()
    coverage = cover(setting.testimony, inst_id, times, (hour_ms, after_ms))
    return hour_of_lines(columns, [(hole.start_ms, hole.end_ms) for hole in coverage.holes], after_ms)


def read_hour(
    layout: Layout, every: Sequence[HourForms], at: int, testimony: Testimony, span: tuple[int, int], report: Report
) -> Hour:
    """The tables of hour number `at` of `every`, as far as they bear on a span; empty where nothing can be read."""
    forms = every[at]
    if forms.archive is not None and not forms.raw:
        try:
            return read_archived(forms.archive, span)
        except CANNOT_READ as error:
            report(Finding(forms.archive.snapshots, 0, f"an archive that cannot be read: {error}"))
            return Hour(LEVELS.empty_table(), SNAPSHOTS.empty_table())
    next_ms = first_ms(every[at + 1]) if at + 1 < len(every) else None
    # Not a name for the lines: they would be kept, all 40 MB of them, until the tables are made.
    columns = readable(list(hour_lines(layout, forms, at == len(every) - 1, report)), forms.inst_id, report)
    return build_hour(columns, forms.inst_id, forms.hour_ms, Setting(testimony, next_ms))


def readable(lines: Sequence[PlacedLine], inst_id: str, report: Report) -> Columns:
    """The lines that can be read, as columns; the others are reported."""
    texts = [line.text for line in lines]
    try:
        return read_columns(texts, inst_id)
    except LineError:
        sifted = sift(texts, inst_id)
        for index, reason in sifted.bad:
            report(Finding(lines[index].path, lines[index].offset, reason))
        return read_columns(sifted.lines, inst_id)
