"""What a client of a replay is given of the values beside the books: each when it was current, none that was lost."""

import json
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from l2vault.book.context import Context, Funding, Index, Kind, Mark, to_line
from l2vault.replay.beside import ValuesLost, context_events
from l2vault.replay.timeline import replay_of
from l2vault.sim.exchange.context import FUNDING, MARK
from l2vault.sim.exchange.timeline import ContextLost, ContextTick, RecordedContext
from l2vault.sim.server.server import SimOptions, Simulator
from l2vault.vault.journal.context_events import ContextNoted
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.store.layout import Layout
from support.hours import HOUR_AT_MS, INST, at, journal_of, line, put, started, synced
from support.tardis_client import lines, messages, serving
from support.virtual import over_sockets, running_clock

KINDS: tuple[Kind, ...] = ("mark", "index", "funding")
LOST_MS, BACK_MS, STALE_MS = 9_700, 20_500, 31_900
"""Mark and funding are lost with their feed and come back; then the mark alone falls silent."""
SPOKEN = [(0, "1"), (1_900, "2"), (5_900, "3"), (9_700, "4"), (21_000, "5"), (25_900, "6"), (31_900, "7")]
"""When which mark price came."""
RATED = [(-9_000, "0.1"), (19_000, "0.2")]


def noted(state: str, cause: str = "", **times: int) -> ContextNoted:
    return ContextNoted(at(max(times.values())), 1, INST, state, {kind: at(ms) for kind, ms in times.items()}, cause)


def stands(values: list[tuple[int, str]], grid_ms: int) -> tuple[int, str] | None:
    return next(((HOUR_AT_MS + ms, text) for ms, text in reversed(values) if ms <= grid_ms), None)


def context(grid_ms: int) -> Context:
    mark, rate = stands(SPOKEN, grid_ms), stands(RATED, grid_ms)
    assert rate is not None
    return Context(
        INST,
        HOUR_AT_MS + grid_ms,
        mark and Mark(*mark),
        Index(HOUR_AT_MS, "9"),
        Funding(*rate, time="1", next_time="2"),
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty seconds of lines; nothing was ever noted of the index."""
    layout = Layout(tmp_path_factory.mktemp("values") / "Vault")
    journal_of(
        layout,
        started(-10_000),
        synced(-10_000),
        noted("present", mark=0, funding=0),
        noted("lost", "disconnect", mark=LOST_MS, funding=LOST_MS),
        noted("present", mark=BACK_MS, funding=BACK_MS),
        noted("stale", "silence", mark=STALE_MS),
    )
    path = layout.of("context").hour_file(INST, HOUR_AT_MS)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(to_line(context(ms)) + b"\n" for ms in range(0, 40_000, 2_000)))
    put(layout, [line(ms) for ms in range(0, 40_000, 2_000)])
    return layout.root


def events(root: Path, from_ms: int, to_ms: int) -> list[tuple[int, str, str]]:
    """Time, `lost` or the channel, kinds or value."""
    reader, found = ContextReader(Layout(root)), []
    for event in context_events(reader, INST, (HOUR_AT_MS + from_ms, HOUR_AT_MS + to_ms), KINDS, pytest.fail):
        if isinstance(event, ValuesLost):
            found.append((event.ts_ms - HOUR_AT_MS, "lost", " ".join(event.kinds)))
        else:
            row = event.push.row
            found.append((event.ts_ms - HOUR_AT_MS, event.push.channel, row.get("markPx") or row["fundingRate"]))
    return found


def test_each_value_comes_when_it_is_current_and_again_behind_a_loss(root: Path) -> None:
    assert events(root, 0, 40_000) == [
        (0, "lost", "index"),
        (0, FUNDING, "0.1"),
        (0, MARK, "1"),
        (1_900, MARK, "2"),
        (5_900, MARK, "3"),
        (9_700, MARK, "4"),
        (9_700, "lost", "mark funding"),
        (20_500, FUNDING, "0.2"),
        (21_000, MARK, "5"),
        (25_900, MARK, "6"),
        (31_900, MARK, "7"),
        (31_900, "lost", "mark"),
        (38_001, "lost", "funding"),
    ], "the run was killed behind its line of 38 s"


@pytest.mark.parametrize(
    ("from_ms", "found"),
    [
        (9_700, [(9_700, "lost", "mark funding"), (9_700, "lost", "index"), (20_500, FUNDING, "0.2")]),
        (15_000, [(15_000, "lost", "mark funding"), (15_000, "lost", "index"), (20_500, FUNDING, "0.2")]),
        (24_000, [(24_000, "lost", "index"), (24_000, FUNDING, "0.2"), (24_000, MARK, "5")]),
        (36_000, [(36_000, "lost", "mark index"), (36_000, FUNDING, "0.2")]),
    ],
)
def test_a_replay_that_begins_in_a_loss_gives_no_value_of_before_it(
    root: Path, from_ms: int, found: list[object]
) -> None:
    assert [each for each in events(root, from_ms, 40_000) if each in found or each[0] == from_ms] == found


def test_no_event_goes_back_in_time_and_no_value_comes_in_a_loss_wherever_the_span_begins(root: Path) -> None:
    for from_ms in range(0, 38_000, 7_300):
        lost: set[str] = set()
        found = events(root, from_ms, 38_000)
        assert [each[0] for each in found] == sorted(each[0] for each in found)
        for ms, what, text in found:
            if what == "lost":
                lost |= set(text.split())
            elif what == MARK:
                assert not LOST_MS < ms < BACK_MS and ms <= STALE_MS
                lost.discard("mark")
            else:
                assert not LOST_MS <= ms < BACK_MS
                lost.discard("funding")
        assert lost == {"index", "mark"}


@over_sockets
async def test_the_ticker_names_no_value_behind_its_loss_and_names_it_anew_when_it_is_current(root: Path) -> None:
    asked = {"exchange": "okex-swap", "from": at(4_000), "to": at(24_000)}
    async with serving(root) as site:
        found = await messages(
            site, "replay-normalized", asked | {"symbols": [INST], "dataTypes": ["derivative_ticker"]}
        )
        texts = await lines(site, "replay", asked | {"filters": [{"channel": "funding-rate", "symbols": [INST]}]})
    causes = [(number, each["cause"]) for number, each in enumerate(found) if each["type"] == "disconnect"]
    (at_start, first), (at_loss, second), *more = causes
    assert (at_start, first) == (0, "index, open_interest: unknown") and not more
    assert second == "mark, funding: lost: disconnect"
    shown = [(each.get("markPrice"), each.get("fundingRate")) for each in found[at_loss + 1 :]]
    assert shown == [(None, 0.2), (5, 0.2)]
    rates = [text.count('"fundingRate":"0.1"') - text.count('"disconnect"') for text in texts]
    assert rates == [1, -1, 0] and '"fundingRate":"0.2"' in texts[-1]


def test_the_exchange_of_a_replay_forgets_what_is_lost(root: Path) -> None:
    timeline = replay_of(open_vault(root), [INST], (HOUR_AT_MS, HOUR_AT_MS + 40_000), pytest.fail).timeline
    beside, stood = RecordedContext(timeline.names), []
    for event in timeline.events:
        if isinstance(event, ContextTick):
            beside.announce(event.push.channel, event.push.name, event.push.row)
            beside.pass_time(event.ts_ms)
        elif isinstance(event, ContextLost):
            beside.forget(event.names)
        if isinstance(event, ContextTick | ContextLost):
            ms = event.ts_ms - HOUR_AT_MS
            stood.append((ms, len(beside.newest(MARK, INST)), len(beside.newest(FUNDING, INST))))
    assert [each for each in stood if each[0] in (9_700, 20_500, 31_900)] == [
        (9_700, 1, 1),
        (9_700, 0, 0),
        (20_500, 0, 1),
        (31_900, 1, 1),
        (31_900, 0, 1),
    ]


@over_sockets
async def test_who_subscribes_behind_a_loss_is_given_nothing_by_the_replay(root: Path) -> None:
    timeline = replay_of(open_vault(root), [INST], (HOUR_AT_MS, HOUR_AT_MS + 37_000), pytest.fail).timeline
    simulator = Simulator(SimOptions(speed=None), running_clock(), timeline=timeline)
    await simulator.start()
    async with connect(simulator.ws_url, proxy=None) as early, connect(simulator.ws_url, proxy=None) as late:
        await early.send(subscribe("books", MARK))
        marks = []
        while int((push := json.loads(await early.recv())).get("data", [{"ts": "0"}])[0]["ts"]) < HOUR_AT_MS + 36_000:
            marks += [row["markPx"] for row in push.get("data", []) if push["arg"]["channel"] == MARK]
        await late.send(subscribe(MARK, FUNDING))
        found = [json.loads(await late.recv()) for _ in range(3)]
    await simulator.stop()
    assert marks == [text for _, text in SPOKEN]
    assert [each["arg"]["channel"] for each in found if "data" in each] == [FUNDING]


def subscribe(*channels: str) -> str:
    return json.dumps({"op": "subscribe", "args": [{"channel": each, "instId": INST} for each in channels]})
