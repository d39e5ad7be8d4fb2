"""When a book is due to be written: a rule on exchange time alone, so that every observer writes the same lines."""


def due_grid_time(book_ms: int | None, message_ms: int | None, cadence_ms: int) -> int | None:
    """The grid time at which the book as it stands before a message is to be written, or None.

    Grid times are the multiples of `cadence_ms` since the epoch. A book of time `s` is the book at the grid time `g`
    once a message of time `t` with `s <= g < t` arrives; where several lie between, one line serves and the first
    names it. A message without a time, or one that is not newer, makes nothing due.
    """
    if book_ms is None or message_ms is None:
        return None
    grid_ms = -(-book_ms // cadence_ms) * cadence_ms
    return grid_ms if grid_ms < message_ms else None
