"""l2vault: the flight recorder of OKX perpetual-swap order books.

Read it in the order in which data flows: `okx` (the wire), `book` (the market as values), `vault` (the disk),
`analytics` (the meaning). `recorder` wires the first three, `cli` is the front door, `sim` is an exchange of our own.
"""

__version__ = "0.2.0"
