"""The sampling law (docs/format.md): some grid time g with s <= g < t makes the book before the message due."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.book.sampler import due_grid_time

times = st.integers(1, 20_000)
"""Small, so that grid times are hit exactly and neighbours collide."""
cadences = st.sampled_from([1, 500, 1000, 2000, 5000])
message_times = st.lists(st.one_of(times, st.none()), max_size=60)


@pytest.mark.parametrize(
    ("book_ms", "message_ms", "grid_ms"),
    [
        (3_950, 4_050, 4_000),  # a grid time between
        (4_000, 4_100, 4_000),  # the book's own time is on the grid: it is the book at that time
        (3_900, 4_000, None),  # the message's is: the book at 4000 is the one after it
        (4_000, 4_000, None),
        (4_000, 4_001, 4_000),
        (2_000, 4_000, 2_000),  # s on the grid and t on the next
        (2_001, 4_000, None),
        (1_999, 2_001, 2_000),
        (3_900, 10_100, 4_000),  # 4000, 6000, 8000, 10000: one line serves them all
        (4_100, 5_900, None),  # none between
        (4_100, 4_050, None),  # an older message
        (4_100, None, None),  # a message without a time
        (None, 4_100, None),  # a book without one
        (None, None, None),
    ],
)
def test_a_book_is_due_when_a_grid_time_lies_from_its_time_up_to_the_message(
    book_ms: int | None, message_ms: int | None, grid_ms: int | None
) -> None:
    assert due_grid_time(book_ms, message_ms, 2_000) == grid_ms


@pytest.mark.parametrize(
    ("book_ms", "message_ms", "grid_ms"),
    [(1_400, 1_499, None), (1_400, 1_500, None), (1_400, 1_501, 1_500), (1_500, 1_600, 1_500), (1_501, 1_999, None)],
)
def test_a_cadence_of_half_a_second_has_its_own_grid(book_ms: int, message_ms: int, grid_ms: int | None) -> None:
    assert due_grid_time(book_ms, message_ms, 500) == grid_ms


@given(times, times, cadences)
def test_the_first_grid_time_at_or_after_the_book_and_before_the_message_names_it(
    book_ms: int, message_ms: int, cadence_ms: int
) -> None:
    between = [grid_ms for grid_ms in range(0, 30_000, cadence_ms) if book_ms <= grid_ms < message_ms]
    assert due_grid_time(book_ms, message_ms, cadence_ms) == (between[0] if between else None)


@given(message_times, cadences)
def test_no_book_time_and_no_grid_time_is_ever_sampled_twice(messages: list[int | None], cadence_ms: int) -> None:
    sampled = _sampled(messages, cadence_ms)
    book_times = [book_ms for book_ms, _ in sampled]
    grid_times = [grid_ms for _, grid_ms in sampled]
    assert book_times == sorted(set(book_times))
    assert grid_times == sorted(set(grid_times))


@given(st.data(), message_times, cadences)
def test_messages_that_are_not_newer_wherever_they_fall_change_nothing(
    data: st.DataObject, messages: list[int | None], cadence_ms: int
) -> None:
    interleaved: list[int | None] = []
    newest_ms = 0
    for message_ms in messages:
        interleaved.append(message_ms)
        newest_ms = max(newest_ms, message_ms or 0)
        stale = st.one_of(st.none(), st.integers(0, newest_ms)) if newest_ms else st.none()
        interleaved += data.draw(st.lists(stale, max_size=3))
    assert _sampled(interleaved, cadence_ms) == _sampled(messages, cadence_ms)


@given(st.lists(times, min_size=1, max_size=60, unique=True).map(sorted), cadences)
def test_every_grid_time_that_has_passed_is_covered_by_the_last_sample_at_or_before_it(
    messages: list[int], cadence_ms: int
) -> None:
    """A reader finds the book at a grid time in the last line whose book is not newer: it must be the true one."""
    sampled = [book_ms for book_ms, _ in _sampled(messages, cadence_ms)]
    for grid_ms in range(0, messages[-1], cadence_ms):
        true_book = max((at for at in messages if at <= grid_ms), default=None)
        assert max((at for at in sampled if at <= grid_ms), default=None) == true_book


def _sampled(messages: list[int | None], cadence_ms: int) -> list[tuple[int, int]]:
    """`(book time, grid time)` of each sample; the book's time is the newest so far, as `Book` keeps it."""
    book_ms: int | None = None
    found = []
    for message_ms in messages:
        grid_ms = due_grid_time(book_ms, message_ms, cadence_ms)
        if grid_ms is not None:
            assert book_ms is not None
            found.append((book_ms, grid_ms))
        if message_ms is not None and (book_ms is None or message_ms > book_ms):
            book_ms = message_ms
    return found
