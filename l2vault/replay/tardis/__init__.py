"""tardis-machine's routes on one's own vault, so that its clients run on it. In reading order: `asked` (the options of
a request), `losses` (what must be told as a disconnect), `numbers` (texts of OKX as numbers of JSON), `computed` (book
snapshots and trade bars), `normalized` and `native` (a span as messages, in Tardis's form and in OKX's), `routes` (over
HTTP and websocket, at the client's pace or at one that it names).

Routes, options and messages are those of docs.tardis.dev, "Tardis Machine" (read 2026-11), and of tardis-machine's own
code; none of it is copied.
"""
