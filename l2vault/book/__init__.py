"""The market as values: pure, no socket, no file, no clock, no log.

In reading order: `price` (exact order of decimal strings), `change` (one push on the wire), `book` (the state),
`sampler` (when a book is due), `snapshot` (the row that is written), `change_line` (a push as it is written), `replay`
(books rebuilt from these), `utc` (times as text).
"""
