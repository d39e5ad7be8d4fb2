"""What the exchange has. In reading order: `instruments`, `market_shape`, `market_side`, `market` (a seeded market);
`captures` (recorded frames as a timeline), `timeline` (what was recorded elsewhere as one); `books` (books, rows and
what was true), `deep` (what lies beyond 400 levels), `rpi` (RPI orders beside the book), `levels`, `trades` (trades
that explain the books), `archive` (the days before, as files) and `hostile_files` (such as a client must refuse),
`scaled_clock` (a clock that runs faster). Knows no client and no fault.
"""
