"""The journal: what the recorder and the verbs noted at the time. Knows no data file and draws no conclusion.

`events` has every event as a type, with those of one kind of lines beside it (`trade_events`, `change_events`,
`context_events`, `deep_events`, `merge_events`); `log` writes them, `lines` reads them, `order` puts them in the order
in which they happened, `places` finds the newest runs. What follows from them is the business of `coverage`.
"""
