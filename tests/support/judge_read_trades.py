"""What reading a vault's trades deserves: each id of the files once, in order, and coverage right of the rest."""

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

from l2vault.vault.reading.trades import TradeReader, TradeRow
from l2vault.vault.store.catalog import Findings
from l2vault.vault.store.layout import Layout
from support.trade_judge import Match, trade_lines

ALWAYS = 0, 253_370_764_800_000


def judge_read_trades(root: Path, inst_id: str, truth: dict[int, Match], is_journal_whole: bool = True) -> list[str]:
    """Complaints. `truth` is every single match by id, of an exchange that never numbered anew."""
    reader, findings = TradeReader(Layout(root)), Findings()
    rows = list(reader.rows(inst_id, ALWAYS, findings.report))
    written = written_ids(trade_lines(root, inst_id))
    complaints = [f"{inst_id}: {finding.reason}" for finding in findings]
    ids = [one for row in rows for one in range(row.first_id, row.last_id + 1)]
    if ids != sorted(written):
        complaints.append(f"{inst_id}: {len(ids)} ids are read, {len(written)} are in the files, or out of order")
    for row in rows:
        complaints += _judge_row(row, truth)
    return [*complaints, *(_judge_coverage(reader, inst_id, truth, written) if is_journal_whole else ())]


def written_ids(lines: Iterable[dict]) -> set[int]:
    ids: set[int] = set()
    for line in lines:
        last = int(line["tradeId"])
        ids.update(range(last - int(line["count"] or 1) + 1, last + 1))
    return ids


def _judge_row(row: TradeRow, truth: dict[int, Match]) -> Iterable[str]:
    matches = [truth.get(one) for one in range(row.first_id, row.last_id + 1)]
    place = f"{row.push.inst_id}: {row.first_id} to {row.last_id}"
    if None in matches:
        yield f"{place} never was"
    elif row.size is not None and Decimal(row.size) != sum(Decimal(match.sz) for match in matches if match):
        yield f"{place} has the size {row.size}"
    elif {(match.px, match.side, match.ts) for match in matches if match} != {
        (row.push.px, row.push.side, row.push.ts)
    }:
        yield f"{place} is {row.push}"


def _judge_coverage(reader: TradeReader, inst_id: str, truth: dict[int, Match], written: set[int]) -> Iterable[str]:
    bounds = reader.evidence(inst_id)
    if bounds is None:
        return
    coverage = reader.coverage(inst_id, (bounds[0], bounds[1] + 1))
    if coverage.ids != len(written):
        yield f"{inst_id}: coverage knows {coverage.ids} ids, the files {len(written)}"
    called = {one for hole in coverage.holes for one in range(hole.first_id, hole.last_id + 1)}
    if called & written:
        yield f"{inst_id}: {sorted(called & written)[:5]} are in the files and called holes"
    if lost := {hole.cause for hole in coverage.holes} & {"", "no line"}:
        yield f"{inst_id}: holes without a word of the journal {lost}: {coverage.holes}"
    skipped = {one for each in coverage.skipped for one in range(each.first_id, each.last_id + 1)}
    if skipped & truth.keys():
        yield f"{inst_id}: {sorted(skipped & truth.keys())[:5]} are called skipped"
    proved = [each for each in coverage.stretches if each.state == "proved"]
    for one, match in ((one, match) for one, match in truth.items() if one not in written):
        if any(each.start_ms <= int(match.ts) < each.end_ms for each in proved):
            yield f"{inst_id}: id {one} is nowhere, and its time is called proved"
        if one not in called and written and min(written) < one < max(written):
            yield f"{inst_id}: id {one} is nowhere, and in no hole"
