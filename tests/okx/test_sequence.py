"""OKX's sequence rules: `prevSeqId` equals the last `seqId`, and nothing else is asked."""

import msgspec
import pytest

from l2vault.book.change import BookChange
from l2vault.okx.messages import decode
from l2vault.okx.sequence import is_chained, is_repeat, reject_reason
from support.received import NUMBERED_2022, REAL_2022, REAL_2026, REAL_2026_WITH_A_GAP, received_frames

DOCS_EXAMPLE = [(10, -1), (15, 10), (15, 15), (3, 15), (5, 3)]
"""OKX's docs: a push, a change, "no update" after 60 s, a reset by maintenance, a change. `(seqId, prevSeqId)`."""


def change(seq_id: int | None, prev_seq_id: int | None, is_snapshot: bool = False) -> BookChange:
    return BookChange("BTC-USDT-SWAP", is_snapshot, [], [], 1000, seq_id, prev_seq_id, 0)


def broken_links(name: str) -> tuple[int, list[tuple[int | None, int | None]]]:
    """How many updates chain in a capture, and `(last seqId, prevSeqId)` of each that does not."""
    last: dict[str, int | None] = {}
    chained, broken = 0, []
    for frame in received_frames(name):
        message = decode(frame)
        if not isinstance(message, BookChange):
            continue
        if message.inst_id in last and not is_chained(message, last[message.inst_id]):
            broken.append((last[message.inst_id], message.prev_seq_id))
        chained += not message.is_snapshot
        last[message.inst_id] = message.seq_id
    return chained - len(broken), broken


def test_the_example_of_the_docs_chains_from_end_to_end() -> None:
    """T5: the reset to 3 and what follows it; T6: the heartbeat 15, 15."""
    last = DOCS_EXAMPLE[0][0]
    for seq_id, prev_seq_id in DOCS_EXAMPLE[1:]:
        assert is_chained(change(seq_id, prev_seq_id), last)
        last = seq_id


@pytest.mark.parametrize("lost", range(1, len(DOCS_EXAMPLE) - 1))
def test_any_lost_message_of_that_example_is_a_gap_except_the_heartbeat(lost: int) -> None:
    last = DOCS_EXAMPLE[lost - 1][0]
    seq_id, prev_seq_id = DOCS_EXAMPLE[lost + 1]
    is_heartbeat = DOCS_EXAMPLE[lost] == (15, 15)
    assert is_chained(change(seq_id, prev_seq_id), last) == is_heartbeat


@pytest.mark.parametrize(
    ("seq_id", "prev_seq_id", "last", "chained"),
    [
        (3, 15, 15, True),  # T5 a reset: smaller than the last, and chained
        (15, 15, 15, True),  # T6 a heartbeat
        (78677952860, 78677952829, 78677952829, True),  # beyond 2**31
        (78677952860, 78677952829, 78677952687, False),  # the real gap of 2026-07-12
        (16, 14, 15, False),  # reaching back
        (15, 10, 15, False),  # a message repeated
        (16, 16, 15, False),  # one more than the last is no proof of anything
        (17, None, 16, False),  # the number is missing
        (17, 16, None, False),  # the book's is
        (None, None, None, True),  # OKX before 2023: only the checksum vouches
    ],
)
def test_a_change_follows_only_the_number_it_names(
    seq_id: int | None, prev_seq_id: int | None, last: int | None, chained: bool
) -> None:
    assert is_chained(change(seq_id, prev_seq_id), last) is chained


@pytest.mark.parametrize("last", [None, 0, 15, 78677952860])
def test_a_full_book_starts_a_chain_whatever_came_before(last: int | None) -> None:
    assert is_chained(change(9, -1, is_snapshot=True), last)


def test_the_real_captures_chain_where_they_should_and_the_real_gap_is_found() -> None:
    assert broken_links(REAL_2026) == (6, [])
    assert broken_links(NUMBERED_2022) == (287, [])
    assert broken_links(REAL_2022) == (287, [])
    assert broken_links(REAL_2026_WITH_A_GAP) == (1, [(78677952687, 78677952829)])


def test_a_message_that_loses_its_number_is_unfit_though_it_chains() -> None:
    def change(seq_id: int | None) -> BookChange:
        return BookChange("BTC-USDT-SWAP", False, [], [], 1_000_100, seq_id, 5, 0)

    assert reject_reason(change(6), 5) is None
    assert reject_reason(change(None), None) is None, "a feed that never had numbers"
    found = reject_reason(change(None), 5)
    assert found is not None and found[0] == "schema"


LEVEL = ("100", "5", "0", "2")


def numbered(seq_id: int | None, prev_seq_id: int | None, ts_ms: int = 1000, quantity: str = "5") -> BookChange:
    return BookChange("BTC-USDT-SWAP", False, [("100", quantity, "0", "2")], [], ts_ms, seq_id, prev_seq_id, 0)


def test_the_last_message_once_more_is_a_repeat_whatever_its_time() -> None:
    assert is_repeat(numbered(15, 10), numbered(15, 10))
    assert is_repeat(numbered(15, 10, ts_ms=9000), numbered(15, 10))
    assert is_repeat(numbered(3, 15), numbered(3, 15)), "the message after a maintenance reset"


@pytest.mark.parametrize(
    ("again", "last"),
    [
        (numbered(15, 10, quantity="6"), numbered(15, 10)),
        (numbered(15, 11), numbered(15, 10)),
        (numbered(16, 10), numbered(15, 10)),
        (numbered(15, 15), numbered(15, 15)),  # heartbeats bring the time on
        (numbered(None, None), numbered(None, None)),
        (numbered(15, 10), None),
    ],
)
def test_other_levels_other_numbers_heartbeats_and_messages_without_numbers_are_none(
    again: BookChange, last: BookChange | None
) -> None:
    assert not is_repeat(again, last)


@pytest.mark.parametrize("side", [{"bids": [LEVEL]}, {"asks": [LEVEL]}])
def test_each_side_counts(side: dict[str, list[tuple[str, str, str, str]]]) -> None:
    bare = BookChange("BTC-USDT-SWAP", False, [], [], 1000, 15, 10, 0)
    assert not is_repeat(msgspec.structs.replace(bare, **side), bare)


def test_a_full_book_is_a_repeat_only_with_the_same_time() -> None:
    book = BookChange("BTC-USDT-SWAP", True, [LEVEL], [], 1000, 15, -1, 0)
    assert is_repeat(book, book)
    assert not is_repeat(msgspec.structs.replace(book, ts_ms=2000), book)
    assert not is_repeat(msgspec.structs.replace(book, is_snapshot=False), book)
