"""Everything re-checked: `verify` (files, lines, archives), `changes` (and the lines rebuilt from them) and `journal`
(entries, runs, the chain of digests).

Believes nothing that another room concluded; changes nothing.
"""
