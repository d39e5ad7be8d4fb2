from l2vault.book.book import Book
from l2vault.sim.exchange.books import Due, Oracle
from support.rehearsal import BTC, ETH, START_MS, rehearse, timeline, update_tick


async def test_every_state_is_kept_with_its_number_time_and_levels(clock):
    stage = await rehearse(clock, "drop:push=2;crossed:push=3", timeline(4, BTC, ETH))

    assert stage.oracle.inst_ids == [BTC, ETH]
    book = Book()
    for tick, truth in zip([tick for tick in timeline(4)], stage.oracle.truths(BTC), strict=True):
        book.apply(tick.change)
        assert truth.image == book.top(400)
        assert (truth.seq_id, truth.prev_seq_id) == (tick.change.seq_id, tick.change.prev_seq_id)
        assert (truth.ts_ms, truth.checksum, truth.epoch) == (tick.ts_ms, 0, 0)


async def test_a_number_used_again_names_one_state_in_each_epoch(clock):
    stage = await rehearse(clock, "reset:push=2,to=1000;heartbeat:push=3", timeline(4))

    states = stage.oracle.at(BTC, 1000)
    assert [(truth.epoch, truth.ts_ms - START_MS) for truth in states] == [(0, 0), (1, 200)]
    assert stage.oracle.at(BTC, 77) == []
    assert stage.oracle.at("nothing", 1000) == []


def oracle_of(times, keep=None):
    oracle, book = Oracle(keep), Book()
    for number, ts_ms in enumerate(times):
        change = update_tick(number + 1, at=ts_ms).change
        book.apply(change)
        oracle.note(BTC, change, book)
    return oracle


def test_a_line_is_due_for_the_first_grid_time_between_two_pushes():
    oracle = oracle_of([100, 900, 2000, 2001, 9000, 9000, 12_000])
    states = oracle.truths(BTC)

    assert list(oracle.due(BTC, 2000)) == [
        Due(START_MS + 2000, states[2]),
        Due(START_MS + 4000, states[3]),
        Due(START_MS + 10_000, states[5]),
    ]


def test_a_time_that_goes_back_makes_nothing_due():
    assert [due.grid_ms - START_MS for due in oracle_of([1900, 100, 1999, 2001]).due(BTC, 2000)] == [2000]


def test_memory_may_be_bounded():
    assert [truth.ts_ms - START_MS for truth in oracle_of([1, 2, 3, 4], keep=2).truths(BTC)] == [3, 4]
