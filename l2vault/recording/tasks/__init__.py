"""What the recorder can do without: audits, instrument rows, trades and deep books by REST, retention, clock checks,
memory.

Each is a coroutine that `recording.supervisor` runs and restarts; whatever one raises, capture goes on. What blocks
leaves the event loop by way of `recording.threads`.
"""
