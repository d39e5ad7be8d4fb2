"""What can be said of each grid time of a span. In reading order: `model` (states, holes), `sync_history` (the journal
as intervals in exchange time), `slots`, `compute` (these and the lines of the files, to coverage); `checked` and
`checked_trades` have the lines of hours that need not be read again (`hour_notes` keeps them); `filled` joins two of
them. Of the other kinds: `context`, and `trades` (the chain of ids), `changes` and `deep`, which have no slots but
`proved` time.

Pure: knows no file. A grid time is called quiet only where an event written at the time says so; hours of which only a
journal of form 1 exists are the exception, named so.
"""
