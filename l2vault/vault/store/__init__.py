"""Names and bytes: what lies where, and how it gets there whole. Knows no journal, no coverage and no library of the
archive.

In reading order: `layout` (every path, of every kind of data), `catalog` (what is there: one listing, one type for a
stored hour), `line` (the form of a line) and `linecheck` (what one says against itself), `stream` (bytes and lines of a
file), `forms` (how an hour is read whatever forms it has) and `newest` (how far an instrument is written, backwards),
`known_trades` (which ids it has); `durable` (writes that survive), `appendfile`, `writer`, `gzip_append` and
`change_writer` (changes, in gzip that reads while it is written), `follower` (who follows them), `digest` (an hour's
record of integrity), `recovery` (after a crash), `lock` (one writer); `instruments` (OKX's rows), `evaluations` (rates
that were measured), `repairs` (holes that are filled), `spans` (of time), `names`, `root` (is
this a vault).
"""
