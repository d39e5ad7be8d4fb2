"""The third voice: what REST books say of two feeds that differ at one `seqId`."""

import pytest

from l2vault.book.change import BookChange, Level
from l2vault.book.snapshot import Snapshot
from l2vault.okx.audit import Outcome, Verdict
from l2vault.recording.tasks.ruling import Ruling

INST_ID = "BTC-USDT-SWAP"
FEEDS = (1, 2)


def level(price: str, quantity: str = "1") -> Level:
    return (price, quantity, "0", "1")


def rest(seq_id: int, bids: list[Level] | None = None) -> BookChange:
    return BookChange(INST_ID, True, bids or [level("100"), level("99")], [level("101")], 1, seq_id, None, None)


def verdicts(first: Outcome | None, second: Outcome | None) -> dict[int, Verdict | None]:
    pair = zip(FEEDS, (first, second), strict=True)
    return {feed: None if outcome is None else Verdict(outcome, "a detail") for feed, outcome in pair}


def snapshot(seq_id: int, *bids: Level, depth: int = 400) -> Snapshot:
    return Snapshot(INST_ID, 1, depth, list(bids), [level("101")], None, seq_id, seq_id - 1)


def ruling(*books: tuple[Outcome | None, Outcome | None]) -> Ruling:
    one = Ruling(FEEDS, {})
    for seq_id, pair in enumerate(books, 100):
        one.add(rest(seq_id), verdicts(*pair))
    return one


@pytest.mark.parametrize(
    ("books", "wrong", "is_settled"),
    [
        ([("mismatch", "equal")], 1, True),
        ([("equal", "mismatch")], 2, True),
        ([("consistent", "mismatch")], 2, True),
        ([("mismatch", "older"), ("inconclusive", "equal")], 1, True),
        ([("mismatch", "mismatch")], None, True),
        ([("mismatch", "equal"), ("inconclusive", "mismatch")], None, True),
        ([("mismatch", "ahead")], 1, False),
        ([("mismatch", None)], 1, False),
        ([(None, "mismatch")], 2, False),
        ([("equal", "equal")], None, False),
        ([("equal", "older")], None, False),
        ([("inconclusive", "consistent")], None, False),
        ([("inconclusive", "consistent")] * 2, 1, True),
        ([("inconclusive", "consistent"), ("consistent", "inconclusive")], None, False),
        ([("inconclusive", "inconclusive")] * 5, None, False),
        ([("older", "older")] * 5, None, False),
        ([("inconclusive", "older")] * 5, None, False),
        ([("older", "consistent")] * 5, None, False),
        ([], None, False),
    ],
)
def test_what_the_rest_books_say_decides(
    books: list[tuple[Outcome | None, Outcome | None]], wrong: int | None, is_settled: bool
) -> None:
    one = ruling(*books)
    assert one.is_settled is is_settled
    assert one.wrong(is_last=True) == wrong


def test_one_feed_and_the_other_are_treated_alike() -> None:
    for books in ([("mismatch", "equal")], [("inconclusive", "consistent")] * 2, [("mismatch", "ahead")]):
        assert ruling(*books).wrong(is_last=True) == 1
        assert ruling(*[pair[::-1] for pair in books]).wrong(is_last=True) == 2


def test_the_same_rest_book_twice_is_one_book() -> None:
    one = Ruling(FEEDS, {})
    for _ in range(5):
        one.add(rest(100), verdicts("inconclusive", "consistent"))
    assert one.wrong(is_last=True) is None


def test_a_rest_book_at_the_very_seq_id_is_compared_with_the_two_snapshots() -> None:
    held = {1: snapshot(7, level("100"), level("99")), 2: snapshot(7, level("100", "5"), level("99"))}
    one = Ruling(FEEDS, held)
    one.add(rest(6), verdicts("older", "older"))
    assert not one.is_settled
    one.add(rest(7), verdicts("older", "older"))
    assert one.is_settled
    assert one.wrong() == 2
    assert "REST at seqId 7" in one.detail
    assert "100" in one.detail


def test_snapshots_of_less_depth_are_compared_as_deep_as_they_are() -> None:
    held = {1: snapshot(7, level("100", "5"), depth=1), 2: snapshot(7, level("100"), depth=1)}
    one = Ruling(FEEDS, held)
    one.add(rest(7), {})
    assert one.wrong() == 1


def test_where_rest_differs_from_both_snapshots_nothing_is_decided() -> None:
    held = {1: snapshot(7, level("100", "5")), 2: snapshot(7, level("100", "6"))}
    one = Ruling(FEEDS, held)
    one.add(rest(7), {})
    assert one.is_settled
    assert one.wrong(is_last=True) is None
