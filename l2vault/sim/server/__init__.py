"""How the exchange is served: `limits` and `peer` (one client's protocol, sans-I/O), `wire`, `link` (that client in
motion), `playback` (the timeline at work), `rest`, `archive` (index and files), `gate`, `routes` (what others serve on
its ports), `options`, and `server` (the sockets).
"""
