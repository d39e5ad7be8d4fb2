"""A full book by REST joins the stream exactly where it stands, or nowhere."""

from l2vault.book.change import BookChange
from l2vault.okx.rest_join import JoinFailure, RestJoin

INST_ID = "BTC-USDT-SWAP"


def update(seq_id: int, prev_seq_id: int) -> BookChange:
    return BookChange(INST_ID, False, [], [], seq_id, seq_id, prev_seq_id, 0)


def full(seq_id: int | None) -> BookChange:
    return BookChange(INST_ID, True, [], [], seq_id, seq_id, None, None)


def stitch_of(*chain: int) -> RestJoin:
    rest_join = RestJoin()
    for prev_seq_id, seq_id in zip(chain, chain[1:], strict=False):
        rest_join.add(update(seq_id, prev_seq_id), 0)
    return rest_join


def after(joined: list[BookChange] | JoinFailure) -> list[BookChange]:
    assert isinstance(joined, list)
    return joined[1:]


def test_a_book_at_an_updates_number_is_followed_by_the_later_updates() -> None:
    rest_join = stitch_of(10, 15, 22, 30)
    assert after(rest_join.join(full(15))) == [update(22, 15), update(30, 22)]
    assert after(rest_join.join(full(10))) == [update(15, 10), update(22, 15), update(30, 22)]
    assert after(rest_join.join(full(30))) == []


def test_the_book_carries_what_the_stream_said_at_its_number() -> None:
    joined = stitch_of(10, 15, 22).join(BookChange(INST_ID, True, [], [], 999, 15, None, None))
    assert isinstance(joined, list)
    assert joined[0] == BookChange(INST_ID, True, [], [], 15, 15, 10, 0)


def test_a_book_at_a_number_the_stream_never_stood_at_keeps_its_own_time() -> None:
    joined = stitch_of(10, 15).join(BookChange(INST_ID, True, [], [], 999, 10, None, None))
    assert isinstance(joined, list)
    assert joined[0].ts_ms == 999


def test_a_book_inside_an_update_is_refused() -> None:
    """OKX's own procedure would take it; a level that changed and changed back inside would stay wrong."""
    assert stitch_of(10, 15, 22).join(full(18)) is JoinFailure.BETWEEN


def test_a_book_older_than_what_was_kept_is_refused() -> None:
    assert stitch_of(10, 15, 22).join(full(9)) is JoinFailure.OLDER


def test_a_book_ahead_of_the_stream_joins_when_the_stream_has_come_up() -> None:
    rest_join = stitch_of(10, 15)
    assert rest_join.join(full(30)) is JoinFailure.AHEAD
    assert rest_join.add(update(22, 15), 0) is None
    assert rest_join.add(update(30, 22), 0) == full(30)
    assert after(rest_join.join(full(30))) == []


def test_a_broken_chain_makes_what_was_kept_useless() -> None:
    rest_join = stitch_of(10, 15, 22)
    rest_join.add(update(40, 31), 0)
    assert rest_join.join(full(15)) is JoinFailure.OLDER
    assert after(rest_join.join(full(31))) == [update(40, 31)]


def test_after_a_maintenance_reset_the_newest_of_two_equal_numbers_counts() -> None:
    rest_join = stitch_of(10, 15, 3, 15, 20)
    assert after(rest_join.join(full(15))) == [update(20, 15)]


def test_nothing_joins_a_book_without_a_number_or_before_any_update() -> None:
    assert stitch_of(10, 15).join(full(None)) is JoinFailure.AHEAD
    assert RestJoin().join(full(15)) is JoinFailure.AHEAD
