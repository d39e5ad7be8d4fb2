"""The journal: what the recorder and the verbs noted at the time. `events` has every event as a type, `log` writes and
reads them in the order in which they happened. Knows no data file and draws no conclusion: that is `coverage`.
"""
