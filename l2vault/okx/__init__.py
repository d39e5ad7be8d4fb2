"""The wire. In reading order: `messages` (frames as types), `sequence` (the chain), `checksum`, `session` (one
connection, sans-I/O), `pipeline` (session, chain, book and sampler of one connection), `websocket`, and
`rest` over `web` (one bounded GET).

All but the last three are pure: no socket, file, clock or logging.
"""
