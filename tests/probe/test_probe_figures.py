"""The arithmetic of the probe."""

import pytest

from l2vault.probe.figures import Offset, Places, Shared, clock_offset, percentile, places, shared_seq_ids
from l2vault.probe.findings import RestBook, TimeSample


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([7], 0.95, 7), ([4, 1, 3, 2], 0.5, 2), (range(1, 101), 0.95, 95), ([1, 2], 1.0, 2)],
)
def test_a_percentile_is_the_nearest_rank(values, share, expected):
    assert percentile(values, share) == expected


def test_the_offset_is_that_of_the_shortest_round_trip_with_half_of_it_as_uncertainty():
    samples = [TimeSample(10_000, 10_400, 300), TimeSample(20_000, 20_110, 20), TimeSample(30_000, 30_900, 500)]

    assert clock_offset(samples) == Offset(100, 11, 3)
    assert clock_offset([]) is None


def test_a_clock_behind_is_negative():
    assert clock_offset([TimeSample(10_000, 7_010, 20)]) == Offset(-3_000, 11, 1)


def each_second(*seq_ids, since=0):
    return [(seq_id, 1000 * (since + place)) for place, seq_id in enumerate(seq_ids)]


def test_numbers_are_compared_while_both_feeds_were_there_for_a_second():
    assert shared_seq_ids(each_second(1, 2, 3, 4, 5, 6), each_second(3, 4, 5, 6, 7, since=2)) == Shared(2, 2)
    assert shared_seq_ids(each_second(1, 2, 3, 4, 5, 6), each_second(1, 2, 4, 5, 6)) == Shared(3, 4)


def test_a_heartbeat_that_repeats_a_number_counts_it_once():
    assert shared_seq_ids(each_second(1, 2, 2, 2, 3), each_second(1, 2, 2, 2, 3)) == Shared(1, 1)


def test_nothing_in_common_is_none_shared_though_one_number_meets_by_chance():
    assert shared_seq_ids(each_second(1, 3, 5, 7, 9), each_second(2, 3, 4, 6, 8)).share == pytest.approx(1 / 5)
    assert shared_seq_ids(each_second(1, 3, 5, 7), each_second(2, 4, 6, 8)).share == 0


def test_one_feed_alone_has_no_share():
    assert shared_seq_ids(each_second(1, 3), []).share is None


def test_rest_books_are_placed_against_all_feeds():
    def book(seq_id, newest=None):
        return RestBook("X", seq_id, (400, 400), newest)

    books = [book(10, 20), book(15), book(12), book(99), book(None)]

    assert places(books, [[10, 20], [10, 15, 20]]) == Places(at=2, between=1, outside=1, older=1, unnumbered=1)
