"""Everything re-checked: `verify` (files, lines, archives), `changes` (and the lines rebuilt from them), `deep` (deep
books), `rows` (trades and context), `days` (liquidations and announcements), `journal` (entries, runs, the chain of
digests) and `form_1` (what journals of version 0.1 counted).

Believes nothing that another room concluded; changes nothing.
"""
