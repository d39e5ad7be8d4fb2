"""Is what the measures find more than chance? In reading order: `statistics` (p, q, intervals, shifts, permutations),
`visits` (what price did at a level), `windows` (the work on an hour), `levels` (walls and zones), `signals` (imbalance
and flow), `evaluate` (all of it). Pure.
"""
