"""Where are the large levels, and what became of them? `usual` says what is large, `large_levels` finds them hour by
hour, `walls` puts the hours together, `ledger` keeps their lives, `tracks` says which lives are one wall. Pure.
"""
