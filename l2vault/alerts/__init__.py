"""Alerts that reach a person, from `health.json` and the lock alone. In reading order: `rule` (an `[[alert]]` of the
settings), `conditions` (whether it holds), `outbox` (what is sent when), `receivers` (how), `run` (the loop)."""
