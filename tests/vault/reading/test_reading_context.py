"""The context of a vault read back: every form of its hours, damage named, and what is known of each value."""

import gzip

import pytest

import l2vault
from l2vault.book.context import KINDS
from l2vault.book.utc import utc_ms
from l2vault.errors import UsageError, VaultError
from l2vault.vault.journal.events import Alive, Retained
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.store.catalog import Findings
from support.hours import HOUR_AT_MS, INST, at, journal_of, journal_v1_of, started
from support.small_vault import contexts, put_context, small_vault

HOUR_MS = 3_600_000
SPAN = HOUR_AT_MS, HOUR_AT_MS + HOUR_MS


@pytest.fixture
def layout(tmp_path):
    return small_vault(tmp_path / "Vault")[0]


@pytest.fixture
def reader(layout):
    return ContextReader(layout)


@pytest.fixture
def vault(layout):
    return l2vault.open(layout.root)


def rows(reader, span=SPAN):
    findings = Findings()
    return list(reader.rows(INST, span, findings.report)), findings


def packed(layout):
    path = put_context(layout)
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def test_a_span_gives_the_rows_of_its_half_open_time(reader):
    found, findings = rows(reader, (HOUR_AT_MS + 2_000, HOUR_AT_MS + 6_000))

    assert [row.grid_ms - HOUR_AT_MS for row in found] == [2_000, 4_000]
    assert found == list(contexts())[1:3]
    assert findings == []


def test_a_compressed_hour_reads_alike(layout, reader):
    packed(layout)

    assert rows(reader)[0] == list(contexts())


def test_a_line_that_does_not_read_is_named_and_the_others_are_there(layout, reader):
    path = layout.of("context").hour_file(INST, HOUR_AT_MS)
    lines = path.read_bytes().splitlines(keepends=True)
    other = lines[5].replace(b"BTC-USDT-SWAP", b"ETH-USDT-SWAP")
    path.write_bytes(b"".join([*lines[:4], lines[4].replace(b'"60000.5"', b"60000.5"), other, *lines[6:], b'{"torn']))

    found, findings = rows(reader)

    assert len(found) == len(lines) - 2
    assert ["context line" in findings[0].reason, "ETH-USDT-SWAP among those of" in findings[1].reason] == [True, True]


def test_the_last_line_before_a_time_and_what_is_known_then(reader):
    found = reader.at(INST, HOUR_AT_MS + 5_999)

    assert found.context.grid_ms == HOUR_AT_MS + 4_000
    assert found.states == dict.fromkeys(KINDS, ("present", ""))
    assert reader.at(INST, HOUR_AT_MS - 1) is None


def test_long_after_the_last_line_nothing_is_known(reader):
    found = reader.at(INST, HOUR_AT_MS + 30 * 60_000)

    assert found.context.grid_ms == HOUR_AT_MS + 598_000
    assert set(found.states.values()) == {("unknown", "")}


def test_a_running_recorder_has_not_said_anything_of_this_moment_yet(reader):
    assert reader.at(INST, HOUR_AT_MS + 608_000).states == dict.fromkeys(KINDS, ("present", ""))


def test_coverage_of_hours_that_retention_deleted_is_unknown(layout, reader):
    path = layout.of("context").hour_file(INST, HOUR_AT_MS)
    name = path.relative_to(layout.root).as_posix()
    journal_v1_of(layout, Alive(at(600_000), at(600_000)))
    journal_of(layout, started(3_600_000), Retained(at(3_600_000), "delete", name, "old", 1, 0))
    path.unlink()

    coverage = reader.coverage(INST, (HOUR_AT_MS, HOUR_AT_MS + 60_000))
    assert {(each.state, each.cause) for each in coverage.stretches} == {("unknown", "retention")}


def test_a_file_that_does_not_read_leaves_nothing_present(layout, reader):
    packed(layout)
    path = layout.of("context").hour_file(INST, HOUR_AT_MS)
    path = path.with_name(f"{path.name}.gz")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)

    coverage = reader.coverage(INST, (HOUR_AT_MS, HOUR_AT_MS + 60_000))
    assert coverage.share("mark") == 0.0
    assert ("unknown", "unreadable") in {(each.state, each.cause) for each in coverage.stretches}


# --- by the public door


def test_a_frame_has_floats_times_and_nulls(vault):
    frame = vault.context("btc-usdt-swap", start="2024-08-20T03:05Z", end="2024-08-20T03:05:04Z").frame

    assert frame.height == 2
    assert frame["time"][0].isoformat() == "2024-08-20T03:05:00+00:00"
    assert frame["mark_at"].to_list()[0].microsecond == 900_000
    assert frame["funding_time"][0].isoformat() == "2024-08-20T11:05:00+00:00"
    assert frame["next_funding_rate"].to_list() == [None, None]
    assert frame["open_interest"][0] == 2216113.01000000309
    assert {str(frame.schema[name]) for name in ("time", "mark_at", "limits_at", "previous_funding_time")} == {
        "Datetime(time_unit='ms', time_zone='UTC')"
    }


def test_raw_times_are_integers_and_pandas_and_arrow_say_the_same(vault):
    context = vault.context(INST, last="10s")

    assert context.to_polars(raw=True)["time"][-1] == HOUR_AT_MS + 598_000
    assert str(context.to_pandas()["mark_at"].dt.tz) == "UTC"
    assert context.to_arrow().num_rows == context.frame.height == 5


def test_the_tables_of_a_span_have_the_context_with_the_books(vault):
    with vault.duckdb(INST, last="1m") as sql:
        ((books, contexts_, basis),) = sql.sql("""
            SELECT count(snapshots.time), count(context.time), avg(context.mark - snapshots.mid)
            FROM snapshots JOIN context USING (time)
        """).fetchall()
    assert (books, contexts_, basis) == (30, 30, 0.5)


def test_a_vault_without_context_says_how_to_get_one_and_its_tables_are_empty(layout, vault):
    layout.of("context").hour_file(INST, HOUR_AT_MS).unlink()

    with pytest.raises(VaultError, match="holds no context of BTC-USDT-SWAP") as raised:
        vault.context(INST)
    assert "context = false" in raised.value.cure
    with vault.duckdb(INST, last="1m") as sql:
        assert sql.sql("SELECT count(*) FROM context").fetchall() == [(0,)]


@pytest.mark.parametrize(
    ("span", "error"),
    [
        ({"start": "2024-08-21"}, VaultError),
        ({"start": "2024-08-20T03:05Z", "end": "2024-08-20T03:05Z"}, UsageError),
        ({"start": "2024-08-20T03:05Z", "last": "1m"}, UsageError),
    ],
)
def test_a_span_of_which_there_is_none_is_refused(vault, span, error):
    with pytest.raises(error):
        vault.context(INST, **span)


def test_an_instrument_the_vault_does_not_know_is_named_with_the_nearest(vault):
    with pytest.raises(VaultError, match="nothing of BTC-USD-SWAP"):
        vault.context("BTC-USD-SWAP")


def test_findings_of_the_last_reading_are_kept(layout, vault):
    path = layout.of("context").hour_file(INST, HOUR_AT_MS)
    path.write_bytes(path.read_bytes() + b'{"timestamp_utc":"2024-08-20T03:10:00.000Z"}\n')
    context = vault.context(INST)
    context.to_polars()

    assert ["context line" in finding.reason for finding in context.findings] == [True]
    assert utc_ms("2024-08-20T03:10:00.000Z") == HOUR_AT_MS + 600_000
