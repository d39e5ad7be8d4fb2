"""The pipelines of all feeds: what one place says of an instrument reaches every feed, and those that come later."""

from random import Random

import pytest

from l2vault.okx.pipeline import Lost, Pipeline
from l2vault.recording.pipelines import Pipelines
from support import wire
from support.second_book import ShortBookPipeline

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
T0_MS = 1_767_225_600_000
CROSSED = {"bids": [["101", "1", "0", "1"]], "asks": [["100", "1", "0", "1"]]}


def made() -> tuple[Pipelines, list[int]]:
    numbers: list[int] = []

    def make(feed: int) -> Pipeline:
        numbers.append(feed)
        return ShortBookPipeline([BTC, ETH], 2000, 400, Random(1), feed)

    return Pipelines(make), numbers


def join(pipeline: Pipeline, inst_id: str, ts_ms: int = T0_MS, **changes: object) -> bool:
    """On a new connection: whether a full book is believed."""
    pipeline.close("disconnect", "")
    pipeline.open(0)
    pipeline.tick(0)
    pipeline.take_outgoing()
    outputs = pipeline.receive(wire.full(inst_id, ts_ms, 5, **changes), 0)
    return not any(isinstance(output, Lost) for output in outputs) and inst_id in pipeline.book_times()


def test_each_feed_has_a_pipeline_of_its_own_until_it_is_over() -> None:
    pipelines, numbers = made()
    first, second = pipelines.add(1), pipelines.add(2)
    assert numbers == [1, 2]
    assert dict(pipelines.by_feed) == {1: first, 2: second}
    pipelines.remove(1)
    assert dict(pipelines.by_feed) == {2: second}
    with pytest.raises(TypeError):
        pipelines.by_feed[3] = first  # type: ignore[index]


def test_the_newest_time_of_any_feed_counts() -> None:
    pipelines, _ = made()
    join(pipelines.add(1), BTC, T0_MS + 500)
    join(pipelines.add(2), BTC, T0_MS + 300)
    pipelines.by_feed[2].receive(wire.full(ETH, T0_MS + 100, 5), 0)
    assert pipelines.book_times() == {BTC: T0_MS + 500, ETH: T0_MS + 100}


def test_what_okx_says_of_an_instrument_holds_for_feeds_that_stand_and_those_that_come() -> None:
    pipelines, _ = made()
    standing = pipelines.add(1)
    pipelines.set_live(BTC, False)
    assert join(standing, BTC, **CROSSED)
    assert join(pipelines.add(2), BTC, **CROSSED)
    assert not join(pipelines.add(3), ETH, **CROSSED), "only that instrument"
    pipelines.set_live(BTC, True)
    assert not join(standing, BTC, **CROSSED)
    assert not join(pipelines.add(4), BTC, **CROSSED)
