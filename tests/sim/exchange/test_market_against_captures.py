"""The market model beside what OKX really sent: the distributions of both, measured alike, within stated tolerances.

The captures: 2022-05-13 (97 updates of BTC-USDT, 92 of UNI-USD-SWAP, before sequence numbers) and two of July and
August 2026 (8 updates of BTC-USDT). No capture of a swap of today is public, and the derived files are another
exchange's trade, so they say nothing here. 2026 sends smaller messages than 2022 did: the model lies between.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice, pairwise

import pytest

from l2vault.book.book import CHANNEL_DEPTH, Book
from l2vault.book.change import BookChange, Level
from l2vault.book.price import Memo, is_zero, price_key
from l2vault.sim.exchange.books import Tick, encode_push
from l2vault.sim.exchange.instruments import known_inst_ids
from l2vault.sim.exchange.market import Market
from support.captured import read_books

OKX_2022 = "okx-ws/cryptofeed_2022-05-13_books.log.zst"
OKX_2026 = (
    "okx-ws/tickvault_2026-08-24_BTC-USDT_books.jsonl",
    "okx-ws/l2-orderbook-pipeline_2026-07-12_BTC-USDT_books_3msgs.jsonl",
)
START_MS = 1_790_000_000_000
BANDS = (0, 1, 5, 25, 100, 399)
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
KEYS = Memo(price_key, 10_000)


@dataclass
class Measures:
    """What a client of one instrument sees."""

    levels: list[int] = field(default_factory=list)
    update_bytes: list[int] = field(default_factory=list)
    full_bytes: list[int] = field(default_factory=list)
    steps_ms: list[int] = field(default_factory=list)
    seq_steps: list[int] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    ranks: dict[str, Counter[int]] = field(default_factory=dict)
    orders: list[Counter[int]] = field(default_factory=lambda: [Counter(), Counter()])
    gaps: list[Counter[int]] = field(default_factory=lambda: [Counter(), Counter()])

    def take(self, ticks: Iterable[Tick], inst_id: str) -> "Measures":
        book, last = Book(), None
        for tick in ticks:
            change = tick.change
            if change.inst_id != inst_id:
                continue
            size = len(tick.frame or encode_push(change))
            if change.is_snapshot:
                self.full_bytes.append(size)
            else:
                self.update_bytes.append(size)
                self._note_update(book, change, last)
            book.apply(change)
            last = change
            if change.is_snapshot or len(self.levels) % 50 == 0:
                self._note_image(book)
        return self

    def _note_update(self, book: Book, change: BookChange, last: BookChange | None) -> None:
        self.levels.append(len(change.bids) + len(change.asks))
        if last is not None and last.ts_ms and change.ts_ms:
            self.steps_ms.append(change.ts_ms - last.ts_ms)
        if last is not None and last.seq_id and change.seq_id:
            self.seq_steps.append(change.seq_id - last.seq_id)
        for held, sign, levels in zip(book.top(CHANNEL_DEPTH), (-1, 1), (change.bids, change.asks), strict=True):
            keys = keys_of(held, sign)
            for level in levels:
                kind, rank = kind_of(held, keys, sign * price_key(level[0]), level)
                self.kinds[kind] += 1
                self.ranks.setdefault(kind, Counter())[max(band for band in BANDS if band <= rank)] += 1

    def _note_image(self, book: Book) -> None:
        for place, held in enumerate(book.top(CHANNEL_DEPTH)):
            self.orders[place].update(int(level[3]) for level in held)
            keys = keys_of(held, 1 if place else -1)
            self.gaps[place].update((worse - better) // 10**17 for better, worse in pairwise(keys))

    def rank_shares(self, kind: str) -> list[float]:
        return [self.ranks[kind][band] / self.ranks[kind].total() for band in BANDS]

    def kind_share(self, *kinds: str) -> float:
        return sum(self.kinds[kind] for kind in kinds) / self.kinds.total()


def keys_of(levels: list[Level], sign: int) -> list[int]:
    """Ascending for a side that is best first."""
    return [sign * KEYS[level[0]] for level in levels]


def kind_of(held: list[Level], keys: list[int], key: int, level: Level) -> tuple[str, int]:
    rank = bisect_left(keys, key)
    is_held = rank < len(keys) and keys[rank] == key
    if is_zero(level[1]):
        return ("delete" if is_held else "unknown delete"), rank
    if not is_held:
        return "add", rank
    return ("same" if held[rank] == level else "change"), rank


def quantile(values: list[int], share: float) -> int:
    return sorted(values)[int(len(values) * share)]


def shares(counts: Counter[int], number: int) -> float:
    return counts[number] / counts.total()


@pytest.fixture(scope="module")
def model() -> Measures:
    """Five minutes of BTC-USDT-SWAP."""
    return Measures().take(islice(Market(["BTC-USDT-SWAP"], 1, START_MS).ticks(), 2700), "BTC-USDT-SWAP")


@pytest.fixture(scope="module")
def of_2022(captures) -> Measures:
    return Measures().take(read_books([captures / OKX_2022], verbatim=True), "BTC-USDT")


@pytest.fixture(scope="module")
def each_of_2026(captures) -> list[Measures]:
    return [Measures().take(read_books([captures / name], verbatim=True), "BTC-USDT") for name in OKX_2026]


@pytest.fixture(scope="module")
def of_2026(captures) -> Measures:
    measures = Measures()
    for name in OKX_2026:
        measures.take(read_books([captures / name], verbatim=True), "BTC-USDT")
    return measures


def test_the_captures_are_those_these_tolerances_were_set_for(of_2022: Measures, of_2026: Measures) -> None:
    assert (len(of_2022.levels), len(of_2026.levels)) == (97, 8)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("what", ["levels", "update_bytes"])
def test_messages_are_as_large_as_between_2026_and_2022(model, of_2022, of_2026, what: str, share: float) -> None:
    """Each quantile lies between those of the two years, give or take a quarter."""
    small, large = (quantile(getattr(measures, what), share) for measures in (of_2026, of_2022))

    assert 0.75 * small <= quantile(getattr(model, what), share) <= 1.25 * large


def test_a_level_costs_as_many_bytes(model, of_2022, of_2026) -> None:
    """Beside 165 bytes for the envelope (125 in 2022, without sequence numbers); a swap's sizes are shorter."""

    def level_bytes(measures: Measures, envelope_bytes: int) -> float:
        return (sum(measures.update_bytes) - envelope_bytes * len(measures.levels)) / sum(measures.levels)

    real = level_bytes(of_2026, 165)
    assert level_bytes(of_2022, 125) == pytest.approx(real, rel=0.15)
    assert level_bytes(model, 165) == pytest.approx(real, rel=0.20)


def test_a_full_book_is_as_large(model, of_2022, of_2026) -> None:
    for real_bytes in of_2022.full_bytes + of_2026.full_bytes:
        assert model.full_bytes[0] == pytest.approx(real_bytes, rel=0.20)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.75, 0.9])
def test_pushes_are_as_far_apart_as_in_2022(model, of_2022, share: float) -> None:
    assert quantile(model.steps_ms, share) == pytest.approx(quantile(of_2022.steps_ms, share), abs=5)


def test_sequence_numbers_step_as_those_of_2026_where_they_grow_as_fast(of_2026) -> None:
    """BTC-USDT spot grew by about 400 a second; so does the fifteenth instrument of the model, by such steps."""
    inst_id = known_inst_ids(15)[-1]
    model = Measures().take(islice(Market([inst_id], 1, START_MS).ticks(), 600), inst_id)

    def growth(measures: Measures) -> float:
        return 1000 * sum(measures.seq_steps) / sum(measures.steps_ms)

    assert growth(model) == pytest.approx(growth(of_2026), rel=0.15)
    assert quantile(of_2026.seq_steps, 0.1) <= quantile(model.seq_steps, 0.1)
    assert quantile(model.seq_steps, 0.9) <= quantile(of_2026.seq_steps, 0.9)
    assert quantile(model.seq_steps, 0.5) == pytest.approx(quantile(of_2026.seq_steps, 0.5), rel=0.6)
    assert all(1 <= step <= 300 for step in of_2026.seq_steps + model.seq_steps)


@pytest.mark.parametrize(("kind", "tolerance"), [("add", 0.13), ("delete", 0.11), ("change", 0.12)])
def test_changes_fall_at_the_ranks_of_2022(model, of_2022, kind: str, tolerance: float) -> None:
    """Shares at the ranks 0, 1-4, 5-24, 25-99, 100-398 and beyond."""
    assert model.rank_shares(kind) == pytest.approx(of_2022.rank_shares(kind), abs=tolerance)


def test_kinds_of_change_are_in_the_proportions_of_the_captures(model, of_2022, of_2026) -> None:
    for real in (of_2022, of_2026):
        assert real.kinds["add"] == pytest.approx(real.kinds["delete"], rel=0.05)
        assert model.kind_share("add", "delete") == pytest.approx(real.kind_share("add", "delete"), abs=0.25)
        assert model.kind_share("change") == pytest.approx(real.kind_share("change"), abs=0.25)
    assert model.kinds["add"] == model.kinds["delete"]
    for odd in ("same", "unknown delete"):
        assert 0 < model.kind_share(odd) <= of_2022.kind_share(odd)


@pytest.mark.parametrize("orders", [1, 2, 3, 4])
def test_levels_hold_as_many_orders_as_those_of_the_captures(model, of_2022, each_of_2026, orders: int) -> None:
    """Of the sides of all captures none has fewer and none more."""
    real = [shares(side, orders) for measures in (of_2022, *each_of_2026) for side in measures.orders]

    for side in model.orders:
        assert min(real) - 0.02 <= shares(side, orders) <= max(real) + 0.02


@pytest.mark.parametrize("gap", [1, 2, 3, 4])
def test_neighbours_are_as_far_apart_as_in_2026(model, each_of_2026, gap: int) -> None:
    """In ticks of 0.1, which spot and swap share."""
    real = [shares(side, gap) for measures in each_of_2026 for side in measures.gaps]

    for side in model.gaps:
        assert min(real) - 0.03 <= shares(side, gap) <= max(real) + 0.03


def test_a_quiet_swap_is_as_quiet_as_it_was(captures) -> None:
    """UNI-USD-SWAP: messages within a factor of two and a half, bytes of one and a half, the pace within 5 ms."""
    inst_id = "UNI-USD-SWAP"
    real = Measures().take(read_books([captures / OKX_2022], verbatim=True), inst_id)
    model = Measures().take(islice(Market([inst_id], 1, START_MS).ticks(), 1500), inst_id)

    for share in (0.25, 0.5, 0.75, 0.9):
        assert 0.4 <= quantile(model.levels, share) / quantile(real.levels, share) <= 2.5
        assert 0.67 <= quantile(model.update_bytes, share) / quantile(real.update_bytes, share) <= 1.5
    assert quantile(model.steps_ms, 0.5) == pytest.approx(quantile(real.steps_ms, 0.5), abs=5)
    assert shares(model.orders[0], 1) == pytest.approx(shares(real.orders[0], 1), abs=0.1)
