"""What goes wrong on purpose. Knows no socket.

`plan` (values), `kinds` and `spec` (as people write them), `timing` and `schedule` (when), `frame` and `context` (what
a fault works on); the kinds themselves: `pushes`, `flow`, `extra`, `exchange`, `request_errors`; `chain` (between
exchange and client) and `engine`, which holds it together.
"""
