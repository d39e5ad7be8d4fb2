"""The market as values: pure, no socket, no file, no clock, no log.

In reading order: `price` (exact order of decimal strings), `change` (one push on the wire), `book` (the state),
`sampler` (when a book is due), `snapshot` (the row that is written), `context` (the row of what stands beside it),
`utc` (times as text).
"""
