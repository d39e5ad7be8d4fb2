"""A host that slept, a process that was stopped, a clock that was set: by what two clocks show."""

import pytest

from l2vault.recording.sleepwatch import SleepWatch, Woken


@pytest.mark.parametrize(
    ("wall_ms", "elapsed_ms", "expected"),
    [
        (1_000, 1_000, Woken(0, 0)),
        (5_900, 5_900, Woken(0, 0)),
        (401_000, 401_000, Woken(400_000, 0)),  # asleep, or stopped
        (401_000, 1_000, Woken(0, 400_000)),  # set ahead
        (-3_599_000, 1_000, Woken(0, -3_600_000)),  # set back
        (-3_199_000, 401_000, Woken(400_000, -3_600_000)),  # stopped, and set back meanwhile
        (5_999, 1_000, Woken(0, 0)),
        (6_000, 1_000, Woken(0, 5_000)),
        (6_000, 6_000, Woken(5_000, 0)),
    ],
)
def test_what_two_clocks_show(wall_ms: int, elapsed_ms: int, expected: Woken) -> None:
    watch = SleepWatch(1_000, 500_000, 70)
    assert watch.look(500_000 + wall_ms, 70 + elapsed_ms) == expected
    assert watch.look(501_000 + wall_ms, 1_070 + elapsed_ms) == Woken(0, 0), "each is told once"
