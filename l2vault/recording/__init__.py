"""What stands between the wire and the vault while recording. In reading order: `feeds` (the connections and their
replacement), `pipelines` (what they hold), `router` (what becomes of everything they say, kind by kind), `arbiter` and
`slots` (whose snapshot is written), `beside` (what the books can do without, and what becomes of a failure there):
`trades` (which trades are), `context` (what stands beside), `changes` and `change_keeper` (whose pushes are kept),
`deep` (which deep books are written, and how), `latency`; `disk` (the one way to write), `on_disk`, `eventlog`,
`counters` (for the summary and the status line), `start_words`; `tasks/`, what recording can do without, which
`supervisor` runs and starts again; `threads` and `child` are how either leaves the event loop.

`l2vault.recorder` wires them; nothing here opens a socket.
"""
