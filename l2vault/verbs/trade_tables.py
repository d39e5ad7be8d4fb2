"""Trades, changes, deep and RPI books as `show` and `coverage` print them: the tape, and what is known by hour or
day."""

import sys
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from l2vault.analytics.contract import Contract, contract_periods
from l2vault.book.utc import utc_ms, utc_text
from l2vault.errors import UsageError, VaultError
from l2vault.foreign import printable
from l2vault.vault.coverage.changes import ChangeCoverage
from l2vault.vault.coverage.deep import DeepCoverage
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.coverage.proved import KNOWN, TimeStretch
from l2vault.vault.coverage.trades import SkippedIds, TradeCoverage, TradeHole
from l2vault.vault.reading.changes import change_bounds, change_coverage
from l2vault.vault.reading.deep import DeepReader
from l2vault.vault.reading.trades import TradeReader, TradeRow
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.catalog import Catalog, Findings
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.names import held_instruments
from l2vault.verbs.documents import document
from l2vault.verbs.format import NONE, counted, exact_share, figure, minute, span_text, table, with_cause

_BROUGHT_BY = {"rest": " by REST", "archive": " of the archive"}
_TAPE_HEAD = ("time (UTC)", "side", "price", "size", "USD", "ids")


class TapeRow(msgspec.Struct, frozen=True):
    """What `show --kind trades --json` prints, one a row of trades: OKX's strings, `size` in contracts."""

    inst_id: str
    timestamp_utc: str
    first_id: int
    last_id: int
    side: str
    price: str
    size: str | None
    usd: float | None
    origin: str
    recv_us: int


class TradesRow(msgspec.Struct, frozen=True):
    """What `coverage --kind trades --json` prints, one a piece of time: ids by what is known of them, and shares of the
    time. `is_quiet`: the chain of ids proves that there was no trade."""

    inst_id: str
    start_utc: str
    ids: int
    rows: int
    rest_ids: int
    skipped_ids: int
    missing_ids: int
    unknown_ids: int
    proved_share: float
    missing_share: float
    unknown_share: float
    is_quiet: bool
    holes: list[TradeHole]
    skipped: list[SkippedIds]
    archive_ids: int = 0
    archive_share: float = 0.0


class ChangesRow(msgspec.Struct, frozen=True):
    """What `coverage --kind changes --json` prints, one an instrument."""

    inst_id: str
    from_utc: str
    to_utc: str
    lines: int
    proved_share: float
    missing_share: float
    unknown_share: float
    not_proved: list[TimeStretch]


class DeepRow(msgspec.Struct, frozen=True):
    """What `coverage --kind deep --json` (or `rpi`) prints, one an instrument: the share of the time at which a sample
    was at most 45 s old."""

    inst_id: str
    from_utc: str
    to_utc: str
    samples: int
    proved_share: float
    missing_share: float
    unknown_share: float
    not_proved: list[TimeStretch]
    archive_samples: int = 0
    archive_share: float = 0.0


def show_tape(vault: Vault, inst_id: str, end_ms: int | None, last_ms: int, is_json: bool) -> None:
    """The trades of the last so many milliseconds, oldest first; without an end up to the newest one.

    Raises VaultError where the vault has none so early.
    """
    reader = vault.trades()
    bounds = reader.bounds(inst_id)
    if bounds is None or (end_ms is not None and end_ms < bounds[0]):
        at = "" if end_ms is None else f" at or before {utc_text(end_ms)}"
        raise VaultError(f"no trade of {printable(inst_id)}{at}.", "l2vault ls, for what there is")
    last = bounds[1] if end_ms is None else end_ms
    span = max(0, last + 1 - last_ms), last + 1
    findings = Findings()
    contract = _contract(vault, inst_id, span)
    rows = (_tape_row(row, contract) for row in reader.rows(inst_id, span, findings.report))
    if is_json:
        for row in rows:
            sys.stdout.write(document("show", row, "trades"))
    else:
        coverage = reader.coverage(inst_id, span)
        sys.stdout.write(_tape(list(rows), inst_id, span) + "".join(_holes([coverage])))
    for finding in findings:
        place = f"{printable(finding.path)} at byte {finding.offset}"
        sys.stderr.write(f"skipped: {place}: {printable(finding.reason)}\n")


def trade_pieces(
    reader: TradeReader, asked: list[str], span: tuple[int | None, int | None], piece_ms: int, is_json: bool
) -> None:
    """Coverage of trades by piece of time, then each hole."""
    held = reader.noted_instruments()
    inst_ids = held_instruments(asked, held) or held
    known = {inst_id: bounds for inst_id in inst_ids if (bounds := reader.evidence(inst_id)) is not None}
    bounds = _span(known, span, f"the vault at {printable(str(reader.layout.root))} holds no trades.", "trades")
    coverages = [reader.coverage(inst_id, bounds) for inst_id in known]
    rows = [_trades_row(piece) for coverage in coverages for piece in coverage.every(piece_ms)]
    if is_json:
        sys.stdout.write("".join(document("coverage", row, "trades") for row in rows))
        return
    names = ["instrument", "from (UTC)", "trades", "by REST", "skipped", "missing", "unknown", "proved"]
    cells = [
        [
            printable(row.inst_id),
            minute(utc_ms(row.start_utc)),
            *(str(each) for each in (row.ids, row.rest_ids, row.skipped_ids, row.missing_ids, row.unknown_ids)),
            exact_share(row.proved_share),
        ]
        for row in rows
    ]
    if any(row.archive_share for row in rows):
        names += ["of archive", "archive"]
        for row, line in zip(rows, cells, strict=True):
            line += [str(row.archive_ids), exact_share(row.archive_share)]
    names.append("")
    for row, line in zip(rows, cells, strict=True):
        line.append("quiet" if row.is_quiet else "")
    sys.stdout.write(table(names, cells, left=2) + "".join(_holes(coverages)))


def change_pieces(layout: Layout, asked: list[str], span: tuple[int | None, int | None], is_json: bool) -> None:
    """Coverage of changes over the whole span, then each part of it that is not proved."""
    catalog, journal = Catalog(layout.of("changes")), JournalIndex(layout.of("changes"))
    held = catalog.instruments()
    inst_ids = held_instruments(asked, held) or held
    known = {inst_id: bounds for inst_id in inst_ids if (bounds := change_bounds(catalog, inst_id)) is not None}
    bounds = _span(known, span, f"the vault at {printable(str(layout.root))} holds no changes.", "changes")
    _print_proved("changes", [change_coverage(catalog, journal, inst_id, bounds) for inst_id in known], is_json)


def deep_pieces(reader: DeepReader, asked: list[str], span: tuple[int | None, int | None], is_json: bool) -> None:
    """Coverage of deep, or RPI, books over the whole span, then each part of it in which none was sampled."""
    held = reader.instruments()
    inst_ids = held_instruments(asked, held) or held
    known = {inst_id: bounds for inst_id in inst_ids if (bounds := reader.bounds(inst_id)) is not None}
    channel = reader.channel
    nothing = f"the vault at {printable(str(reader.layout.root))} holds no {channel.noun}s."
    bounds = _span(known, span, nothing, f'{channel.kind} = ["INST"]')
    _print_proved(channel.kind, [reader.coverage(inst_id, bounds) for inst_id in known], is_json)


def _print_proved(kind: str, coverages: Sequence[ChangeCoverage | DeepCoverage], is_json: bool) -> None:
    """A row an instrument, then each part of the span that is not proved."""
    rows = [_proved_row(coverage) for coverage in coverages]
    if is_json:
        sys.stdout.write("".join(document("coverage", row, kind) for row in rows))
        return
    names = ["instrument", "lines" if kind == "changes" else "samples", "proved", "missing", "unknown"]
    cells = [
        [
            printable(row.inst_id),
            str(row.samples if isinstance(row, DeepRow) else row.lines),
            *(exact_share(each) for each in (row.proved_share, row.missing_share, row.unknown_share)),
        ]
        for row in rows
    ]
    of_archive = {row.inst_id: row for row in rows if isinstance(row, DeepRow) and row.archive_share}
    if of_archive:
        names += ["of archive", "archive"]
        for row, line in zip(rows, cells, strict=True):
            held = of_archive.get(row.inst_id)
            line += ["0", NONE] if held is None else [str(held.archive_samples), exact_share(held.archive_share)]
    sys.stdout.write(table(names, cells, left=1))
    for row in rows:
        for each in row.not_proved:
            length = span_text(each.end_ms - each.start_ms)
            place = f"{printable(row.inst_id)} {utc_text(each.start_ms)} to {utc_text(each.end_ms)}"
            sys.stdout.write(f"{with_cause(each.state, each.cause)}: {place}, {length}\n")


def _span(
    known: dict[str, tuple[int, int]], asked: tuple[int | None, int | None], nothing: str, setting: str
) -> tuple[int, int]:
    if not known:
        words = setting if "=" in setting else f"{setting} = true"
        raise VaultError(nothing, f"l2vault record, with {words}")
    start_ms = min(first for first, _ in known.values()) if asked[0] is None else asked[0]
    end_ms = max(newest for _, newest in known.values()) + 1 if asked[1] is None else asked[1]
    if end_ms <= start_ms:
        raise UsageError(f"nothing lies between {utc_text(start_ms)} and {utc_text(end_ms)}.", "a later --to")
    return start_ms, end_ms


def _contract(vault: Vault, inst_id: str, span: tuple[int, int]) -> Contract | None:
    """None where the vault has no row that says what a contract is worth: the tape goes without."""
    try:
        return contract_periods(inst_id, vault.instrument_rows(inst_id), span)[-1].contract
    except VaultError:
        return None


def _tape_row(row: TradeRow, contract: Contract | None) -> TapeRow:
    push = row.push
    usd = None
    if contract is not None and row.size is not None:
        usd = round(contract.sizes(float(row.size), float(push.px), "usd"), 2)
    of_push = push.side, push.px, row.size, usd, push.origin, push.recv_us
    return TapeRow(push.inst_id, utc_text(push.ts_ms), row.first_id, row.last_id, *of_push)


def _tape(rows: Sequence[TapeRow], inst_id: str, span: tuple[int, int]) -> str:
    head = f"{printable(inst_id)}  trades of {utc_text(span[0])} to {utc_text(span[1])}\n\n"
    cells = [
        [
            row.timestamp_utc[11:23],
            row.side,
            printable(row.price),
            row.size or NONE,
            NONE if row.usd is None else figure(row.usd, 0),
            _ids(row) + _BROUGHT_BY.get(row.origin, ""),
        ]
        for row in rows
    ]
    bought, sold = (sum(row.usd or 0 for row in rows if row.side == side) for side in ("buy", "sell"))
    end = f"\n{counted(len(rows), 'row')}, bought {figure(bought, 0)} USD, sold {figure(sold, 0)} USD\n"
    return head + table(_TAPE_HEAD, cells, left=2) + end


def _ids(row: TapeRow) -> str:
    return str(row.last_id) if row.first_id == row.last_id else f"{row.first_id}-{row.last_id}"


def _holes(coverages: Iterable[TradeCoverage]) -> Iterator[str]:
    for coverage in coverages:
        for hole in coverage.holes:
            place = f"{printable(coverage.inst_id)} ids {hole.first_id} to {hole.last_id}, {counted(hole.size, 'id')}"
            detail = f"; {printable(hole.detail)}" if hole.detail else ""
            bounds = f"between {utc_text(hole.from_ms)} and {utc_text(hole.to_ms)}"
            yield f"{hole.state} ({hole.cause}): {place}, {bounds}{detail}\n"


def _trades_row(piece: TradeCoverage) -> TradesRow:
    return TradesRow(
        inst_id=piece.inst_id,
        start_utc=utc_text(piece.start_ms),
        ids=piece.ids,
        rows=piece.rows,
        rest_ids=piece.rest_ids,
        skipped_ids=piece.skipped_ids,
        missing_ids=piece.missing_ids,
        unknown_ids=piece.unknown_ids,
        proved_share=piece.share("proved"),
        missing_share=piece.share("missing"),
        unknown_share=piece.share("unknown"),
        is_quiet=piece.is_quiet,
        holes=piece.holes,
        skipped=piece.skipped,
        archive_ids=piece.archive_ids,
        archive_share=piece.share("archive"),
    )


def _proved_row(coverage: ChangeCoverage | DeepCoverage) -> ChangesRow | DeepRow:
    bounds = coverage.inst_id, utc_text(coverage.start_ms), utc_text(coverage.end_ms)
    shares = coverage.share("proved"), coverage.share("missing"), coverage.share("unknown")
    not_proved = [each for each in coverage.stretches if each.state not in KNOWN]
    if isinstance(coverage, DeepCoverage):
        archived = coverage.archive_samples, coverage.share("archive")
        return DeepRow(*bounds, coverage.samples, *shares, not_proved, *archived)
    return ChangesRow(*bounds, coverage.lines, *shares, not_proved)
