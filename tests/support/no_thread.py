"""A system that has no room for one more thread, as under a limit on processes that a neighbour has used up."""


def no_thread(self: object) -> None:
    """In the place of `threading.Thread.start`."""
    raise RuntimeError("can't start new thread")
