"""How property tests run: the same examples each time, and no time limit of their own on a busy machine."""

from hypothesis import settings

from l2vault.recording.tasks import columns

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=1000, deadline=None)
"""`pytest --hypothesis-profile=search` looks for new counterexamples instead."""
settings.load_profile("repeatable")

# In virtual time ten minutes are nothing: recorders of tests start no process that makes columns. Those of
# `recording/tasks/test_columns.py` do.
columns._NEEDED = ("no such library",)
