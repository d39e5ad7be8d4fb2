"""What a full book must look like, and when two books of one instrument are of a size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.book.change import BookChange, Level
from l2vault.okx.messages import decode
from l2vault.okx.plausibility import check_levels, implausible, is_clearly_longer, is_like, is_short
from support.received import REAL_2022, REAL_2026, received_frames


def level(price: str, quantity: str = "1") -> Level:
    return (price, quantity, "0", "1")


def full(bids: list[Level], asks: list[Level]) -> BookChange:
    return BookChange("BTC-USDT-SWAP", True, bids, asks, 1000, 5, -1, 0)


SIDE = [level("100"), level("99.5"), level("98")]


def test_a_side_as_okx_sends_it_is_fine() -> None:
    assert check_levels(SIDE) is None
    assert check_levels([]) is None
    assert check_levels([level(str(price)) for price in range(1, 401)]) is None


@pytest.mark.parametrize(
    ("levels", "word"),
    [
        ([*SIDE, level("100")], "100"),
        ([*SIDE, level("100.0")], "100.0"),  # the same number in other words
        ([*SIDE, level("0098")], "0098"),
        ([*SIDE, level("1e2")], "1e2"),
        ([*SIDE, level("97", "1E+3")], "1E+3"),
        ([*SIDE, level("97", "NaN")], "NaN"),
        ([*SIDE, level("-97")], "-97"),
        ([*SIDE, level("0.0")], "0.0"),
        ([*SIDE, level("97", "9" * 5000)], "999"),
        ([level(str(price)) for price in range(1, 402)], "401"),
    ],
)
def test_a_side_that_cannot_be_used_says_why(levels: list[Level], word: str) -> None:
    reason = check_levels(levels)
    assert reason is not None
    assert word in reason


@given(st.lists(st.tuples(*[st.text(max_size=5)] * 4), max_size=5))
def test_no_text_makes_it_raise(levels: list[Level]) -> None:
    check_levels(levels)


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([], [level("101")]),
        ([level("100")], []),
        ([], []),
        ([level("100", "0")], [level("101")]),  # a level without quantity is none
        ([level("101")], [level("101.0")]),
        ([level("99"), level("102")], [level("103"), level("101")]),  # out of order on the wire
    ],
)
def test_an_empty_or_crossed_book_is_implausible_while_live_only(bids: list[Level], asks: list[Level]) -> None:
    assert implausible(full(bids, asks), is_live=True) is not None
    assert implausible(full(bids, asks), is_live=False) is None


def test_a_double_price_is_implausible_in_any_state_and_on_either_side() -> None:
    twice = [level("100"), level("100.0")]
    for book in (full(twice, [level("101")]), full([level("99")], twice)):
        assert implausible(book, is_live=False) is not None


@pytest.mark.parametrize("name", [REAL_2022, REAL_2026])
def test_every_real_full_book_is_plausible(name: str) -> None:
    messages = [decode(frame) for frame in received_frames(name)]
    books = [message for message in messages if isinstance(message, BookChange) and message.is_snapshot]
    assert books
    for book in books:
        assert implausible(book, is_live=True) is None


@pytest.mark.parametrize(
    ("counts", "other", "longer"),
    [
        ((57, 127), (57, 127), False),
        ((57, 127), (62, 139), False),  # 5 levels, or a tenth
        ((57, 127), (63, 127), True),
        ((57, 127), (57, 140), True),
        ((57, 127), (20, 20), False),  # the other is the one cut off
        ((2, 2), (7, 7), False),
        ((2, 2), (8, 2), True),
        ((200, 400), (400, 400), True),
    ],
)
def test_clearly_longer_is_more_than_chance_and_100_ms_explain(
    counts: tuple[int, int], other: tuple[int, int], longer: bool
) -> None:
    assert is_clearly_longer(other, counts) is longer


def test_likeness_is_mutual_and_only_400_a_side_are_certainly_all() -> None:
    assert is_like((57, 127), (60, 120))
    assert not is_like((57, 127), (20, 127))
    assert not is_like((20, 127), (57, 127))
    assert [is_short(counts) for counts in ((400, 400), (399, 400), (400, 399))] == [False, True, True]
