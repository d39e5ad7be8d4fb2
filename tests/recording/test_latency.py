"""How late pushes come, counted exactly."""

from hypothesis import given
from hypothesis import strategies as st

from l2vault.recording.latency import LatencyMeter


@given(st.lists(st.integers(-5_000_000, 5_000_000), min_size=1, max_size=300))
def test_the_percentiles_are_those_of_the_sorted_values(lags_us: list[int]) -> None:
    meter = LatencyMeter()
    for lag_us in lags_us:
        meter.note(2, 1_000, 1_000_000 + lag_us)
    found = meter.take()[2]
    values = sorted(lag_us // 100 / 10 for lag_us in lags_us)
    at = lambda share: values[max(0, -(-len(values) * share // 100) - 1)]  # noqa: E731
    assert found == (len(values), values[0], at(50), at(90), at(99), values[-1])
    assert meter.take() == {}
