"""The disk. In reading order: `layout` (every path), `writer` (lines), `recovery` (after a crash), `lock` (one writer),
`journal` (what we can vouch for), `instruments` (OKX's rows).
"""
