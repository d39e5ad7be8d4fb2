"""The market as values: pure, no socket, no file, no clock, no log.

In reading order: `price` (exact order of decimal strings), `change` (one push on the wire), `book` (the state),
`sampler` (when a book is due), `snapshot`, `trade`, `context` and `change_line` (the rows that are written), `replay`
(books rebuilt from changes), `deep` (books beyond 400 levels), `utc` (times as text).
"""
