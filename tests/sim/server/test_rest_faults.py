import json

import pytest

from l2vault.sim.exchange.books import Exchange
from l2vault.sim.faults.schedule import Schedule
from l2vault.sim.faults.spec import parse_faults
from l2vault.sim.server.rest import Answer, RestFaults, answer
from support.rehearsal import BTC, ETH, SEQ, START_MS, full_tick, update_tick

BOOKS = f"/api/v5/market/books?instId={BTC}&sz=3"
INSTRUMENTS = f"/api/v5/public/instruments?instType=SWAP&instId={BTC}"
ALL_INSTRUMENTS = "/api/v5/public/instruments?instType=SWAP"
TIME = "/api/v5/public/time"
HEALTHY = "healthy"


class Desk:
    """REST with a plan of faults, and a timeline at our command."""

    def __init__(self, spec):
        self.exchange = Exchange([BTC, ETH], {})
        self.now_ms = START_MS
        self.schedule = Schedule(parse_faults(spec), 0, START_MS)
        self.rest = RestFaults(self.schedule, self.exchange, lambda: self.now_ms)
        self.exchange.apply(full_tick().change)

    def update(self, number):
        tick = update_tick(number)
        self.now_ms = tick.ts_ms
        self.schedule.note_push(BTC, tick.ts_ms)
        self.exchange.apply(tick.change)

    def ask(self, target=BOOKS):
        given = self.rest.answer(target, 7)
        return HEALTHY if given == answer(self.exchange, target, 7) else given


@pytest.mark.parametrize(
    ("how", "status", "body"),
    [
        ("429", 429, '{"code":"50011","data":[],"msg":"Too Many Requests"}'),
        (
            "50011",
            200,
            '{"code":"50011","data":[],"msg":"Rate limit reached. Please refer to API documentation and throttle '
            'requests accordingly."}',
        ),
        (
            "51001",
            200,
            '{"code":"51001","data":[],"msg":"Instrument ID, Instrument ID code, or Spread ID doesn\'t exist."}',
        ),
        ("empty", 200, '{"code":"0","data":[],"msg":""}'),
    ],
)
def test_rest_answers_in_okx_s_envelope(how, status, body):
    assert Desk(f"rest:answer={how}").ask() == Answer(status, body)


@pytest.mark.parametrize(("how", "status"), [("429-html", 429), ("403", 403), ("500", 500), ("502", 502), ("503", 503)])
def test_something_in_front_of_okx_answers_in_html(how, status):
    given = Desk(f"rest:answer={how}").ask()

    assert given.status == status
    assert given.body.startswith("<html>")
    with pytest.raises(json.JSONDecodeError):
        json.loads(given.body)


def test_rest_may_not_answer_at_all():
    assert Desk("rest:answer=timeout").ask() is None


@pytest.mark.parametrize(
    ("spec", "struck"),
    [
        ("rest", {BOOKS, INSTRUMENTS, ALL_INSTRUMENTS, TIME}),
        ("rest:path=books", {BOOKS}),
        ("rest:path=instruments", {INSTRUMENTS, ALL_INSTRUMENTS}),
        ("rest:path=time", {TIME}),
        (f"rest:inst={BTC}", {BOOKS, INSTRUMENTS, ALL_INSTRUMENTS, TIME}),
        (f"rest:inst={ETH}", {ALL_INSTRUMENTS, TIME}),
        (f"rest:inst={ETH},path=books", set()),
    ],
)
def test_a_fault_concerns_its_path_and_instrument(spec, struck):
    desk = Desk(spec)

    assert {target for target in (BOOKS, INSTRUMENTS, ALL_INSTRUMENTS, TIME) if desk.ask(target) != HEALTHY} == struck


@pytest.mark.parametrize(
    ("spec", "struck"),
    [
        ("rest", [1, 2, 3, 4, 5]),
        ("rest:request=2,k=2", [2, 3]),
        ("rest:request=2,every=2,k=1", [2, 4]),
        ("rest:at=2s,for=2s", [3, 4]),
        ("rest:at=2s,k=1", [3]),
        ("rest:at=0,every=3s,k=1", [1, 4]),
        ("rest:p=1,k=1,until=2s", [1, 2]),
    ],
)
def test_requests_are_struck_by_number_and_time(spec, struck):
    desk, found = Desk(f"{spec}{',' if ':' in spec else ':'}path=books"), []
    for number in range(1, 6):
        desk.ask(TIME)  # of another path, so not counted
        if desk.ask() != HEALTHY:
            found.append(number)
        desk.now_ms += 1000

    assert found == struck


def books(given):
    (row,) = json.loads(given.body)["data"]
    return row


def test_an_older_book_is_the_one_of_so_long_ago_cut_to_its_depth():
    desk = Desk("rest:answer=older,by=250ms")
    images = [books(answer(desk.exchange, BOOKS, 7))]
    for number in range(1, 8):
        desk.update(number)
        images.append(books(answer(desk.exchange, BOOKS, 7)))
        given = books(desk.rest.answer(BOOKS, 7))

        assert given == images[max(0, number - 3)]
        assert (len(given["asks"]), given["seqId"]) == (3, SEQ + 10 * max(0, number - 3))


@pytest.mark.parametrize("target", [TIME, INSTRUMENTS, f"/api/v5/market/books?instId={ETH}", BOOKS + "9999"])
def test_what_has_no_earlier_book_is_answered_as_ever(target):
    assert Desk("rest:answer=older").ask(target) == HEALTHY


def test_of_the_past_only_what_may_be_asked_for_is_kept():
    desk = Desk("rest:answer=older,by=300ms")
    for number in range(1, 50):
        desk.update(number)

    assert len(desk.rest._past[BTC]) == 4


def test_without_a_fault_rest_keeps_no_past():
    desk = Desk("rest:answer=503")
    desk.update(1)

    assert desk.rest._past == {}


def test_a_torn_answer_is_the_first_half_of_the_right_one():
    desk = Desk("rest:answer=torn,path=books-full,k=1")
    full = f"/api/v5/market/books-full?instId={BTC}&sz=5"
    assert desk.ask() == HEALTHY
    torn = desk.ask(full)
    whole = answer(desk.exchange, full, 7).body
    assert torn == Answer(200, whole[: len(whole) // 2])
    assert desk.ask(full) == HEALTHY
