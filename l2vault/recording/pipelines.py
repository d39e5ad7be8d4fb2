"""The pipelines of all feeds, by the number of the feed: what they hold together, and what OKX says of instruments.

Whoever only looks gets `by_feed`, which only this can change. Knows no connection.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from l2vault.okx.pipeline import Pipeline


class Pipelines:
    """`make` makes the pipeline of the feed with that number."""

    def __init__(self, make: Callable[[int], Pipeline]) -> None:
        self._make = make
        self._by_feed: dict[int, Pipeline] = {}
        self._not_live: set[str] = set()
        self.by_feed: Mapping[int, Pipeline] = MappingProxyType(self._by_feed)
        """Each feed's, oldest first; it shows what there is at any time."""

    def add(self, feed: int) -> Pipeline:
        """A new feed's pipeline, which knows at once which instruments OKX does not call live."""
        pipeline = self._by_feed[feed] = self._make(feed)
        for inst_id in self._not_live:
            pipeline.set_live(inst_id, False)
        return pipeline

    def remove(self, feed: int) -> None:
        """The feed is over."""
        del self._by_feed[feed]

    def set_live(self, inst_id: str, is_live: bool) -> None:
        """What OKX's row says of an instrument, for every feed and those to come."""
        (self._not_live.discard if is_live else self._not_live.add)(inst_id)
        for pipeline in self._by_feed.values():
            pipeline.set_live(inst_id, is_live)

    def book_times(self) -> dict[str, int]:
        """Exchange time of each instrument in sync on any feed."""
        times: dict[str, int] = {}
        for pipeline in self._by_feed.values():
            for inst_id, ms in pipeline.book_times().items():
                times[inst_id] = max(ms, times.get(inst_id, ms))
        return times
