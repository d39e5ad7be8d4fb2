"""One module a verb of the command line: `HELP`, `EXAMPLE`, `configure(parser)` and `run(args) -> exit code`.

Data goes to stdout, everything else to stderr. Heavy libraries load inside `run`, in the verb that needs them.
"""
