"""The wire. In reading order: `messages` (frames as types), `sequence` (the chain), `checksum`, `plausibility` (full
books), `exchange_time` (proved time) and `book_time` (the watch over a book's), `rest_join` (REST join), `audit`,
`session` and `subscription` (one connection, sans-I/O), `outputs`, `instrument` (all of it for one instrument),
`pipeline` (a session and its instruments), `trade_chain` (trades over all feeds), `trade_leaps`
(ids far from all others), `context_messages` and `context`
(what stands beside the books), `websocket`, and `rest` over `web` (one bounded GET).

All but the last three are pure: no socket, file, clock or logging.
"""
