"""l2vault's own feed, as the recorder runs it: socket, session, chain, book, invariants.

Sampling and files are left out by a cadence of an hour, since no other contender has them: bench_job.py has both.
"""

import asyncio
from random import Random

from meter import Meter, arguments

from l2vault.clock import Clock
from l2vault.okx.pipeline import Pipeline
from l2vault.okx.websocket import Feed, FeedOutput

CADENCE_MS, DEPTH = 3_600_000, 400


class MeteredPipeline(Pipeline):
    """Counts what has been applied, as every contender does."""

    meter: Meter
    done: asyncio.Event

    def receive(self, frame: bytes, now_ms: int):  # type: ignore[no-untyped-def]
        before = self.counts.messages
        outputs = super().receive(frame, now_ms)
        if self.counts.messages != before and self.meter.note():
            self.done.set()
        return outputs


async def main() -> None:
    ws_url, _, inst_id, count = arguments()
    pipeline = MeteredPipeline([inst_id], CADENCE_MS, DEPTH, Random(1))
    pipeline.meter, pipeline.done = Meter(count), asyncio.Event()
    lost: list[FeedOutput] = []

    async def deliver(outputs: list[FeedOutput]) -> None:
        lost.extend(output for output in outputs if type(output).__name__ == "Lost")

    feed = asyncio.create_task(Feed(ws_url, pipeline, deliver, Clock(), Random(1)).run())
    await pipeline.done.wait()
    book = pipeline._books[inst_id]
    assert book is not None
    bids, asks = book.top(1)
    note = f"{pipeline.counts.checksums_verified} checksums verified, books lost: {len(lost)}"
    feed.cancel()
    pipeline.meter.report(bids[0][0], asks[0][0], note)


asyncio.run(main())
