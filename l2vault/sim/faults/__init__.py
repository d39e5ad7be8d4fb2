"""What goes wrong on purpose. `plan` (values), `kinds` and `spec` (as people write them), `timing` and `schedule`
(when), `frame` and `context` (what a fault works on), `pushes`, `flow`, `extra`, `exchange`, `request_errors` (the
kinds), `chain` (between exchange and client) and `engine`, which holds it together. Knows no socket.
"""
