"""What the recorder can do without: audits, instrument rows, retention, clock checks, memory.

Each is a coroutine that `recording.supervisor` runs and restarts; whatever one raises, capture goes on. `threads` is
how each leaves the event loop for something that blocks.
"""
