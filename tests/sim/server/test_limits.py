import logging

import pytest

from l2vault.sim.server.limits import Allowance, Limits


def test_an_allowance_counts_any_span_of_its_length_and_not_what_it_refused():
    allowance = Allowance(2, 1000)

    taken = [allowance.take(at) for at in (0, 400, 500, 999, 1000, 1100, 1399, 1400)]
    assert taken == [True, True, False, False, True, False, False, True]


def test_the_fourth_connection_of_a_second_is_one_too_many(caplog):
    limits = Limits()
    with caplog.at_level(logging.WARNING):
        allowed = [limits.allows_connect(at) for at in (0, 10, 20, 30, 999, 1000)]

    assert allowed == [True, True, True, False, False, True]
    assert (limits.connects, limits.connects_over, limits.violations) == (6, 2, 2)
    assert caplog.messages == ["a connection too many: OKX allows 3 a second"] * 2


def test_each_connection_has_480_requests_an_hour(caplog):
    limits = Limits()
    one, other = limits.request_allowance(), limits.request_allowance()
    allowed = [limits.allows_request(one, "one", at) for at in range(482)]

    assert allowed == [True] * 480 + [False] * 2
    assert limits.allows_request(other, "other", 482)
    assert limits.allows_request(one, "one", 3_600_000)
    assert (limits.requests, limits.requests_over, limits.violations) == (484, 2, 2)
    assert "peer one asks too often: OKX allows 480 requests an hour" in caplog.text


def test_a_request_that_is_too_large_is_counted(caplog):
    limits = Limits()
    limits.note_oversized("a4d3ae55")

    assert (limits.oversized, limits.violations) == (1, 1)
    assert "peer a4d3ae55 sent more than 65536 bytes in one request" in caplog.text


@pytest.mark.parametrize("count", [500, 3000])
def test_limits_that_are_not_kept_allow_everything(count):
    limits = Limits(is_kept=False)
    allowance = limits.request_allowance()

    assert all(limits.allows_connect(0) and limits.allows_request(allowance, "x", 0) for _ in range(count))
    assert limits.violations == 0


def test_rest_answers_each_endpoint_so_often_in_two_seconds():
    limits = Limits()

    assert [limits.allows_rest("/api/v5/public/time", 0) for _ in range(11)] == [True] * 10 + [False]
    assert limits.allows_rest("/api/v5/market/books", 0)
    assert limits.allows_rest("/api/v5/unlisted", 0)
    assert limits.allows_rest("/api/v5/public/time", 2000)
    assert limits.rest_over == limits.violations == 1


def test_rest_has_no_limit_where_none_is_kept():
    limits = Limits(is_kept=False)

    assert all(limits.allows_rest("/api/v5/public/time", 0) for _ in range(50))
    assert limits.violations == 0


def test_full_books_have_a_limit_of_their_own():
    limits = Limits()
    allowed = [limits.allows_rest("/api/v5/market/books-full", at * 100) for at in range(12)]

    assert allowed == [True] * 10 + [False] * 2


def test_rpi_books_have_a_limit_of_their_own():
    limits = Limits()
    allowed = [limits.allows_rest("/api/v5/market/books-rpi", at * 50) for at in range(22)]

    assert allowed == [True] * 20 + [False] * 2
