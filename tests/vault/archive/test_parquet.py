"""The Parquet form of an hour: nothing lost, little read for one moment, and other people's tools can read it."""

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from l2vault.book.snapshot import to_line
from l2vault.errors import VaultError
from l2vault.vault.archive import parquet
from l2vault.vault.archive.columns import read_columns
from l2vault.vault.archive.intervals import LEVELS, SNAPSHOTS, Hour, hour_of_lines
from l2vault.vault.archive.parquet import (
    Facts,
    encode_levels,
    encode_snapshots,
    facts_of,
    groups_at,
    level_rows_at,
    read_levels,
)
from l2vault.vault.archive.rebuild import lines_of_hour
from support.hours import HOUR_AT_MS, INST, hours_of_lines, levels, line

FACTS = Facts(INST, "2024-08-20T03", 1, 2, "digest")


def hour_of(snapshots):
    return hour_of_lines(read_columns([to_line(each) for each in snapshots], INST), [], HOUR_AT_MS + 3_600_000)


def file_of(content):
    return pq.ParquetFile(pa.BufferReader(content))


@given(hours_of_lines())
def test_what_is_encoded_is_read_back_and_gives_the_lines(snapshots):
    hour = hour_of(snapshots)
    rows = read_levels(file_of(encode_levels(hour.levels, FACTS)))
    heads = file_of(encode_snapshots(hour.snapshots, FACTS)).read()
    assert rows.schema.equals(LEVELS)
    assert sorted(map(repr, rows.to_pylist())) == sorted(map(repr, hour.levels.to_pylist()))
    read = Hour(rows, heads.cast(SNAPSHOTS))
    assert lines_of_hour(read, INST) == [to_line(snapshot) for snapshot in snapshots]


@pytest.fixture
def many(monkeypatch):
    """An hour in many small row groups: each line its own level, and one that stands all the time."""
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 16)
    snapshots = [line(at * 2000, levels("200 1 1", f"{100 + at} 5 2"), []) for at in range(100)]
    return hour_of(snapshots)


def test_for_one_moment_only_row_groups_near_it_are_read(many):
    file = file_of(encode_levels(many.levels, FACTS))
    at_ms = HOUR_AT_MS + 101_000
    groups = list(groups_at(file, at_ms, at_ms + 1))
    assert len(groups) == 2  # the one of the moment, and that of the rows that live long
    assert file.num_row_groups == 8
    standing = [row for row in read_levels(file, groups).to_pylist() if row["t_from"] <= at_ms < row["t_to"]]
    assert sorted(row["price_num"] for row in standing) == [150, 200]


@given(hours_of_lines())
def test_the_rows_of_one_moment_are_those_of_the_whole_file(snapshots):
    content = encode_levels(hour_of(snapshots).levels, FACTS)
    by_number = pq.ParquetFile(pa.BufferReader(content), read_dictionary=["side"])
    for moment in {snapshot.ts_ms for snapshot in snapshots}:
        every = [row for row in read_levels(file_of(content)).to_pylist() if row["t_from"] <= moment <= row["t_to"]]
        for file in (file_of(content), by_number):
            rows = level_rows_at(file, moment)
            assert [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)] == every


def test_any_row_group_reads_alone(many):
    file = file_of(encode_levels(many.levels, FACTS))
    alone = [read_levels(file, [group]) for group in range(file.num_row_groups)]
    assert pa.concat_tables(alone).equals(read_levels(file))


def test_the_metadata_says_what_the_file_is():
    facts = facts_of(file_of(encode_levels(hour_of([line(0)]).levels, FACTS)))
    assert facts == FACTS
    assert (facts.schema_version, facts.partitions) == (1, ("inst_id", "date"))
    named = {"t_from", "t_to", "timestamp", "price", "qty", "orders", "bids, asks", "best_bid_qty, best_ask_qty"}
    assert set(facts.units) == named


def test_a_file_of_someone_else_and_one_of_a_later_version_are_refused():
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [1]}), sink)
    with pytest.raises(VaultError, match="no archive of an hour"):
        facts_of(file_of(sink.getvalue()))
    later = Facts(INST, "2024-08-20T03", 1, 2, "digest", schema_version=3)
    with pytest.raises(VaultError, match="schema version 3"):
        facts_of(file_of(encode_levels(hour_of([line(0)]).levels, later)))


def test_duckdb_and_polars_read_the_same_rows(tmp_path):
    hour = hour_of([line(0, levels("100.5 5 2", "99 1 many"), levels("101 2.25 1")), line(2000)])
    path = tmp_path / "hour.parquet"
    path.write_bytes(encode_levels(hour.levels, FACTS))
    wanted = sorted(
        (row["side"], row["price_num"] / row["price_den"], row["qty_num"] / row["qty_den"], row["orders"] or 0)
        for row in hour.levels.to_pylist()
    )
    query = f"SELECT side, price_num / price_den, qty_num / qty_den, coalesce(orders, 0) FROM '{path.as_posix()}'"
    assert sorted(duckdb.sql(query).fetchall()) == wanted
    price, qty = polars.col("price_num") / polars.col("price_den"), polars.col("qty_num") / polars.col("qty_den")
    columns = ["side", price.alias("price"), qty.alias("qty"), polars.col("orders").fill_null(0)]
    assert sorted(polars.scan_parquet(path).select(columns).collect().rows()) == wanted
