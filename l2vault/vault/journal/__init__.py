"""The journal: what the recorder and the verbs noted at the time. Knows no data file and draws no conclusion.

`events`, `trade_events` and `change_events` have every event as a type, `log` writes them, `lines` reads them, `order`
puts them in the order in which they happened, `places` finds the newest runs. What follows from them is the business of
`coverage`.
"""
