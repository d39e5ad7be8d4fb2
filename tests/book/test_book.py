"""The state of one book: exact strings, exact order, and what it may never look like."""

import math
from decimal import Decimal
from fractions import Fraction
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.book.book import CHANNEL_DEPTH, Book
from l2vault.book.change import BookChange, Level
from l2vault.errors import LevelError

BAD_NUMBERS = ["", "NaN", "1e5", "-1", "+1", "\u0661", "1_000", "0." + "0" * 18 + "1"]

prices = st.builds(
    lambda whole, fraction: f"{whole}.{fraction}" if fraction else str(whole),
    st.integers(1, 12),
    st.sampled_from(["", "0", "5", "50", "25", "000000000000000001"]),
)
"""Few enough that the same price comes back, also in another spelling."""
quantities = st.sampled_from(["0", "0.0", "1", "1.50", "0.00000001", "790.41"])
levels = st.lists(st.tuples(prices, quantities, st.just("0"), st.sampled_from(["0", "1", "42"])), max_size=8)


def price_once(side: list[Level]) -> list[Level]:
    """A full book names a price once."""
    return list({Fraction(level[0]): level for level in side}.values())


changes = st.tuples(st.booleans(), levels, levels).map(
    lambda drawn: (
        change(price_once(drawn[1]), price_once(drawn[2]), is_snapshot=True) if drawn[0] else change(drawn[1], drawn[2])
    )
)


def change(
    bids: list[Level] | None = None, asks: list[Level] | None = None, is_snapshot: bool = False, **fields: object
) -> BookChange:
    base = BookChange("BTC-USDT-SWAP", is_snapshot, bids or [], asks or [], 1000, 2, 1, 0)
    return msgspec.structs.replace(base, **fields)


def level(price: str, quantity: str = "1", orders: str = "1") -> Level:
    return (price, quantity, "0", orders)


def book_of(bids: list[Level], asks: list[Level], **fields: object) -> Book:
    book = Book()
    book.apply(change(bids, asks, is_snapshot=True, **fields))
    return book


class TestOrder:
    def test_best_is_first_on_both_sides_whatever_the_order_on_the_wire(self) -> None:
        book = book_of([level("99.5"), level("100"), level("9")], [level("101"), level("100.5"), level("1000")])
        bids, asks = book.top(400)
        assert [one[0] for one in bids] == ["100", "99.5", "9"]
        assert [one[0] for one in asks] == ["100.5", "101", "1000"]

    def test_an_update_puts_a_price_in_its_place(self) -> None:
        book = book_of([level("100"), level("9")], [level("101")])
        book.apply(change([level("99.999999999999999999"), level("10")], [level("100.5"), level("102")]))
        bids, asks = book.top(400)
        assert [one[0] for one in bids] == ["100", "99.999999999999999999", "10", "9"]
        assert [one[0] for one in asks] == ["100.5", "101", "102"]

    def test_another_spelling_of_a_price_is_the_same_level_t25(self) -> None:
        book = book_of([level("64223")], [level("64300.50")])
        book.apply(change([level("64223.0", "7")], [level("64300.5", "0", "0")]))
        assert book.top(400) == ([level("64223.0", "7")], [])
        assert book.unknown_deletes == 0

    def test_strings_stay_as_they_were_received(self) -> None:
        odd = ("64223.10", "0.50", "0", "007")
        assert book_of([odd], []).top(1) == ([odd], [])

    def test_a_change_of_the_order_count_alone_is_a_change(self) -> None:
        book = book_of([level("100", "5", "2")], [])
        book.apply(change([level("100", "5", "3")]))
        assert book.top(1)[0] == [level("100", "5", "3")]

    def test_within_one_message_the_last_word_on_a_price_counts(self) -> None:
        book = book_of([level("100")], [])
        book.apply(change([level("100", "0"), level("100", "3"), level("99"), level("99", "0.0")]))
        assert book.top(9)[0] == [level("100", "3")]


class TestFullBook:
    def test_a_full_book_replaces_everything_t2(self) -> None:
        book = book_of([level("100"), level("99")], [level("101"), level("102")])
        book.apply(change([level("50")], [level("51")], is_snapshot=True, seq_id=9, prev_seq_id=-1))
        assert book.top(400) == ([level("50")], [level("51")])
        assert (book.seq_id, book.prev_seq_id) == (9, -1)

    def test_an_empty_full_book_empties_it(self) -> None:
        book = book_of([level("100")], [level("101")])
        book.apply(change(is_snapshot=True))
        assert book.top(400) == ([], [])

    def test_a_price_sent_twice_is_refused_however_it_is_spelled(self) -> None:
        with pytest.raises(LevelError, match=r"99\.0|99 "):
            book_of([level("100"), level("99"), level("99.0")], [])

    def test_a_level_without_quantity_is_none(self) -> None:
        assert book_of([level("100", "0"), level("99", "0.00")], []).top(9)[0] == []


class TestDeletes:
    def test_deleting_an_unknown_price_is_legal_and_counted(self) -> None:
        book = book_of([level("100")], [level("101")])
        book.apply(change([level("98", "0"), level("100", "0")], [level("150", "0"), level("1", "0")]))
        assert book.top(400) == ([], [level("101")])
        assert book.unknown_deletes == 3

    def test_the_count_goes_on_over_full_books(self) -> None:
        book = book_of([], [])
        book.apply(change([level("98", "0")]))
        book.apply(change([level("98", "0")], is_snapshot=True))
        book.apply(change([level("98", "0")]))
        assert book.unknown_deletes == 2


class TestTimeAndNumbers:
    @pytest.mark.parametrize(
        ("times", "book_ms"),
        [
            ([1000, 1100], 1100),
            ([1000, 900], 1000),
            ([1000, 1000], 1000),
            ([1000, None, None], 1000),
            ([None, 1000], 1000),
            ([None], None),
            ([1000, 900, 950, 1001], 1001),
        ],
    )
    def test_the_book_s_time_never_moves_backwards(self, times: list[int | None], book_ms: int | None) -> None:
        book = Book()
        for at, ts_ms in enumerate(times):
            book.apply(change(is_snapshot=at == 0, ts_ms=ts_ms))
        assert book.ts_ms == book_ms

    def test_a_full_book_with_an_older_time_does_not_move_it_back_either(self) -> None:
        book = book_of([level("100")], [], ts_ms=5000)
        book.apply(change([level("50")], is_snapshot=True, ts_ms=4000))
        assert book.ts_ms == 5000
        assert book.top(1)[0] == [level("50")]

    def test_the_numbers_are_those_of_the_last_message_even_where_it_carried_none(self) -> None:
        book = book_of([], [], seq_id=7, prev_seq_id=-1, checksum=99)
        book.apply(change(seq_id=3, prev_seq_id=7, checksum=0))
        assert (book.seq_id, book.prev_seq_id, book.checksum) == (3, 7, 0)
        book.apply(change(seq_id=None, prev_seq_id=None, checksum=None))
        assert (book.seq_id, book.prev_seq_id, book.checksum) == (None, None, None)

    def test_a_message_of_the_same_time_is_applied_t18(self) -> None:
        book = book_of([level("100")], [], ts_ms=1000)
        book.apply(change([level("100", "2")], ts_ms=1000, seq_id=5, prev_seq_id=2))
        assert book.top(1)[0] == [level("100", "2")]
        assert book.seq_id == 5


class TestBadNumbers:
    @pytest.mark.parametrize("text", [*BAD_NUMBERS, "0", "0.00"])
    @pytest.mark.parametrize("is_snapshot", [True, False])
    def test_a_price_that_is_no_number_or_zero_raises(self, text: str, is_snapshot: bool) -> None:
        with pytest.raises(LevelError):
            book_of([], []).apply(change([level(text)], is_snapshot=is_snapshot))
        with pytest.raises(LevelError):
            book_of([], []).apply(change([], [level(text, "0")], is_snapshot=False))

    @pytest.mark.parametrize("text", BAD_NUMBERS)
    @pytest.mark.parametrize("is_snapshot", [True, False])
    def test_a_quantity_that_is_no_number_raises(self, text: str, is_snapshot: bool) -> None:
        with pytest.raises(LevelError):
            book_of([], []).apply(change([], [level("1", text)], is_snapshot=is_snapshot))


class TestInvariants:
    def test_four_hundred_levels_are_allowed_and_one_more_is_a_breach(self) -> None:
        whole = [level(str(price)) for price in range(1, CHANNEL_DEPTH + 1)]
        book = book_of(whole, [level("1000")])
        assert book.violation(is_live=True) is None
        book.apply(change([level("0.5")]))
        assert "401 bids" in (book.violation(is_live=True) or "")
        assert "401 bids" in (book.violation(is_live=False) or "")
        book.apply(change([level("0.5", "0")]))
        assert book.violation(is_live=True) is None

    def test_too_many_asks_are_a_breach_too_and_nothing_is_cut_off_in_silence(self) -> None:
        book = book_of([], [level(str(price)) for price in range(1, CHANNEL_DEPTH + 2)])
        assert "401 asks" in (book.violation(is_live=False) or "")
        assert len(book.top(500)[1]) == 401

    @pytest.mark.parametrize(("bid", "ask"), [("101", "100"), ("100", "100"), ("100.0", "100"), ("9", "8.9")])
    def test_a_crossed_or_locked_book_is_a_breach_only_while_the_instrument_is_live_t23(
        self, bid: str, ask: str
    ) -> None:
        book = book_of([level(bid)], [level(ask)])
        words = book.violation(is_live=True) or ""
        assert bid in words and ask in words
        assert book.violation(is_live=False) is None

    @pytest.mark.parametrize(
        ("bids", "asks"),
        [([], []), (["100"], []), ([], ["100"]), (["99"], ["100"]), (["9.99"], ["10"]), (["99.9"], ["99.900000001"])],
    )
    def test_an_orderly_or_one_sided_book_is_no_breach(self, bids: list[str], asks: list[str]) -> None:
        book = book_of([level(price) for price in bids], [level(price) for price in asks])
        assert book.violation(is_live=True) is None


class TestTop:
    def test_it_gives_the_best_of_each_side_and_no_more_than_asked(self) -> None:
        book = book_of([level("99"), level("98"), level("97")], [level("101")])
        assert book.top(2) == ([level("99"), level("98")], [level("101")])
        assert book.top(0) == ([], [])

    def test_its_lists_are_the_caller_s_own(self) -> None:
        book = book_of([level("99")], [level("101")])
        bids, asks = book.top(400)
        bids.clear()
        asks.append(level("500"))
        assert book.top(400) == ([level("99")], [level("101")])

    def test_what_was_taken_before_a_change_does_not_change_with_it(self) -> None:
        book = book_of([level("99")], [level("101")])
        taken = book.top(400)
        book.apply(change([level("99", "0")], [level("100")]))
        assert taken == ([level("99")], [level("101")])


@given(st.lists(changes, max_size=25))
def test_any_sequence_of_changes_gives_what_a_naive_rebuild_gives(sequence: list[BookChange]) -> None:
    book, naive = Book(), Naive()
    for one in sequence:
        book.apply(one)
        naive.apply(one)
        assert book.top(CHANNEL_DEPTH) == (naive.best_first("bids"), naive.best_first("asks"))
    assert book.unknown_deletes == naive.unknown_deletes


@given(st.lists(changes, min_size=1, max_size=25), st.randoms())
def test_any_sequence_of_changes_equals_a_book_loaded_from_its_last_image(sequence: list[BookChange], rng) -> None:
    book = Book()
    for one in sequence:
        book.apply(one)
    bids, asks = book.top(CHANNEL_DEPTH)
    shuffled = rng.sample(bids, len(bids)), rng.sample(asks, len(asks))
    again = book_of(*shuffled)
    assert again.top(CHANNEL_DEPTH) == (bids, asks)
    assert again.violation(is_live=True) == book.violation(is_live=True)


def test_a_market_that_wanders_far_and_comes_back_is_followed_exactly() -> None:
    """Thousands of prices come, go and come again: whatever the book keeps of those that are gone must not show."""
    rng, book, naive = Random(1), Book(), Naive()
    for step in range(400):
        mid = 5000 + round(900 * math.sin(step / 40))
        bids = [level(str(mid - rng.randint(1, 300)), rng.choice(["0", "0", "1.5"])) for _ in range(20)]
        asks = [level(str(mid + rng.randint(1, 300)), rng.choice(["0", "0", "1.5"])) for _ in range(20)]
        passed = [level(price, "0") for price, *_ in naive.best_first("bids") if not 0 < mid - int(price) < 350]
        reached = [level(price, "0") for price, *_ in naive.best_first("asks") if not 0 < int(price) - mid < 350]
        one = change(bids + passed, asks + reached)
        book.apply(one)
        naive.apply(one)
        assert book.violation(is_live=True) is None
        assert book.top(25) == (naive.best_first("bids")[:25], naive.best_first("asks")[:25])
    assert book.top(CHANNEL_DEPTH) == (naive.best_first("bids"), naive.best_first("asks"))
    assert book.copy().top(CHANNEL_DEPTH) == book.top(CHANNEL_DEPTH)


def test_a_copy_is_equal_in_everything_and_goes_its_own_way() -> None:
    book = Book()
    full = [("1", "2", "0", "1")], [("3", "4", "0", "1")]
    book.apply(BookChange("BTC-USDT-SWAP", True, *full, 1_000, 7, 6, -1234))
    twin = book.copy()
    state = (twin.ts_ms, twin.seq_id, twin.prev_seq_id, twin.checksum, twin.top(CHANNEL_DEPTH))
    assert state == (1_000, 7, 6, -1234, full)
    book.apply(BookChange("BTC-USDT-SWAP", False, [("1", "0", "0", "0")], [], 2_000, 8, 7, 5))
    assert (twin.ts_ms, twin.seq_id, twin.prev_seq_id, twin.checksum, twin.top(CHANNEL_DEPTH)) == state


class Naive:
    """A dict by Decimal, sorted when asked."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, Level]] = {"bids": {}, "asks": {}}
        self.unknown_deletes = 0

    def apply(self, one: BookChange) -> None:
        for name, side in self.sides.items():
            if one.is_snapshot:
                side.clear()
            for row in getattr(one, name):
                price = Decimal(row[0])
                if Decimal(row[1]) != 0:
                    side[price] = row
                elif not one.is_snapshot and side.pop(price, None) is None:
                    self.unknown_deletes += 1

    def best_first(self, name: str) -> list[Level]:
        side = self.sides[name]
        return [side[price] for price in sorted(side, reverse=name == "bids")]
