"""How property tests run: the same examples each time, and no time limit of their own on a busy machine."""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=1000, deadline=None)
"""`pytest --hypothesis-profile=search` looks for new counterexamples instead."""
settings.load_profile("repeatable")
