"""What every contender counts and reports: processor time from its first book message to its last, whole process.

Standard library only: it runs in the virtual environments of other projects.
"""

import json
import sys
import time


class Meter:
    """`note` once for each book message that has been applied; true once all `count` have been."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.messages = 0
        self._began = (0.0, 0.0)
        self._ended = (0.0, 0.0)

    def note(self, messages: int = 1) -> bool:
        if not self.messages:
            self._began = time.process_time(), time.perf_counter()
        self.messages += messages
        if self.messages < self._count:
            return False
        self._ended = time.process_time(), time.perf_counter()
        return True

    def report(self, best_bid: object = None, best_ask: object = None, note: str = "") -> None:
        """One line of JSON on stdout. The first message starts the clock, so it is not among those paid for."""
        result = {
            "messages": self.messages,
            "cpu_sec": self._ended[0] - self._began[0],
            "wall_sec": self._ended[1] - self._began[1],
            "best_bid": None if best_bid is None else str(best_bid),
            "best_ask": None if best_ask is None else str(best_ask),
            "note": note,
        }
        sys.stdout.write("RESULT " + json.dumps(result) + "\n")
        sys.stdout.flush()


def arguments() -> tuple[str, str, str, int]:
    """Websocket address, REST address, instrument, number of book messages."""
    ws_url, rest_url, inst_id, count = sys.argv[1:5]
    return ws_url, rest_url, inst_id, int(count)
