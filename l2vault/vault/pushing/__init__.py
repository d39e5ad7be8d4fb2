"""Closed hours copied into an object store. `objects` is the store, with its refusals as sentences; `hold` says which
files are due and of which day each is; `run` sends them, reads each back and commits a day by its manifest.

Objects and manifests are created and never overwritten, so that neither a kill nor a second push can spoil any.
"""
