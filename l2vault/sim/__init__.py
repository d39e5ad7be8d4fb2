"""An OKX of our own on 127.0.0.1, for tests, demos and other people's clients.

In reading order: `timeline` (what happens when); `instruments`, `market_shape`, `market_side`, `market` (a market of
its own); `captures` (recorded frames as a timeline); `exchange` (books and rows), `oracle` (what was true); `frame`,
`limits`, `peer` (one client's protocol, sans-I/O), `wire`, `link` (that client in motion), `playback` (the timeline at
work); `rest_api`, `patience`, `gate`, `options` and `server` (the sockets).

What goes wrong on purpose: `fault_plan` (values), `fault_kinds` and `fault_spec` (as people write them), `strikes` and
`schedule` (when), `chain` (between exchange and client) with `fault_levels`, `fault_text`, `fault_extra`, `fault_flow`;
`objections` (requests), `rest_faults`, `fault_exchange` (what is true), and `faults`, which holds it together.
"""
