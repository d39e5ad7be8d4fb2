"""The public door: `import l2vault` is enough. The only room in which what reads (`vault`) and what measures
(`analytics`) meet for users; knows how their results look to a program, and computes nothing itself. In reading order:

- `times` (every way to write a time, a length, a size; times in frames), `result` (a frame and what it rests on).
- `snapshot` (one book), `snapshots` (those of a span, of the live tail, and as frames), `books` (a span, measured).
- `trades` (the trades of a span, and their live tail), `context` (what stood beside the books of a span),
  `deep` (its books beyond 400 levels, and with RPI orders); `frames` (what these three have in common).
- `vault` (`open` and the vault), `tables` (the same as SQL).

`l2vault/__init__.py` names what is stable; importing any module here loads no analysis library.
"""
