"""Alerts that reach a person: of the recorder from `health.json`, the lock and the room on the disk, of the market from
the lines. In reading order: `rule` (an `[[alert]]` of the settings), `conditions` (whether one on the recorder holds),
`market` (whether one on the market does), `outbox` (what is sent when), `receivers` (how), `zones` (what a price may
cross), `market_feed` (a span or the live tail, step by step), `run` (the loop), `replay` (what it would have sent)."""
