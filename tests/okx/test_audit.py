"""Our book against REST's: equal, wrong, or not to be judged; and never wrong where it cannot be known."""

from l2vault.book.book import Book
from l2vault.book.change import BookChange, Level
from l2vault.okx.audit import Audit

INST_ID = "BTC-USDT-SWAP"


def level(price: str, quantity: str = "1", orders: str = "1") -> Level:
    return (price, quantity, "0", orders)


def full(seq_id: int, bids: list[Level], asks: list[Level] | None = None) -> BookChange:
    return BookChange(INST_ID, True, bids, asks or [level("200")], seq_id, seq_id, -1, 0)


def update(seq_id: int, prev_seq_id: int, bids: list[Level]) -> BookChange:
    return BookChange(INST_ID, False, bids, [], seq_id, seq_id, prev_seq_id, 0)


def audit_of(*bids: Level) -> Audit:
    book = Book()
    book.apply(full(10, list(bids)))
    audit = Audit(book, 400)
    audit.follow(update(15, 10, [level("100", "2")]))
    audit.follow(update(22, 15, [level("99", "0", "0"), level("98", "7")]))
    return audit


def test_the_same_levels_at_the_same_number_are_equal_at_any_state_since_the_start() -> None:
    audit = audit_of(level("100"), level("99"))
    assert audit.judge(full(10, [level("100"), level("99")])).outcome == "equal"
    assert audit.judge(full(15, [level("100", "2"), level("99")])).outcome == "equal"
    assert audit.judge(full(22, [level("100", "2"), level("98", "7")])).outcome == "equal"


def test_equal_numbers_are_equal_however_they_are_spelt() -> None:
    assert audit_of(level("100"), level("99")).judge(full(10, [level("100.0", "1.00"), level("99")])).outcome == "equal"


def test_a_level_that_differs_at_the_same_number_is_a_mismatch_that_names_it() -> None:
    verdict = audit_of(level("100"), level("99")).judge(full(15, [level("100", "2"), level("99", "5")]))
    assert (verdict.outcome, verdict.detail) == ("mismatch", "1 levels differ, first 99")


def test_another_order_count_is_a_mismatch_too() -> None:
    verdict = audit_of(level("100"), level("99")).judge(full(10, [level("100", "1", "2"), level("99")]))
    assert verdict.outcome == "mismatch"


def test_between_two_states_each_level_may_be_that_of_either() -> None:
    audit = audit_of(level("100"), level("99"))
    halfway = full(18, [level("100", "2"), level("99"), level("98", "7")])
    assert audit.judge(halfway).outcome == "consistent"
    assert audit.judge(full(18, [level("100", "3"), level("99")])).outcome == "inconclusive"


def test_what_is_older_or_ahead_is_not_judged() -> None:
    audit = audit_of(level("100"), level("99"))
    assert audit.judge(full(9, [level("1")])).outcome == "older"
    assert audit.judge(full(23, [level("1")])).outcome == "ahead"


def test_the_audited_book_itself_is_never_touched() -> None:
    book = Book()
    book.apply(full(10, [level("100")]))
    audit = Audit(book, 400)
    audit.follow(update(15, 10, [level("100", "9")]))
    audit.judge(full(15, [level("100", "9")]))
    assert book.top(1)[0] == [level("100")]
