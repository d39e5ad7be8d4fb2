"""What changed? `book_diff` between two books, `liquidity_flow` over a span. Pure."""
