"""A healthy `Health` to change a thing of, for tests of what reads it."""

from typing import Any

import msgspec

from l2vault.book.utc import utc_ms, utc_text
from l2vault.vault.health import form

WRITTEN_MS = utc_ms("2026-11-26T12:00:00.000Z")
BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"


def ago(seconds: float) -> str:
    return utc_text(WRITTEN_MS - round(seconds * 1000))


def feed(number: int, **changed: Any) -> form.FeedHealth:
    one = form.FeedHealth(number, "up", ago(7200), "wss://ws.okx.com/ws/v5/public", None, 0.1, 0)
    return msgspec.structs.replace(one, **changed)


def instrument(inst_id: str = BTC, **changed: Any) -> form.InstrumentHealth:
    one = form.InstrumentHealth(
        inst_id=inst_id,
        state="in sync",
        since=ago(7190),
        feeds=[1, 2],
        book=ago(0.2),
        book_age_sec=0.2,
        line=ago(1.5),
        lines=3600,
        lag=form.LagHealth(23.4, 41.0, 60),
        in_sync_share=0.9996,
        trades=form.TradesHealth(ago(0.5), 41234, 0),
        context=form.ContextHealth(ago(2), 3580, 5, 0, 0),
        changes=None,
    )
    return msgspec.structs.replace(one, **changed)


def health(**changed: Any) -> form.Health:
    counts = form.CountsHealth(
        messages=288_000,
        trade_messages=82_468,
        context_messages=51_000,
        unreadable=0,
        lines=7200,
        trade_lines=82_468,
        context_lines=7160,
        gaps=0,
        losses={"chain": 1, "disconnect": 2},
        compared={"matched": 7100, "unaligned": 0, "conflicting": 0},
        audits={"equal": 48},
        audited_at=ago(100),
    )
    loss = form.LossHealth(ago(1800), 2, BTC, "chain", ago(1800.4), ago(1800.3), True)
    one = form.Health(
        form=form.FORM,
        written=utc_text(WRITTEN_MS),
        run="451ee5d87e5a",
        pid=4711,
        host="recorder",
        version="0.2.0",
        python="3.11.7",
        platform="Linux",
        started=ago(7200),
        cadence_sec=2.0,
        feeds_wanted=2,
        feeds=[feed(1), feed(2)],
        instruments=[instrument(BTC), instrument(ETH)],
        queue=form.QueueHealth(0, 0.0, 0, None),
        disk=form.DiskHealth(70_040_158_208, 1_234_567_890, 241_000_000.0, None, "delete_after_days"),
        clock=form.ClockHealth(3, 11),
        losses=[loss],
        tasks=[],
        counts=counts,
    )
    return msgspec.structs.replace(one, **changed)
