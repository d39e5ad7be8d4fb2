"""Plans thrown together at random: the exchange survives them, tells the truth, and a careful client is never wrong.

The client here does what the protocol asks and no more: it follows the chain, keeps to the invariants, and trusts
nothing after a break until the next full book. Whatever it trusts must be the exchange's own book at that number.
"""

from random import Random

import pytest

from l2vault.book.book import Book
from l2vault.book.change import BookChange
from l2vault.errors import LevelError
from l2vault.okx.checksum import book_checksum, is_provided
from l2vault.okx.messages import SchemaFailure, decode
from l2vault.okx.sequence import is_chained
from l2vault.sim.faults.kinds import KINDS
from support.rehearsal import BTC, ETH, rehearse, timeline

PUSHES = 60
WIRE_KINDS = [kind for kind, of in KINDS.items() if of.family in ("push", "mode", "line")]
EXCHANGE_KINDS = ["reset", "tick-size:tick=3,how=levels,notice=1s,", "tick-size:tick=2,notice=0s,", "state:to=suspend,"]


def random_plan(seed):
    rng = Random(seed)
    parts = []
    for _ in range(rng.randint(1, 6)):
        kind = rng.choice(WIRE_KINDS)
        keys = KINDS[kind].keys
        trigger = rng.choice(
            [
                f"at={rng.uniform(0, 5):.2f}s",
                f"push={rng.randint(1, 50)}",
                "p=0.1",
                f"push={rng.randint(1, 9)},every=20",
            ]
            + [f"frame={rng.randint(1, 40)}"] * ("frame" in keys)
        )
        lasts = rng.choice([f",k={rng.randint(1, 4)}"] * ("k" in keys) + [f",for={rng.randint(100, 2000)}ms"])
        lasts = lasts if {"k", "for"} & keys else ""
        who = rng.choice(["", ",conn=first", ",conn=second", ",conn=even"])
        inst = rng.choice(["", f",inst={BTC}", f",inst={ETH}"])
        choice = "".join(
            f",{name}={rng.choice(param.example.split(', '))}"
            for name, param in KINDS[kind].params.items()
            if name in ("how", "field", "where", "side", "book")
        )
        parts.append(f"{kind}:{trigger}{lasts}{who}{inst}{choice}")
    for kind in rng.sample(EXCHANGE_KINDS, rng.randint(0, 2)):
        parts.append(f"{kind}{'' if ':' in kind else ':'}at={rng.uniform(0, 4):.1f}s")
    if any(part.startswith("reset") for part in parts) and rng.random() < 0.5:
        parts.append("reset:push=30,lost=second,to=5")
    return f"seed={seed};" + ";".join(parts)


class CarefulClient:
    """The rules of a recorder in twenty lines."""

    def __init__(self):
        self.books: dict[str, Book] = {}
        self.trusted = []

    def take(self, text):
        message = decode(text.encode())
        if isinstance(message, SchemaFailure):
            if message.inst_id is None:
                self.books.clear()
            else:
                self.books.pop(message.inst_id, None)
        if not isinstance(message, BookChange):
            return
        book = Book() if message.is_snapshot else self.books.pop(message.inst_id, None)
        if book is None or message.seq_id is None or not is_chained(message, book.seq_id):
            return
        try:
            book.apply(message)
        except LevelError:
            return
        bids, asks = book.top(400)
        if book.violation(is_live=True) or (is_provided(book.checksum) and book_checksum(bids, asks) != book.checksum):
            return
        self.books[message.inst_id] = book
        self.trusted.append((message.inst_id, message.seq_id, (bids, asks)))


@pytest.mark.parametrize("seed", range(120))
async def test_a_careful_client_trusts_nothing_that_is_not_true(clock, seed):
    plan = random_plan(seed)
    stage = await rehearse(clock, plan, timeline(PUSHES, BTC, ETH), connections=3)

    for inst_id in (BTC, ETH):
        assert len(stage.oracle.truths(inst_id)) == PUSHES + 1
    for viewer in stage.viewers:
        client = CarefulClient()
        for text in viewer.texts:
            client.take(text)
        for inst_id, seq_id, image in client.trusted:
            assert image in [truth.image for truth in stage.oracle.at(inst_id, seq_id)], plan


@pytest.mark.parametrize("seed", range(0, 120, 10))
async def test_the_same_plan_says_the_same_to_everybody_in_every_run(clock, seed):
    texts = []
    for _ in range(2):
        stage = await rehearse(clock, random_plan(seed), timeline(PUSHES, BTC, ETH), connections=3)
        texts.append(
            [[repr(item) for item in viewer.items if "manner=<" not in repr(item)] for viewer in stage.viewers]
        )

    assert texts[0] == texts[1]


async def test_a_plan_of_nothing_changes_no_byte(clock):
    stage = await rehearse(clock, "", timeline(20, BTC, ETH), connections=2)
    late = await rehearse(clock, "drop:at=1h;ts:push=999;half-open:at=2h;reset:at=1h", timeline(20, BTC, ETH), 2)

    assert [viewer.texts for viewer in stage.viewers] == [viewer.texts for viewer in late.viewers]
