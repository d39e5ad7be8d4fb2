"""Lines of context of several vaults made one: at each grid time the newest value of each kind, whoever has it."""

from l2vault.book.context import Context, Index, Mark
from l2vault.vault.merging.context import join_context
from support.hours import HOUR_AT_MS, INST


def context(second: int, mark: Mark | None = None, index: Index | None = None) -> Context:
    return Context(INST, HOUR_AT_MS + 1_000 * second, mark, index)


def mark(second: float, price: str = "1") -> Mark:
    return Mark(HOUR_AT_MS + round(1_000 * second), price)


def test_each_value_is_the_newest_and_goes_on_until_a_newer_one() -> None:
    index = Index(HOUR_AT_MS + 1_500, "7")
    one = [context(2, mark(1.9)), context(4, mark(3.9)), context(6)]
    other = [context(2, mark(1.8), index), context(4, mark(3.95)), context(8, mark(1))]
    assert join_context([one, other]) == [
        (context(2, mark(1.9), index), (0, 1)),
        (context(4, mark(3.95), index), (0, 1)),
        (context(6, mark(3.95), index), (0,)),
        (context(8, mark(3.95), index), (1,)),
    ]


def test_of_two_values_of_one_time_that_of_the_vault_named_first_stands() -> None:
    one, other = [context(2, mark(1, "5"))], [context(2, mark(1, "6")), context(4, mark(1, "7"))]
    assert [line.mark for line, _ in join_context([one, other])] == [mark(1, "5"), mark(1, "5")]
    assert [line.mark for line, _ in join_context([other, one])] == [mark(1, "6"), mark(1, "6")]
