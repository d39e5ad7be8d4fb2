"""The live tail of trades and of the context: each id once as it comes, whatever becomes of the files meanwhile."""

import gzip
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

import l2vault
from l2vault.book.trade import TradePush, trade_to_line
from l2vault.errors import UsageError
from l2vault.vault.reading.follow import FollowTrades
from l2vault.vault.reading.trades import TradeRow
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import HOUR_AT_MS, INST
from support.pushes import push
from support.small_vault import contexts, small_vault


class End(Exception):
    """Nothing more happens."""


def append(root: Path, *pushes: TradePush) -> None:
    for each in pushes:
        path = Layout(root).of("trades").hour_file(INST, each.ts_ms)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(trade_to_line(each) + b"\n")


def compress(root: Path) -> None:
    path = Layout(root).of("trades").hour_file(INST, HOUR_AT_MS)
    path.with_name("03.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def followed(root: Path, *steps: Callable[[], object], since_ms: int | None = 0) -> list[tuple[int, int]]:
    """The ids given while these things happen, one each time that there is nothing new."""
    ahead = iter(steps)

    def sleep(_: float) -> None:
        step = next(ahead, None)
        if step is None:
            raise End
        step()

    rows: list[TradeRow] = []
    tail = FollowTrades(Layout(root), INST, None if since_ms is None else HOUR_AT_MS + since_ms, 0.2, sleep)
    with pytest.raises(End):
        for row in tail:
            rows.append(row)
    assert tail.findings == []
    return [(row.first_id, row.last_id) for row in rows]


def test_rows_come_as_they_are_written_and_each_id_once(tmp_path: Path) -> None:
    append(tmp_path, push(2, 10, 2))
    assert followed(
        tmp_path,
        lambda: append(tmp_path, push(5, 30), push(3, 20, origin="rest")),
        lambda: append(tmp_path, push(4, 25, origin="rest"), push(5, 30)),
        lambda: append(tmp_path, push(7, 40, 3, overlap=True)),
    ) == [(1, 2), (5, 5), (3, 3), (4, 4), (6, 7)]


def test_from_now_on_what_is_there_is_not_given(tmp_path: Path) -> None:
    append(tmp_path, push(1, 10), push(2, 20))
    assert followed(tmp_path, lambda: append(tmp_path, push(3, 15)), since_ms=None) == [(3, 3)]


def test_nothing_is_given_twice_where_the_hour_is_compressed_and_goes_on(tmp_path: Path) -> None:
    append(tmp_path, push(1, 10), push(3, 30))
    assert followed(
        tmp_path,
        lambda: compress(tmp_path),
        lambda: append(tmp_path, push(2, 20, origin="rest")),
        lambda: append(tmp_path, push(4, HOUR_MS + 5)),
    ) == [(1, 1), (3, 3), (2, 2), (4, 4)]


def test_what_rest_brings_into_an_hour_that_is_over_is_given_too(tmp_path: Path) -> None:
    """Into a file of its own too, where the hour had none."""
    append(tmp_path, push(1, 10))
    assert followed(
        tmp_path,
        lambda: append(tmp_path, push(5, 2 * HOUR_MS)),
        lambda: append(tmp_path, push(2, 20, origin="rest"), push(3, HOUR_MS + 20, origin="rest")),
        *[lambda: None] * 6,
    ) == [(1, 1), (5, 5), (2, 2), (3, 3)]


def test_where_okx_numbers_anew_the_same_ids_are_given_again(tmp_path: Path) -> None:
    append(tmp_path, push(1, 10), push(5_000, 20))
    assert followed(tmp_path, lambda: append(tmp_path, push(1, 20_000), push(2, 20_010))) == [
        *((1, 1), (5_000, 5_000), (1, 1), (2, 2)),
    ]


def test_the_tails_of_the_public_door_are_typed_and_the_context_has_one(tmp_path: Path) -> None:
    small_vault(tmp_path / "Vault")
    vault = l2vault.open(tmp_path / "Vault")
    trades = vault.follow(INST, since=HOUR_AT_MS, kind="trades")
    assert [trade.first_id for trade in islice(trades, 3)] == [1001, 1003, 1005]
    context = vault.follow(INST, since=HOUR_AT_MS, kind="context")
    assert list(islice(context, 300)) == list(contexts())
    with pytest.raises(UsageError, match="trades have no resolution"):
        vault.follow(INST, kind="trades", resolution="changes")  # type: ignore[call-overload]
