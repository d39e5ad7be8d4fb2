"""The market as values: pure, no socket, no file, no clock, no log.

In reading order: `price` (exact order of decimal strings), `change` (one push on the wire), `book` (the state),
`sampler` (when a book is due), `snapshot`, `trade` and `context` (the rows that are written), `utc` (times as text).
"""
