"""Whoever asks for books by REST, OKX sees ten requests a second at most."""

import asyncio

from l2vault.recording.tasks.rest_books import RestBooks
from support.manual_clock import ManualClock, until


class FakeRest:
    def book(self, inst_id: str, depth: int) -> tuple[str, int]:
        return inst_id, depth


async def test_of_many_that_ask_at_once_each_waits_a_tenth_of_a_second_longer_and_nobody_after_a_pause() -> None:
    clock = ManualClock()
    books = RestBooks(FakeRest(), clock)  # type: ignore[arg-type]
    asking = [asyncio.create_task(books.fetch(f"A{nth}")) for nth in range(25)]
    await until(lambda: len(clock.slept_sec) == 24)
    assert clock.slept_sec == [nth / 10 for nth in range(1, 25)]
    clock.advance(2_500)
    assert await asyncio.gather(*asking) == [(f"A{nth}", 400) for nth in range(25)]
    assert await books.fetch("B") == ("B", 400)
    assert len(clock.slept_sec) == 24
