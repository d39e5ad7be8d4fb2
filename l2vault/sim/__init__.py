"""An OKX of our own on 127.0.0.1, for tests, demos and other people's clients.

In reading order: `timeline` (what happens when); `instruments`, `market_shape`, `market_side`, `market` (a market of
its own); `captures` (recorded frames as a timeline); `exchange` (books and rows); `peer` (one client's protocol,
sans-I/O), `link` (that client in motion), `playback` (the timeline at work); `rest_api` and `server` (the sockets).
"""
