"""Lines of trades, of the context, of deep and of RPI books as one table an hour, and that as the lines again, byte for
byte. Knows no path.

A row for each line, in the order of the file, its keys as columns: times as numbers, prices and sizes as OKX's own
text. What is not exactly as this version writes it is refused. Needs pyarrow.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from l2vault.book.deep import DEEP_CHANNELS, DeepChannel
from l2vault.book.utc import utc_micros, utc_micros_text, utc_ms, utc_text
from l2vault.errors import LineError, VaultError
from l2vault.vault.archive.parquet import Facts, encode_table, facts_of, opened, refuse_other_kind
from l2vault.vault.store.layout import ArchivedHour, Kind
from l2vault.vault.store.line import TIME_KEY

_INT64: Final = 1 << 63
_DELTA: Final = "DELTA_BINARY_PACKED"


class _Value(NamedTuple):
    """How a value of JSON becomes one of a column and the other way round. Both raise ValueError for another one."""

    type: pa.DataType
    of_json: Callable[[Any], Any]
    to_json: Callable[[Any], Any]
    encoding: str | None = None


def _same(value: object) -> object:
    return value


def _of_digits(text: str) -> int:
    """Spelled otherwise it is not given back, and so refused with its line."""
    number = int(text)
    if number >= _INT64:
        raise ValueError(f"{text[:40]!r} is too large")
    return number


_TEXT: Final = _Value(pa.string(), _same, _same)
_FLAG: Final = _Value(pa.bool_(), _same, _same)
_INT: Final = _Value(pa.int64(), _same, _same, _DELTA)
_DIGITS: Final = _Value(pa.int64(), _of_digits, str, _DELTA)
_LEVELS: Final = _Value(
    pa.string(),
    lambda levels: msgspec.json.encode(levels).decode(),
    msgspec.json.decode,
)
_MS: Final = _Value(pa.int64(), utc_ms, utc_text, _DELTA)
_US: Final = _Value(pa.int64(), utc_micros, utc_micros_text, _DELTA)


class _Column(NamedTuple):
    key: str
    name: str
    value: _Value


class RowForm(NamedTuple):
    """One kind of lines. `columns` are in the order of their keys; `absent` has the value that a key stands for where
    it is left out."""

    kind: Kind
    columns: tuple[_Column, ...]
    units: dict[str, str]
    absent: dict[str, object]
    named: str = ""
    """The channel of its lines, where that is not the kind."""

    @property
    def channel(self) -> str:
        """What its lines have as `channel`."""
        return self.named or self.kind

    @property
    def schema(self) -> pa.Schema:
        """Of the file."""
        return pa.schema([pa.field(column.name, column.value.type) for column in self.columns])


def _columns(**values: _Value) -> tuple[_Column, ...]:
    """Times lose the end of their keys: they are numbers."""
    return tuple(
        _Column(key, f"{key.removesuffix('_utc')}_ts" if value is _MS else key, value) for key, value in values.items()
    )


_TIME: Final = _Column(TIME_KEY, "timestamp", _MS)
_MS_UNIT: Final = "ms since 1970-01-01 UTC, exchange time"


def _of_samples(channel: DeepChannel) -> RowForm:
    return RowForm(
        channel.kind,
        (
            _TIME,
            *_columns(action=_TEXT, before_utc=_MS, asks=_LEVELS, bids=_LEVELS, checksum=_INT, seqId=_INT),
            _Column("recv_utc", "recv_us", _US),
        ),
        {
            "timestamp": _MS_UNIT,
            "before_ts": "the same, of the sample that the line changes; null where it is whole",
            "asks, bids": "JSON: levels of price, quantity in contracts and orders, see docs/format.md",
            "recv_us": "microseconds since 1970-01-01 UTC, this machine's clock",
        },
        {},
        channel.name,
    )


FORMS: Final[dict[str, RowForm]] = {
    form.kind: form
    for form in (
        RowForm(
            "trades",
            (
                _TIME,
                *_columns(tradeId=_DIGITS, px=_TEXT, sz=_TEXT, side=_TEXT, ts=_DIGITS, count=_DIGITS, source=_TEXT),
                *_columns(seqId=_INT),
                _Column("recv_utc", "recv_us", _US),
                *_columns(origin=_TEXT, overlap=_FLAG),
            ),
            {
                "timestamp": _MS_UNIT,
                "ts": "the same, as OKX sent it",
                "recv_us": "microseconds since 1970-01-01 UTC, this machine's clock",
                "tradeId": "the last of the ids tradeId - count + 1 to tradeId, one where count is null",
                "px": "OKX's text, in the quote currency",
                "sz": "OKX's text, in contracts, of all these ids together",
            },
            {"overlap": False},
        ),
        RowForm(
            "context",
            (
                _TIME,
                *_columns(mark_utc=_MS, markPx=_TEXT, index_utc=_MS, idxPx=_TEXT),
                *_columns(funding_utc=_MS, fundingRate=_TEXT, fundingTime=_TEXT, nextFundingRate=_TEXT),
                *_columns(nextFundingTime=_TEXT, prevFundingTime=_TEXT, settFundingRate=_TEXT, settState=_TEXT),
                *_columns(premium=_TEXT, oi_utc=_MS, oi=_TEXT, oiCcy=_TEXT, oiUsd=_TEXT),
                *_columns(limits_utc=_MS, buyLmt=_TEXT, sellLmt=_TEXT, limits_enabled=_FLAG),
            ),
            {
                "timestamp": f"{_MS_UNIT}: the grid time",
                "mark_ts, index_ts, funding_ts, oi_ts, limits_ts": f"{_MS_UNIT}: of the value",
                "the other columns": "OKX's text, see docs/format.md",
            },
            {},
        ),
        *map(_of_samples, DEEP_CHANNELS.values()),
    )
}


def encode_rows(lines: Sequence[bytes], form: RowForm, facts: Facts) -> bytes:
    """The bytes of the file. Raises LineError for a line that the columns do not give back."""
    rows = [_values(line, form, facts.inst_id) for line in lines]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(form.columns)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, form.schema, strict=True)]
    encodings = {column.name: column.value.encoding for column in form.columns if column.value.encoding}
    return encode_table([pa.table(arrays, schema=form.schema)], form.schema, encodings, facts)


def decode_rows(file: pq.ParquetFile) -> list[bytes]:
    """The lines, without newlines, in the order in which they stood in the file."""
    facts = facts_of(file)
    form = FORMS.get(facts.kind)
    if form is None or file.schema_arrow.names != form.schema.names:
        raise VaultError("a Parquet file with other columns than those of its kind.")
    table = file.read(use_threads=False)
    columns = [table[column.name].to_pylist() for column in form.columns]
    return [_line(row, form, facts.inst_id) for row in zip(*columns, strict=True)]


def row_times(archived: ArchivedHour) -> list[int]:
    """The times of the lines of an archived hour."""
    with opened(archived.snapshots) as file:
        refuse_other_kind(file, archived)
        times: list[int] = file.read(columns=[_TIME.name], use_threads=False)[_TIME.name].to_pylist()
    return times


def archived_rows(archived: ArchivedHour) -> list[bytes]:
    """The lines of an archived hour."""
    with opened(archived.snapshots) as file:
        refuse_other_kind(file, archived)
        return decode_rows(file)


def _values(line: bytes, form: RowForm, inst_id: str) -> list[object]:
    try:
        found = form.absent | msgspec.json.decode(line, type=dict[str, Any])
        row = [
            None if found[column.key] is None else column.value.of_json(found[column.key]) for column in form.columns
        ]
        is_whole = _line(row, form, inst_id) == line
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:  # msgspec's are ValueErrors
        raise LineError(f"not a line of {form.kind}: {error}") from error
    if not is_whole:
        raise LineError(f"a line of {form.kind} with other keys, or in another spelling, than this version writes")
    return row


def _line(row: Sequence[object], form: RowForm, inst_id: str) -> bytes:
    found: dict[str, object] = {}
    for column, value in zip(form.columns, row, strict=True):
        found[column.key] = None if value is None else column.value.to_json(value)
        if column is _TIME:
            found |= {"exchange": "okx", "market": "perp", "channel": form.channel, "instId": inst_id}
    return msgspec.json.encode(
        {key: value for key, value in found.items() if key not in form.absent or value != form.absent[key]}
    )
