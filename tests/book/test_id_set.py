"""Ranges of ids, against a set of every single one."""

from hypothesis import given
from hypothesis import strategies as st

from l2vault.book.id_set import IdSet

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8)).map(lambda each: (each[0], each[0] + each[1])))


def every(ranges: list[tuple[int, int]]) -> list[int]:
    return [one for first, last in ranges for one in range(first, last + 1)]


@given(RANGES)
def test_ranges_are_the_ids_that_were_added_and_each_addition_tells_the_new_ones(ranges: list[tuple[int, int]]) -> None:
    ids, single = IdSet(), set[int]()
    for first, last in ranges:
        new = set(range(first, last + 1)) - single
        assert every(ids.lacking(first, last)) == sorted(new)
        assert every(ids.add(first, last)) == sorted(new)
        single |= new
        held = list(ids)
        assert every(held) == sorted(single)
        assert len(ids) == len(single)
        assert all(before[1] + 1 < after[0] for before, after in zip(held, held[1:], strict=False)), "they do not touch"
