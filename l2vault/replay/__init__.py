"""One's own history as OKX: a vault as the timeline of the built-in exchange (`sim`). In reading order: `books` (the
pushes of one instrument, and the cuts where a hole is), `beside` (trades and values), `timeline` (all of them in order,
and what is to be said of them). `tardis` serves a vault beside it as tardis-machine does.
"""
