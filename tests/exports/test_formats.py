"""Each format row by row, as its readers expect it, from a vault of changes and trades with a hole in both."""

import json
from random import Random

import numpy as np
import polars as pl
import pytest

from l2vault.book.trade import TradePush, trade_to_line
from l2vault.book.utc import utc_ms
from l2vault.exports.hftbacktest import by_both_clocks, rows_type
from l2vault.exports.run import Export
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.store.layout import Layout
from support.changes_vault import INST, START_MS, write_vault
from support.exported import Rebuilt, csv_rows, known_book

MIDNIGHT_MS = START_MS + 40_000
LOST = range(120, 150)
BID, ASK = 1 << 29, 1 << 28
EXCH, LOCAL = 1 << 31, 1 << 30


def trade_pushes(sent):
    """One at the time of every 20th change, by turns received in order, by REST, and before the book it is in."""
    for number, push in enumerate(sent[::20]):
        if number == 5:
            continue
        origin = "rest" if number % 4 == 3 else "ws"
        recv_us = push.recv_us - 40_000 if number % 4 == 2 else push.recv_us + 100
        recv_us += 30_000_000 * (origin == "rest")
        side = "buy" if number % 2 else "sell"
        of = "64000.5", "1.5", side, str(push.ts_ms), "2", "0", push.seq_id, recv_us, origin
        yield TradePush(INST, str(1_001 + 2 * number), *of)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """44 s over a midnight; the message numbers of LOST never came."""
    root = tmp_path_factory.mktemp("vault") / "Vault"
    sent = write_vault(root, 44, lost=LOST)
    for push in trade_pushes(sent):
        path = Layout(root).of("trades").hour_file(INST, int(push.ts))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(trade_to_line(push) + b"\n")
    return root


@pytest.fixture(scope="module")
def vault(root):
    return open_vault(root)


@pytest.fixture(scope="module")
def span():
    return START_MS - 1_000, MIDNIGHT_MS + 2_000


@pytest.fixture(scope="module")
def exported(vault, span, tmp_path_factory):
    """The folder of a format, written once."""
    found = {}

    def of(form):
        if form not in found:
            found[form] = tmp_path_factory.mktemp(form) / "out"
            findings = []
            Export(vault, INST, span, findings.append, lambda *progress: None).write(form, found[form])
            assert findings == []
        return found[form]

    return of


@pytest.fixture(scope="module")
def instants(vault, span):
    """Times, those about the hole among them, and the book that the vault knows then."""
    rng = Random(3)
    hole = known_holes(vault)
    times = [rng.randrange(*span) for _ in range(25)]
    times += [edge + step for edge in (*hole, MIDNIGHT_MS) for step in (-1, 0, 1)]
    return [(t_ms, known_book(vault, INST, t_ms)) for t_ms in sorted(times)]


def known_holes(vault):
    """Where the changes break off and begin again, by the lines of the file alone."""
    lines = [json.loads(line) for line in rows_of_changes(vault)]
    (at,) = [at for at, line in enumerate(lines) if at and line["action"] == "snapshot" and line["origin"] == "ws"]
    return utc_ms(lines[at - 1]["timestamp_utc"]) + 1, utc_ms(lines[at]["timestamp_utc"])


def rows_of_changes(vault):
    import gzip

    (path, *_) = sorted(vault.layout.of("changes").root.glob("raw/okx/book_changes/*/*/*.gz"))
    return gzip.decompress(path.read_bytes()).splitlines()


def agrees(rebuilt, instants):
    empty = 0
    for t_ms, wanted in instants:
        assert rebuilt.at(t_ms) == wanted, t_ms
        empty += wanted == ({}, {})
    assert empty >= 3, "some lie in the hole"


def test_csv_has_the_book_of_the_vault_at_any_time(exported, instants):
    rows, event = [], None
    for path in sorted(exported("csv").glob("*_book_*")):
        for row in csv_rows(path):
            ts_ms = utc_ms(row["time"])
            new = row["time"], row["seq_id"], row["event"]
            if row["event"] != "update" and new != event:
                rows.append((ts_ms, "clear", None, 0, 0))
            event = new
            if row["event"] != "clear":
                rows.append((ts_ms, "level", row["side"] == "ask", float(row["price"]), float(row["qty"])))
    agrees(Rebuilt(rows), instants)


def test_parquet_has_the_rows_of_csv_and_says_what_it_rests_on(exported):
    import pyarrow.parquet as pq

    for kind in ("book", "trades"):
        for day in ("2025-12-31", "2026-01-01"):
            path = exported("parquet") / f"{INST}_{kind}_{day}.parquet"
            frame = pl.read_parquet(path)
            wanted = pl.read_csv(exported("csv") / f"{INST}_{kind}_{day}.csv.gz", schema_overrides={"orders": pl.Int32})
            times = pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_unit="ms", time_zone="UTC")
            assert frame["time"].to_list() == wanted.select(times)["time"].to_list()
            same = [name for name in wanted.columns if name not in ("time", "received", "event", "side")]
            assert frame.select(same).rows() == wanted.select(same).rows()
            assert frame["side"].cast(pl.String).to_list() == wanted["side"].to_list()
            about = json.loads(pq.read_metadata(path).metadata[b"l2vault"])
            assert (about["inst_id"], about["day"]) == (INST, day)
    assert [hole["kind"] for hole in about["holes"]] == []


def hft(folder):
    return np.concatenate([np.load(path)["data"] for path in sorted(folder.glob("*.npz"))])


def test_hftbacktest_rows_have_its_type_and_both_clocks_in_order(exported):
    data = hft(exported("hftbacktest"))
    assert data.dtype.itemsize == 64
    assert list(data.dtype.names) == ["ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval"]
    for flag, name in ((EXCH, "exch_ts"), (LOCAL, "local_ts")):
        times = data[name][data["ev"] & flag > 0]
        assert (np.diff(times) >= 0).all(), name
    both = data["ev"] & (EXCH | LOCAL)
    assert {int(each) for each in both} == {EXCH, LOCAL, EXCH | LOCAL}, (
        "a trade that came early is on both clocks apart"
    )
    assert (data["local_ts"] >= data["exch_ts"]).all()
    sides = {int(ev) & ~(EXCH | LOCAL) for ev in data["ev"]}
    assert sides == {side | kind for side in (BID, ASK) for kind in (1, 2, 3, 4)}


def test_hftbacktest_clears_whole_sides_and_puts_trades_before_the_book_of_their_time(exported):
    data = hft(exported("hftbacktest"))
    kind = data["ev"] & 0xFF
    assert np.isnan(data["px"][kind == 3]).all()
    assert not np.isnan(data["px"][kind != 3]).any()
    exch = data[data["ev"] & EXCH > 0]
    trades = np.flatnonzero(exch["ev"] & 0xFF == 2)
    assert len(trades) > 10
    for at in trades:
        assert at == 0 or exch["exch_ts"][at - 1] < exch["exch_ts"][at] or exch["ev"][at - 1] & 0xFF == 2


@pytest.mark.parametrize(("flag", "clock"), [(EXCH, "exch_ts"), (LOCAL, "local_ts")])
def test_hftbacktest_has_the_book_of_the_vault_at_any_time_by_either_clock(exported, instants, flag, clock):
    rows = []
    for row in hft(exported("hftbacktest")):
        kind = int(row["ev"]) & 0xFF
        if row["ev"] & flag and kind != 2:
            side = 0 if row["ev"] & BID else 1
            rows.append(
                (int(row["exch_ts"]) // 1_000_000, "clear" if kind == 3 else "level", side, row["px"], row["qty"])
            )
    agrees(Rebuilt(rows), instants)


def test_a_clock_behind_the_exchanges_is_put_right_for_every_row(tmp_path):
    write_vault(tmp_path / "Vault", 2)
    vault = open_vault(tmp_path / "Vault")
    span = START_MS, START_MS + 2_000
    label = Export(vault, INST, span, print, lambda *progress: None).write("hftbacktest", tmp_path / "right")
    assert label.days[0].clock_shift_ns == 0
    before = hft(tmp_path / "right")
    path = next((tmp_path / "Vault").glob("raw/okx/book_changes/*/*/*.gz"))
    import gzip

    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    for line in lines:  # a quarter of a second back
        second = int(line["recv_utc"][20:26]) - 250_000
        stamp = utc_ms(line["recv_utc"][:23] + "Z") // 1000 * 1000 + second / 1000
        line["recv_utc"] = np.datetime_as_string(np.datetime64(int(stamp * 1000), "us")) + "Z"
    path.write_bytes(
        gzip.compress(b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines))
    )
    label = Export(open_vault(tmp_path / "Vault"), INST, span, print, lambda *p: None).write(
        "hftbacktest", tmp_path / "o"
    )
    after = hft(tmp_path / "o")
    shift_ns = label.days[0].clock_shift_ns
    assert 150_000_000 < shift_ns < 200_000_000
    assert (after["local_ts"] - before["local_ts"] == shift_ns - 250_000_000).all()
    assert (after["local_ts"] - after["exch_ts"]).min() == 0


def test_rows_in_pieces_are_ordered_as_all_at_once():
    rng = Random(1)
    rows = np.zeros(300, rows_type())
    rows["exch_ts"] = sorted(rng.randrange(500) for _ in rows)
    rows["local_ts"] = rows["exch_ts"] + [rng.choice((0, 1, 5, 40)) for _ in rows]
    rows["order_id"] = range(300)
    whole, rest = by_both_clocks(rows, True)
    assert not len(rest)
    exch, local = (whole[whole["ev"] & flag > 0] for flag in (EXCH, LOCAL))
    assert exch["order_id"].tolist() == list(range(300))
    assert sorted(local["order_id"].tolist()) == list(range(300))
    assert local["order_id"].tolist() == rows["order_id"][np.argsort(rows["local_ts"], kind="stable")].tolist()
    assert 300 < len(whole) < 600, "only where the clocks disagree a row stands twice"
    pieces, held = [], rows[:0]
    for start in range(0, 300, 37):
        done, held = by_both_clocks(np.concatenate((held, rows[start : start + 37])), start + 37 >= 300)
        pieces.append(done)
    assert (np.concatenate(pieces) == whole).all()


def tardis(folder, kind):
    return [row for path in sorted(folder.glob(f"okex-swap_{kind}_*")) for row in csv_rows(path)]


def test_tardis_files_have_its_names_and_columns(exported):
    folder = exported("tardis-csv")
    assert sorted(path.name for path in folder.iterdir()) == [
        "coverage.json",
        *(
            f"okex-swap_{kind}_{day}_{INST}.csv.gz"
            for kind in ("incremental_book_L2", "trades")
            for day in ("2025-12-31", "2026-01-01")
        ),
    ]
    book, trades = tardis(folder, "incremental_book_L2"), tardis(folder, "trades")
    assert list(book[0]) == [
        "exchange",
        "symbol",
        "timestamp",
        "local_timestamp",
        "is_snapshot",
        "side",
        "price",
        "amount",
    ]
    assert list(trades[0]) == ["exchange", "symbol", "timestamp", "local_timestamp", "id", "side", "price", "amount"]
    for rows in (book, trades):
        assert {(row["exchange"], row["symbol"]) for row in rows} == {("okex-swap", INST)}
        local = [int(row["local_timestamp"]) for row in rows]
        assert local == sorted(local)
    assert {(row["side"], row["is_snapshot"]) for row in book} == {
        *(("bid", "true"), ("bid", "false"), ("ask", "true"), ("ask", "false")),
    }


def test_tardis_snapshots_never_grow_and_an_update_follows_each(exported):
    for path in exported("tardis-csv").glob("*incremental*"):
        least, counts, was = {"bid": 1 << 30, "ask": 1 << 30}, {}, "false"
        for row in csv_rows(path):
            if row["is_snapshot"] == "true":
                counts = counts if was == "true" else {}
                counts[row["side"]] = counts.get(row["side"], 0) + 1
            elif was == "true":
                for side, count in counts.items():
                    assert count <= least[side]
                    least[side] = count
            was = row["is_snapshot"]
        assert was == "false"
        assert least["bid"] < 1 << 30, "each day begins with one"


def test_tardis_has_the_book_of_the_vault_at_any_time_even_if_a_snapshot_clears_nothing(exported, instants):
    rows = [
        (int(row["timestamp"]) // 1000, "level", row["side"] == "ask", float(row["price"]), float(row["amount"]))
        for row in tardis(exported("tardis-csv"), "incremental_book_L2")
    ]
    agrees(Rebuilt(rows), instants)


def test_every_trade_is_there_once_with_its_time_side_and_size(exported, root, span):
    pushes = [
        json.loads(line)
        for path in sorted(root.glob("raw/okx/trades/*/*/*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]
    pushes = [row for row in pushes if int(row["ts"]) < span[1]]
    wanted = [(row["tradeId"], row["side"], row["px"], row["sz"], int(row["ts"])) for row in pushes]
    found = tardis(exported("tardis-csv"), "trades")
    assert [
        (*(row[k] for k in ("id", "side", "price", "amount")), int(row["timestamp"]) // 1000) for row in found
    ] == wanted
    data = hft(exported("hftbacktest"))
    data = data[(data["ev"] & 0xFF == 2) & (data["ev"] & EXCH > 0)]
    assert [
        ("buy" if row["ev"] & BID else "sell", float(row["px"]), float(row["qty"]), int(row["exch_ts"]) // 1_000_000)
        for row in data
    ] == [(side, float(price), float(size), ts_ms) for _, side, price, size, ts_ms in wanted]
    # a trade by REST has no receive time of its own: it is no later than its neighbours
    by_rest = [at for at, row in enumerate(pushes) if row["origin"] == "rest"]
    local = [int(row["local_timestamp"]) - int(row["timestamp"]) for row in found]
    assert by_rest and all(local[at] < 100_000 for at in by_rest)


def test_the_label_says_what_it_rests_on(exported, vault, span):
    label = json.loads((exported("csv") / "coverage.json").read_text())
    assert label["schema"] == "l2vault.export/1"
    hole = known_holes(vault)
    bounds = [(utc_ms(hole["t_from"]), utc_ms(hole["t_to"])) for hole in label["books"]["holes"]]
    assert bounds[:2] == [(span[0], START_MS), hole]
    lost_ms = sum(end - start for start, end in bounds)
    assert label["books"]["hole_share"] == pytest.approx(lost_ms / (span[1] - span[0]))
    assert label["books"]["changes_share"] == pytest.approx(1 - lost_ms / (span[1] - span[0]))
    assert label["books"]["sampled_share"] == 0
    assert label["instrument"]["tick_size"] == "0.1"
    assert label["notes"] == []
    assert [(hole["first_id"], hole["last_id"]) for hole in label["trades"]["holes"]] == [(1_010, 1_011)]
    assert len(label["files"]) == 4
