"""An OKX of our own on 127.0.0.1, for tests, demos and other people's clients.

In reading order: `timeline` (what happens when), `market` (a market of its own), `captures` (recorded frames as a
timeline), `exchange` (books and rows), `peer` (one connection, sans-I/O), `server` (the sockets).
"""
