"""Exchange time as far as something proves it: OKX's answer to `/public/time`, else live books that agree. Pure.

The wall clock of this machine has no part in it. Monotonic time carries a proof forward, and the uncertainty of the
proof grows with the time it is carried.
"""

from dataclasses import dataclass
from typing import Final, Literal

AGREE_MS: Final = 5_000
"""Two times that differ by more contradict each other. The slowest deliveries of a working connection take 300 ms."""
LATEST_MS: Final = 7_258_118_400_000
"""2200-01-01T00:00:00Z: no time of OKX's is believed from here on."""
FUTURE_MS: Final = 5_000
"""What is this much later than proved exchange time is from the future, and is not believed."""
STEADY_SEC: Final = 30
STEADY_WITHIN_MS: Final = 2_000
"""A source alone proves time once it has kept pace with monotonic time this long, within this much."""
PAIR_AFTER_MS: Final = 1_000
PAIR_WITHIN_MS: Final = 500
"""Two sources that agree prove time once each has kept pace this long: one absurd message sent to both does not."""
LATE_MS: Final = 30_000
"""A loaded host reads its messages late. Books that prove time may lag by this much, and are raised within seconds."""
RECENT_MS: Final = 10_000
FORGET_MS: Final = 90_000
"""A quiet instrument sends a heartbeat each 60 s; a source silent for longer starts anew."""
SERVER_RULES_MS: Final = 600_000
"""So long after an answer of the server, books do not move the proof."""
LONGEST_ROUND_TRIP_MS: Final = 10_000
DRIFT_PER_MILLION: Final = 200
"""Of monotonic against exchange time. Crystals of computers stay within 100."""

_STEADY_MS: Final = STEADY_SEC * 1000
_MOST_TRACKS: Final = 2_000
"""Feeds get new numbers when they are replaced, so that old sources are to be forgotten."""
_Source = tuple[int, str]


@dataclass(slots=True)
class _Pace:
    """Since when a source's offsets have stayed within `within_ms` of each other."""

    within_ms: int
    since_ms: int
    low: int
    high: int

    def extend(self, offset: int, mono_ms: int) -> None:
        self.low, self.high = min(self.low, offset), max(self.high, offset)
        if self.high - self.low > self.within_ms:
            self.since_ms, self.low, self.high = mono_ms, offset, offset


class _Track:
    """One source, an instrument on a feed, while its messages keep coming.

    An offset is exchange time minus monotonic time. Delivery takes time, so a true offset is never too large.
    """

    def __init__(self, offset: int, mono_ms: int) -> None:
        self._pair = _Pace(PAIR_WITHIN_MS, mono_ms, offset, offset)
        self._steady = _Pace(STEADY_WITHIN_MS, mono_ms, offset, offset)
        self.newest, self.seen_ms = offset, mono_ms

    def extend(self, offset: int, mono_ms: int) -> None:
        self._pair.extend(offset, mono_ms)
        self._steady.extend(offset, mono_ms)
        self.newest, self.seen_ms = offset, mono_ms

    @property
    def low(self) -> int:
        return self._steady.low

    @property
    def spread(self) -> int:
        """By how much its delivery varied since it is steady, and no less than delivery takes."""
        return max(PAIR_WITHIN_MS, self._steady.high - self._steady.low)

    @property
    def is_steady(self) -> bool:
        return self.seen_ms - self._steady.since_ms >= _STEADY_MS

    @property
    def keeps_pace(self) -> bool:
        return self.seen_ms - self._pair.since_ms >= PAIR_AFTER_MS


@dataclass(frozen=True, slots=True)
class _Proof:
    offset: int
    at_ms: int
    within_ms: int
    source: Literal["server", "books"]


class _Window:
    """The largest offset that supports the proof, and the largest of another source, since `began_ms`."""

    def __init__(self, began_ms: int) -> None:
        self.began_ms = began_ms
        self._best: tuple[int, _Source] | None = None
        self.second: int | None = None

    def add(self, source: _Source, offset: int) -> None:
        best = self._best
        if best is None or (offset >= best[0] and source == best[1]):
            self._best = (offset, source)
        elif offset > best[0]:
            self._best, self.second = (offset, source), best[0]
        elif source != best[1] and (self.second is None or offset > self.second):
            self.second = offset

    @property
    def best(self) -> int | None:
        return self._best[0] if self._best is not None else None


class ExchangeTime:
    """One for the process, shared by all pipelines; `mono_ms` is monotonic time throughout.

    Tell it of every answer of `/public/time` and of the times of messages; ask `now_ms` for the proved time and
    `allows` whether a time may be believed. The proof moves back by more than its uncertainty in one case only: two
    answers of the server, which kept pace with monotonic time, contradict it.
    """

    def __init__(self) -> None:
        self._proof: _Proof | None = None
        self._tracks: dict[_Source, _Track] = {}
        self._window = _Window(0)
        self._supported_ms = 0
        self._answer: tuple[int, int] | None = None
        self._is_server_disputed = False
        """Its last answer contradicted the proof, so it no longer keeps books from moving it."""
        self.proofs = 0
        """How often time was proved anew: whoever believed a later time checks it again when this has changed."""

    @property
    def source(self) -> Literal["server", "books", ""]:
        return self._proof.source if self._proof is not None else ""

    def now_ms(self, mono_ms: int) -> int | None:
        """The proved exchange time, or None while nothing proves it."""
        return self._proof.offset + mono_ms if self._proof is not None else None

    def uncertainty_ms(self, mono_ms: int) -> int:
        """By how much the proved time may be wrong; 0 while nothing is proved."""
        proof = self._proof
        return proof.within_ms + _drift_ms(mono_ms - proof.at_ms) if proof is not None else 0

    def allows(self, ts_ms: int, mono_ms: int) -> bool:
        """False only where proved time says that `ts_ms` lies more than 5 s ahead."""
        now_ms = self.now_ms(mono_ms)
        return now_ms is None or ts_ms <= now_ms + AGREE_MS + self.uncertainty_ms(mono_ms)

    def allows_full(self, ts_ms: int, mono_ms: int) -> bool:
        """The same for a full book: on a new connection it may be ahead of books that were read late, by up to 30 s."""
        late_ms = LATE_MS if self.source == "books" else 0
        return self.allows(ts_ms - late_ms, mono_ms)

    def note_server(self, ts_ms: int, rtt_ms: int, mono_ms: int) -> None:
        """OKX's answer to `/public/time`, received at `mono_ms` after a round trip of `rtt_ms`."""
        if not 0 < ts_ms < LATEST_MS or not 0 <= rtt_ms <= LONGEST_ROUND_TRIP_MS:
            return
        offset, within_ms = ts_ms + rtt_ms // 2 - mono_ms, -(-rtt_ms // 2)
        before, self._answer = self._answer, (offset, mono_ms)
        proved = self._proof
        if proved is not None:
            uncertain_ms = self.uncertainty_ms(mono_ms)
            if abs(offset - proved.offset) <= AGREE_MS + uncertain_ms + within_ms:
                offset = max(offset, proved.offset - uncertain_ms)
            elif not (self._repeats(before, offset, mono_ms) or self._books_agree(offset, mono_ms)):
                self._is_server_disputed = True
                return
        self._is_server_disputed = False
        self._prove(_Proof(offset, mono_ms, within_ms, "server"))
        self.proofs += 1

    def note_message(self, feed: int, inst_id: str, ts_ms: int, mono_ms: int) -> None:
        """The time of a message of a book."""
        if not 0 < ts_ms < LATEST_MS:
            return
        source, offset = (feed, inst_id), ts_ms - mono_ms
        track = self._tracks.get(source)
        if track is None or mono_ms - track.seen_ms > FORGET_MS:
            if len(self._tracks) >= _MOST_TRACKS:
                self._forget_silent(mono_ms)
            track = self._tracks[source] = _Track(offset, mono_ms)
        track.extend(offset, mono_ms)
        if self._proof is None:
            self._seek(source, track, mono_ms)
        elif abs(offset - self._proof.offset) <= AGREE_MS + self.uncertainty_ms(mono_ms):
            self._support(source, offset, mono_ms)
        elif offset > self._proof.offset and not self._is_server_new(mono_ms):
            self._raise(source, track, mono_ms)

    def _forget_silent(self, mono_ms: int) -> None:
        tracks = self._tracks.items()
        self._tracks = {source: track for source, track in tracks if mono_ms - track.seen_ms <= FORGET_MS}

    def _prove(self, proof: _Proof) -> None:
        self._proof = proof
        self._supported_ms = proof.at_ms
        self._window = _Window(proof.at_ms)

    def _raise(self, source: _Source, track: _Track, mono_ms: int) -> None:
        """A source is far ahead of a proof by books: they were read late, or monotonic time stood still."""
        proof = self._proof
        if track.is_steady and mono_ms - self._supported_ms >= _STEADY_MS:
            self._prove(_Proof(track.low, mono_ms, track.spread, "books"))
        elif proof is not None and track.newest - proof.offset <= LATE_MS:
            agreed = self._agreed(source, track, mono_ms)
            if agreed is not None:
                self._prove(_Proof(agreed, mono_ms, PAIR_WITHIN_MS, "books"))

    def _agreed(self, source: _Source, track: _Track, mono_ms: int) -> int | None:
        """The offset on which this source and another agree, each keeping pace."""
        if not track.keeps_pace:
            return None
        agreeing = [
            other.newest
            for name, other in self._tracks.items()
            if name != source
            and other.keeps_pace
            and mono_ms - other.seen_ms <= RECENT_MS
            and abs(other.newest - track.newest) <= AGREE_MS
        ]
        return min(track.newest, max(agreeing)) if agreeing else None

    def _seek(self, source: _Source, track: _Track, mono_ms: int) -> None:
        """A first proof by books."""
        offset = track.low if track.is_steady else self._agreed(source, track, mono_ms)
        if offset is not None:
            self._prove(_Proof(offset, mono_ms, track.spread, "books"))
            self.proofs += 1

    def _support(self, source: _Source, offset: int, mono_ms: int) -> None:
        """A message that agrees with the proof; every 30 s they correct it, one source alone by no more than drift."""
        self._supported_ms = mono_ms
        if self._is_server_new(mono_ms):
            return
        proof, window = self._proof, self._window
        window.add(source, offset)
        passed_ms = mono_ms - window.began_ms
        if proof is None or passed_ms < _STEADY_MS or window.best is None:
            return
        wanted = window.best if window.second is None else window.second
        highest = proof.offset + (_drift_ms(passed_ms) if window.second is None else AGREE_MS)
        lowest = proof.offset - _drift_ms(passed_ms)
        self._prove(_Proof(min(max(wanted, lowest), highest), mono_ms, PAIR_WITHIN_MS, "books"))

    def _is_server_new(self, mono_ms: int) -> bool:
        proof = self._proof
        if proof is None or proof.source != "server" or self._is_server_disputed:
            return False
        return mono_ms - proof.at_ms <= SERVER_RULES_MS

    def _repeats(self, before: tuple[int, int] | None, offset: int, mono_ms: int) -> bool:
        """Whether the answer before kept pace with this one: a cached one would not have moved."""
        return before is not None and mono_ms - before[1] > AGREE_MS and abs(offset - before[0]) <= AGREE_MS // 2

    def _books_agree(self, offset: int, mono_ms: int) -> bool:
        """Whether a live book confirms an answer that lies ahead of the proof."""
        proof = self._proof
        return (
            proof is not None
            and offset > proof.offset
            and any(
                mono_ms - track.seen_ms <= FORGET_MS and abs(track.newest - offset) <= AGREE_MS
                for track in self._tracks.values()
            )
        )


def _drift_ms(passed_ms: int) -> int:
    return -(-max(passed_ms, 0) * DRIFT_PER_MILLION // 1_000_000)
