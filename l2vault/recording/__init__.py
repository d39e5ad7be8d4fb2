"""What stands between the wire and the vault while recording: `disk` (the one way to write), `report` (what each output
means in the log and the journal), `tally` (counts for the summary and the status line), and `tasks/`, what recording
can do without, which `supervisor` runs and starts again.

`l2vault.recorder` wires them; nothing here opens a socket.
"""
