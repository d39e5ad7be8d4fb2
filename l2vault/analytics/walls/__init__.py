"""Where are the large levels, and what became of them? `walls` finds them, `ledger` keeps their lives, `tracks` says
which lives are one wall that moved. Pure.
"""
