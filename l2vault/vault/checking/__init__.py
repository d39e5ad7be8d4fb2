"""Everything re-checked: `verify` (files, lines, archives) and `journal` (entries, runs, the chain of digests).

Believes nothing that another room concluded; changes nothing.
"""
