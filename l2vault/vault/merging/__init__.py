"""One vault of several. `books`, `trades` and `context` decide, purely, which lines an hour gets and what is known of
it; `source` is one of the vaults; `hours` plans one hour of each kind, `days` has the day files, and
`run` does it for all.

A line counts where its vault's coverage says that it is good; what no journal proves is not covered in the result.
"""
