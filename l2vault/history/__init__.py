"""Books of before the recording: OKX's own archive fetched, sampled by our law, compared with what we recorded.

In reading order: `naming` (what the archive calls its files, which days they cut), `index` (what OKX offers), `hosts`
(where a file may come from), `shelf` (the files that are here), `download` (one file, resumed, checked), `unpack` (the
one member of an archive, streamed and bounded), `rows` (its lines as changes, trades, rates), `hours` (hours of the
archive's vault, each whole), `books`, `deep`, `trades` and `funding` (a file as such hours), `backfill` (days of them);
`audit` (what was recorded beside it).

Knows the wire only by `okx.rest` and `okx.web`; what it makes lies in a vault of its own, `{vault}/okx_archive`.
"""
