"""Names and bytes: what lies where, and how it gets there whole. Knows no journal and no coverage.

In reading order: `layout` (every path), `catalog` (what is there, one listing), `stream` and `newest` (bytes and lines
of a file, forwards and backwards), `linecheck` (what one line says against itself); `durable` (writes that survive),
`appendfile`, `writer`, `digest` (an hour's record of integrity), `recovery` (after a crash), `lock` (one writer);
`instruments` (OKX's rows), `names`, `root` (is this a vault).
"""
