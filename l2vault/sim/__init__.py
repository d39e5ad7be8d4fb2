"""An OKX of our own on 127.0.0.1, for tests, demos and other people's clients, in three rooms, each using those before:

- `exchange/`: what the exchange has: instruments, a seeded market or captures, books, trades, and what was true.
- `faults/`: what goes wrong on purpose, and when. Knows no socket.
- `server/`: how it is served: one client's protocol, the sockets, REST, and OKX's limits.
"""
